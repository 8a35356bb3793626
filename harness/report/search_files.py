"""The result of a search as a table, CSV, JSON and a figure: harm against speed-up, every plan with its commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from harness.files import write_atomically
from harness.report.figures.pareto import Variant, pareto
from harness.report.figures.png import encoded, own_style
from harness.report.text import counted, markdown_table, number, spreadsheet_text, titled
from harness.results.serialise import to_plain
from harness.search.front_search import FoundPlan, SearchResult

HEAD = ("#", "plan", "harm [points]", "velocity error", "saved", "speed-up", "front")
_NOTE = (
    "{prompts} A point is a set of left-out blocks, with the 95 % interval of its harm; its number is its row in"
    "\nthe table. The line joins those that no other one beats. The axis of harm is linear to \u00b1{linear:g} points."
)
# By the unit of what is saved: the speed-up of the figure.
_SPEED_UP = {
    "of a forward's time": "speed-up of a forward, from the time of single blocks (control 1)",
    "blocks": "blocks of the model over those that are left (control 1)",
    "of the parameters": "parameters of the model over those that are left (control 1)",
}


class Commands(NamedTuple):
    """``export`` saves a plan; ``tests`` run it as a case, one for each stack, as a case is of one stack."""

    export: str
    tests: tuple[str, ...]


@dataclass(frozen=True)
class SearchReport:
    """A result with what it is of: the checkpoint as the commands take it, its name, and the number of prompts."""

    result: SearchResult
    checkpoint: str
    name: str
    prompts: int

    @property
    def title(self) -> str:
        """What was searched, by what, at which cost."""
        result = self.result
        return (
            f"{self.name}: the best of {result.measured} sets of blocks that save {result.goal.target:.3g} "
            f"{result.goal.unit}, by {result.selector} at the cost of {result.evaluations:.0f} evaluations; "
            f"harm on {counted(self.prompts, 'prompt')}"
        )

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The rows of the table below :data:`HEAD`."""
        goal = self.result.goal
        return [
            (
                str(rank),
                goal.blocks.text(plan.removal),
                f"{number(plan.harm.value, '.2f')} [{number(plan.harm.low, '.2f')}, {number(plan.harm.high, '.2f')}]",
                number(plan.error, ".3g"),
                number(goal.blocks.saved(plan.removal), ".3g"),
                number(goal.speed_up(plan.removal), ".3f"),
                "front" if plan.front else "",
            )
            for rank, plan in enumerate(self.result.plans, start=1)
        ]

    def commands(self, plan: FoundPlan) -> Commands:
        """What takes a plan further."""
        name = shlex.quote(self.checkpoint)
        texts = [shlex.quote(f"{stack}: {each}") for stack, each in self.result.goal.blocks.plan(plan.removal).items()]
        export = f"python -m harness export --checkpoint {name} {' '.join(f'--plan {text}' for text in texts)} OUT"
        tests = [f"pytest cases/ --dit-checkpoint={name} --dit-plan {text} -k plan" for text in texts]
        return Commands(export, tuple(tests))

    def data(self) -> list[dict[str, Any]]:
        """The rows in full, for CSV and JSON."""
        goal = self.result.goal
        return [
            {
                "rank": rank,
                "plan": goal.blocks.text(plan.removal),
                "harm": plan.harm.value,
                "harm_low": plan.harm.low,
                "harm_high": plan.harm.high,
                "velocity_error": plan.error,
                "saved": goal.blocks.saved(plan.removal),
                "speed_up": goal.speed_up(plan.removal),
                "asked": plan.asked,
                "front": plan.front,
                "export": self.commands(plan).export,
                "test": "; ".join(self.commands(plan).tests),
            }
            for rank, plan in enumerate(self.result.plans, start=1)
        ]

    def csv(self) -> str:
        """The table as CSV."""
        return pd.DataFrame(self.data()).map(spreadsheet_text).to_csv(index=False, float_format="%.6g")

    def markdown(self) -> str:
        """The table as a page, with the commands of every plan below it."""
        lines = [f"# {self.title}", "", *markdown_table(HEAD, self.rows), "", "```sh"]
        for rank, plan in enumerate(self.result.plans, start=1):
            commands = self.commands(plan)
            lines += [f"# {rank}", commands.export, *commands.tests]
        return "\n".join([*lines, "```", "", "![harm against speed-up](front.png)", ""])

    def json(self, measured_on: Mapping[str, Any]) -> str:
        """Everything, with what it was measured on."""
        goal, result = self.result.goal, self.result
        whole = {
            "schema": 1,
            "checkpoint": self.checkpoint,
            "selector": result.selector,
            "target": goal.target,
            "unit": goal.unit,
            "evaluations": result.evaluations,
            "sets": result.measured,
            "prompts": self.prompts,
            "measured_on": measured_on,
            "plans": self.data(),
        }
        return json.dumps(to_plain(whole), indent=1, allow_nan=False) + "\n"

    def figure(self) -> bytes:
        """Harm against speed-up, as PNG."""
        goal = self.result.goal
        variants = [
            Variant(
                name=f"{rank}",
                strategy="as asked" if plan.asked else "saves less",
                harm=(plan.harm.value, plan.harm.low, plan.harm.high),
                speed_up=(goal.speed_up(plan.removal), float("nan"), float("nan")),
                front=plan.front,
            )
            for rank, plan in enumerate(self.result.plans, start=1)
            if goal.speed_up(plan.removal) < float("inf")
        ]
        prompts = f"{counted(self.prompts, 'prompt')}."
        title = f"{self.name}: harm against speed-up, of the sets of blocks that {self.result.selector} came to"
        x_title = _SPEED_UP[goal.unit]
        with own_style():
            drawn = pareto(title, prompts, titled("clip_delta"), variants, None, x_title=x_title, note=_NOTE)
            return encoded(drawn)


def write_search(folder: Path, report: SearchReport, measured_on: Mapping[str, Any]) -> Sequence[Path]:
    """Write ``front.md``, ``front.csv``, ``front.json`` and ``front.png``; their paths. Raises HarnessError."""
    contents: dict[str, str | bytes] = {
        "front.md": report.markdown(),
        "front.csv": report.csv(),
        "front.json": report.json(measured_on),
        "front.png": report.figure(),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]
