"""The ranking in a terminal fits its width."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from harness.report.ranking_terminal import render
from harness.results.records import Status, Verdict
from tests.helpers.records import latency, quality, raised, skip


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_table_fits_the_terminal(width):
    text = render([quality("skip", 0.5), quality("parallel", 1.5), latency("skip", 1.2)], width, colour=False)
    assert max(len(line) for line in text.splitlines()) <= width
    head = heading(text)
    assert "plan" not in head
    assert "harm [points]" in head
    everything = render(
        [quality("skip", 0.5), quality("parallel", 1.5), latency("skip", 1.2)], width, colour=False, asked=["all"]
    )
    assert max(len(line) for line in everything.splitlines()) <= width
    assert ("plan" in heading(everything)) == (width == 200)


LONG = "parallel-root-steps-0-1"
FULL = ("#", "tier", "variant", "harm", "speed-up", "CLIP", "drift", "gate")


def full(strategy, harm, place="L01-03"):
    """A record with all that the table shows by itself, and more."""
    record = measured(quality(strategy, harm), latent_drift=1.87, lost_percent=51.5, fid_ratio=14.0)
    scores = tuple(60.0 - harm for _ in record.measurement.values["harm"])
    values = {**record.measurement.values, "score": scores}
    return replace(record, place=place, measurement=replace(record.measurement, values=values))


@pytest.mark.parametrize("width", [60, 80, 120, 300])
def test_the_columns_that_matter_are_there_at_any_width_and_nothing_is_cut(width):
    records = [full("skip", 0.5), full(LONG, 10.5, "L10-28"), latency("skip", 1.2), latency(LONG, 1.0)]
    text = render(records, width, colour=False)
    assert max(len(line) for line in text.splitlines()) <= width
    lines = text[text.index("least harmful variant") :].splitlines()
    first = next(i for i, line in enumerate(lines) if "variant" in line and "CLIP" in line)
    head = " ".join([lines[first - 1], lines[first]])
    assert {word for word in FULL if word in head} == {*FULL} - ({"tier"} if width == 60 else set())
    assert "lost %" not in head
    assert "59.5" in text  # CLIP: 60 - 0.5
    # A name that doesn't fit runs over several lines, and none of it is lost.
    assert all(part in text for part in (*LONG.split("-"), "L10-28"))
    assert "\u2026" not in text
    more = " ".join(text.split()).partition("more columns, by --dit-columns or in ranking.md: ")[2]
    assert "lost %" in more
    assert "FID/null" in more


def test_what_was_asked_for_is_shown_beside_them():
    records = [full("skip", 0.5), full("reverse", 1.5), latency("skip", 1.2)]
    text = render(records, 80, colour=False, asked=["lost_percent"])
    assert "lost %" in heading(text) or "lost %" in text.split("more columns")[0]
    assert "lost %" not in text.split("more columns")[1]
    everything = render(records, 300, colour=False, asked=["all"])
    assert "more columns" not in everything
    assert {"lost %", "FID/null", "harm [sd]", "plan"} <= {name for name in ALL if name in heading(everything)}


ALL = ("lost %", "FID/null", "harm [sd]", "plan")


def test_the_star_and_the_tiers_are_explained_where_they_are_there():
    text = " ".join(render(SWEEP, 80, colour=False).split())
    assert "*: surely faster than the control, and than every less harmful variant" in text
    assert "tier: a new one begins at the first variant that is surely more harmful than the first of" in text
    plain = render([quality("skip", 0.5)], 80, colour=False)
    assert "*:" not in plain


def test_without_colours_there_is_no_escape_and_with_them_what_is_red_is():
    red = replace(quality("skip", 0.5), verdict=Verdict(Status.REGRESSION))
    assert "\x1b" not in render([red], 80, colour=False)
    assert "\x1b[31m" in render([red], 80, colour=True)


def heading(text):
    """The line of column headings of the whole ranking."""
    lines = text.splitlines()
    (first, *_) = (i for i, line in enumerate(lines) if line.startswith("least harmful variant"))
    return next(line for line in lines[first:] if line.lstrip().startswith("# "))  # below a title that may be long


def measured(record, **figures):
    summary = {**record.measurement.summary, **{name.replace("__", "."): value for name, value in figures.items()}}
    return replace(record, measurement=replace(record.measurement, summary=summary))


def test_columns_that_do_not_fit_are_named():
    variants = [measured(quality(name, 0.5), lpips__drift=0.5, sharpness__delta=-1.0) for name in ("skip", "swap")]
    text = render([*variants, latency("skip", 1.2)], 80, colour=False, asked=["all"])
    sentence = " ".join(text.split()).partition("not shown at 80 columns: ")[2].partition(" (see ranking.md)")[0]
    left_out = sentence.split(", ")
    head = heading(text)
    assert {"plan", "lpips drift", "sharpness delta"} <= set(left_out)
    assert not any(name in head for name in left_out)
    assert not {"coll.", "image", "checker"} & set(left_out)  # of these there is nothing to show
    assert "not shown" not in render(variants, 300, colour=False, asked=["all"])


def test_a_metric_that_was_asked_for_is_shown_on_every_terminal():
    variants = [measured(quality(name, 0.5), lpips__drift=0.5, sharpness__delta=-1.0) for name in ("skip", "swap")]
    text = render([*variants, latency("skip", 1.2)], 80, colour=False, asked=["sharpness"])
    assert "sharpness delta" in heading(text)
    assert "lpips drift" not in heading(text)
    assert "lpips drift" in " ".join(text.split()).split("more columns, by --dit-columns or in ranking.md: ")[1]
    assert max(len(line) for line in text.splitlines()) <= 80


def test_metrics_that_were_asked_for_and_do_not_fit_make_the_table_wider():
    names = ("one", "two", "three", "four", "five", "six", "seven")
    figures = {f"{name}__delta": 0.125 for name in names}
    text = render([measured(quality("skip", 0.5), **figures)], 80, colour=False, asked=names)
    assert all(f"{name} delta" in heading(text) for name in names)
    assert text.splitlines()[text.splitlines().index(heading(text)) + 1].count("0.12") >= len(names)
    assert len(heading(text)) > 80


def test_plans_by_hand_are_shown_on_every_terminal():
    plans = ("0-1 (2|3)x3 4", "0 4", " ".join(map(str, range(30))))
    variants = [
        replace(quality(f"plan-{n}e4c5b0{n}", 0.5), place="", plan=plan, words=("by-hand",))
        for n, plan in enumerate(plans)
    ]
    text = render([*variants, latency("skip", 1.2)], 80, colour=False)
    assert "plan" in heading(text)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert plans[0] in text
    assert " 0 4 " in text
    assert " 28 29 " in text.replace("\n", " ")  # a long one runs over several lines, and none of it is lost
    assert "..." not in text
    assert "\u2026" not in text


def test_medians_over_one_case_each_are_not_printed():
    assert "by strategy" not in render([quality("skip", 0.5), quality("swap", 1.5)], 80, colour=False)
    seeds = [quality("shuffle.s0", 0.5), quality("shuffle.s1", 0.7)]
    assert "by strategy (median over cases)" in render(seeds, 80, colour=False)
    without_images = [
        replace(record, measurement=replace(record.measurement, values={}, summary={"output_drift": 0.1}))
        for record in seeds
    ]
    without_images += [latency("shuffle.s0", 1.2), latency("shuffle.s1", 1.4)]
    no_judge = replace(seeds[0].fingerprint, judge="")
    timed = render([replace(record, fingerprint=no_judge) for record in without_images], 80, colour=False)
    head = timed.partition("by strategy (median over cases)")[2].splitlines()[1]
    assert head.split() == ["stack", "range", "strategy", "cases", "speed-up"]
    blocks = [replace(quality("skip", 0.5 + n, words=("each",)), case=f"m-s-{n}", place=f"L0{n}") for n in range(2)]
    assert "by strategy" not in render(blocks, 80, colour=False)  # single blocks are left out of it


def test_the_foot_says_the_unit_and_the_batches():
    record = quality("skip", 0.5)
    summary = {**record.measurement.summary, "seed_sd": 1.476, "seed_sd_low": 1.05, "seed_sd_high": 2.1}
    record = replace(
        record,
        measurement=replace(record.measurement, summary=summary),
        fingerprint=replace(record.fingerprint, sampling={"batch": 4}),
    )
    timing = replace(latency("skip", 1.2), fingerprint=record.fingerprint)
    text = render([record, timing], 200, colour=False)
    assert "1 sd = 1.48 points [1.05, 2.10], of this checkpoint and these prompts alone" in text
    assert "speed-up: of a forward of 8 images; images were sampled 4 at a time" in text
    assert "no tiers" not in text


def test_the_foot_says_why_there_are_no_tiers():
    record = quality("skip", 0.5)
    values = {"harm": record.measurement.values["harm"][:8]}
    few = replace(record, measurement=replace(record.measurement, n=8, prompts=8, values=values))
    assert "no tiers: 8 prompts, and tiers need 16" in render([few], 120, colour=False)


def test_what_a_foreign_journal_says_is_shown_and_not_obeyed():
    bad = "\x1b[31m\x1b]0;title\x07\nsecond line\u202e"
    record = quality("skip", 0.5)
    names = dict.fromkeys(("stack", "place", "strategy", "plan", "checkpoint", "case"), bad)
    text = render([replace(record, **names, words=(bad,))], 200, colour=False)
    assert not {c for c in text if not c.isprintable()} - {"\n"}
    assert "\\x1b[31m" in text


def test_cases_that_raised_are_named():
    broken = raised(quality("swap", 0.1), "TypeError: x")
    text = render([quality("skip", 0.5), broken], 100, colour=False)
    assert "not ranked, as the test raised (1):\nm-s-swap: TypeError: x\n" in text
    assert "least harmful variant: m" in text
    alone = render([broken], 100, colour=False)
    assert alone == "nothing to rank: m\nnot ranked, as the test raised (1):\nm-s-swap: TypeError: x\n"


SWEEP = [
    *skip("L01", 0.5, 1.1, lost=1.0),
    *skip("L02", 0.7, 1.1, lost=1.4),
    *skip("L01-02", 5.0, 1.3, theory=1.5, lost=10.0),
    quality("reverse", 0.1),
    latency("reverse", 1.0, theory=1.0),
]


def test_what_can_go_comes_first_and_what_saves_nothing_apart():
    text = render(SWEEP, 120, colour=False)
    titles = [
        "what can go: m (16 prompts, timed in batches of 8)",
        "least harmful variant: m (16 prompts, timed in batches of 8), of those that leave out blocks",
        "variants that leave out no block, and so save no time",
        "by strategy (median over cases)",
    ]
    lines = [line.strip() for line in text.splitlines()]
    places = [lines.index(title) for title in titles]
    assert places == sorted(places)
    short, removed, same = (lines[a:b] for a, b in pairwise(places))

    def named(part):
        return [word for line in part for word in line.split() if word.startswith("s-L0")]

    assert named(short) == ["s-L01-skip", "s-L01-02-skip"]
    assert named(removed) == ["s-L01-skip", "s-L02-skip", "s-L01-02-skip"]
    assert [line.split()[:1] for line in removed[2:5]] == [["2"], ["3"], ["4"]]  # the rank is among all
    assert named(
        same[: same.index("100 % lost = 50.0 points: how much lower the control's images score for other prompts")]
    ) == ["s-L01-03-reverse"]
    assert "10.0 [9.0, 11.0]" in render(SWEEP, 160, colour=False, asked=["lost_percent"])


def test_one_kind_of_variants_is_one_table():
    alone = render([quality("reverse", 0.1), quality("swap", 0.2)], 120, colour=False)
    assert alone.splitlines()[0].rstrip() == "least harmful variant: m (16 prompts)"
    assert "leave out" not in alone
    assert "what can go" not in alone
    only = [line.rstrip() for line in render(skip("L01", 0.5, 1.1), 120, colour=False).splitlines()]
    assert only[0] == "what can go: m (16 prompts, timed in batches of 8)"
    assert "least harmful variant: m (16 prompts, timed in batches of 8)" in only
    assert not any("no block" in line for line in only)
