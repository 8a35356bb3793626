"""What those who prune say, on made-up studies: supported, contradicted, undecided, or not applicable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.findings.claim import ClaimVerdict, judge
from harness.findings.pruning import PRUNING
from harness.findings.questions import Answer
from tests.helpers.studies import CLAIMS, SD3_24, Made

FLUX_19 = {"stacks": {"double": 19, "single": 38}}
SD3_38 = {"stacks": {"joint": 38}}


def at(**by_place):
    """Harm by the block that is skipped alone (``b3``), else ``other``."""

    def shares(stack, where, _strategy):
        blocks = where if isinstance(where, tuple) else tuple(where.blocks)
        return by_place.get(f"b{blocks[0]}", by_place["other"]) if len(blocks) == 1 else by_place["other"]

    return shares


def double(early, late, of=19):
    """Harm of skipping one block of the double stack: of the first two and the last, and of the others."""
    return lambda stack, span, _: early if span.first in (0, 1, of - 1) else late


def by_gap(row, scattered):
    """Harm of three blocks in a row, and of three others."""
    return lambda stack, blocks, _: row if blocks[-1] - blocks[0] == 2 else scattered


def by_number(*harms):
    return lambda stack, blocks, _: harms[len(blocks) - 1]


def by_half(first, second, of):
    """Harm by the half of the only stack."""
    return lambda stack, span, _: first if span.first < of // 2 else second


def sums(lowest):
    """Single harms that rise with depth, pairs that have their sum; the first of them has ``lowest``."""

    def shares(stack, where, _strategy):
        if not isinstance(where, tuple):
            return 0.02 * where.first
        return lowest if where == (3, 4) else 0.02 * sum(where)

    return shares


def guidance(harm):
    return lambda stack, span, _: harm


MADE = [
    ("D1", Made("flux", double(0.5, 0.1), **FLUX_19), Made("flux", double(0.1, 0.5), **FLUX_19)),
    (
        "D1-depth",
        Made("flux", double(0.5, 0.1, 6)),
        Made("flux", double(0.1, 0.5, 6)),
    ),
    ("D2", Made("auraflow", by_gap(0.1, 0.4)), Made("auraflow", by_gap(0.4, 0.1))),
    ("D2-few", Made("sd3", by_number(0.01, 0.02, 0.03)), Made("sd3", by_number(0.01, 0.02, 0.3))),
    ("D3", Made("sd3", by_half(0.5, 0.1, 12)), Made("sd3", by_half(0.1, 0.5, 12))),
    ("D4", Made("sd3", sums(0.9)), Made("sd3", sums(0.02 * 7), noise=0.002)),
    ("D6", Made("sd3", guidance(0.2), **SD3_24), Made("sd3", guidance(0.9), **SD3_24)),
    ("D6", Made("sd3", guidance(0.9), **SD3_38), Made("sd3", guidance(0.2), **SD3_38)),
    ("D6-depth", Made("sd3", guidance(0.2)), Made("sd3", guidance(0.9))),
    ("D7", Made("flux", at(b1=0.4, other=0.02)), Made("flux", at(b1=0.4, b4=0.4, other=0.02))),
    ("D7", Made("flux", at(b0=0.4, other=0.02)), Made("flux", at(other=0.02))),
]


@pytest.mark.parametrize(
    ("name", "supports", "contradicts"), [pytest.param(*made, id=f"{made[0]}-{i}") for i, made in enumerate(MADE)]
)
def test_a_claim_is_supported_contradicted_or_undecided(name, supports, contradicts):
    assert judge(CLAIMS[name], supports).verdict is ClaimVerdict.SUPPORTED
    finding = judge(CLAIMS[name], contradicts)
    assert (finding.verdict, finding.decisive.answer) == (ClaimVerdict.CONTRADICTED, Answer.FAILS)
    blurred = judge(CLAIMS[name], replace(supports, noise=20.0))
    assert (blurred.verdict, blurred.decisive.answer) == (ClaimVerdict.UNDECIDED, Answer.OPEN)


def test_every_claim_is_among_them():
    assert {name for name, *_ in MADE} == {claim.id for claim in PRUNING}


@pytest.mark.parametrize(
    ("name", "made", "reason"),
    [
        ("D1", Made("flux"), "the blocks are those of 19 double ones; flux-made has 6"),
        ("D1-depth", Made("flux", **FLUX_19), "this model has the very blocks that were published"),
        ("D2", Made("sd3", stacks={"joint": 6}), "no stack of sd3-made has seven blocks or more"),
        ("D2-few", Made("sd3", stacks={"joint": 3}), "no stack of sd3-made has more than three blocks"),
        ("D3", Made("auraflow"), "about flux and sd3; auraflow-made is auraflow"),
        ("D4", Made("sd3", stacks={"joint": 4}), "no middle of sd3-made has three blocks"),
        (
            "D6",
            Made("sd3"),
            "layers 7-9 are those of 24 (SD3.5-medium) and 38 (SD3.5-large) blocks; sd3-made has 12",
        ),
        ("D6-depth", Made("sd3", **SD3_38), "this model has the very layers that were published"),
        ("D7", Made("sd3"), "about flux; sd3-made is sd3"),
    ],
)
def test_where_a_claim_has_no_counterpart_the_reason_is_given(name, made, reason):
    finding = judge(CLAIMS[name], made)
    assert (finding.verdict, finding.reason) == (ClaimVerdict.NOT_APPLICABLE, reason)
    assert made.asked == []


def test_what_a_claim_compares_is_what_it_says():
    made = Made("flux", double(0.5, 0.1), **FLUX_19)
    judge(CLAIMS["D1"], made)
    assert sorted(span.first for _, span, _ in made.asked) == [0, 1, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 18]
    made = Made("flux", double(0.5, 0.1), stacks={"double": 5, "single": 10})
    judge(CLAIMS["D1-depth"], made)
    assert sorted(span.first for _, span, _ in made.asked) == [0, 1, 2, 3, 4]
    made = Made("auraflow", by_gap(0.1, 0.4))
    judge(CLAIMS["D2"], made)
    assert {(stack, blocks) for stack, blocks, _ in made.asked} == {
        ("single", blocks) for at in range(3, 7) for blocks in ((at - 1, at, at + 1), (at - 2, at, at + 2))
    }
    made = Made("sd3", guidance(0.2))
    judge(CLAIMS["D6-depth"], made)
    assert {str(span) for _, span, _ in made.asked} == {"3-4"}
    made = Made("flux", by_number(0.01, 0.02, 0.03))
    judge(CLAIMS["D2-few"], made)
    again = Made("flux", by_number(0.01, 0.02, 0.03))
    judge(CLAIMS["D2-few"], again)
    assert made.asked == again.asked
    assert len(made.asked) == 2 * 3 * 4
