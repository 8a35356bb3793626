"""One of diffusers' attention backends on every block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from harness.errors import SurgeryError
from harness.modifiers.base import Counts, Target, refuse
from harness.modifiers.probed import ProbedRun

try:
    from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
except ImportError:  # before diffusers 0.35
    AttentionBackendName = _AttentionBackendRegistry = None

_PRIVATE = "native-"  # diffusers calls those of torch that are chosen by hand _native_...


class AttentionBackend(ProbedRun):
    """The backend of that name. Its kernel's calls are counted."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self._calls = 0
        choice = target.placed.choice
        self._backend = ("_" if choice.startswith(_PRIVATE) else "") + choice.replace("-", "_")
        if _AttentionBackendRegistry is None or not self._processors():
            raise refuse(
                target.placed,
                f"the attention of {type(target.transformer).__name__} takes none of diffusers' backends; "
                "that of FluxTransformer2DModel does, from 0.35 on",
            )

    def _processors(self) -> list[Any]:
        """What computes attention in each block, where a backend can be set."""
        found = [getattr(module, "processor", None) for module in self.target.transformer.modules()]
        return [each for each in found if hasattr(each, "_attention_backend")]

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The backend set; diffusers' own reset would leave it active for every other model."""
        registry, model = _AttentionBackendRegistry, self.target.transformer
        before = {id(each): each._attention_backend for each in self._processors()}  # noqa: SLF001 - no getter
        active, name = registry._active_backend, AttentionBackendName(self._backend)  # noqa: SLF001 - no getter
        own = registry._backends[name]  # noqa: SLF001 - no getter

        def counted(*args: Any, **kwargs: Any) -> Any:
            self._calls += 1
            return own(*args, **kwargs)

        self._calls = 0
        try:
            model.set_attention_backend(self._backend)
            registry._backends[name] = counted  # noqa: SLF001 - no getter
            yield
        finally:
            registry._backends[name] = own  # noqa: SLF001 - no getter
            registry.set_active_backend(active)
            for each in self._processors():
                each._attention_backend = before[id(each)]  # noqa: SLF001 - no setter

    def check(self, counts: Counts) -> None:
        """Each attention went through it."""
        blocks = sum(isinstance(module, nn.ModuleList) for module in self.target.transformer.children())
        if self._calls < counts.forwards or not blocks:
            raise SurgeryError(
                f"{self.target.placed}: it computed {self._calls} attentions in {counts.forwards} forwards"
            )
