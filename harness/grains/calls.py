"""How often each block was changed from inside, and the hooks that do it, taken away whatever happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from harness.errors import SurgeryError


class Handle(Protocol):
    """What torch gives for a registered hook."""

    def remove(self) -> None:
        """Take the hook away."""
        ...


class Calls:
    """How often something was changed inside each block: ``counts`` by block index, of the stack named in ``what``."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.counts: Counter[int] = Counter()

    def note(self, block: int) -> None:
        """Count one call of a block in which the change was made."""
        self.counts[block] += 1

    def check(self) -> None:
        """Raise SurgeryError where the change was made in no call of any block."""
        if not self.counts:
            raise SurgeryError(f"{self.what}: no call of a block was changed, so nothing was tested here")


@contextmanager
def counted(calls: Calls, *, expected: bool = True) -> Iterator[ExitStack]:
    """The ``with`` block in which hooks are registered and hold; what it gives takes them, and is closed in any case.

    On leaving without an exception, SurgeryError is raised where something was ``expected`` and nothing was changed.
    """
    with ExitStack() as hooks:
        yield hooks
    if expected:
        calls.check()


def remove_after(hooks: ExitStack, *handles: Any) -> None:
    """Have hooks of torch removed when ``hooks`` is closed."""
    for handle in handles:
        hooks.callback(handle.remove)
