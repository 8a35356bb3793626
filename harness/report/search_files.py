"""The result of a search as a table, CSV, JSON and a figure: harm against speed-up, every plan with its commands."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from harness.files import write_atomically
from harness.markdown import markdown_table
from harness.report.figures.pareto import Variant, pareto
from harness.report.figures.png import encoded, own_style
from harness.report.text import counted, number, spreadsheet_text, titled
from harness.results.serialise import to_plain
from harness.search.candidates import Candidate, plans_of, text_of
from harness.search.front_search import SKIP, FoundPlan, SearchResult
from harness.search.goal import Saving

_HEAD = ("#", "plan", "strategy", "harm [points]", "velocity error", "saved", "speed-up", "front")
_NOTE = (
    "{prompts} A point is {points}, with the 95 % interval of its harm; its number is its row in"
    "\nthe table. The line joins those that no other one beats. The axis of harm is linear to \u00b1{linear:g} points."
)
# By what is saved: the speed-up of the figure.
_SPEED_UP = {
    Saving.TIME: "speed-up of a forward, from the time of single blocks (control 1)",
    Saving.RUNS: "blocks of the model over those that are left (control 1)",
    Saving.PARAMETERS: "parameters of the model over those that are left (control 1)",
}


class Commands(NamedTuple):
    """``export`` saves a plan; ``tests`` run it as a case, one for each stack, as a case is of one stack.

    ``export`` is None for a plan that no saved model can run.
    """

    export: str | None
    tests: tuple[str, ...]


@dataclass(frozen=True)
class SearchReport:
    """A result with what it is of: the checkpoint as the commands take it, its name, and the number of prompts.

    ``not_exported`` are the candidates that can't be exported, with the reason.
    """

    result: SearchResult
    checkpoint: str
    name: str
    prompts: int
    not_exported: Mapping[Candidate, str] = field(default_factory=dict[Candidate, str])

    @property
    def title(self) -> str:
        """What was searched, by what, at which cost."""
        result = self.result
        return (
            f"{self.name}: the best of {result.measured} sets of blocks{self._and_ranges} that save "
            f"{result.goal.target:.3g} {result.goal.saving.value}, by {result.selector} at the cost of "
            f"{result.evaluations:.0f} evaluations; harm on {counted(self.prompts, 'prompt')}"
        )

    @property
    def _and_ranges(self) -> str:
        """How many plans of the asked strategies were measured beside the sets; empty where none were asked for."""
        result = self.result
        if not result.strategies:
            return ""
        plans = counted(result.range_plans_measured, "plan")
        return f" and of {plans} of {', '.join(result.strategies)} on a range"

    @property
    def left_out(self) -> str:
        """How many plans of the asked strategies were not measured, and which; empty where all were."""
        result = self.result
        number = result.range_plans - result.range_plans_measured
        if not number:
            return ""
        return (
            f"not measured, for lack of evaluations: {number} of the {result.range_plans} plans of "
            f"{', '.join(result.strategies)} that save as much, those that save most"
        )

    @property
    def head(self) -> tuple[str, ...]:
        """The names of the table's columns: fewer parameters alone are no speed-up, as where one block runs often."""
        fewer_parameters = self.result.goal.saving is Saving.PARAMETERS
        return tuple("times smaller" if fewer_parameters and name == "speed-up" else name for name in _HEAD)

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The rows of the table below :attr:`head`."""
        goal = self.result.goal
        return [
            (
                str(rank),
                text_of(plan.candidate, goal.blocks),
                plan.strategy,
                f"{number(plan.harm.value, '.2f')} [{number(plan.harm.low, '.2f')}, {number(plan.harm.high, '.2f')}]",
                number(plan.error, ".3g"),
                number(goal.saved(plan.candidate), ".3g"),
                number(goal.speed_up(plan.candidate), ".3f"),
                "front" if plan.front else "",
            )
            for rank, plan in enumerate(self.result.plans, start=1)
        ]

    def commands(self, plan: FoundPlan) -> Commands:
        """What takes a plan further."""
        name = shlex.quote(self.checkpoint)
        plans = plans_of(plan.candidate, self.result.goal.blocks)
        texts = [shlex.quote(f"{stack}: {each}") for stack, each in plans.items()]
        export = f"python -m harness export --checkpoint {name} {' '.join(f'--plan {text}' for text in texts)} OUT"
        tests = [f"pytest cases/ --dit-checkpoint={name} --dit-plan {text} -k plan" for text in texts]
        return Commands(None if plan.candidate in self.not_exported else export, tuple(tests))

    def data(self) -> list[dict[str, Any]]:
        """The rows in full, for CSV and JSON."""
        goal = self.result.goal
        return [
            {
                "rank": rank,
                "plan": text_of(plan.candidate, goal.blocks),
                "strategy": plan.strategy,
                "harm": plan.harm.value,
                "harm_low": plan.harm.low,
                "harm_high": plan.harm.high,
                "velocity_error": plan.error,
                "saved": goal.saved(plan.candidate),
                "speed_up": goal.speed_up(plan.candidate),
                "asked": plan.asked,
                "front": plan.front,
                "export": self.commands(plan).export,
                "not_exported": self.not_exported.get(plan.candidate, ""),
                "test": "; ".join(self.commands(plan).tests),
            }
            for rank, plan in enumerate(self.result.plans, start=1)
        ]

    def csv(self) -> str:
        """The table as CSV."""
        return pd.DataFrame(self.data()).map(spreadsheet_text).to_csv(index=False, float_format="%.6g")

    def markdown(self) -> str:
        """The table as a page, with the commands of every plan below it."""
        lines = [f"# {self.title}", "", *markdown_table(self.head, self.rows), ""]
        if self.left_out:
            lines += [f"{self.left_out[0].upper()}{self.left_out[1:]}.", ""]
        lines.append("```sh")
        for rank, plan in enumerate(self.result.plans, start=1):
            commands = self.commands(plan)
            why_not = self.not_exported.get(plan.candidate, "")
            lines += [f"# {rank}", commands.export or f"# {why_not}", *commands.tests]
        return "\n".join([*lines, "```", "", "![harm against speed-up](front.png)", ""])

    def json(self, measured_on: Mapping[str, Any]) -> str:
        """Everything, with what it was measured on."""
        goal, result = self.result.goal, self.result
        whole = {
            "schema": 1,
            "checkpoint": self.checkpoint,
            "selector": result.selector,
            "target": goal.target,
            "unit": goal.saving.value,
            "evaluations": result.evaluations,
            "sets": result.measured,
            "strategies": result.strategies,
            "range_plans": result.range_plans,
            "range_plans_measured": result.range_plans_measured,
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
                strategy=_legend(plan),
                harm=(plan.harm.value, plan.harm.low, plan.harm.high),
                speed_up=(goal.speed_up(plan.candidate), float("nan"), float("nan")),
                front=plan.front,
            )
            for rank, plan in enumerate(self.result.plans, start=1)
            if goal.speed_up(plan.candidate) < float("inf")
        ]
        prompts = f"{counted(self.prompts, 'prompt')}."
        plans = f"of the sets of blocks that {self.result.selector} came to"
        if self.result.strategies:
            plans = f"of sets of blocks by {self.result.selector}, and of strategies on ranges"
        title = f"{self.name}: harm against speed-up, {plans}"
        points = f"a set of left-out blocks{' or a strategy on a range' if self.result.strategies else ''}"
        note = _NOTE.replace("{points}", points)
        x_title = _SPEED_UP[goal.saving]
        with own_style():
            drawn = pareto(title, prompts, titled("clip_delta"), variants, None, x_title=x_title, note=note)
            return encoded(drawn)


def _legend(plan: FoundPlan) -> str:
    """What a plan is called in the figure's legend."""
    if plan.strategy != SKIP:
        return plan.strategy
    return "as asked" if plan.asked else "saves less"


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
