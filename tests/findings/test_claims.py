"""Claims: three-valued comparisons, every published claim on made-up studies, and real measurements behind them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.ablation.ranges import Span
from harness.ablation.strategies import EVERY, choose
from harness.analysis.image_drift import ImageDrift, moved, reseeds
from harness.analysis.profile import Profile, Stream
from harness.errors import BaselineError, CaseError
from harness.findings import expected as stored
from harness.findings import sd35
from harness.findings.blog import BLOG
from harness.findings.claim import ClaimError, ClaimVerdict, claim, from_json, judge
from harness.findings.definitions import LEVEL, WORDS
from harness.findings.harm_questions import ablated, looped, mild, rivals
from harness.findings.intervals import drawn, exact, over_prompts, p_value, share, trend
from harness.findings.questions import (
    Answer,
    Condition,
    Direction,
    Either,
    Question,
    answered,
    any_of,
    decisive,
    every,
    members,
    settled,
    some,
)
from harness.findings.sd35 import SD35
from harness.report.findings_page import cells, markdown, render
from harness.results.fingerprint import BaselineFacts
from harness.results.statistics import Interval, mean_interval

CLAIMS = {c.id: c for c in (*BLOG, *SD35)}
STACKS = {
    "flux": {"double": 6, "single": 12},
    "sd3": {"joint": 12},
    "auraflow": {"double": 6, "single": 10},
}
PROMPTS = 24
FACTS = BaselineFacts("w", "j", "p", {"steps": 4}, "c", 1, {"diffusers": "0.42.1"})

# A first example pays for imports, and the machine may be busy.
quiet = settings(deadline=None)
finite = st.floats(-1e6, 1e6, allow_nan=False)
answers = st.lists(st.sampled_from(Answer), max_size=5)


@st.composite
def intervals(draw):
    low, middle, high = sorted(draw(st.tuples(finite, finite, finite)))
    return Interval(middle, low, high)


# --- three values -------------------------------------------------------------------------------------------------


@quiet
@given(intervals(), finite, st.sampled_from(Direction))
def test_the_opposite_direction_has_the_opposite_answer(value, threshold, direction):
    other = Condition("x", value, direction.opposite, threshold, "").answer
    swapped = {Answer.HOLDS: Answer.FAILS, Answer.FAILS: Answer.HOLDS, Answer.OPEN: Answer.OPEN}
    assert Condition("x", value, direction, threshold, "").answer is swapped[other]
    assert direction.opposite.opposite is direction


@quiet
@given(intervals(), finite, st.sampled_from(Direction), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_wider_interval_only_ever_opens(value, threshold, direction, down, up):
    narrow = Condition("x", value, direction, threshold, "").answer
    wider = Interval(value.value, value.low - down, value.high + up)
    assert Condition("x", wider, direction, threshold, "").answer in (narrow, Answer.OPEN)


@quiet
@given(finite, finite, st.sampled_from(Direction))
def test_a_point_is_decided_as_python_compares(value, threshold, direction):
    truth = {
        Direction.LESS: value < threshold,
        Direction.AT_MOST: value <= threshold,
        Direction.MORE: value > threshold,
        Direction.AT_LEAST: value >= threshold,
    }[direction]
    found = Condition("x", Interval(value, value, value), direction, threshold, "").answer
    assert found is (Answer.HOLDS if truth else Answer.FAILS)


def test_what_is_no_number_or_without_end_is_open():
    for value in (Interval(np.nan, np.nan, np.nan), Interval(1.0, -np.inf, np.inf), Interval(1.0, np.nan, 2.0)):
        for direction in Direction:
            assert Condition("x", value, direction, 0.0, "").answer is Answer.OPEN


@quiet
@given(answers)
def test_every_and_some_are_kleenes(found):
    rank = {Answer.FAILS: 0, Answer.OPEN: 1, Answer.HOLDS: 2}
    assert rank[every(found)] == min((rank[a] for a in found), default=2)
    assert rank[some(found)] == max((rank[a] for a in found), default=0)


@quiet
@given(st.lists(st.lists(intervals(), min_size=1, max_size=3), min_size=1, max_size=4))
def test_the_decisive_comparison_gives_the_verdict(rows):
    conditions = [
        Either(tuple((Condition("x", value, Direction.MORE, 0.0, ""),) for value in row))
        if len(row) > 1
        else Condition("x", row[0], Direction.MORE, 0.0, "")
        for row in rows
    ]
    found = decisive(conditions)
    assert found.answer is every(map(answered, conditions))
    assert found in list(members(conditions))


def test_the_decisive_comparison_is_the_closest_call_or_the_clearest_failure():
    far, near = (Condition(n, Interval(v, v - 1, v + 1), Direction.MORE, 0.0, "") for n, v in (("far", 9), ("near", 2)))
    assert decisive([far, near]).what == "near"
    worse, bad = (
        Condition(n, Interval(-v, -v - 1, -v + 1), Direction.MORE, 0.0, "") for n, v in (("worse", 9), ("bad", 2))
    )
    assert decisive([far, bad, worse, near]).what == "worse"
    assert decisive([Either(((bad,), (worse,)))]).what == "bad"  # the alternative that came the furthest
    assert decisive([Either(((far, near), (bad,)))]).what == "near"
    assert decisive([]) is None


def test_a_comparison_reads_with_the_figures_it_has():
    def said(value, low, high, unit="sd"):
        return str(Condition("x", Interval(value, low, high), Direction.LESS, 0.5, unit))

    assert said(0.2, 0.1, 0.3) == "x: 0.20 [0.10, 0.30] sd, claimed less than 0.5"
    assert said(0.0123, 0.0118, 0.0128) == "x: 0.01230 [0.01180, 0.01280] sd, claimed less than 0.5"
    assert said(0.005, 0.005, 0.005, "") == "x: 0.005, claimed less than 0.5"
    assert said(-0.001, -9.0, 9.0) == "x: 0.00 [-9.00, 9.00] sd, claimed less than 0.5"
    assert said(1.0, -np.inf, np.inf) == "x: 1.00 [-inf, inf] sd, claimed less than 0.5"


def test_an_alternative_of_several_needs_all_of_them():
    yes, no = (Condition("x", Interval(v, v, v), Direction.MORE, 0.0, "") for v in (1.0, -1.0))
    assert answered(Either(((yes, no), (yes,)))) is Answer.HOLDS
    assert answered(Either(((yes, no), (no,)))) is Answer.FAILS
    either = any_of(
        Question("a", exact(1), Direction.MORE, 0, ""), [Question("b", exact(1), Direction.MORE, 0, "")] * 2
    )
    assert [len(alternative) for alternative in either.alternatives] == [1, 2]


def test_intervals_of_one_claim_hold_together():
    levels = []

    def evidence(level):
        levels.append(level)
        return Interval(1.0, 0.5, 1.5)

    question = Question("x", evidence, Direction.MORE, 0.0, "")
    settled([question, any_of([question, question], question)], 0.95)
    assert levels == pytest.approx([1 - 0.05 / 4] * 4)


# --- intervals ----------------------------------------------------------------------------------------------------


@quiet
@given(st.integers(0, 10**6), st.floats(-0.5, 1.5), st.floats(0.01, 3.0), st.floats(0.5, 0.999))
def test_a_share_compares_as_the_paired_test_does(seed, factor, noise, level):
    rng = np.random.default_rng(seed)
    whole = 3.0 + rng.normal(size=20) * 0.5
    part = factor * whole + rng.normal(size=20) * noise
    found = share(part, whole)(level)
    for threshold in (0.1, 0.5, 0.9):
        paired = mean_interval(part - threshold * whole, level)
        above, below = paired.low > 0, paired.high < 0
        assert (found.low > threshold, found.high < threshold) == (above, below)
    assert found.low <= found.value <= found.high


def test_a_share_of_nothing_is_open():
    rng = np.random.default_rng(0)
    for whole in (rng.normal(size=16), -1.0 - rng.random(16), np.zeros(16)):
        found = share(np.ones(16), whole)(0.95)
        assert (found.low, found.high) == (-np.inf, np.inf)
    assert share([1.0], [2.0])(0.95).high == np.inf


def test_a_share_covers_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(1000):
        whole = 2.0 + rng.normal(size=12)
        part = 0.5 * whole + rng.normal(size=12)
        found = share(part, whole)(0.9)
        hits += found.low <= 0.5 <= found.high
    assert 0.87 < hits / 1000 < 0.93


def test_a_trend_is_the_slope_with_its_interval():
    levels = np.linspace(0, 1, 10)
    values = 2 * levels + np.random.default_rng(2).normal(size=10) * 0.1
    line = stats.linregress(levels, values)
    found = trend(levels, np.where(levels == 1, np.nan, values))(0.95)
    rest = stats.linregress(levels[:-1], values[:-1])
    assert found.value == pytest.approx(rest.slope)
    whole = trend(levels, values)(0.95)
    assert whole.high - whole.value == pytest.approx(stats.t.ppf(0.975, 8) * line.stderr)
    assert trend([0, 1], [0, 1])(0.95).high == np.inf


def test_bootstrap_draws_give_a_normal_interval():
    draws = np.random.default_rng(3).normal(size=4000)
    found = drawn(1.0, draws)(0.95)
    assert (found.value, found.high - found.low) == (1.0, pytest.approx(2 * 1.96, rel=0.05))
    assert over_prompts([1.0, 2.0, 3.0])(0.9) == mean_interval([1.0, 2.0, 3.0], 0.9)


# --- made-up studies ----------------------------------------------------------------------------------------------


@dataclass
class Made:
    """A study with given harms: ``shares(stack, span, strategy)`` of what there is to lose, with noise over prompts."""

    family: str
    shares: Any = None
    noise: float = 0.02
    stacks: dict[str, int] = field(default_factory=dict)
    layout: Any = None  # the same of drifts: (layout, detail)
    noised: Profile | None = None
    facts: BaselineFacts = FACTS

    def __post_init__(self):
        self.stacks = self.stacks or STACKS[self.family]
        self.rng = np.random.default_rng(0)
        self.lost = 10.0 + self.rng.normal(size=PROMPTS)
        self.asked = []

    @property
    def name(self):
        return f"{self.family}-made"

    def plan(self, stack, first, last, strategy):
        return choose(strategy).plan(self.stacks[stack], Span(first, last))

    def ablate(self, stack, first, last, strategy):
        self.plan(stack, first, last, strategy)
        self.asked.append((stack, Span(first, last), strategy))
        return self.asked[-1]

    def harm(self, asked):
        return self.lost * self.shares(*asked) + self.rng.normal(size=PROMPTS) * 10 * self.noise

    def moved(self, plan, stack):
        layout, detail = self.layout(stack, str(plan))
        wobble = 1 + self.rng.normal(size=(2, PROMPTS)) * self.noise
        return ImageDrift(layout * wobble[0], detail * wobble[1])


def parts(**by_strategy):
    """Shares by the strategy's name, before its parameters; ``other`` for the rest."""
    return lambda stack, span, strategy: by_strategy.get(strategy.split(".")[0], by_strategy.get("other", 0.3))


