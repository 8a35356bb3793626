"""Putting a LoRA on a loaded pipeline through its own loader, and proving that all of it arrived.

LyCORIS LoKr files have a loader here (:mod:`harness.models.lokr_loading`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError

from harness.errors import CheckpointError
from harness.extras import missing
from harness.models import lokr_loading
from harness.models.diffusers_since import SINCE

_ADAPTER = "dit"


def check_support(pipeline: Any, name: str) -> None:
    """Raise CheckpointError where this pipeline (or its class) takes no LoRA, or peft isn't installed."""
    if not hasattr(pipeline, "load_lora_weights"):
        kind = pipeline if isinstance(pipeline, type) else type(pipeline)
        needed = SINCE.get(f"{kind.__name__}.load_lora_weights")
        raise CheckpointError(
            f"checkpoint {name!r}: {kind.__name__} of diffusers {diffusers.__version__} takes no LoRA; "
            f"leave out --dit-lora, or upgrade diffusers{f' to {needed}' if needed else ''}"
        )
    if find_spec("peft") is None:
        raise CheckpointError(missing("--dit-lora", "peft", "lora"))


def put_on(pipeline: Any, path: Path, name: str) -> None:
    """Load a LoRA file onto a pipeline.

    Raises CheckpointError where it doesn't load, and where any of its weights fits nothing in this model, which
    diffusers only warns of.
    """
    if lokr_loading.is_lokr(path):
        lokr_loading.put_on(pipeline, path, name)
        return
    where = {"weight_name": path.name, "use_safetensors": True, "local_files_only": True}
    try:
        with _quiet():
            state = pipeline.lora_state_dict(str(path.parent), **where)
            wanted = _wanted(state[0] if isinstance(state, tuple) else state)
            _check(wanted, {key for key in wanted if not _fits(wanted[key], key, pipeline)}, path, name)
            pipeline.load_lora_weights(str(path.parent), adapter_name=_ADAPTER, **where)
    except (OSError, ValueError, RuntimeError, SafetensorError, KeyError, TypeError, ImportError) as error:
        first = " ".join(str(error).split())[:200]
        raise CheckpointError(f"LoRA {path} doesn't load on {name!r}: {first}; name one made for this model") from error
    _check(wanted, wanted.keys() - _arrived(pipeline), path, name)


def _check(wanted: Mapping[str, torch.Tensor], left: set[str], path: Path, name: str) -> None:
    if wanted and not left:
        return
    share = (
        f"{len(left)} of {len(wanted)} weights fit nothing in it, as {min(left)!r}"
        if wanted
        else "it holds no LoRA weights"
    )
    raise CheckpointError(f"LoRA {path} was not made for {name!r}: {share}; name another")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of diffusers, which say less than the errors here."""
    logging = diffusers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _wanted(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A LoRA's weights by the names that peft has for them in a model: ``transformer.proj_out.lora_A.weight``."""
    if state and "lora_A" not in next(iter(state)):
        state = diffusers.utils.convert_unet_state_dict_to_peft(dict(state))
    return {key: value for key, value in state.items() if "lora" in key and not key.endswith(".alpha")}


def _fits(value: torch.Tensor, key: str, pipeline: Any) -> bool:
    """Whether there is a layer under this name, as wide as the weight. FLUX's loader would widen the layer instead."""
    part, _, rest = key.partition(".")
    layer, _, which = rest.rpartition(".lora_")
    try:
        weight = getattr(getattr(pipeline, part).get_submodule(layer), "weight", None)
    except AttributeError:
        return False
    side = {"A.weight": 1, "B.weight": 0}.get(which)
    if weight is None or side is None or value.ndim < 2:
        return True
    return value.shape[side] == weight.shape[side]


def _arrived(pipeline: Any) -> set[str]:
    """Those that are in the model now."""
    names = {f"{part}.{name}" for part, module in _modules(pipeline) for name, _ in module.named_parameters()}
    return {name.replace(f".{_ADAPTER}", "") for name in names if f".{_ADAPTER}" in name}


def _modules(pipeline: Any) -> list[tuple[str, torch.nn.Module]]:
    return [(name, part) for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)]
