"""What a red test says, from its verdict alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.gates.verdict import judge, judge_control
from harness.report.failure import control_failure, headline, latency_failure, variant_failure
from harness.results.records import Check, Status, Verdict
from tests.helpers.red import CASE, CONTROL, reference, variant

PICTURE = Path("reports/r/images/m-double-L01-skip-prompts.png")


def message(measured, stored=None):
    stored = stored or reference()
    verdict = judge(CASE, measured, stored, CONTROL)
    return variant_failure(CASE.id, verdict, measured, stored, CONTROL, PICTURE, "t.py::t[m]").split("\n")


def test_a_message_line_by_line():
    assert message(variant(0.9, "x" * 64)) == [
        "harm 0.9 sd, baseline 0.5, limit 0.55",
        "harm            0.9      sd  baseline 0.5      limit 0.55 (+0.05, t)",
        "latent drift    0.8          baseline 0.8      ok",
        "changed since the baseline: torch 2.14.0 -> 2.15.0",
        "latents: the variant's moved and the control's are bit-identical, so the variant changed and not the model",
        f"worst prompts, control beside variant in {PICTURE}:",
        "  #2      3.6 sd  a large red circle on a grey background, number 2",
        "  #1      0.0 sd  a large red circle on a grey background, number 1",
        "  #3      0.0 sd  a large red circle on a grey background, number 3",
        'accept with: pytest "t.py::t[m]" --dit-baseline-update=changed',
    ]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (
            Check("harm", 33.4145, 43.4145, 0.0972, Status.STALE, "t"),
            "harm 33.41 sd, baseline 43.41, limit 43.32: better",
        ),
        (Check("score", 28.0, 30.0, 0.5, Status.REGRESSION, "t"), "score 28, baseline 30, limit 29.5"),
        (
            Check("relative_time", 1.4, 1.0, 0.15, Status.REGRESSION, "t", None, 1.3, 1.5),
            "relative time 1.4, baseline 1, limit 1.15",
        ),
        (Check("harm", 0.4, None, None, Status.MISSING), "harm 0.4 sd, no baseline entry"),
        (
            Check("fid_ratio", float("nan"), 2.0, 0.1, Status.MISSING, "not measured"),
            "fid ratio not measured, baseline 2",
        ),
        (Check("harm", float("nan"), 2.0, 0.1, Status.REGRESSION, "t"), "harm nan sd, baseline 2, limit 2.1"),
    ],
    ids=["better", "higher is better", "time", "no entry", "not measured", "no number"],
)
def test_the_first_60_characters_say_what_is_red(check, said):
    fine = Check("collapsed", 2.0, 2.0, 0.0, Status.OK, "t")
    assert headline(Verdict(check.status, (fine, check))) == said
    assert len(said) <= 60
    assert latency_failure(Verdict(check.status, (check,)), reference(), "t.py::t").startswith(f"{said}\n")


def test_the_figure_furthest_outside_its_tolerance_comes_first():
    lines = message(variant(0.9, drift=2.0))
    assert lines[0] == "latent drift 2, baseline 0.8, limit 0.85; red, too: harm"
    assert [line.split()[0] for line in lines[1:3]] == ["latent", "harm"]


def test_what_is_red_without_a_figure_is_named_by_its_reason():
    stored = reference(digest=reference().fingerprint.digest)
    lines = message(variant(0.5, "x" * 64), stored)
    assert lines[0].startswith("nondeterminism: latents xxxxxxxxxxxx where the same fingerprint")
    both = message(variant(0.9, "x" * 64), stored)
    assert both[0] == "harm 0.9 sd, baseline 0.5, limit 0.55"
    assert both[1].startswith("regression: latents xxxxxxxxxxxx where the same fingerprint")
    nothing = message(variant(0.9, "c" * 64))
    assert nothing[0].startswith("did nothing: the latents are bitwise the control's")
    assert not any(line.startswith(("latents:", "control:")) for line in nothing)


def test_a_case_without_stored_values_blames_nothing():
    stored = reference()
    stored.baseline.cases.clear()
    lines = message(variant(), stored)
    assert lines[0] == "harm 0.5 sd, no baseline entry; red, too: latent drift"
    assert not any(line.startswith(("latents:", "control:")) for line in lines)
    assert lines[-1].endswith("--dit-baseline-update=missing")


def test_a_control_whose_latents_are_the_stored_ones_says_so():
    low = replace(CONTROL, summary={**CONTROL.summary, "score": 28.0})
    text = control_failure(judge_control(low, reference()), low, reference(), "t.py::c")
    assert text.startswith("score 28, baseline 30, limit 29.95\n")
    assert "latents: bit-identical to the stored ones, so decoding, the judge or the stored value changed" in text


def test_the_readme_shows_such_a_message():
    """Line by line, but for the case's own figures: README was pasted from a run."""
    text = (Path(__file__).parents[2] / "README.md").read_text().partition("## When a test fails")[2]
    block = text.split("```")[1].strip("\n").split("\n")

    def beginnings(lines):
        """What a line begins with, up to its first number, name or path; the table of figures is one line."""
        starts = [re.match(r"[^\d=/:]*", line)[0].rstrip() for line in lines]
        table = {i for i, line in enumerate(lines) if " baseline " in line and i}
        return [start for i, start in enumerate(starts) if i not in table]

    assert beginnings(block) == beginnings(message(variant(0.9, "x" * 64)))
    assert len(block[0].partition(";")[0]) <= 60
    assert any(" baseline " in line for line in block[1:])