def by_stack(double, single):
    return lambda stack, span, strategy: double if stack == "double" else single


def recovering(double, single):
    """Looped parallel leaves these shares; plain parallel loses .8."""
    return lambda stack, span, strategy: 0.8 if strategy == "parallel" else double if stack == "double" else single


def drifting(middle, early, late):
    """(layout, detail) under the skip of double's middle, of early and of late single blocks."""

    def drift(stack, plan):
        if stack == "double":
            return middle
        return early if "6-11" in plan else late  # the later half of 12 runs in full where an early one is skipped

    return drift


def sides(below, above):
    return lambda stack, span, strategy: below if span.last < 14 else above


def sides_of_12(below, above):
    return lambda stack, span, strategy: below if span.last < 7 else above


def ends(first, middle, loop, last=None):
    def shares(stack, span, strategy):
        if strategy != "skip":
            return loop
        return {0: first, 9: first if last is None else last}.get(span.first, middle)

    return shares


DETAIL, LAYOUT = (0.2, 1.0), (1.0, 0.2)
SD3_24 = {"stacks": {"joint": 24}}
MADE = [  # claim, supports, contradicts
    ("B2", Made("flux", parts(skip=0.1)), Made("flux", parts(skip=0.9))),
    ("B2", Made("sd3", parts(skip=0.1)), Made("sd3", parts(skip=0.1, swap=0.01))),
    ("B3", Made("auraflow", parts(repeat=0.9)), Made("auraflow", parts(repeat=0.8, skip=0.9))),
    ("B3", Made("sd3", parts(repeat=0.9)), Made("sd3", parts(repeat=0.1))),
    ("B4", Made("flux", parts(skip=0.2)), Made("flux", parts(skip=0.8))),
    ("B4", Made("sd3", parts(skip=0.8)), Made("sd3", parts(skip=0.2))),
    ("B4", Made("auraflow", parts(skip=0.8)), Made("auraflow", parts(skip=0.2))),
    *(
        (
            "B5",
            Made("flux", parts(skip=0.02), layout=drifting(DETAIL, LAYOUT, DETAIL)),
            Made("flux", parts(skip=s), layout=d),
        )
        for s, d in (
            (0.4, drifting(DETAIL, LAYOUT, DETAIL)),
            (0.02, drifting(LAYOUT, LAYOUT, DETAIL)),
            (0.02, drifting(DETAIL, DETAIL, LAYOUT)),
        )
    ),
    ("B6", Made("flux", by_stack(0.2, 0.9)), Made("flux", by_stack(0.9, 0.9))),
    ("B6", Made("flux", by_stack(0.2, 0.9)), Made("flux", by_stack(0.2, 0.2))),
    ("B7", Made("flux", by_stack(0.9, 0.9)), Made("flux", by_stack(0.9, 0.1))),
    ("B8", Made("flux", recovering(0.1, 0.9)), Made("flux", recovering(0.1, 0.1))),
    ("B8", Made("flux", recovering(0.1, 0.9)), Made("flux", recovering(0.7, 0.9))),
    ("B9", Made("sd3", sides(0.8, 0.2), **SD3_24), Made("sd3", sides(0.8, 0.9), **SD3_24)),
    ("B9", Made("sd3", sides(0.8, 0.2), **SD3_24), Made("sd3", sides(0.3, 0.2), **SD3_24)),
    ("B9-depth", Made("sd3", sides_of_12(0.8, 0.2)), Made("sd3", sides_of_12(0.2, 0.8))),
    ("B10", Made("auraflow", ends(0.02, 0.3, 0.05)), Made("auraflow", ends(0.5, 0.3, 0.05))),
    ("B10", Made("auraflow", ends(0.02, 0.3, 0.05)), Made("auraflow", ends(0.02, 0.3, 0.05, last=0.6))),
    ("B10", Made("auraflow", ends(0.02, 0.3, 0.05)), Made("auraflow", ends(0.02, 0.3, 0.4))),
]


