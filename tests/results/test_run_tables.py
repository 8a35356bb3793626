"""A run's journal as DataFrames: rows, types, documented columns, Parquet."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.results.latency import ImageTime, Latency
from harness.results.ranking import rank
from harness.results.records import Measurement, Record, Status, Subset, Verdict
from harness.results.run_tables import TABLES, VALUES, columns_of, run_tables
from tests.helpers.records import FINGERPRINT, latency, quality, raised

TEXTS = tuple(f"prompt {i}" for i in range(16))


def records():
    """The control on two seeds, a timed variant, one that raised, and one of some prompts."""
    scores = tuple(float(i) for i in range(32))
    control = Measurement(
        32, 16, {"score": scores}, {"seed_sd": 1.0, "score": 15.5}, texts=TEXTS, categories=("a", "b") * 8
    )
    timed = latency("skip", 1.25)
    times = Latency((1.0, 1.1), (0.8, 0.9), 4, 1.25, 1.2, 1.3, 1.4, image=ImageTime(0.5, 4), peak_bytes=10)
    some = quality("swap", 2.0)
    part = replace(
        some.measurement, n=4, prompts=4, values={"harm": (1.0, 2.0, 3.0, 4.0)}, subset=Subset((3, 0, 15, 7), 16)
    )
    return [
        Record.of_control(FINGERPRINT, Verdict(Status.OK), control),
        quality("skip", 0.5),
        replace(timed, latency=times),
        raised(quality("reverse", 1.0), "TypeError: x"),
        replace(some, measurement=part, window=(0, 1)),
    ]


@pytest.fixture
def tables():
    return run_tables("nightly-7", records())


def test_a_case_is_one_row_with_its_images_and_its_time(tables):
    cases = tables.cases.set_index("case")
    assert list(cases.index) == ["m-s-skip", "m-s-reverse", "m-s-swap"]
    skip, reverse, swap = (cases.loc[case] for case in cases.index)
    assert (skip.run, skip.status, skip.latency_status, skip.prompts, skip.images) == ("nightly-7", "ok", "ok", 16, 16)
    assert (skip.speed_up, skip.speed_up_low, skip.timed_batch, skip.peak_bytes) == (1.25, 1.2, 4, 10)
    assert skip.image_seconds == pytest.approx(0.5 + 4 * 0.85 / 4)
    assert skip.control_peak_bytes is pd.NA
    (ranking,) = rank([r for r in records() if "swap" not in r.case])
    assert (skip.harm_low, skip.harm_high) == (ranking.rows[0].harm_low, ranking.rows[0].harm_high)
    assert (reverse.status, reverse.error) == ("error", "TypeError: x")
    assert math.isnan(reverse.harm)
    assert (swap.window, swap.prompts) == ("0-1", 4)
    assert skip.versions == "torch 2.15.0"
    assert swap.window is not pd.NA
    assert skip.window is pd.NA


def test_an_image_is_one_row_with_its_prompt(tables):
    prompts = tables.prompts
    control = prompts[prompts["case"] == "m-control"]
    assert len(control) == 32
    assert list(control["prompt"][:4]) == [0, 0, 1, 1]
    assert list(control["seed"][:4]) == [0, 1, 0, 1]
    assert control["score"].iloc[3] == 3.0
    assert control["harm"].isna().all()
    swap = prompts[prompts["case"] == "m-s-swap"]
    assert list(swap["text"]) == ["prompt 3", "prompt 0", "prompt 15", "prompt 7"]
    assert list(swap["category"]) == ["b", "a", "b", "b"]
    skip = prompts[prompts["case"] == "m-s-skip"]
    assert skip["harm"].mean() == pytest.approx(0.5)  # the unit is 1
    assert skip.groupby("category")["harm"].size().to_dict() == {"a": 8, "b": 8}


def test_a_pair_of_forwards_and_a_control_are_one_row_each(tables):
    assert tables.latency[["pair", "control_seconds", "variant_seconds", "batch"]].to_numpy().tolist() == [
        [0, 1.0, 0.8, 4],
        [1, 1.1, 0.9, 4],
    ]
    assert tables.control[["checkpoint", "images", "score", "seed_sd"]].to_numpy().tolist() == [["m", 32, 15.5, 1.0]]


@pytest.mark.parametrize("made", [records, list], ids=["a-run", "no-record"])
def test_the_columns_are_typed_and_documented_also_where_nothing_was_measured(made):
    tables = run_tables("r", made())
    for name, table in tables.tables.items():
        declared = TABLES[name]
        assert list(table.columns)[: len(declared)] == [column.name for column in declared]
        for column in columns_of(name, table):
            assert str(table[column.name].dtype) == column.dtype, column.name
            assert len(column.about) > 8, column.name
        assert list(tables.columns(name).index) == list(table.columns)
        assert "METRIC" not in "".join(tables.columns(name)["about"]) or name == "cases"


def test_what_an_extra_metric_measured_has_columns_too():
    record = quality("skip", 0.5)
    measured = replace(
        record.measurement,
        values={**record.measurement.values, "lpips": tuple(np.ones(16)), "short": (1.0, 2.0)},
        summary={**record.measurement.summary, "lpips.drift": 0.25},
    )
    tables = run_tables("r", [replace(record, measurement=measured)])
    assert tables.cases["lpips.drift"].tolist() == [0.25]
    assert tables.prompts["lpips"].tolist() == [1.0] * 16
    assert "short" not in tables.prompts  # belongs to no image
    assert "extra metric" in tables.columns("prompts").loc["lpips", "about"]


def test_it_says_in_one_line_what_it_holds(tables):
    assert repr(tables) == "<run nightly-7: 3 cases, 52 prompts, 2 latency, 1 control>"


def test_parquet_holds_the_same_tables(tables, tmp_path):
    pytest.importorskip("pyarrow", reason="pip install 'dit-ablation-harness[parquet]'")
    paths = tables.to_parquet(tmp_path)
    assert [path.name for path in paths] == [f"{name}.parquet" for name in TABLES]
    for name, path in zip(TABLES, paths, strict=True):
        pd.testing.assert_frame_equal(pd.read_parquet(path), tables.tables[name])


def test_without_pyarrow_the_package_is_named(tables, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(HarnessError, match=r"to_parquet\(\) needs the package pyarrow.*\[parquet\]"):
        tables.to_parquet(tmp_path)


def test_the_page_lists_every_declared_column():
    """docs/data.md: the tables between the marks, and the values of images."""
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    for name, declared in TABLES.items():
        rows = [f"| `{column.name}` | {column.dtype} | {column.about} |" for column in declared]
        assert f"## `{name}`" in text
        assert "\n".join(rows) in text, name
    for name, about in VALUES.items():
        assert f"| `{name}` | {about} |" in text
