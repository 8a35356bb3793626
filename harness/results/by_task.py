"""What each variant loses by task: by category of prompt, and by attribute of the bundled world's captions.

And whether the order of layers matters more for some tasks than for others: reversed and shuffled ranges beside the
same ranges skipped. Pure functions of records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from harness.ablation.modifiers import WORD as MODIFIER
from harness.results.arrays import Array
from harness.results.figure_table import ATTRIBUTES
from harness.results.records import Kind, Measurement, Record
from harness.results.statistics import Interval, by_prompt, mean_interval

_ORDER = ("reverse", "shuffle")  # strategies that change the order of a range's layers and nothing else
_SKIP = "skip"
# What other tasks are compared with: binding a colour to an object asks least of a model's sense of the whole picture.
_REFERENCES = ("colour", "attribute binding")


@dataclass(frozen=True)
class _Tasks:
    """Tasks of one kind. ``unit`` is what a variant loses of each, ``prompts`` says which rows (P,) are of a task.

    ``values`` gives the (P,) losses of a variant for a task.
    """

    kind: str
    unit: str
    prompts: Mapping[str, Array]
    values: Callable[[Measurement, str], Array]

    def losses(self, measured: Measurement, task: str) -> Array:
        """(n,) losses of the prompts of a task."""
        return self.values(measured, task)[self.prompts[task].astype(bool)]


@dataclass(frozen=True)
class TaskRow:
    """The mean loss of one variant for each task, with its 95 % interval over the task's prompts."""

    case: str
    losses: tuple[Interval, ...]


@dataclass(frozen=True)
class TaskTable:
    """All variants of a checkpoint, in the order of their records; ``prompts`` are how many each task has."""

    kind: str
    unit: str
    tasks: tuple[str, ...]
    prompts: tuple[int, ...]
    rows: tuple[TaskRow, ...]


@dataclass(frozen=True)
class OrderEffect:
    """What a task loses under a wrong order of layers, and where the same layers are skipped; means over ranges.

    ``share`` is the first over the second: what the order alone accounts for. ``more`` and ``more_share`` are how much
    larger loss and share are than those of the reference task, None for that itself. 95 % intervals over prompts.
    """

    task: str
    order: Interval
    skip: Interval
    share: Interval
    more: Interval | None
    more_share: Interval | None


@dataclass(frozen=True)
class OrderTable:
    """The effects of order by task, over the ``ranges`` on which both order and skip were measured."""

    kind: str
    unit: str
    reference: str
    ranges: tuple[str, ...]
    effects: tuple[OrderEffect, ...]


def task_tables(records: Sequence[Record], checkpoint: str) -> list[TaskTable]:
    """A table for each kind of task that the records of a checkpoint know: none where they know no task."""
    variants = _variants(records, checkpoint)
    out: list[TaskTable] = []
    for tasks in _kinds(records, checkpoint):
        rows = tuple(
            TaskRow(r.case, tuple(mean_interval(tasks.losses(m, task)) for task in tasks.prompts)) for r, m in variants
        )
        counts = tuple(int(chosen.sum()) for chosen in tasks.prompts.values())
        out.append(TaskTable(tasks.kind, tasks.unit, tuple(tasks.prompts), counts, rows))
    return out


def order_tables(records: Sequence[Record], checkpoint: str) -> list[OrderTable]:
    """Whether order matters more for some tasks, for each kind of task; none where no range has both variants."""
    ranges: dict[str, dict[str, Measurement]] = {}
    for record, measured in _variants(records, checkpoint):
        if record.window is None and record.guidance_pass is None and record.place and MODIFIER not in record.words:
            ranges.setdefault(f"{record.stack}-{record.place}", {})[record.strategy] = measured
    pairs = {name: _order_and_skip(by_strategy) for name, by_strategy in ranges.items()}
    both = {name: pair for name, pair in pairs.items() if pair[0] and pair[1]}
    return [_order_table(tasks, both) for tasks in _kinds(records, checkpoint)] if both else []


def _order_and_skip(by_strategy: Mapping[str, Measurement]) -> tuple[list[Measurement], list[Measurement]]:
    """The variants of one range in which its layers run in another order, and the one in which they are skipped."""
    ordered = [m for name, m in by_strategy.items() if name.split(".")[0] in _ORDER]
    return ordered, [m for name, m in by_strategy.items() if name == _SKIP]