@pytest.mark.parametrize(
    ("name", "supports", "contradicts"), [pytest.param(*m, id=f"{m[0]}-{i}") for i, m in enumerate(MADE)]
)
def test_a_claim_is_supported_contradicted_or_undecided(name, supports, contradicts):
    assert judge(CLAIMS[name], supports).verdict is ClaimVerdict.SUPPORTED
    finding = judge(CLAIMS[name], contradicts)
    assert (finding.verdict, finding.decisive.answer) == (ClaimVerdict.CONTRADICTED, Answer.FAILS)
    blurred = judge(CLAIMS[name], replace(supports, noise=5.0))
    assert (blurred.verdict, blurred.decisive.answer) == (ClaimVerdict.UNDECIDED, Answer.OPEN)


def test_what_a_claim_compares_is_what_it_says():
    made = Made("flux", parts(skip=0.1))
    judge(CLAIMS["B2"], made)
    ranges = {(stack, str(span)) for stack, span, _ in made.asked}
    expected = {
        ("double", "1-4"),
        ("double", "1-2"),
        ("double", "3-4"),
        ("single", "3-8"),
        ("single", "3-5"),
        ("single", "6-8"),
    }
    assert ranges == expected
    on_middle = {strategy for stack, span, strategy in made.asked if (stack, str(span)) == ("single", "3-8")}
    assert on_middle == set(EVERY)
    made = Made("flux", recovering(0.1, 0.9))
    judge(CLAIMS["B8"], made)
    assert {s for stack, _, s in made.asked if stack == "single"} == {"parallel.t3", "parallel.t6"}
    made = Made("sd3", sides(0.8, 0.2), **SD3_24)
    judge(CLAIMS["B9"], made)
    assert {str(span) for _, span, _ in made.asked} == {"5-13", "14-22"}
    made = Made("sd3", sides_of_12(0.8, 0.2))
    judge(CLAIMS["B9-depth"], made)
    assert {str(span) for _, span, _ in made.asked} == {"3-6", "7-10"}


