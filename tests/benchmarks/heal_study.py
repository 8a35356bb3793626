"""How much harm healing brings back on a bundled model: the experiment of docs/healing.md, resumable at any point.

``nice -n 19 python -m tests.benchmarks.heal_study run FOLDER`` heals every plan below for a share of the images that
the model's own training saw, measures it on the bundled prompts (which neither training saw), and appends a line to
FOLDER/results.jsonl; what is there already isn't done again, and a healing that was killed goes on. FOLDER/study.log
says what is done. ``... table FOLDER`` prints the tables as Markdown. With ``--part 1/2`` and ``--part 2/2`` two
processes share the jobs of one folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from harness.ablation.plan import Plan, parse
from harness.healing.examples import Examples, make_examples
from harness.healing.recipe import Recipe
from harness.healing.trials import heal_and_measure, random_plans, training_prompts, training_steps
from harness.lab.lab import Lab
from harness.results.statistics import by_prompt, mean_interval

BATCH, RATE = 64, 1e-3
IMAGES = 1024  # of the teacher's, one a prompt, of layouts that the original's training drew from
# Five plans of different harm, least first.
PLANS = {
    "flux-tiny": (
        "double: 0-2 4",
        "single: 0-2 7-9",
        "double: 0 2 4; single: 0-2 7-9",
        "double: 0 3-4",
        "single: 0-1 8-9",
    ),
    "sd3-tiny": ("joint: 0-4 6-11", "joint: 0-6 9-11", "joint: 0-2 5-11", "joint: 0-1 4-11", "joint: 0-3 8-11"),
    "auraflow-tiny": (
        "double: 0 2-5",
        "single: 0-2 7-9",
        "double: 0-1 4-5",
        "double: 0-1 4-5; single: 0-2 7-9",
        "double: 0 5",
    ),
}
REMOVED, SETS = 4, 12  # random plans that leave out as many blocks each


@dataclass(frozen=True)
class Task:
    """One healing of the study. ``share`` is of the images that the original's training saw."""

    plan: str
    share: float
    normalised: bool
    group: str  # "harm" or "random"

    @property
    def name(self) -> str:
        """A folder's name."""
        plan = self.plan.replace(": ", "_").replace("; ", "+").replace(" ", "_")
        return f"{self.group}-{plan}-{self.share:g}-{'normalised' if self.normalised else 'plain'}"


def tasks(checkpoint: str, lengths: dict[str, int]) -> list[Task]:
    """All healings, the most telling first."""
    plans = PLANS[checkpoint]
    chosen = ["; ".join(plans) for plans in random_plans(lengths, REMOVED, SETS)]
    return [
        *(Task(plan, 0.01, True, "harm") for plan in plans),
        *(Task(plan, 0.01, False, "harm") for plan in plans),
        *(Task(plan, 0.05, True, "harm") for plan in (plans[2], plans[4])),
        *(Task(plan, 0.01, True, "random") for plan in chosen),
        *(Task(plan, 0.05, True, "harm") for plan in (plans[0], plans[1], plans[3])),
        *(Task(plan, 0.05, False, "harm") for plan in plans),
        *(Task(plan, 0.05, True, "random") for plan in chosen),
        *(Task(plan, 0.20, True, "harm") for plan in (plans[-1], plans[2])),
    ]


def parsed(text: str) -> dict[str, Plan]:
    """Stack -> plan."""
    pairs = (part.split(":") for part in text.split(";"))
    return {stack.strip(): parse(plan.strip()) for stack, plan in pairs}


def do(lab: Lab, task: Task, folder: Path, examples: Examples, prompts: list[str]) -> dict[str, Any]:
    """Heal and measure; a line of the results."""
    steps = training_steps(lab.checkpoint.family.name, task.share, BATCH)
    recipe = Recipe(steps=steps, batch=BATCH, rate=RATE, normalised=task.normalised)
    began = time.monotonic()
    healed, after = heal_and_measure(lab, task.plan.split("; "), recipe, examples, prompts, folder / task.name)
    seconds = time.monotonic() - began
    before = lab.run_stacks(parsed(task.plan)).measurement
    shutil.rmtree(folder / task.name)
    row: dict[str, Any] = {**asdict(task), "steps": steps, "seconds": round(seconds, 1)}
    for name, measurement in (("before", before), ("after", after)):
        interval = mean_interval(by_prompt(measurement.values["harm"], measurement.prompts))
        row[name] = [round(value, 4) for value in (interval.value, interval.low, interval.high)]
    back = np.subtract(before.values["harm"], after.values["harm"])
    interval = mean_interval(by_prompt(tuple(back), before.prompts))
    row["back"] = [round(value, 4) for value in (interval.value, interval.low, interval.high)]
    return row | {
        "output_before": healed.output_before,
        "output_after": healed.output_after,
        "loss_before": healed.loss_before,
        "loss_after": healed.loss_after,
    }


