"""A plan that holds in a window of denoising steps or in one pass of guidance, put in place, taken away and checked.

Steps are counted by the pipeline's own callback (:data:`harness.models.sampler.Between`), never by forwards: guidance
in two passes makes two forwards a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from harness.ablation.block_parts import Atom
from harness.ablation.guidance import GuidancePass
from harness.ablation.plan import Plan, identity
from harness.ablation.steps import Window
from harness.errors import SurgeryError
from harness.models.stacks import blocks_at, find_stack
from harness.surgery.trace import blocks_text, check_trace, traced
from harness.surgery.view import AblationView


class Stepping:
    """Called between steps, as a sampler's ``between``: puts the plan in place inside the window, else takes it away.

    ``ran`` is the growing trace of the stack's blocks, ``length`` their number; ``guidance_pass`` is the view's.
    """

    def __init__(
        self,
        view: AblationView,
        window: Window,
        ran: Sequence[Atom],
        length: int,
        guidance_pass: GuidancePass | None = None,
    ) -> None:
        self._view, self._window, self._ran, self._length = view, window, ran, length
        self._pass = guidance_pass
        self._starts: list[tuple[int, int]] = []  # a step, and where its part of the trace begins

    def __call__(self, step: int) -> None:
        """The next step is ``step``, 0-based; 0 begins a batch."""
        self._starts.append((step, len(self._ran)))
        if self._inside(step):
            self._view.install()
        else:
            self._view.remove()

    def _inside(self, step: int) -> bool:
        return self._window[0] <= step <= self._window[1]

    def check(self, steps: int) -> int:
        """Hold every step's executed blocks against what was meant: inside the window the plan's, outside the stack's.

        Returns how many steps were seen, over all batches. Raises SurgeryError where a batch was not ``steps`` steps,
        where a step ran other blocks, or where blocks ran after the last one.
        """
        numbers = [step for step, _ in self._starts]
        # The callback after the last step announces one more, in which nothing runs.
        batches, rest = divmod(len(numbers), steps + 1)
        if rest or not batches or numbers != list(range(steps + 1)) * batches:
            raise SurgeryError(
                f"stack {self._view.stack!r}: the pipeline announced steps {numbers} where {steps} were asked for, so "
                "a window of steps has no clear meaning here; use a scheduler that takes one step for each"
            )
        ends = [start for _, start in self._starts[1:]] + [len(self._ran)]
        for (step, start), end in zip(self._starts, ends, strict=True):
            ran = self._ran[start:end]
            if step == steps:
                if ran:
                    raise SurgeryError(f"stack {self._view.stack!r}: blocks {blocks_text(ran)} ran after the last step")
                continue
            plan = self._view.runs if self._inside(step) else identity(self._length)
            try:
                check_trace(ran, plan, self._view.stack)
            except SurgeryError as error:
                place = "inside" if self._inside(step) else "outside"
                raise SurgeryError(f"step {step}, {place} its window: {error}") from None
        if self._pass is not None:
            self._check_rows(batches * (self._window[1] - self._window[0] + 1))
        return batches * steps

    def _check_rows(self, steps: int) -> None:
        """Hold the rows that were taken from the plan's blocks against those of the pass, in so many steps inside."""
        view = self._view
        if len(view.rows_taken) != steps * view.mixed_positions:
            raise SurgeryError(
                f"stack {view.stack!r}: {len(view.rows_taken)} times rows were taken from the plan's blocks, where "
                f"{steps} steps with {view.mixed_positions} such positions each were asked for: in one pass of "
                "guidance a plan needs one forward a step"
            )
        for first, last, rows in view.rows_taken:
            own = (0, rows // 2) if self._pass is GuidancePass.UNCONDITIONAL else (rows // 2, rows)
            if (first, last) != own:
                raise SurgeryError(
                    f"stack {view.stack!r}: rows {first} to {last} of {rows} were taken from the plan's blocks, which "
                    f"are not those of the pass {str(self._pass)!r}"
                )


@contextmanager
def in_window(
    transformer: nn.Module, plan: Plan | str, stack: str, window: Window, guidance_pass: GuidancePass | None = None
) -> Iterator[Stepping]:
    """A plan made ready to hold in a window of steps; what it gives goes to a sampler as ``between``.

    With a ``guidance_pass`` it holds in that pass alone, where both are in one batch, [unconditional, conditional].

    Call its ``check`` afterwards. Leaving the context, also by an exception, leaves the model as it was. Raises what
    :class:`harness.surgery.view.AblationView` raises.
    """
    view = AblationView(transformer, plan, stack, guidance_pass=guidance_pass)
    length = len(blocks_at(transformer, find_stack(transformer, stack)[1]))
    with traced(transformer, stack) as ran:
        try:
            yield Stepping(view, window, ran, length, guidance_pass)
        finally:
            view.remove()