def test_looped_parallel_has_to_recover_and_fail_with_the_same_loops():
    def mixed(stack, span, strategy):
        if strategy == "parallel":
            return 0.8
        return {"double": {"parallel.t3": 0.1}, "single": {"parallel.t6": 0.9}}[stack].get(
            strategy, 0.9 if stack == "double" else 0.1
        )

    assert judge(CLAIMS["B8"], Made("flux", mixed)).verdict is ClaimVerdict.CONTRADICTED


@pytest.mark.parametrize(
    ("name", "made", "reason"),
    [
        ("B9", Made("sd3"), "block 14 of 24 has no counterpart in 12 blocks"),
        ("B9-depth", Made("sd3", **SD3_24), "this model has the very blocks of B9"),
        ("B9-depth", Made("sd3", stacks={"joint": 4}), "4 blocks are too few on either side of a split"),
        ("B5", Made("sd3"), "about flux; sd3-made is sd3"),
        ("B10", Made("flux"), "about auraflow; flux-made is flux"),
        ("B2", Made("sd3", stacks={"joint": 1}), "no middle of sd3-made has two blocks to rearrange"),
        (
            "B6",
            Made("flux", stacks={"double": 6, "single": 1}),
            "the middle of stack 'single' is one block, with nothing to rearrange",
        ),
        ("B1", Made("sd3", stacks={"joint": 5}), "no stack of sd3-made has the 6 blocks for 3 groups"),
        *((c.id, Made("sd3"), "about the 38 joint blocks of SD3.5-Large; sd3-made has 12") for c in SD35),
        ("C1", Made("flux"), "about sd3; flux-made is flux"),
    ],
)
def test_a_claim_without_counterpart_is_not_applicable_and_measures_nothing(name, made, reason):
    finding = judge(CLAIMS[name], made)
    assert (finding.verdict, finding.reason, finding.because) == (ClaimVerdict.NOT_APPLICABLE, reason, reason)
    assert finding.conditions == ()
    assert made.asked == []


def test_every_claim_is_applicable_to_some_known_model():
    known = {"flux": {"double": 19, "single": 38}, "auraflow": {"double": 4, "single": 32}}
    for declared in CLAIMS.values():
        studies = [Made(family, stacks=stacks) for family, stacks in known.items()]
        studies += [Made("sd3", stacks={"joint": joint}) for joint in (12, 24, 38)]
        for study in studies:
            study.others = {"sd3": None}
        assert any(study.family in declared.families and not declared.why_not(study) for study in studies), declared.id


