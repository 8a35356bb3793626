"""A run's journal as tables for pandas: cases, images, pairs of timed forwards, and the control.

Each table has the columns of :data:`TABLES` with their types, also where it has no row, and after them one of float64
for each figure or value that the run has; :func:`columns_of` tells what all of them are.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from harness.extras import import_extra
from harness.files import write_atomically
from harness.results.columns import figure, figures
from harness.results.harm import harm_by_prompt
from harness.results.latency import Latency
from harness.results.partial_ranking import harm_interval
from harness.results.records import Kind, Measurement, Record, why_not_ranked

TEXT, WHOLE, NUMBER = "string", "Int64", "float64"


class TableColumn(NamedTuple):
    """A column's name, its pandas type, and what it holds."""

    name: str
    dtype: str
    about: str


_OWNER = (
    TableColumn("run", TEXT, "Name of the run's folder."),
    TableColumn("checkpoint", TEXT, "The model."),
    TableColumn("case", TEXT, "Id of the case, as in the ranking; of the control, `CHECKPOINT-control`."),
)
_CIRCUMSTANCES = (
    TableColumn("device", TEXT, "Key of the baseline file: `cpu`, or the GPU's name."),
    TableColumn("dtype", TEXT, "What the weights were held as."),
    TableColumn("versions", TEXT, "Versions of torch, diffusers and so on."),
    TableColumn("fingerprint", TEXT, "Twelve digits that stand for everything that can change a figure."),
)
TABLES: Mapping[str, tuple[TableColumn, ...]] = {
    "cases": (
        *_OWNER,
        TableColumn("stack", TEXT, "The stack of blocks."),
        TableColumn("place", TEXT, "The range of blocks: `L01-03`."),
        TableColumn("strategy", TEXT, "What was done with them."),
        TableColumn("plan", TEXT, "The blocks that run, in this order."),
        TableColumn("words", TEXT, "Words that `-k` finds the case by, with spaces between them."),
        TableColumn("window", TEXT, "The denoising steps in which the plan held (`0-1`); missing for all of them."),
        TableColumn("guidance_pass", TEXT, "The pass of guidance in which it held; missing for both."),
        TableColumn("status", TEXT, "The verdict on the images, or on the time where there are no images."),
        TableColumn("latency_status", TEXT, "The verdict on the time."),
        TableColumn("error", TEXT, "First line of what the test raised; missing where it raised nothing."),
        *_CIRCUMSTANCES,
        TableColumn("prompts", WHOLE, "Prompts that it was measured on."),
        TableColumn("images", WHOLE, "Images that it was measured on."),
        TableColumn("harm_low", NUMBER, "Lower end of the 95 % interval of `harm` over prompts, in sd."),
        TableColumn("harm_high", NUMBER, "Upper end of it."),
        TableColumn("speed_up", NUMBER, "Time of a forward of the control over the variant's, median over pairs."),
        TableColumn("speed_up_low", NUMBER, "Lower end of its interval of at least 95 %."),
        TableColumn("speed_up_high", NUMBER, "Upper end of it."),
        TableColumn(
            "theoretical_speed_up", NUMBER, "The speed-up if all blocks cost the same and nothing else anything."
        ),
        TableColumn("image_speed_up", NUMBER, "The speed-up of a whole image, from prompt to pixels."),
        TableColumn("image_seconds", NUMBER, "Seconds that the variant takes for an image."),
        TableColumn("control_image_seconds", NUMBER, "Seconds that the control takes for an image."),
        TableColumn("timed_batch", WHOLE, "Images in the forward that was timed."),
        TableColumn("peak_bytes", WHOLE, "Peak of a forward's memory under the ablation, on a GPU."),
        TableColumn("control_peak_bytes", WHOLE, "The same of the control."),
    ),
    "prompts": (
        *_OWNER,
        TableColumn("prompt", WHOLE, "Number of the prompt, counted from 0."),
        TableColumn("seed", WHOLE, "Number of the seed, counted from 0."),
        TableColumn("text", TEXT, "The prompt; missing where the run has no record of its control."),
        TableColumn("category", TEXT, "Its category in the prompt file; missing where there are none."),
    ),
    "latency": (
        *_OWNER,
        TableColumn("pair", WHOLE, "Number of the pair, counted from 0: its two forwards were timed in turns."),
        TableColumn("control_seconds", NUMBER, "Time of the control's forward."),
        TableColumn("variant_seconds", NUMBER, "Time of the variant's."),
        TableColumn("batch", WHOLE, "Images in the forward."),
    ),
    "control": (
        *_OWNER[:2],
        *_CIRCUMSTANCES,
        TableColumn("status", TEXT, "The verdict on the control."),
        TableColumn("prompts", WHOLE, "Prompts that it was measured on."),
        TableColumn("images", WHOLE, "Images that it was measured on: of every prompt and seed."),
    ),
}
# What images have values of; those of an extra metric are called METRIC.WHAT.
VALUES: Mapping[str, str] = {
    "score": "The judge's score of the image for its prompt (cosine x 100).",
    "harm": "Score of the control's image minus that of the variant's, in points.",
    "collapsed": "1 where the image is black, constant or no number at all.",
    "latent": "1 - cosine between the final latents and the control's.",
    "mse": "Mean squared error between the pixels and the control's.",
    "psnr": "The same as peak signal-to-noise ratio, in dB.",
    "ssim": "1 - SSIM between the image and the control's.",
    "image": "Distance between the judge's features of the image and of the control's.",
    "score_min": "The score of the prompt's lowest-scoring sentence, where it is longer than the judge reads at once.",
    "output": "Relative L2 distance of the transformer's output from the control's, with random weights.",
}


