"""Print everything that can change a figure on this machine, as JSON.

That is the fingerprint that every record carries, and the SHA-256 of the latents of eight prompts at seed 0: two
machines that print the same compute the same bits.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

import torch

from harness.cli import common
from harness.lab.lab import Lab
from harness.models.checkpoints.changed_settings import change_settings
from harness.models.checkpoints.resolve import resolve, transformer_config
from harness.models.environment import pick_device

_SAMPLED = 8  # prompts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", help="a bundled or real checkpoint, a hub id in the cache, or a folder")
    common.add_device(parser)
    common.add_dtype(parser)
    parser.add_argument("--lora", default=None, help="a .safetensors file, a folder or a hub id in the cache")
    common.add_offload(parser)
    common.add_settings(parser)
    common.add_threads(parser)


def run(arguments: argparse.Namespace) -> None:
    """Open the checkpoint, sample, and print."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    checkpoint = resolve(arguments.checkpoint, dtype=arguments.dtype, lora=arguments.lora)
    checkpoint = change_settings(checkpoint, common.read_settings(arguments), transformer_config(checkpoint))
    lab = Lab(checkpoint, device=pick_device(arguments.device), offload=arguments.offload)
    facts = dataclasses.asdict(lab.fingerprint)
    facts["sampled"] = lab.prompts[:_SAMPLED]
    facts["latents_sha256"] = lab.sampler.sample(facts["sampled"], seed=0).sha256()
    print(json.dumps(facts, indent=2, sort_keys=True))