# --- similarities -------------------------------------------------------------------------------------------------


def gram(*groups, within=0.95, across=0.2):
    of = np.repeat(np.arange(len(groups)), groups)
    same = np.where(of[:, None] == of, within, across)
    return same + np.eye(len(of)) * (1 - within)


def smooth(blocks):
    place = np.arange(blocks)
    return np.exp(-0.1 * np.abs(place[:, None] - place))


def stream(stack="joint", name="image", states=None, angular=None, noise=0.003, draws=64, seed=0):
    """A stream with given similarities of the blocks' outputs, or given angular distances (B, D - 1)."""
    rng = np.random.default_rng(seed)
    angular = np.zeros((10, 3)) if angular is None else np.asarray(angular)
    depth = angular.shape[1] + 1
    if states is not None:
        depth = len(states) + 1
        angular = np.zeros((10, depth - 1))
        centred = np.eye(depth)
        centred[1:, 1:] = states
    else:
        centred = np.eye(depth)
    shaken = rng.normal(size=(draws, depth, depth)) * noise
    return Stream(
        stack=stack,
        name=name,
        count=np.ones(10),
        cosine=np.tile(centred, (10, 1, 1)),
        centred=np.tile(centred, (10, 1, 1)),
        cka=np.tile(centred, (10, 1, 1)),
        angular=angular,
        angular_last=angular,
        draws=centred + (shaken + shaken.swapaxes(1, 2)) / 2,
        angular_draws=angular.mean(axis=0) + rng.normal(size=(draws, depth - 1)) * noise,
    )


def profile(*streams):
    return Profile("made", "noised", 24, np.linspace(0, 1, 11), {}, streams)


def similar(family, *states, stacks=None, noise=0.003):
    made = Made(family, stacks=stacks or {})
    names = list(made.stacks)
    made.trajectory = profile(*(stream(n, "image", s, noise=noise) for n, s in zip(names, states, strict=True)))
    made.others = {}
    return made


def test_similarities_group_or_not():
    assert judge(CLAIMS["B1"], similar("flux", gram(2, 2, 2), gram(3, 6, 3))).verdict is ClaimVerdict.SUPPORTED
    found = judge(CLAIMS["B1"], similar("sd3", smooth(12)))
    assert found.verdict is ClaimVerdict.UNDECIDED
    assert found.decisive.value.low == 0
    assert p_value(0.3, 0.05)(0.99) == Interval(0.3, 0.0, 0.3)
    for p, answer in ((0.05, Answer.HOLDS), (0.3, Answer.OPEN), (0.97, Answer.FAILS)):
        question = Question("p", p_value(p, 0.05), Direction.AT_MOST, 0.05, "")
        assert question.at(0.95).answer is answer


def test_similarities_that_group_less_than_a_smooth_decay_contradict(monkeypatch):
    from harness.analysis import segmentation

    made = similar("sd3", smooth(12))
    real = segmentation.group
    monkeypatch.setattr(segmentation, "group", lambda *a, **k: replace(real(*a, **k), p=0.98))
    assert judge(CLAIMS["B1"], made).verdict is ClaimVerdict.CONTRADICTED


def test_the_order_of_grouping_between_models():
    strong, weak, none = gram(3, 6, 3), gram(3, 6, 3, within=0.8, across=0.5), smooth(12)
    flux = similar("flux", gram(2, 2, 2), strong)
    flux.others = {
        "auraflow": similar("auraflow", smooth(6), weak, stacks={"double": 6, "single": 12}),
        "sd3": similar("sd3", none),
    }
    assert judge(CLAIMS["B1-order"], flux).verdict is ClaimVerdict.SUPPORTED
    flux.others["auraflow"], flux.others["sd3"] = (
        similar("auraflow", smooth(6), none, stacks={"double": 6, "single": 12}),
        similar("sd3", weak),
    )
    assert judge(CLAIMS["B1-order"], flux).verdict is ClaimVerdict.CONTRADICTED
    flux.others["auraflow"] = similar("auraflow", smooth(6), weak, stacks={"double": 6, "single": 12}, noise=0.2)
    assert judge(CLAIMS["B1-order"], flux).verdict is ClaimVerdict.UNDECIDED
    flux.others = {}
    assert "only the bundled ones" in judge(CLAIMS["B1-order"], flux).reason


# Timestep means of the SD3.5-Large layer-wise analysis, read off its figure (about +-.003, capped at p95).
IMAGE = """.203 .104 .095 .025 .052 .042 .039 .051 .019 .031 .025 .039 .044 .032 .044 .037 .038 .050 .051 .074 .049 .064
.049 .060 .068 .074 .075 .081 .072 .076 .097 .095 .104 .132 .146 .203 .142 .119"""
TEXT = """.169 .129 .085 .060 .057 .054 .062 .013 .046 .038 .072 .032 .032 .041 .061 .086 .080 .083 .086 .118 .132 .126
.131 .134 .119 .129 .113 .123 .125 .130 .134 .166 .060 .054 .041 .059 .038"""
READING = 0.0015  # the figure's own uncertainty, as a standard deviation


