"""Weigh the blocks of a checkpoint by the angular distance of their states, as the SD3.5-Large layer study did.

The LoKr factors are written as a LyCORIS file for SimpleTuner, and with --peft as ranks for PEFT. A lower factor means
more parameters; the table has how many each block trains.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from pathlib import Path

from harness.analysis import profile as profiles
from harness.analysis.lokr.angle_records import read, timestep_means
from harness.analysis.lokr.budget import Layer, by_block, layers, lora_parameters, peft
from harness.analysis.lokr.weighting import Weighting, blocks, dump, lycoris, maps, weigh
from harness.analysis.profile import LAST, REDUCTIONS
from harness.cli import common, tables
from harness.errors import HarnessError
from harness.files import write_atomically
from harness.models.checkpoints.resolve import Checkpoint, blueprint
from harness.models.random_weights import checkpoint as random_weights
from harness.models.random_weights.weights import outline
from harness.results.arrays import Array

_HEAD = ("block", "module", "image", "text", "contribution", "factor", "attention", "parameters", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--records",
        type=Path,
        metavar="FILE.jsonl",
        help="angular distances, one sample a line, as `angles` writes them; also compressed (.gz, .bz2)",
    )
    source.add_argument(
        "--profile", type=Path, metavar="FILE.safetensors", help="a profile, as `angles` or an analysis writes it"
    )
    parser.add_argument(
        "--last",
        action="store_true",
        help="of --profile, the angles of the last token alone, as in the study, instead of the tokens' mean",
    )
    parser.add_argument("--checkpoint", required=True, help="whose blocks they are: a name, a hub id or a folder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="where the file goes")
    parser.add_argument(
        "--critical",
        type=_numbers,
        metavar="0,31,35",
        help="blocks at factor 1, counted through all stacks; none: ''; default: those from the 95th percentile on",
    )
    parser.add_argument(
        "--bins",
        type=common.whole_number(1, 10_000),
        default=10,
        help="timestep bins of --records (default: %(default)s)",
    )
    parser.add_argument(
        "--peft",
        type=Path,
        metavar="FILE.json",
        help="also write ranks by layer there, for PEFT's LoraConfig: target_modules, rank_pattern, alpha_pattern",
    )
    parser.add_argument(
        "--rank",
        type=common.whole_number(1, 100_000),
        metavar="R",
        help="the rank of --peft at factor 1, and R / factor elsewhere (default: as many parameters as the LoKr)",
    )
    parser.add_argument(
        "--as-published",
        action="store_true",
        help="leave out the patterns without which LyCORIS shifts the factors by one block",
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of blocks like 0,31,35") from None


def run(arguments: argparse.Namespace) -> None:
    """Weigh the blocks, print the table and how many parameters it trains, write the files."""
    if arguments.rank is not None and arguments.peft is None:
        raise HarnessError("--rank is of --peft; name the file with --peft FILE.json")
    checkpoint = blueprint(arguments.checkpoint).checkpoint
    image, text, source = _maps(arguments, checkpoint)
    weighting = weigh(image, text, arguments.critical)
    names = blocks(checkpoint.family, checkpoint.stacks)
    config = lycoris(checkpoint.family, checkpoint.stacks, weighting.factors, as_published=arguments.as_published)
    transformer = outline(random_weights.resolve(arguments.checkpoint, "random"))  # shapes alone, no weights
    trained = layers(transformer, checkpoint.family, config)
    table = tables.Section(f"{checkpoint.name}, from {source}", _HEAD, _rows(weighting, names, by_block(trained)))
    print(tables.draw([table], shutil.get_terminal_size().columns if sys.stdout.isatty() else None), end="")
    whole = sum(parameter.numel() for parameter in transformer.parameters())
    print(f"the LoKr trains {_share(sum(layer.parameters for layer in trained), whole)}")
    if arguments.as_published:
        print("with --as-published, LyCORIS gives block N's layers block N - 1's factor, and so other numbers")
    write_atomically(arguments.out, dump(config))
    print(f"wrote {arguments.out}; for SimpleTuner: --lora_type=lycoris --lycoris_config={arguments.out}")
    if arguments.peft is not None:
        _write_peft(arguments.peft, trained, arguments.rank, whole)


def _write_peft(path: Path, trained: list[Layer], rank: int | None, whole: int) -> None:
    config = peft(trained, rank)
    write_atomically(path, json.dumps(config, indent=2) + "\n")
    ranks = config["rank_pattern"]
    print(
        f"wrote {path}: a LoRA of {len(ranks)} layers with ranks {min(ranks.values())} to {max(ranks.values())}, "
        f'{_share(lora_parameters(trained, ranks), whole)}; for PEFT: LoraConfig(**json.load(open("{path}")))'
    )


def _share(parameters: int, whole: int) -> str:
    return f"{parameters:,} parameters, {100 * parameters / whole:.1f} % of the transformer's {whole:,}"


def _maps(arguments: argparse.Namespace, checkpoint: Checkpoint) -> tuple[Array, Array, str]:
    """Maps (timestep bin, block) of the image and the text stream, and where they are from."""
    if arguments.profile is not None:
        profile = profiles.read(arguments.profile)
        if dict(profile.lengths) != dict(checkpoint.stacks):
            raise HarnessError(
                f"{arguments.profile} is of {profile.checkpoint} with {tables.blocks(profile.lengths)}, "
                f"{checkpoint.name} has {tables.blocks(checkpoint.stacks)}; measure this checkpoint"
            )
        reduction = LAST if arguments.last else REDUCTIONS[0]
        image, text = maps(profile, [stack.name for stack in checkpoint.family.stacks], reduction)
        return image, text, f"{arguments.profile} ({profile.checkpoint}, {profile.setting}, {profile.prompts} prompts)"
    if arguments.last:
        raise HarnessError("--last is of --profile; records hold one reduction, which `angles --last` chooses")
    if arguments.bins < 1:
        raise HarnessError(f"--bins {arguments.bins}: there is at least one bin")
    means = timestep_means(read(arguments.records), arguments.bins)
    length = sum(checkpoint.stacks.values())
    if means.image.shape[1] != length:
        raise HarnessError(
            f"{arguments.records} has {means.image.shape[1]} image angles a line, {checkpoint.name} has {length} "
            f"blocks ({tables.blocks(checkpoint.stacks)}); is it of another checkpoint?"
        )
    return means.image, means.text, f"{arguments.records} ({int(means.count.sum()):,} records)"


def _rows(weighting: Weighting, names: list[str], parameters: list[int]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for i, (name, factor) in enumerate(zip(names, weighting.factors, strict=True)):
        values = (weighting.image[i], weighting.text[i], weighting.contribution[i])
        note = "critical" if i in weighting.critical else "as the block before" if math.isnan(values[2]) else ""
        numbers = ["-" if math.isnan(value) else f"{value:.3f}" for value in values]
        rows.append((str(i), name, *numbers, str(factor), str(2 * factor), f"{parameters[i]:,}", note))
    return rows
