"""Execution strategies: pure functions from a stack's length and a range to a Plan.

Names and definitions follow "Transformer Layers as Painters" (Sun et al., arXiv 2407.09298), with
the two update scalings that tell whether a mean merely under-updates. Below the block, ``skip-attn``
and ``skip-ff`` leave out the sublayers that FinerCut (arXiv 2405.18218) removes, ``skip-text`` and
``skip-image`` the update of one stream, and ``scale`` multiplies the update. In ids a parameter follows
the name after a dot: ``shuffle.s2`` is seed 2, ``parallel.t3`` three loops, ``scale.f50`` a factor of 0.5.

Another package adds one by an entry point in the group ``harness.strategies`` that leads to a Strategy.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

from harness import extensions
from harness.ablation.block_parts import Atom, BlockPart, PartialBlock
from harness.ablation.plan import Combine, Group, Plan
from harness.ablation.ranges import Span
from harness.errors import CaseError, HarnessError, first_line
from harness.spelling import did_you_mean


def _around(length: int, span: Span, inner: tuple[Atom | Group, ...]) -> Plan:
    return Plan((*range(span.first), *inner, *range(span.last + 1, length)))


def skip(length: int, span: Span) -> Plan:
    """Nothing runs in place of the range."""
    return _around(length, span, ())


def _repeat(length: int, span: Span) -> Plan:
    """The centre block of the range, as many times as the range has blocks (middle repeat)."""
    return _around(length, span, (span.centre,) * len(span))


def _reverse(length: int, span: Span) -> Plan:
    """The range from its last block to its first."""
    return _around(length, span, span.blocks[::-1])


def _swap(length: int, span: Span) -> Plan:
    """Neighbours exchanged in pairs: 1 0 3 2 ...; a last odd block stays."""
    blocks = list(span.blocks)
    for i in range(0, len(blocks) - 1, 2):
        blocks[i], blocks[i + 1] = blocks[i + 1], blocks[i]
    return _around(length, span, tuple(blocks))


def _shuffle(length: int, span: Span, s: int = 0) -> Plan:
    """A seeded permutation of the range, at least as far from the identity as a random one is on average.

    Distance is the mean displacement |new place - old place|, whose expectation over all
    permutations of M is (M^2 - 1) / (3 M). The order comes from SHA-256 and so is the same on every
    Python; it depends on the seed and M alone, so that equal ranges elsewhere get equal permutations.
    """
    m = _permuted(span, "shuffle")
    attempt = 0
    while True:
        order = _permutation(f"{s}/{m}/{attempt}", m)
        if 3 * sum(abs(place - block) for place, block in enumerate(order)) >= m * m - 1:
            return _around(length, span, tuple(span.first + block for block in order))
        attempt += 1


def _random(length: int, span: Span, s: int = 0) -> Plan:
    """A seeded permutation of the range, each but the identity as likely as any other (the paper's random order).

    From SHA-256, of the seed and the number of blocks alone, as in shuffle.
    """
    m = _permuted(span, "random")
    attempt = 0
    while (order := _permutation(f"random/{s}/{m}/{attempt}", m)) == list(range(m)):
        attempt += 1
    return _around(length, span, tuple(span.first + block for block in order))


def _permuted(span: Span, name: str) -> int:
    """The number of blocks of a range that is to be permuted. Raises CaseError where there is one alone."""
    if len(span) < 2:
        raise CaseError(f"{name} needs at least two blocks; range {span} has {len(span)}")
    return len(span)


def _permutation(name: str, size: int) -> list[int]:
    """The order of 0 .. size - 1 by the hash of each with ``name``."""
    return sorted(range(size), key=lambda i: hashlib.sha256(f"{name}/{i}".encode()).digest())


def _parallel(length: int, span: Span, t: int = 1) -> Plan:
    """Every block on the same input, outputs averaged; ``t`` times over (looped parallel)."""
    return _grouped(length, span, Combine.MEAN, t)


def _parallel_sum(length: int, span: Span, t: int = 1) -> Plan:
    """As parallel, with the blocks' updates summed: order removed, amount of update kept."""
    return _grouped(length, span, Combine.SUM, t)


def _parallel_root(length: int, span: Span, t: int = 1) -> Plan:
    """As parallel, with the sum of updates over sqrt(M): between the mean and the sum."""
    return _grouped(length, span, Combine.ROOT, t)


def _grouped(length: int, span: Span, combine: Combine, loops: int) -> Plan:
    if loops < 1:
        raise CaseError(f"a parallel group runs at least once, not t{loops}")
    return _around(length, span, (Group(tuple((b,) for b in span.blocks), combine, loops),))


def _skip_attention(length: int, span: Span) -> Plan:
    """Every block of the range without its attention."""
    return _only(length, span, BlockPart.FEED_FORWARD)


def _skip_feed_forward(length: int, span: Span) -> Plan:
    """Every block of the range without its feed-forward."""
    return _only(length, span, BlockPart.ATTENTION)


def _skip_text(length: int, span: Span) -> Plan:
    """Every block of the range updates the image alone; the text passes as it is."""
    return _only(length, span, BlockPart.IMAGE)


def _skip_image(length: int, span: Span) -> Plan:
    """Every block of the range updates the text alone; the image passes as it is."""
    return _only(length, span, BlockPart.TEXT)


def _only(length: int, span: Span, part: BlockPart) -> Plan:
    return _around(length, span, tuple(PartialBlock(block, frozenset({part})) for block in span.blocks))


def _scale(length: int, span: Span, f: int = 50) -> Plan:
    """Every block's update times f/100: f0 is skip, f100 the model itself."""
    return _around(length, span, tuple(PartialBlock(block, factor=f / 100) for block in span.blocks))


@dataclass(frozen=True)
class Strategy:
    """A named family of plans: ``build(length, span, **parameters)`` gives the plan over a stack of ``length``.

    ``parameters`` maps a one-letter parameter, a whole number with a default, to what it means; ``package`` is
    filled in for a strategy that another package adds.
    """

    name: str
    build: Callable[..., Plan]
    least: int  # the fewest blocks on which it is not the identity
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    package: str = ""

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        return (self.build.__doc__ or "").split("\n", 1)[0]


STRATEGIES: dict[str, Strategy] = {
    s.name: s
    for s in (
        Strategy("skip", skip, least=1),
        Strategy("repeat", _repeat, least=2),
        Strategy("reverse", _reverse, least=2),
        Strategy("shuffle", _shuffle, least=2, parameters={"s": "seed"}),
        Strategy("parallel", _parallel, least=2, parameters={"t": "loops"}),
        Strategy("swap", _swap, least=2),
        Strategy("random", _random, least=2, parameters={"s": "seed"}),
        Strategy("parallel-sum", _parallel_sum, least=2, parameters={"t": "loops"}),
        Strategy("parallel-root", _parallel_root, least=2, parameters={"t": "loops"}),
        Strategy("skip-attn", _skip_attention, least=1),
        Strategy("skip-ff", _skip_feed_forward, least=1),
        Strategy("skip-text", _skip_text, least=1),
        Strategy("skip-image", _skip_image, least=1),
        Strategy("scale", _scale, least=1, parameters={"f": "percent of the update"}),
    )
}


@dataclass(frozen=True)
class ConfiguredStrategy:
    """A strategy with its parameters, as written in an id: ``parallel.t3``."""

    strategy: Strategy
    values: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return ".".join([self.strategy.name, *(f"{k}{v}" for k, v in self.values)])

    def plan(self, length: int, span: Span) -> Plan:
        """The plan over a stack of ``length``.

        Raises CaseError where the range doesn't fit or is too short, ExtensionError where a strategy of another
        package fails or gives no plan over the stack.
        """
        if span.last >= length:
            raise CaseError(f"range {span} is outside a stack of {length} blocks (0-{length - 1})")
        if len(span) < self.strategy.least:
            raise CaseError(
                f"strategy {str(self)!r} changes nothing on range {span}, which has {_blocks(len(span))}; "
                f"it needs at least {self.strategy.least} (only skip, its parts and scale work on one)"
            )
        if self.strategy.package:
            return _foreign_plan(self, length, span)
        return self.strategy.build(length, span, **dict(self.values))


def _blocks(number: int) -> str:
    return "one block" if number == 1 else f"{number} blocks"


def _foreign_plan(chosen: ConfiguredStrategy, length: int, span: Span) -> Plan:
    point = extensions.found(extensions.STRATEGIES)[chosen.strategy.name]
    try:
        plan = chosen.strategy.build(length, span, **dict(chosen.values))
    except HarnessError:
        raise
    except Exception as error:
        raise extensions.broken(point, f"fails on range {span}: {first_line(error, with_type=True)}") from error
    if not isinstance(plan, Plan) or not all(0 <= block < length for block in plan.blocks()):
        raise extensions.broken(point, f"gives {plan!s} on range {span}, which is no plan over {length} blocks")
    return plan


def names() -> tuple[str, ...]:
    """Every strategy's name: the harness's own, then those of other packages. Raises ExtensionError."""
    return (*STRATEGIES, *extensions.found(extensions.STRATEGIES, frozenset(STRATEGIES)))


def strategy_of(name: str) -> Strategy:
    """The strategy of that name. Raises CaseError naming what there is, ExtensionError for one that is broken."""
    known = names()  # also finds a package that gives a name of the harness's own
    if name not in known:
        raise CaseError(f"unknown strategy {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}")
    return STRATEGIES.get(name) or _foreign(name)


@cache
def _foreign(name: str) -> Strategy:
    point, strategy = extensions.of_name(extensions.STRATEGIES, name, Strategy)
    if name.startswith("plan-"):
        raise extensions.broken(point, "has a name that begins like that of a plan by hand (plan-)")
    if odd := [p for p in strategy.parameters if not re.fullmatch("[a-z]", p)]:
        raise extensions.broken(point, f"has a parameter {odd[0]!r}; a parameter is one lower case letter")
    return replace(strategy, package=extensions.package(point))


def choose(text: str) -> ConfiguredStrategy:
    """Read ``name`` or ``name.p1.q2``. Raises CaseError naming what is unknown and what exists; ExtensionError."""
    name, *parameters = text.strip().split(".")
    strategy = strategy_of(name)
    values: list[tuple[str, int]] = []
    for parameter in parameters:
        match = re.fullmatch(r"([a-z])([0-9]{1,4})", parameter)
        if match is None or match[1] not in strategy.parameters:
            known = ", ".join(f"{k}N ({v})" for k, v in strategy.parameters.items()) or "none"
            raise CaseError(f"strategy {name!r} has no parameter {parameter!r} in {text!r}; it takes {known}")
        values.append((match[1], int(match[2])))
    return ConfiguredStrategy(strategy, tuple(values))


# What case files ask for: the strategies of the paper, three permutations to see their spread, and the looped
# form with the usual three loops; then those that tell order from amount of update.
PAINTER_STRATEGIES = ("skip", "repeat", "reverse", "shuffle.s0", "shuffle.s1", "shuffle.s2", "parallel", "parallel.t3")
ALL_STRATEGIES = (*PAINTER_STRATEGIES, "swap", "parallel-sum", "parallel-root")
# Below the block: what cases/test_grains.py asks for, where a stack has the parts.
PART_STRATEGIES = ("skip-attn", "skip-ff", "skip-text", "skip-image", "scale.f50")