def large(*, image=None, text=None, noise=READING, rising=1.0, wobble=0.02):
    """The study's figure as a profile; ``image`` and ``text`` change single layers of it."""
    rng = np.random.default_rng(4)
    made = Made("sd3", stacks={"joint": 38})
    streams = []
    for name, given_, changed in (("image", IMAGE, image), ("text", TEXT, text)):
        means = np.array([float(v) for v in given_.split()])
        for layer, value in (changed or {}).items():
            means[layer] = value
        slope = np.zeros(len(means))
        if name == "text":
            slope[list(sd35.RISING)] = rising
        levels = np.linspace(0.05, 0.95, 10)[:, None] - 0.5
        shaken = rng.normal(size=(10, len(means))) * wobble
        bins = means * (1 + slope * levels + shaken - shaken.mean(axis=0))
        streams.append(stream("joint", name, angular=bins, noise=noise))
    made.noised = profile(*streams)
    return made


@pytest.mark.parametrize("name", [c.id for c in SD35])
def test_the_study_of_sd35_large_is_found_in_its_own_figure(name):
    assert judge(CLAIMS[name], large()).verdict is ClaimVerdict.SUPPORTED


@pytest.mark.parametrize(
    ("name", "contradicting", "blurring"),
    [
        ("C1", {"text": {5: 0.2}}, {"noise": 0.05}),
        ("C1", {"image": {20: 0.3}}, {"noise": 0.05}),
        ("C2", {"text": {25: 0.02}}, {"noise": 0.05}),
        ("C2", {"image": {32: 0.2}}, {"noise": 0.05}),
        ("C3", {"text": {12: 0.001}}, {"noise": 0.05}),
        ("C3-image", {"image": {3: 0.001}}, {"noise": 0.05}),
        ("C4", {"rising": -1.0}, {"wobble": 3.0}),
    ],
)
def test_another_figure_contradicts_or_leaves_open(name, contradicting, blurring):
    assert judge(CLAIMS[name], large(**contradicting)).verdict is ClaimVerdict.CONTRADICTED
    assert judge(CLAIMS[name], large(**blurring)).verdict is ClaimVerdict.UNDECIDED


def test_the_claims_of_the_study_agree_with_its_printed_numbers():
    image, text = (np.array([float(v) for v in given_.split()]) for given_ in (IMAGE, TEXT))
    assert (len(image), len(text)) == (38, 37)
    assert set(np.argsort(image)[-2:]) == set(sd35.CRITICAL["image"])
    assert set(np.argsort(text)[-2:]) == set(sd35.CRITICAL["text"])
    assert (text.argmin(), image.argmin()) == (sd35.LEAST["text"], sd35.LEAST["image"])


# --- one's own claims, stored verdicts, tables --------------------------------------------------------------------


def own(**kwargs):
    @claim("X-1", "the last single block can go", source="our notes", **kwargs)
    def last_single(study):
        """Skipping it is mild."""
        return [mild(study, ablated(study, "single", "11", "skip"))]

    return last_single


def test_a_claim_of_ones_own_takes_a_few_lines():
    declared = own(families=("flux",))
    assert (declared.id, declared.comparison) == ("X-1", "Skipping it is mild.")
    finding = judge(declared, Made("flux", parts(skip=0.01)))
    assert (finding.id, finding.verdict) == ("flux-made-X-1", ClaimVerdict.SUPPORTED)
    assert str(finding.decisive).startswith("harm of skip single 11: 0.0151 [0.0075, 0.0228] of")
    assert str(finding.decisive).endswith("of what there is to lose, claimed at most 0.1")
    assert judge(own(why_not=lambda study: "not today"), Made("flux")).reason == "not today"


def test_a_claim_that_is_none_is_refused():
    with pytest.raises(ClaimError, match=r"claim id 'a b': letters, digits"):
        claim("a b", "x", source="y")(lambda study: [])
    with pytest.raises(ClaimError, match="claim X has no comparison"):
        claim("X", "x", source="y")(lambda study: [])
    with pytest.raises(ClaimError, match="claim X has no source"):
        claim("X", "x", source=" ")(test_a_claim_that_is_none_is_refused)

    @claim("X", "x", source="y")
    def nothing(study):
        """Nothing."""
        return []

    with pytest.raises(ClaimError, match="claim X compares nothing on flux-made"):
        judge(nothing, Made("flux"))


def test_a_variant_is_one_range():
    made = Made("flux")
    assert str(ablated(made, "double", "middle", "parallel")) == "parallel double 1-4"
    with pytest.raises(CaseError, match="flux-made has no stack 'joint'; it has double, single"):
        ablated(made, "joint", "middle", "skip")
    with pytest.raises(CaseError, match="'each' is 6 ranges of stack 'double'"):
        ablated(made, "double", "each", "skip")
    assert [v.strategy for v in looped(made, "double", "3-5")] == ["parallel.t3"]