@dataclass(frozen=True, repr=False)
class RunTables:
    """A run as four DataFrames.

    ``cases`` has one row a case, ``prompts`` one an image of any case or the control, ``latency`` one a pair of timed
    forwards, ``control`` one a checkpoint.
    """

    run: str
    cases: pd.DataFrame
    prompts: pd.DataFrame
    latency: pd.DataFrame
    control: pd.DataFrame

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The four by name."""
        return {name: getattr(self, name) for name in TABLES}

    def __repr__(self) -> str:
        """``<run nightly-7: 57 cases, 2,928 prompts, 684 latency, 1 control>``: the rows of each table."""
        sizes = ", ".join(f"{len(table):,} {name}" for name, table in self.tables.items())
        return f"<run {self.run}: {sizes}>"

    def columns(self, table: str) -> pd.DataFrame:
        """What each column of a table is, by its name: a frame with ``dtype`` and ``about``. Raises KeyError."""
        about = [(column.name, column.dtype, column.about) for column in columns_of(table, self.tables[table])]
        return pd.DataFrame(about, columns=["name", "dtype", "about"]).set_index("name")

    def to_parquet(self, folder: str | Path) -> list[Path]:
        """Write ``cases.parquet``, ``prompts.parquet`` ... into a folder; the paths.

        Raises HarnessError where pyarrow is not installed or a file can't be written.
        """
        import_extra("pyarrow", "parquet", "to_parquet()")
        written: list[Path] = []
        for name, table in self.tables.items():
            content = io.BytesIO()
            table.to_parquet(content, index=False)
            written.append(Path(folder) / f"{name}.parquet")
            write_atomically(written[-1], content.getvalue())
        return written


def columns_of(table: str, frame: pd.DataFrame) -> list[TableColumn]:
    """The columns of a frame of that table, in order, with what each holds."""
    declared = {column.name: column for column in TABLES[table]}
    return [
        declared.get(str(name)) or TableColumn(str(name), NUMBER, _about(table, str(name))) for name in frame.columns
    ]


def _about(table: str, name: str) -> str:
    if table == "prompts" and name in VALUES:
        return VALUES[name]
    declared = figure(name)
    if declared is None:
        return "A value of an extra metric, or a grade."
    legend = declared.legend.format("METRIC", "GRADE")
    return f"Of this image: {legend}" if table == "prompts" else legend


def run_tables(run: str, records: Sequence[Record]) -> RunTables:
    """The tables of a run of that name. Rows are in the order of the journal."""
    texts = _texts(records)
    return RunTables(
        run,
        _frame("cases", [_case(run, each) for each in _cases(records)]),
        _frame("prompts", [row for record in records for row in _images(run, record, texts)]),
        _frame("latency", [row for record in records for row in _pairs(run, record)]),
        _frame("control", [_control(run, record) for record in records if record.kind is Kind.CONTROL]),
    )


def _frame(table: str, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows under the table's columns and types; further names become columns of numbers."""
    declared = {column.name: column.dtype for column in TABLES[table]}
    others = dict.fromkeys(name for row in rows for name in row if name not in declared)
    ordered = [f.name for f in figures() if f.name in others]
    names = [*declared, *ordered, *(name for name in others if name not in ordered)]
    columns = {name: pd.Series([row.get(name) for row in rows], dtype=declared.get(name, NUMBER)) for name in names}
    return pd.DataFrame(columns)


