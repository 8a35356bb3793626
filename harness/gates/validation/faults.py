"""Known faults, injected one at a time: what a gate must see, if its green is to mean something.

Each stands for something that has gone wrong, or could, in a release of diffusers, in a port or in this harness.
A mutant changes a loaded pipeline for the length of a ``with`` block, or the plan that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from harness.ablation.block_parts import index_of
from harness.ablation.plan import Group, Plan, identity
from harness.ablation.ranges import Span
from harness.models.sampler import Sampler
from harness.models.stacks import blocks_at, stacks, unwrap_compiled
from harness.surgery.block_contract import contract

# The timesteps of the schedulers count from 0 to this, whatever the transformer is told.
_SCHEDULER_SCALE = 1000.0
Inject = Callable[[Sampler], AbstractContextManager[None]]


def _nothing(_sampler: Sampler) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Fault:
    """One fault: ``inject`` changes the pipeline, ``plan`` the plan over a stack of a length, for a case's range.

    ``applies`` says on which models it exists.
    """

    name: str
    about: str
    applies: Callable[[Sampler], bool] = lambda _sampler: True
    inject: Inject = _nothing
    plan: Callable[[Plan, int, Span | None], Plan] = lambda plan, _length, _span: plan

    @property
    def changes_model(self) -> bool:
        """Whether the control suffers from it, too."""
        return self.inject is not _nothing

    @contextmanager
    def at_work(self, sampler: Sampler) -> Iterator[None]:
        """The fault, for the length of a ``with`` block; encoded prompts are made anew inside and after it."""
        sampler.forget()
        try:
            with self.inject(sampler):
                yield
        finally:
            sampler.forget()


def one_more_skipped(plan: Plan, length: int, span: Span | None) -> Plan:
    """The plan without one more block: the one behind the range, or before it, or else the nearest to its centre.

    Where every block that is left stands in a group, the plan stays as it is.
    """
    single = [index_of(step) for step in plan.steps if not isinstance(step, Group)]
    if not single:
        return plan
    span = span or Span(0, length - 1)
    wanted = [b for b in (span.last + 1, span.first - 1) if b in single]
    block = wanted[0] if wanted else min(single, key=lambda b: (abs(b - span.centre), b))
    at = next(i for i, step in enumerate(plan.steps) if not isinstance(step, Group) and index_of(step) == block)
    return Plan(plan.steps[:at] + plan.steps[at + 1 :])


@contextmanager
def _attributes(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Attributes set, and set back."""
    before = [(thing, name, getattr(thing, name)) for thing, name, _ in changes]
    for thing, name, value in changes:
        setattr(thing, name, value)
    try:
        yield
    finally:
        for thing, name, value in before:
            setattr(thing, name, value)


@contextmanager
def _parameters(changes: dict[nn.Parameter, torch.Tensor]) -> Iterator[None]:
    before = {parameter: parameter.detach().clone() for parameter in changes}
    with torch.no_grad():
        for parameter, value in changes.items():
            parameter.copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in before.items():
                parameter.copy_(value)


