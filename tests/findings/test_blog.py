"""The claims of the blog post on made-up studies: supported, contradicted, undecided, or not applicable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.ablation.strategies import ALL_STRATEGIES
from harness.findings.claim import ClaimVerdict, judge
from harness.findings.harm_questions import BLOG_STRATEGIES
from harness.findings.questions import Answer
from harness.findings.sd35 import SD35
from tests.helpers.studies import CLAIMS, SD3_24, Made, parts, recovering, sides, sides_of_12


def by_stack(double, single):
    return lambda stack, span, strategy: double if stack == "double" else single


def drifting(middle, early, late):
    """(layout, detail) under the skip of double's middle, of early and of late single blocks."""

    def drift(stack, plan):
        if stack == "double":
            return middle
        return early if "6-11" in plan else late  # the later half of 12 runs in full where an early one is skipped

    return drift


def ends(first, middle, loop, last=None):
    def shares(stack, span, strategy):
        if strategy != "skip":
            return loop
        return {0: first, 9: first if last is None else last}.get(span.first, middle)

    return shares


def always(drift):
    return lambda stack, plan: drift


def skipping(one, half, whole):
    """Shares of a skip by how much of the middle it skips; .3 for every other strategy."""

    def shares(stack, span, strategy):
        if strategy != "skip":
            return 0.3
        return one if len(span) == 1 else half if len(span) < 5 else whole

    return shares


DETAIL, LAYOUT = (0.2, 1.0), (1.0, 0.2)
MADE = [  # claim, supports, contradicts
    ("B2", Made("flux", parts(skip=0.1)), Made("flux", parts(skip=0.9))),
    ("B2", Made("sd3", skipping(one=0.1, half=0.9, whole=0.9)), Made("sd3", parts(skip=0.1, parallel=0.01))),
    ("B2", Made("auraflow", skipping(one=0.9, half=0.1, whole=0.9)), Made("auraflow", skipping(0.9, 0.9, 0.1))),
    ("B2-whole", Made("flux", parts(skip=0.1)), Made("flux", parts(skip=0.9))),
    ("B2-whole", Made("sd3", parts(skip=0.1)), Made("sd3", parts(skip=0.1, swap=0.01))),
    ("B3", Made("auraflow", parts(repeat=0.9)), Made("auraflow", parts(repeat=0.8, skip=0.9))),
    ("B3", Made("sd3", parts(repeat=0.9)), Made("sd3", parts(repeat=0.1))),
    ("B4", Made("flux", parts(skip=0.2)), Made("flux", parts(skip=0.8))),
    ("B4", Made("sd3", parts(skip=0.8)), Made("sd3", parts(skip=0.2))),
    ("B4", Made("auraflow", parts(skip=0.8)), Made("auraflow", parts(skip=0.2))),
    *(
        (
            "B5-strict",
            Made("flux", parts(skip=0.02), layout=drifting(DETAIL, LAYOUT, DETAIL)),
            Made("flux", parts(skip=s), layout=d),
        )
        for s, d in (
            (0.4, drifting(DETAIL, LAYOUT, DETAIL)),
            (0.02, drifting(LAYOUT, LAYOUT, DETAIL)),
            (0.02, drifting(DETAIL, DETAIL, LAYOUT)),
        )
    ),
    *(
        (
            "B5",
            Made("flux", parts(skip=0.4), layout=drifting(DETAIL, LAYOUT, DETAIL)),
            Made("flux", parts(skip=s), layout=d),
        )
        for s, d in (
            (0.8, drifting(DETAIL, LAYOUT, DETAIL)),
            (0.4, drifting(LAYOUT, LAYOUT, DETAIL)),
            (0.4, drifting(DETAIL, DETAIL, LAYOUT)),
        )
    ),
    *(
        ("B6", Made("flux", by_stack(0.2, 0.9), layout=always((0.3, 1.5))), Made("flux", shares, layout=always(drift)))
        for shares, drift in (
            (by_stack(0.9, 0.9), (0.3, 1.5)),
            (by_stack(0.2, 0.2), (0.3, 1.5)),
            (by_stack(0.2, 0.9), (1.5, 0.3)),
        )
    ),
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
    assert {strategy for _, span, strategy in made.asked if len(span) > 3} == set(BLOG_STRATEGIES) - {"skip"}
    assert {(stack, str(span)) for stack, span, strategy in made.asked if strategy != "skip"} == {
        ("double", "1-4"),
        ("single", "3-8"),
    }
    skipped = {str(span) for stack, span, strategy in made.asked if (stack, strategy) == ("single", "skip")}
    assert skipped == {*map(str, range(3, 9)), "3-5", "6-8"}
    made = Made("flux", parts(skip=0.1))
    judge(CLAIMS["B2-whole"], made)
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
    assert on_middle == set(ALL_STRATEGIES)
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
        ("B9-depth", Made("sd3", **SD3_24), "this model has the very blocks that the blog names"),
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
        ("B1-middles", Made("flux", stacks={"double": 6, "single": 5}), "5 single blocks are too few for four groups"),
        ("B11", Made("sd3", stacks={"joint": 3}), "no stack of sd3-made has blocks before its middle"),
        ("B13", Made("flux"), "nothing counts the objects in images of flux-made"),
        (
            "B13",
            Made("flux", stacks={"double": 6, "single": 3}),
            "no single block of flux-made is before the middle",
        ),
        ("B14", Made("sd3"), "block 14 of 24 has no counterpart in 12 blocks"),
        ("B14-depth", Made("sd3", **SD3_24), "this model has the very blocks that the blog names"),
        (
            "B15",
            Made("auraflow", stacks={"double": 1, "single": 12}),
            "the middle of stack 'double' is one block, with nothing to rearrange",
        ),
        *(
            (c.id, Made("sd3"), "about the 38 joint blocks of SD3.5-Large; sd3-made has 12")
            for c in SD35
            if not c.id.startswith("C7")
        ),
        ("C7", Made("flux", steps=1), "flux-made samples in one step"),
        (
            "C7",
            Made("flux", stacks={"double": 6, "single": 1}),
            "stack 'single' of flux-made is one block, with no other to compare it with",
        ),
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
        studies = [
            Made("flux", checkpoint="flux-tiny"),
            *(Made(family, stacks=stacks) for family, stacks in known.items()),
        ]
        studies += [Made("sd3", stacks={"joint": joint}) for joint in (12, 24, 38)]
        for study in studies:
            study.others = {"sd3": None}
            study.objects = lambda stack, plan: 0.0
        assert any(study.family in declared.families and not declared.why_not(study) for study in studies), declared.id