def test_strategies_that_do_the_same_are_compared_once():
    made = Made("flux")
    named = [v.strategy for v in rivals(made, "double", Span(1, 2), "skip")]
    assert named == ["repeat", "reverse", "parallel", "parallel.t3", "parallel-sum", "parallel-root"]
    assert "reverse" not in [v.strategy for v in rivals(made, "double", Span(1, 2), "swap")]


def test_a_finding_survives_json():
    for name, made in (
        ("B8", Made("flux", recovering(0.1, 0.9))),
        ("B9", Made("sd3")),
        ("B2", Made("sd3", parts(skip=0.1))),
    ):
        finding = judge(CLAIMS[name], made)
        assert from_json(json.loads(json.dumps(finding.to_json(), allow_nan=False))) == finding
    endless = judge(own(), replace(Made("flux", parts(skip=0.01)), noise=1e6))
    text = json.dumps(
        replace(
            endless, conditions=tuple(replace(c, value=Interval(1.0, -np.inf, np.inf)) for c in endless.conditions)
        ).to_json(),
        allow_nan=False,
    )
    assert from_json(json.loads(text)).conditions[0].value == Interval(1.0, -np.inf, np.inf)
    with pytest.raises(ValueError, match=r"finding\.statement is missing"):
        from_json({"claim": "B2"})


def test_a_verdict_fails_only_where_another_one_is_stored(tmp_path):
    finding = judge(CLAIMS["B4"], Made("flux", parts(skip=0.2)))
    expected = stored.load(tmp_path, finding.checkpoint)
    assert stored.check(finding, expected) is None  # nothing is stored
    assert stored.update(expected, finding, "missing")
    stored.save(expected)
    read = stored.load(tmp_path, finding.checkpoint)
    assert read == expected
    assert read.claims == {"B4": ClaimVerdict.SUPPORTED}
    assert read.path == tmp_path / "flux-made" / "findings.json"
    assert stored.check(finding, read) is None
    other = judge(CLAIMS["B4"], Made("flux", parts(skip=0.8)))
    message = stored.check(other, read)
    assert message.splitlines()[0] == "flux-made-B4: contradicted, where supported is stored"
    assert f"decisive: {other.decisive}" in message
    assert "0.5" in message
    elsewhere = replace(other, measured=replace(other.measured, prompts="q"))
    assert stored.check(elsewhere, read) is None
    with pytest.raises(BaselineError, match=r"measured with other prompts than findings\.json"):
        stored.update(read, elsewhere, "all")
    assert not stored.update(read, other, "missing")
    assert stored.update(read, other, "changed")
    assert not stored.update(read, other, "all")
    assert stored.check(other, read) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "can't be read"),
        ("[]", r"can't be read as expected verdicts: it is \[\], not an object"),
        ('{"schema": 2}', "has schema 2, this version reads 1"),
        (
            '{"schema": 1, "checkpoint": "x", "claims": {}, "measured": {}}',
            "belongs to checkpoint 'x', not 'flux-made'",
        ),
        (
            '{"schema": 1, "checkpoint": "flux-made", "claims": {"B2": "maybe"}, "measured": {}}',
            r"claims\.B2 is 'maybe', not one of supported, contradicted",
        ),
    ],
)
def test_a_damaged_file_of_verdicts_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "flux-made" / "findings.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(BaselineError, match=message) as caught:
        stored.load(tmp_path, "flux-made")
    assert str(path) in str(caught.value)


def test_tables_say_what_was_found_and_why():
    found = [judge(CLAIMS["B4"], Made("flux", parts(skip=0.2))), judge(CLAIMS["B9"], Made("sd3"))]
    text = markdown(found)
    assert "## On flux-made" in text
    assert "1 supported." in text
    assert "1 not applicable." in text
    assert "| B4 | skipping double 0 is not catastrophic in FLUX" in text
    assert cells(found[1])[3] == "block 14 of 24 has no counterpart in 12 blocks"
    wide, narrow = render(found, 200, colour=False), render(found, 80, colour=False)
    assert "published claims, on flux-made: 1 supported" in wide
    assert "source" in wide
    assert "source" not in narrow
    assert str(found[0].decisive.value.high)[:4] in wide
    assert "[" in wide  # rich would take an interval for markup
    assert str(found[0].decisive.value.high)[:4] in narrow
    assert max(map(len, narrow.splitlines())) <= 80
    assert "\x1b[" in render(found, 100, colour=True)