@contextmanager
def _before_forward(sampler: Sampler, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[None]:
    """What the pipeline passes to its transformer, changed on the way."""

    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        return (), change(sampler.named(args, kwargs))

    handle = sampler.transformer.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _config(part: Any, **changes: Any) -> AbstractContextManager[None]:
    frozen = part.config
    made = type(frozen)({**frozen, **changes})
    return _attributes((part, "_internal_dict", made))


def _query_key_weights(sampler: Sampler) -> list[nn.Parameter]:
    norms = (m for m in sampler.transformer.modules() if "RMSNorm" in type(m).__name__)
    weights = (getattr(norm, "weight", None) for norm in norms)
    return [weight for weight in weights if isinstance(weight, nn.Parameter)]


def _has_norm_weights(sampler: Sampler) -> bool:
    return bool(_query_key_weights(sampler))


@contextmanager
def _late(sampler: Sampler) -> Iterator[None]:
    """The model is told the next step's time."""
    unit = _SCHEDULER_SCALE / sampler.family.timestep_scale

    def change(kwargs: dict[str, Any]) -> dict[str, Any]:
        times, told = sampler.pipeline.scheduler.timesteps, kwargs["timestep"]
        i = int((times.cpu() - told.flatten()[0].float().cpu() * unit).abs().argmin())
        return {**kwargs, "timestep": told * float(times[min(i + 1, len(times) - 1)] / times[i])}

    with _before_forward(sampler, change):
        yield


def _guidance(factor: float) -> Inject:
    def inject(sampler: Sampler) -> AbstractContextManager[None]:
        return _attributes(
            (sampler, "settings", replace(sampler.settings, guidance=sampler.settings.guidance * factor))
        )

    return inject


def _guided(sampler: Sampler) -> bool:
    embedded = getattr(sampler.transformer.config, "guidance_embeds", False)
    return bool(embedded) or sampler.family.guided(sampler.settings)


def _has_position_ids(sampler: Sampler) -> bool:
    return sampler.family.position_ids is not None


def _swapped_ids(sampler: Sampler) -> AbstractContextManager[None]:
    names = sampler.family.position_ids
    assert names is not None  # where the fault applies

    def change(kwargs: dict[str, Any]) -> dict[str, Any]:
        text, image = (kwargs[name] for name in names)
        joined = torch.cat([image, text])
        return {**kwargs, names[0]: joined[: len(text)], names[1]: joined[len(text) :]}

    return _before_forward(sampler, change)


def _has_rotary(sampler: Sampler) -> bool:
    return bool(sampler.family.rotary)


def _rotary(sampler: Sampler) -> AbstractContextManager[None]:
    rotary: Any = getattr(unwrap_compiled(sampler.transformer), sampler.family.rotary)
    return _attributes((rotary, "theta", rotary.theta // 2))


def _unshifted(sampler: Sampler) -> AbstractContextManager[None]:
    scheduler = sampler.pipeline.scheduler
    plain = type(scheduler).from_config(scheduler.config, shift=1.0, use_dynamic_shifting=False)
    return _attributes((sampler.pipeline, "scheduler", plain))


def _shifted(sampler: Sampler) -> bool:
    config = sampler.pipeline.scheduler.config
    return config.get("shift", 1.0) != 1.0 or bool(config.get("use_dynamic_shifting"))


def _epsilon(sampler: Sampler) -> AbstractContextManager[None]:
    norms = [m for m in sampler.transformer.modules() if isinstance(getattr(m, "eps", None), float)]
    return _attributes(*((norm, "eps", 1e-2) for norm in norms))


def _norm_weights(sampler: Sampler) -> AbstractContextManager[None]:
    return _parameters({w: torch.ones_like(w) for w in _query_key_weights(sampler)})


@contextmanager
def _frozen_text(sampler: Sampler) -> Iterator[None]:
    """Every block hands on the text that it was given."""
    model = unwrap_compiled(sampler.transformer)
    with ExitStack() as undo:
        for attribute in stacks(model).values():
            made = contract(model, attribute)
            if made.single or "encoder_hidden_states" not in made.outputs:
                continue
            place = made.outputs.index("encoder_hidden_states")

            def keep(_module: nn.Module, _args: Any, kwargs: dict[str, Any], out: Any, at: int = place) -> Any:
                values = list(out)
                values[at] = None if values[at] is None else kwargs["encoder_hidden_states"]
                return tuple(values)

            original = blocks_at(model, attribute)
            for i in range(len(original)):
                handle = original[i].register_forward_hook(keep, with_kwargs=True)
                undo.callback(handle.remove)
        yield


def _bfloat16(sampler: Sampler) -> AbstractContextManager[None]:
    return torch.autocast(sampler.device_type, torch.bfloat16)


def _vae_scale(sampler: Sampler) -> AbstractContextManager[None]:
    vae = sampler.pipeline.vae
    return _config(vae, scaling_factor=vae.config.scaling_factor * 1.1)


def _has_text_mask(sampler: Sampler) -> bool:
    return bool(sampler.family.masked_tokenizer)


@contextmanager
def _unmasked(sampler: Sampler) -> Iterator[None]:
    """The tokenizer's attention mask says that every padding token is a word."""
    name = sampler.family.masked_tokenizer
    tokenizer = getattr(sampler.pipeline, name)

    class Unmasked:
        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            out = tokenizer(*args, **kwargs)
            if isinstance(out.get("attention_mask"), torch.Tensor):
                out["attention_mask"] = torch.ones_like(out["attention_mask"])
            return out

    with _attributes((sampler.pipeline, name, Unmasked())):
        yield


FAULTS = (
    Fault("one-more-skipped", "one more block is left out than the plan says", plan=one_more_skipped),
    Fault("no-op", "the view changes nothing: the model runs as it is", plan=lambda _p, length, _s: identity(length)),
    Fault("late-timestep", "the model is told the next step's time", inject=_late),
    Fault("guidance+10%", "guidance is a tenth too strong", _guided, _guidance(1.1)),
    Fault("guidance-10%", "guidance is a tenth too weak", _guided, _guidance(0.9)),
    Fault("swapped-ids", "text and image ids are exchanged", _has_position_ids, _swapped_ids),
    Fault("rotary-base", "the rotary base is half of what it was", _has_rotary, _rotary),
    Fault("no-shift", "the scheduler's shift is dropped", _shifted, _unshifted),
    Fault("norm-epsilon", "norms have an epsilon of 1e-2", inject=_epsilon),
    Fault(
        "norm-weight",
        "the weights of query and key norms are dropped",
        _has_norm_weights,
        _norm_weights,
    ),
    Fault("frozen-text", "blocks hand on the text that they were given", inject=_frozen_text),
    Fault("bfloat16", "the model computes in bfloat16 where it was float32", lambda s: s.float32, _bfloat16),
    Fault("vae-scale", "the autoencoder's scaling factor is a tenth too large", inject=_vae_scale),
    Fault("no-mask", "the text encoder attends to pads", _has_text_mask, _unmasked),
)
