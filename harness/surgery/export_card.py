"""The model card of an exported transformer: README.md with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness._version import __version__
from harness.ablation.plan import Plan
from harness.errors import printable
from harness.markdown import markdown_table
from harness.results.fingerprint import Fingerprint
from harness.results.harm import harm_by_prompt
from harness.results.records import Kind, Record
from harness.results.statistics import mean_interval

_NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class CardFacts:
    """What a card says.

    ``blocks`` maps a stack to the original indices of the blocks that are left, in their order, and ``lengths`` each
    stack to the original's number of blocks. ``base_model`` is the original's hub id, empty where it has none;
    ``checkpoint`` is its name in records. ``transformer`` and ``pipeline`` are classes of diffusers, ``converted``
    says what was changed beside leaving blocks out, and ``healed`` how the model was trained after that; its folder
    then is a whole pipeline's. ``harm`` are lines about its harm and speed-up, where those were measured otherwise than
    in records.
    """

    transformer: str
    pipeline: str
    blocks: Mapping[str, Sequence[int]]
    lengths: Mapping[str, int]
    checkpoint: str = ""
    base_model: str = ""
    converted: str = ""
    healed: str = ""
    harm: Sequence[str] = ()


def model_card(facts: CardFacts, records: Iterable[Record] = ()) -> str:
    """The card's text; ``records`` are measurements and times, of which those of the exported plans are quoted."""
    base = facts.base_model or printable(facts.checkpoint) or "a model that was not named"
    named = f"base_model: {facts.base_model}" if facts.base_model else "# base_model: ORG/NAME, the original's hub id"
    written = facts.base_model or printable(facts.checkpoint) or "FOLDER_OF_THE_BASE_MODEL"
    return "\n".join(
        [
            "---",
            named,
            "library_name: diffusers",
            "pipeline_tag: text-to-image",
            "tags:",
            "- pruned",
            "- diffusion-transformer",
            "---",
            "",
            f"# {facts.transformer} of {base}, without some of its blocks{', healed' if facts.healed else ''}",
            "",
            _about(facts, base),
            "",
            *markdown_table(
                ("stack", "blocks of the original, in the order in which they run", "left out"),
                (_row(facts, stack) for stack in facts.lengths),
            ),
            "",
            *([f"Converted: {facts.converted}.", ""] if facts.converted else []),
            "```python",
            *_usage(facts, written),
            "```",
            "",
            "## Harm and speed-up",
            "",
            *(facts.harm or _harm(facts, records)),
            "",
            f"Made by dit-ablation-harness {__version__}; `{'healing' if facts.healed else 'ablation'}.json` has the "
            "digests of the weights and the versions of the libraries.",
            "",
        ]
    )


def _about(facts: CardFacts, base: str) -> str:
    start = f"The transformer of {base} with the blocks below left out or reordered"
    licence = "Its licence is that of the original."
    if facts.healed:
        return f"{start}. {facts.healed}. The other parts of the pipeline are the original's. {licence}"
    return f"{start}, and no training after that. All other weights are the original's, bit for bit. {licence}"


def _usage(facts: CardFacts, base: str) -> list[str]:
    """Lines of Python that load the model. ``base`` is what the original's pipeline is loaded from."""
    if facts.healed:
        return [
            "import torch",
            f"from diffusers import {facts.pipeline}",
            "",
            f'pipeline = {facts.pipeline}.from_pretrained("THIS_FOLDER", torch_dtype=torch.bfloat16)',
        ]
    return [
        "import torch",
        f"from diffusers import {facts.pipeline}, {facts.transformer}",
        "",
        f'transformer = {facts.transformer}.from_pretrained("THIS_FOLDER", torch_dtype=torch.bfloat16)',
        f'pipeline = {facts.pipeline}.from_pretrained("{base}", transformer=transformer, torch_dtype=torch.bfloat16)',
    ]


def _row(facts: CardFacts, stack: str) -> tuple[str, ...]:
    length = facts.lengths[stack]
    kept = facts.blocks.get(stack, range(length))
    lacking = sorted(set(range(length)) - set(kept))
    out = f"{len(lacking)} of {length}: {Plan(tuple(lacking))}" if lacking else f"none of {length}"
    return stack, str(Plan(tuple(kept))), out


def how_measured(fingerprint: Fingerprint, prompts: int) -> str:
    """A sentence: on how many prompts, with which sampling, judge, device and versions figures were measured."""
    sampling = fingerprint.sampling
    size = f"{sampling['width']} x {sampling['height']} px, " if {"width", "height"} <= sampling.keys() else ""
    steps = f"{sampling['steps']} steps, " if "steps" in sampling else ""
    versions = ", ".join(f"{name} {version}" for name, version in fingerprint.versions.items())
    return (
        f"Measured on {prompts} prompt{'s' if prompts != 1 else ''} ({size}{steps}{fingerprint.dtype}, "
        f"device {printable(fingerprint.device)}) with the judge {printable(fingerprint.judge)}; "
        f"dit-ablation-harness {__version__}{f', {printable(versions)}' if versions else ''}."
    )


def _harm(facts: CardFacts, records: Iterable[Record]) -> list[str]:
    """What was measured of the exported plans; each is a variant of its own."""
    plans = {
        stack: str(Plan(tuple(blocks)).normal())
        for stack, blocks in facts.blocks.items()
        if tuple(blocks) != tuple(range(facts.lengths[stack]))
    }
    of_plans = [
        record
        for record in records
        if record.window is None
        and record.guidance_pass is None
        and (not facts.checkpoint or record.checkpoint == facts.checkpoint)
        and plans.get(record.stack) == record.plan
    ]
    images = {r.stack: r for r in of_plans if r.kind is Kind.QUALITY and r.measurement is not None}
    times = {r.stack: r for r in of_plans if r.kind is Kind.LATENCY and r.latency is not None}
    rows = [
        (stack, f"`{plan}`", _harm_of(images.get(stack)), _speed_up_of(times.get(stack)))
        for stack, plan in plans.items()
    ]
    about = (
        "Harm is the mean loss of prompt alignment, with its 95 % interval over prompts, in units of the standard "
        "deviation that the original's score has between seeds (0 is no loss). Speed-up is the time of one forward of "
        "the original's transformer over this one's, with its 95 % interval."
    )
    together = "The plans were measured one at a time; together they may harm more than their sum."
    hows = {how_measured(r.fingerprint, r.measurement.prompts) for r in images.values() if r.measurement is not None}
    return [
        *([about] if images or times else ["This model was not measured before it was saved."]),
        "",
        *markdown_table(("stack", "plan", "harm [sd]", "speed-up"), rows),
        *(["", together] if len(plans) > 1 else []),
        *(line for how in sorted(hows) for line in ("", how)),
    ]


def _harm_of(record: Record | None) -> str:
    """``1.20 [0.80, 1.60], 48 prompts``."""
    measured = None if record is None else record.measurement
    refused = measured is not None and measured.judge_check is not None and measured.judge_check.refused
    if measured is None or refused or not measured.prompts:
        return _NOT_MEASURED
    harm = mean_interval(harm_by_prompt(measured))
    low, high = f"{harm.low:.2f}", f"{harm.high:.2f}"
    return f"{harm.value:.2f} [{low}, {high}], {measured.prompts} prompt{'s' if measured.prompts != 1 else ''}"


def _speed_up_of(record: Record | None) -> str:
    """``1.20 [1.18, 1.21]``."""
    latency = None if record is None else record.latency
    return _NOT_MEASURED if latency is None else f"{latency.ratio:.2f} [{latency.low:.2f}, {latency.high:.2f}]"