def test_claims_are_declared_without_anything_heavy():
    code = (
        "import sys, harness.findings.blog, harness.findings.sd35\n"
        "print(sorted({'torch', 'diffusers', 'scipy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_docs_name_every_claim_and_every_word():
    text = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
    flat = " ".join(text.split())
    for declared in CLAIMS.values():
        assert f"| {declared.id} |" in text
        assert declared.comparison in flat, declared.id
    for word, meaning in WORDS.items():
        assert f"**{word}**: {meaning}" in flat, word
    assert f"{LEVEL:.0%}".replace("%", " %") in text


def test_the_example_of_the_docs_works():
    text = (Path(__file__).parents[2] / "docs" / "findings.md").read_text()
    code = text.split("```python\n")[1].split("@pytest.mark")[0]
    names: dict[str, Any] = {}
    exec(code, names)
    made = Made("flux", lambda stack, span, strategy: 0.3 if span.first == 0 else 0.01)
    assert judge(names["last_single"], made).verdict is ClaimVerdict.SUPPORTED


# --- layout and detail, and a real model --------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 30), st.integers(8, 30), st.integers(0, 10**6))
def test_layout_and_detail_are_the_two_parts_of_the_error(height, width, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 256, size=(2, 3, 3, height, width), dtype=np.uint8)
    found = moved(a, b)
    gap = (a.astype(float) - b) / 255
    grid = np.zeros_like(gap)
    for i in range(8):
        for j in range(8):
            rows, columns = slice(i * height // 8, (i + 1) * height // 8), slice(j * width // 8, (j + 1) * width // 8)
            grid[:, :, rows, columns] = gap[:, :, rows, columns].mean(axis=(2, 3), keepdims=True)
    assert found.layout == pytest.approx((grid**2).mean(axis=(1, 2, 3)), abs=1e-12)
    assert found.detail == pytest.approx(((gap - grid) ** 2).mean(axis=(1, 2, 3)), abs=1e-12)
    assert np.all((found.layout_share > 0) & (found.layout_share <= 1))


def test_a_shift_of_the_mean_is_layout_and_noise_is_detail():
    image = np.full((1, 3, 64, 64), 100, dtype=np.uint8)
    brighter = moved(image, image + np.uint8(20))
    assert brighter.detail[0] == pytest.approx(0, abs=1e-12)
    assert brighter.layout[0] > 0
    checks = (
        image
        + (np.indices((64, 64)).sum(axis=0) % 2 * 20).astype(np.uint8)
        - (np.indices((64, 64)).sum(axis=0) % 2 == 0) * np.uint8(20)
    )
    assert moved(image, checks.astype(np.uint8)).layout_share[0] < 0.01
    assert moved(image, image).layout_share[0] == 0.5
    with pytest.raises(ValueError, match="not two sets of"):
        moved(image, image[:, :, :4])
    assert reseeds([image, brighter_image := image + np.uint8(20), image]) == pytest.approx(
        (2 / 3 * moved(image, brighter_image).layout[0], 0), abs=1e-12
    )


@pytest.fixture(scope="module")
def real():
    from harness.analysis.study import Study
    from harness.lab.lab import Lab
    from harness.models.checkpoints.resolve import resolve
    from harness.models.prompts import read

    checkpoint = resolve("flux-tiny")
    return Study(Lab(checkpoint, prompts=read(checkpoint.prompts_file)[:8]))


def test_a_real_claim_is_the_paired_test_of_real_harms(real):
    finding = judge(CLAIMS["B4"], real)
    measured = real.lab.run("double: 1-4")[0]
    harm = np.array(measured.values["harm"]) / real.lab.seed_sd
    paired = mean_interval(harm - 0.5 * real.lost, LEVEL)
    expected = (
        ClaimVerdict.SUPPORTED
        if paired.high < 0
        else ClaimVerdict.CONTRADICTED
        if paired.low > 0
        else ClaimVerdict.UNDECIDED
    )
    assert finding.verdict is expected
    assert finding.decisive.value.value == pytest.approx(harm.mean() / real.lost.mean(), rel=1e-4)
    assert finding.measured.prompts == real.lab.fingerprint.prompts
    assert from_json(json.loads(json.dumps(finding.to_json()))).decisive == finding.decisive


def test_drift_of_a_variant_adds_up_to_its_pixel_error(real):
    found = real.moved("double: 0-1 4")
    layout, detail = real.reseed
    measured = real.run("double: 0-1 4")
    assert found.layout * layout + found.detail * detail == pytest.approx(np.array(measured.values["mse"]), abs=1e-6)
    assert layout + detail == pytest.approx(real.lab.control.reseed["mse"])


def test_a_study_measures_a_plan_once_and_keeps_no_images(real, monkeypatch):
    real.ablate("single", 3, 3, "skip")
    monkeypatch.setattr(type(real.lab), "run", lambda *a, **k: pytest.fail("measured twice"))
    real.run("single: 0-2 4-9")
    real.moved("0-2 4-9", "single")
    kept = [value for pair in real._runs.values() for value in (pair[1].layout, pair[1].detail)]
    assert all(value.size == 8 for value in kept)
