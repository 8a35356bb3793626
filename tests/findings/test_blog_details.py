"""What the blog says of single parts of one family, on made-up studies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.ablation.plan import parse
from harness.findings.claim import ClaimVerdict, judge
from harness.findings.questions import Answer
from tests.helpers.studies import CLAIMS, SD3_24, Made, parts


def at(shares, rest=0.3):
    """Shares by (stack, range, strategy) as in ``single 3-8 repeat``."""
    return lambda stack, span, strategy: shares.get(f"{stack} {span} {strategy}", rest)


def by_depth(below, above, first_above):
    """(layout, detail) under the skip of a single block, by whether it stands below the split."""

    def drift(stack, plan):
        skipped = min(set(range(24)) - set(parse(plan).blocks()))
        return above if skipped >= first_above else below

    return drift


DETAIL, LAYOUT = (0.2, 1.0), (1.0, 0.2)
DOUBLE_SKIPS = {f"double {i} skip": 0.3 for i in range(6)}
ARTEFACTS = Made("auraflow", at({}, 0.3)), Made("auraflow", at({}, 0.8)), Made("auraflow", at({}, -0.2))
MADE = [  # claim, supports, contradicts
    ("B11", Made("sd3", parts(skip=0.8)), Made("sd3", parts(skip=0.2))),
    ("B11", Made("flux", parts(skip=0.8)), Made("flux", at({"double 0 skip": 0.8, "single 0-2 skip": 0.1}))),
    ("B12", Made("flux", at(DOUBLE_SKIPS | {"double 5 skip": 0.8})), Made("flux", at(DOUBLE_SKIPS))),
    (
        "B12",
        Made("flux", at(DOUBLE_SKIPS | {"double 5 skip": 0.8})),
        Made("flux", at(DOUBLE_SKIPS | {"double 5 skip": 0.8, "double 0 skip": 0.9})),
    ),
    *(
        (
            "B13",
            Made("flux", objects=lambda stack, plan: 0.5, layout=lambda stack, plan: DETAIL),
            Made("flux", objects=lambda stack, plan, extra=extra: extra, layout=lambda stack, plan, drift=drift: drift),
        )
        for extra, drift in ((-0.5, DETAIL), (0.5, LAYOUT))
    ),
    (
        "B14",
        Made("sd3", layout=by_depth(LAYOUT, DETAIL, 14), **SD3_24),
        Made("sd3", layout=by_depth(DETAIL, LAYOUT, 14), **SD3_24),
    ),
    (
        "B14-depth",
        Made("sd3", layout=by_depth(LAYOUT, DETAIL, 7)),
        Made("sd3", layout=by_depth(DETAIL, LAYOUT, 7)),
    ),
    *(
        (
            "B15",
            Made("auraflow", at({"double 1-4 skip": 0.2, "double 5 skip": 0.3})),
            Made("auraflow", at({"double 1-4 skip": middle, "double 5 skip": last})),
        )
        for middle, last in ((0.8, 0.9), (0.3, 0.2), (0.2, 0.8), (-0.1, 0.3))
    ),
    *(
        (
            "B16",
            Made("auraflow", at({"double 1-4 repeat": 0.8})),
            Made("auraflow", at({"double 1-4 repeat": double, "single 5-7 repeat": upper})),
        )
        for double, upper in ((0.2, 0.3), (0.8, 0.9))
    ),
    *((name, ARTEFACTS[0], wrong) for name in ("B17", "B18", "B19") for wrong in ARTEFACTS[1:]),
]


@pytest.mark.parametrize(
    ("name", "supports", "contradicts"), [pytest.param(*m, id=f"{m[0]}-{i}") for i, m in enumerate(MADE)]
)
def test_a_claim_is_supported_contradicted_or_undecided(name, supports, contradicts):
    assert judge(CLAIMS[name], supports).verdict is ClaimVerdict.SUPPORTED
    finding = judge(CLAIMS[name], contradicts)
    assert (finding.verdict, finding.decisive.answer) == (ClaimVerdict.CONTRADICTED, Answer.FAILS)
    blurred = judge(CLAIMS[name], replace(supports, noise=12.0))
    assert (blurred.verdict, blurred.decisive.answer) == (ClaimVerdict.UNDECIDED, Answer.OPEN)


def test_what_a_claim_compares_is_what_it_says():
    made = Made("auraflow", at({"double 1-4 repeat": 0.8}))
    judge(CLAIMS["B16"], made)
    assert [f"{stack} {span}" for stack, span, _ in made.asked] == ["double 1-4", "single 2-4", "single 5-7"]
    made = Made("auraflow", at({}))
    judge(CLAIMS["B19"], made)
    assert {strategy for _, _, strategy in made.asked} == {"parallel.t3", "parallel.t4"}
