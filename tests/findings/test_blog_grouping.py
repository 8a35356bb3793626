"""The blog post's claims on groups of similar layers, on made-up similarities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from harness.findings import blog_grouping
from harness.findings.claim import ClaimVerdict, judge
from harness.findings.intervals import p_value
from harness.findings.questions import Answer, Direction, Question
from harness.results.statistics import Interval
from tests.helpers.studies import CLAIMS, Made, profile, stream


def gram(*groups, within=0.95, across=0.2):
    of = np.repeat(np.arange(len(groups)), groups)
    same = np.where(of[:, None] == of, within, across)
    return same + np.eye(len(of)) * (1 - within)


def smooth(blocks):
    place = np.arange(blocks)
    return np.exp(-0.1 * np.abs(place[:, None] - place))


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
    made = similar("sd3", smooth(12))
    real = blog_grouping.group
    monkeypatch.setattr(blog_grouping, "group", lambda *a, **k: replace(real(*a, **k), p=0.98))
    assert judge(CLAIMS["B1"], made).verdict is ClaimVerdict.CONTRADICTED


def test_two_middle_groupings_of_the_single_blocks():
    stacks = {"double": 6, "single": 18}
    four, three = (gram(*groups, within=0.95, across=0.3) for groups in ((3, 7, 6, 2), (3, 12, 3)))
    supported = judge(CLAIMS["B1-middles"], similar("flux", gram(2, 2, 2), four, stacks=stacks))
    assert supported.verdict is ClaimVerdict.SUPPORTED
    contradicted = judge(CLAIMS["B1-middles"], similar("flux", gram(2, 2, 2), three, stacks=stacks))
    assert contradicted.verdict is ClaimVerdict.CONTRADICTED
    assert contradicted.decisive.value.value == 3
    none = judge(CLAIMS["B1-middles"], similar("flux", gram(2, 2, 2), smooth(18), stacks=stacks, noise=0.1))
    assert none.verdict is not ClaimVerdict.SUPPORTED


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