def run(checkpoint: str, folder: Path, part: tuple[int, int]) -> None:
    """Do what isn't done yet."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    lab = Lab(checkpoint)
    prompts = training_prompts(IMAGES)
    say(folder, f"{checkpoint}: {len(prompts)} prompts, part {part[0]} of {part[1]}")
    examples = make_examples(lab.sampler, prompts, folder / f"examples-{part[0]}-{part[1]}")
    for number, task in enumerate(tasks(checkpoint, dict(lab.checkpoint.stacks))):
        if number % part[1] != part[0] - 1 or task.name in {done_name(row) for row in rows(folder)}:
            continue
        row = do(lab, task, folder, examples, prompts)
        with (folder / "results.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        say(folder, f"{task.name}: harm {row['before'][0]:.2f} -> {row['after'][0]:.2f}, {row['seconds']:.0f} s")
    say(folder, f"part {part[0]} of {part[1]} is done")


def say(folder: Path, line: str) -> None:
    """A line for the log."""
    text = f"{time.strftime('%H:%M:%S')} {line}"
    print(text, flush=True)
    with (folder / "study.log").open("a") as stream:
        stream.write(text + "\n")


def rows(folder: Path) -> list[dict[str, Any]]:
    """What is done."""
    path = folder / "results.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def done_name(row: dict[str, Any]) -> str:
    """The name of the task of a line."""
    return Task(row["plan"], row["share"], row["normalised"], row["group"]).name


def table(folder: Path) -> None:
    """Print the tables of docs/healing.md."""
    done = rows(folder)
    by = {(row["plan"], row["share"], row["normalised"]): row for row in done if row["group"] == "harm"}
    shares = sorted({row["share"] for row in done if row["group"] == "harm"})
    columns = [(share, kind) for share in shares for kind in (True, False) if any(k[1:] == (share, kind) for k in by)]
    heads = [f"{share:.0%}, {'normalised' if kind else 'not'}" for share, kind in columns]
    print("| plan | before | " + " | ".join(heads) + " |\n| --- |" + " --- |" * (len(heads) + 1))
    for plan in dict.fromkeys(key[0] for key in by):
        cells = [by.get((plan, *column)) for column in columns]
        before = next(row["before"] for row in cells if row is not None)
        texts = ["" if row is None else text_of(row["after"]) for row in cells]
        print(f"| `{plan}` | {text_of(before)} | " + " | ".join(texts) + " |")
    for share in sorted({row["share"] for row in done if row["group"] == "random"}):
        mine = [row for row in done if row["group"] == "random" and row["share"] == share]
        if len(mine) < 4:
            continue
        after = [row["after"][0] for row in mine]
        print(f"\n{len(mine)} random plans at {share:.0%}: harm before and after (points), velocity error before")
        for row in sorted(mine, key=lambda row: row["output_before"]):
            print(
                f"| `{row['plan']}` | {row['output_before']:.4f} | {text_of(row['before'])} | {text_of(row['after'])} |"
            )
        for name, values in (
            ("velocity error before healing", [row["output_before"] for row in mine]),
            ("distillation loss before healing", [row["loss_before"] for row in mine]),
            ("harm before healing", [row["before"][0] for row in mine]),
            ("velocity error after healing", [row["output_after"] for row in mine]),
        ):
            rho, low, high = correlation(values, after)
            print(f"rank correlation of {name} with harm after: {rho:.2f} [{low:.2f}, {high:.2f}]")


def text_of(interval: list[float]) -> str:
    """``1.2 [0.8, 1.6]``."""
    return f"{interval[0]:.1f} [{interval[1]:.1f}, {interval[2]:.1f}]"


def correlation(first: list[float], second: list[float]) -> tuple[float, float, float]:
    """Spearman's rho with a 95 % bootstrap interval over plans."""
    pairs = np.array([first, second])
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        picked = pairs[:, rng.integers(pairs.shape[1], size=pairs.shape[1])]
        if len(set(picked[0])) > 2 and len(set(picked[1])) > 2:
            draws.append(spearmanr(*picked).statistic)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(spearmanr(*pairs).statistic), float(low), float(high)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("run", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", default="flux-tiny", choices=sorted(PLANS))
    parser.add_argument("--part", default="1/1")
    arguments = parser.parse_args()
    if arguments.what == "table":
        table(arguments.folder)
        return
    number, count = map(int, arguments.part.split("/"))
    run(arguments.checkpoint, arguments.folder, (number, count))


if __name__ == "__main__":
    sys.exit(main())