def _order_table(tasks: _Tasks, ranges: Mapping[str, tuple[list[Measurement], list[Measurement]]]) -> OrderTable:
    reference = next((name for name in _REFERENCES if name in tasks.prompts), next(iter(tasks.prompts)))
    losses = {
        task: [
            np.mean([np.mean([tasks.losses(m, task) for m in pair[side]], axis=0) for pair in ranges.values()], axis=0)
            for side in (0, 1)
        ]
        for task in tasks.prompts
    }
    effects: list[OrderEffect] = []
    for task, (order, skip) in losses.items():
        same = bool((tasks.prompts[task] == tasks.prompts[reference]).all())
        compared = None if task == reference else losses[reference]
        effects.append(
            OrderEffect(
                task=task,
                order=mean_interval(order),
                skip=mean_interval(skip),
                share=_jackknife([order, skip], _share, [0, 0]),
                more=None if compared is None else _more(order, compared[0], same=same),
                more_share=None
                if compared is None
                else _jackknife([order, skip, *compared], _more_share, [0, 0, *((0, 0) if same else (1, 1))]),
            )
        )
    return OrderTable(tasks.kind, tasks.unit, reference, tuple(ranges), tuple(effects))


def _share(means: Sequence[float]) -> float:
    order, skip = means
    return order / skip if skip else float("nan")


def _more_share(means: Sequence[float]) -> float:
    return _share(means[:2]) - _share(means[2:])


def _more(task: Array, reference: Array, *, same: bool) -> Interval:
    """How much larger the mean is than the reference's: paired where both are of the same prompts."""
    if same:
        return mean_interval(task - reference)
    return _jackknife([task, reference], lambda means: means[0] - means[1], [0, 1])


def _jackknife(
    samples: Sequence[Array], statistic: Callable[[Sequence[float]], float], sets: Sequence[int]
) -> Interval:
    """A function of the samples' means with its 95 % interval, leaving out one prompt at a time.

    ``sets`` says which samples are of the same prompts; those of one set lose the same prompt. Student's t has the
    degrees of freedom of the smallest set.
    """
    means = [float(sample.mean()) for sample in samples]
    value = statistic(means)
    variance, least = 0.0, min(len(sample) for sample in samples)
    for one in dict.fromkeys(sets):
        size = next(len(s) for s, its in zip(samples, sets, strict=True) if its == one)
        if size < 2:
            return Interval(value, -np.inf, np.inf)
        left = np.array(
            [
                statistic(
                    [
                        (mean * size - float(sample[i])) / (size - 1) if its == one else mean
                        for mean, sample, its in zip(means, samples, sets, strict=True)
                    ]
                )
                for i in range(size)
            ]
        )
        variance += (size - 1) / size * float(((left - left.mean()) ** 2).sum())
    half = float(stats.t.ppf(0.975, least - 1)) * float(np.sqrt(variance))
    return Interval(value, value - half, value + half)


def _variants(records: Sequence[Record], checkpoint: str) -> list[tuple[Record, Measurement]]:
    """The variants that were measured on most prompts, as a ranking takes them."""
    tables = [
        (r, r.measurement)
        for r in records
        if r.checkpoint == checkpoint
        and r.kind is Kind.QUALITY
        and r.measurement is not None
        and r.measurement.prompts
        and not r.measurement.partial
    ]
    most = max((m.prompts for _, m in tables), default=0)
    return [(r, m) for r, m in tables if m.prompts == most]


def _kinds(records: Sequence[Record], checkpoint: str) -> list[_Tasks]:
    variants = _variants(records, checkpoint)
    if not variants:
        return []
    count = variants[0][1].prompts
    out: list[_Tasks] = []
    if all(f"{name}_loss" in m.values for _, m in variants for name in ATTRIBUTES):
        everyone = {name: np.ones(count) for name in ATTRIBUTES}
        out.append(_Tasks("attribute", "share lost, by the checker", everyone, _attribute))
    categories = next((r.measurement.categories for r in records if _is_control(r, checkpoint) and r.measurement), ())
    judged = all("harm" in m.values for _, m in variants)
    if judged and len(categories) == count and len(set(categories)) > 1:
        members = {
            name: np.array([category == name for category in categories], dtype=np.float64)
            for name in dict.fromkeys(categories)
        }
        out.append(_Tasks("prompt category", "harm in points of the judge's score", members, _points))
    return out


def _is_control(record: Record, checkpoint: str) -> bool:
    return record.kind is Kind.CONTROL and record.checkpoint == checkpoint


def _attribute(measured: Measurement, name: str) -> Array:
    return by_prompt(measured.values[f"{name}_loss"], measured.prompts)


def _points(measured: Measurement, _category: str) -> Array:
    return by_prompt(measured.values["harm"], measured.prompts)
