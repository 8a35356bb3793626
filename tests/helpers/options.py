"""The plugin's options as they are without any on the command line."""

from __future__ import annotations

from pathlib import Path

from harness.gates.rigour import Rigour
from harness.models.checkpoints.changed_settings import SettingsChange
from harness.plugin.options import Options
from harness.results.journal import WHOLE

DEFAULTS = Options(
    typed=(),
    checkpoint=None,
    stacks=(),
    ranges=(),
    strategies=(),
    plans=(),
    modifiers=(),
    windows=(),
    passes=(),
    groups=False,
    prompts=None,
    pictures=None,
    images=None,
    quick=False,
    update=None,
    rigour=Rigour.USUAL,
    run_id="r",
    resume=False,
    shard=WHOLE,
    reports=Path("reports"),
    device=None,
    rounds=12,
    threads=None,
    weights=None,
    dtype=None,
    lora=None,
    offload="none",
    seeds=1,
    settings=SettingsChange(),
    trust_judge=False,
    judge=None,
    metrics=(),
    columns=(),
    perturbations=(),
    calibrate=None,
    analysis=False,
    whole_control=False,
    cache=None,
    cache_limit=20 * 10**9,
    adaptive=False,
    budget=None,
    trackers=(),
)