def _cases(records: Sequence[Record]) -> Iterator[list[Record]]:
    """The records of each case, that of its images first."""
    cases: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.kind is not Kind.CONTROL:
            cases.setdefault((record.case, record.fingerprint.conditions), []).append(record)
    for both in cases.values():
        yield sorted(both, key=lambda record: record.kind is Kind.LATENCY)


def _owner(run: str, record: Record) -> dict[str, Any]:
    return {"run": run, "checkpoint": record.checkpoint, "case": record.case}


def _circumstances(record: Record) -> dict[str, Any]:
    fingerprint = record.fingerprint
    return {
        "device": fingerprint.device,
        "dtype": fingerprint.dtype,
        "versions": ", ".join(f"{name} {version}" for name, version in sorted(fingerprint.versions.items())),
        "fingerprint": fingerprint.digest,
    }


def _case(run: str, both: Sequence[Record]) -> dict[str, Any]:
    record = both[0]
    row: dict[str, Any] = {
        **_owner(run, record),
        "stack": record.stack,
        "place": record.place,
        "strategy": record.strategy,
        "plan": record.plan,
        "words": " ".join(record.words),
        "window": None if record.window is None else "-".join(map(str, dict.fromkeys(record.window))),
        "guidance_pass": None if record.guidance_pass is None else record.guidance_pass.value,
        "status": record.verdict.status.value,
        "error": next((each.error for each in both if each.error), None),
        **_circumstances(record),
    }
    for each in both:
        if each.kind is Kind.LATENCY:
            row["latency_status"] = each.verdict.status.value
        if each.latency is not None:
            row |= _timing(each.latency)
        if each.measurement is not None:
            row |= _measured(each.measurement)
            if each.fingerprint.judge and not why_not_ranked(each):
                row |= _harm(each.measurement)
    return row


def _measured(measurement: Measurement) -> dict[str, Any]:
    return {**measurement.summary, "prompts": measurement.prompts, "images": measurement.n}


def _harm(measurement: Measurement) -> dict[str, float]:
    interval = harm_interval(harm_by_prompt(measurement), measurement.subset)
    return {"harm_low": interval.low, "harm_high": interval.high}


def _timing(latency: Latency) -> dict[str, Any]:
    return {
        "speed_up": latency.ratio,
        "speed_up_low": latency.low,
        "speed_up_high": latency.high,
        "theoretical_speed_up": latency.theory,
        "relative_time": latency.relative_time.value,
        "image_speed_up": latency.image_speed_up,
        "image_seconds": latency.image_seconds,
        "control_image_seconds": latency.control_image_seconds,
        "timed_batch": latency.batch,
        "peak_bytes": latency.peak_bytes,
        "control_peak_bytes": latency.control_peak_bytes,
    }


def _texts(records: Sequence[Record]) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """The prompts and their categories by conditions, as the controls have them."""
    controls = [r for r in records if r.kind is Kind.CONTROL and r.measurement is not None]
    return {
        r.fingerprint.conditions: (r.measurement.texts, r.measurement.categories)
        for r in controls
        if r.measurement is not None and r.measurement.texts
    }


def _images(
    run: str, record: Record, texts: Mapping[str, tuple[Sequence[str], Sequence[str]]]
) -> Iterator[dict[str, Any]]:
    """A row for each image; values of other lengths than there are images belong to no image and are left out."""
    measurement = record.measurement
    if measurement is None or not measurement.prompts or not measurement.values:
        return
    count = max(map(len, measurement.values.values()))
    values = {name: each for name, each in measurement.values.items() if len(each) == count}
    seeds = count // measurement.prompts
    indices = range(measurement.prompts) if measurement.subset is None else measurement.subset.indices
    words, categories = texts.get(record.fingerprint.conditions, ((), ()))
    for number in range(count):
        prompt = indices[number // seeds]
        yield {
            **_owner(run, record),
            "prompt": prompt,
            "seed": number % seeds,
            "text": words[prompt] if prompt < len(words) else None,
            "category": categories[prompt] if prompt < len(categories) else None,
            **{name: each[number] for name, each in values.items()},
        }


def _pairs(run: str, record: Record) -> Iterator[dict[str, Any]]:
    if record.latency is None:
        return
    pairs = zip(record.latency.control, record.latency.variant, strict=False)
    for number, (control, variant) in enumerate(pairs):
        yield {
            **_owner(run, record),
            "pair": number,
            "control_seconds": control,
            "variant_seconds": variant,
            "batch": record.latency.batch,
        }


def _control(run: str, record: Record) -> dict[str, Any]:
    row = {**_owner(run, record), **_circumstances(record), "status": record.verdict.status.value}
    del row["case"]
    return row if record.measurement is None else row | _measured(record.measurement)
