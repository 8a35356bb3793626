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


_CACHE = "harness.modifiers.caches:DiffusersCache"
_CACHES = (
    Modifier(
        "first-block-cache",
        "diffusers' FirstBlockCache: all blocks but the first reused while its update changes little",
        _CACHE,
        parameters={"t": Parameter("threshold in thousandths", default=50)},
        cost=None,
    ),
    Modifier(
        "taylorseer-cache",
        "diffusers' TaylorSeer: attention in most steps extrapolated from the steps before",
        _CACHE,
        parameters={
            "n": Parameter("one step of so many is computed", least=1, default=5),
            "b": Parameter("steps at the beginning that are all computed", default=3),
            "o": Parameter("order of the extrapolation", most=4, default=1),
        },
        cost=None,
    ),
    Modifier(
        "mag-cache",
        "diffusers' MagCache: all blocks reused while the magnitude of their update is known to change little",
        _CACHE,
        parameters={
            "t": Parameter("threshold in thousandths", default=60),
            "k": Parameter("steps in a row at most", least=1, default=3),
        },
        cost=None,
    ),
    Modifier(
        "pyramid-attention",
        "diffusers' PyramidAttentionBroadcast: attention reused in most steps",
        _CACHE,
        parameters={"n": Parameter("one step of so many is computed", least=2, default=2)},
        cost=None,
    ),
    Modifier("faster-cache", "diffusers' FasterCache", _CACHE, cost=None),
    Modifier("sea-cache", "diffusers' SeaCache", _CACHE, cost=None),
    Modifier("text-kv-cache", "diffusers' TextKVCache: the text's keys and values computed once", _CACHE, cost=None),
)
_PRECISIONS = tuple(
    Modifier(
        f"quant-{kind}{outside}",
        f"weights of the linear layers in {where} rounded to {what}",
        "harness.modifiers.precision:RoundedWeights",
        Reach.RANGE,
    )
    for kind, what in {"int8": "8-bit integers", "int4": "4-bit integers", "fp8-e4m3": "float8"}.items()
    for outside, where in {"": "the range", "-outside": "all blocks but the range"}.items()
)

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
        Modifier(
            "scheduler",
            "another of diffusers' schedulers, with the configuration of the pipeline's own",
            "harness.modifiers.scheduler:OtherScheduler",
            choices={
                "heun": "FlowMatchHeunDiscreteScheduler, two evaluations a step",
                "lcm": "FlowMatchLCMScheduler",
                "dpm": "DPMSolverMultistepScheduler",
                "unipc": "UniPCMultistepScheduler",
            },
            cost=None,
        ),
        *_CACHES,
        Modifier(
            "attention",
            "one of diffusers' attention backends",
            "harness.modifiers.attention:AttentionBackend",
            choices={
                "native-math": "torch's plain one",
                "native-flash": "torch's flash attention",
                "native-efficient": "torch's memory-efficient attention",
                "flex": "torch's flex attention",
                "flash": "the package flash-attn",
                "sage": "the package sageattention",
                "xformers": "the package xformers",
            },
        ),
        Modifier(
            "layerwise-casting",
            "weights stored in fewer bits, and cast up for each layer's forward",
            "harness.modifiers.casting:LayerwiseCasting",
            choices={"fp8-e4m3": "float8", "fp8-e5m2": "float8 with more range", "bf16": "bfloat16"},
        ),
        Modifier(
            "compile",
            "torch.compile",
            "harness.modifiers.compiled:Compiled",
            choices={"whole": "of the transformer", "blocks": "of each block"},
        ),
        Modifier(
            "quantiser",
            "the linear layers of all blocks by a quantiser of another package",
            "harness.modifiers.quantisers:Quantised",
            choices={
                "torchao-int8": "torchao, weights alone",
                "torchao-int8-dynamic": "torchao, weights and activations",
                "torchao-fp8": "torchao, float8 weights",
            },
        ),
        *_PRECISIONS,
        Modifier(
            "lora-off",
            "the LoRA taken out of the range",
            "harness.modifiers.lora:ScaledLora",
            Reach.RANGE,
        ),
        Modifier(
            "lora-scale",
            "the LoRA's updates in the range scaled",
            "harness.modifiers.lora:ScaledLora",
            Reach.RANGE,
            parameters={BARE: Parameter("percent of its strength", most=400)},
            does_nothing=lambda values, _steps: values[BARE] == 100,
        ),
    )
}
