"""The harness's own modifiers."""

from __future__ import annotations

from harness.ablation.inner_modifiers import INNER
from harness.ablation.modifier import BARE, CostOf, Modifier, Parameter, Reach, Values


def _reuse_cost(values: Values, of: CostOf) -> float:
    """The range runs in one step of every ``n`` in which it holds."""
    if not of.steps:
        return 1.0
    computed = -(-of.active // values["n"])
    return 1.0 - of.blocks * (of.active - computed) / of.steps


def _fewer_steps_cost(values: Values, of: CostOf) -> float:
    return values[BARE] / of.steps if of.steps else 1.0


MODIFIERS: dict[str, Modifier] = {
    m.name: m
    for m in (
        Modifier(
            "reuse",
            "the range runs in every n-th step; in the others its last update (output - input) is added instead",
            "harness.modifiers.reuse:ResidualReuse",
            Reach.RANGE,
            parameters={"n": Parameter("one step of so many is computed", least=1)},
            windows=True,
            cost=_reuse_cost,
            does_nothing=lambda values, _steps: values["n"] == 1,
        ),
        Modifier(
            "fewer-steps",
            "the same schedule with fewer denoising steps",
            "harness.modifiers.fewer_steps:FewerSteps",
            parameters={BARE: Parameter("denoising steps", least=1, most=1000)},
            cost=_fewer_steps_cost,
            does_nothing=lambda values, steps: 0 < steps <= values[BARE],
        ),
        *INNER,
    )
}
