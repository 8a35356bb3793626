"""How long images take under modifiers beside the control's: pairs of whole runs of sampling, in alternating order.

A forward says nothing of a modifier that leaves out steps, or blocks in some of them. So a whole batch is sampled, from
embeddings to pixels, and what counts is the time inside the transformer's forwards, all of them together: divided by
the number of forwards that the control takes, so that a variant's seconds stand for the same as those of a plan that
is timed on single forwards. What a modifier computes in a forward, such as whether a cache may be used, counts; what it
takes to install it (quantising, compiling) doesn't, and neither do encoders, scheduler and VAE.
"""

from __future__ import annotations

from contextlib import ExitStack

from harness.ablation.case import Case
from harness.errors import CaseError
from harness.lab.cost import share
from harness.lab.lab import Lab
from harness.lab.latency import ROUNDS, WARM_UP, Loop, latency_of, measure_latency, peak_bytes, time_pairs
from harness.lab.protocol import LabProtocol
from harness.lab.timed_forwards import timed_forwards
from harness.models.sampler import Between
from harness.modifiers.run import Modified, modified
from harness.results.latency import Latency

_LEAST = 6  # fewer have no interval


class ImagePairs:
    """Whole batches, of a variant under modifiers, in :class:`~harness.lab.latency.Pairs`.

    ``control`` and ``variant`` have the seconds inside the transformer, over the number of forwards that the control
    takes, one for each pair.
    """

    def __init__(self, lab: LabProtocol, case: Case) -> None:
        if not isinstance(lab, Lab):
            raise CaseError(f"{case.id} is timed on whole images: {lab.no_images_reason}")
        self._lab, self._case = lab, case
        self._prompts = lab.timed_prompts()
        self.batch = len(self._prompts)
        self.control: list[float] = []
        self.variant: list[float] = []
        self.counted_cost = 1.0  # of what modifiers can only count, in the last variant
        self._contexts, self._installed = ExitStack(), ExitStack()
        self._at_work: Modified | None = None
        self._forwards: list[float] = []  # the seconds of each, of the batch that was sampled last
        self._pairs, self._control_forwards = 0, 1

    def __enter__(self) -> ImagePairs:
        """Time the forwards from now on; the prompts are encoded."""
        self._lab.sampler.encode(self._prompts)
        self._forwards = self._contexts.enter_context(timed_forwards(self._lab.transformer, self._lab.device))
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the model as it was."""
        self._installed.close()
        self._contexts.close()

    def before_variant(self) -> None:
        """Time the control where it comes first in this pair, then install the variant."""
        if self._pairs % 2 == 0:
            self._time_control()
        plans = {self._case.stack: self._case.plan} if self._case.strategy else {}
        lab = self._lab
        self._at_work = self._installed.enter_context(
            modified(lab.sampler, self._case.modifiers, plans, lab.prompts, lab.calibrations)
        )

    def forward(self) -> float:
        """Sample one batch of the variant; its seconds, which are kept, too."""
        assert self._at_work is not None
        self.variant.append(self._sample(self._at_work) / self._control_forwards)
        return self.variant[-1]

    def after_variant(self) -> None:
        """Take the variant away, see that it did something, and time the control where it comes second."""
        self._installed.close()
        assert self._at_work is not None
        self._at_work.check()
        self.counted_cost = self._at_work.counted_cost
        if self._pairs % 2 == 1:
            self._time_control()
        self._pairs += 1

    def one_control(self) -> None:
        """One batch of the control."""
        self._sample(None)

    def _time_control(self) -> None:
        seconds = self._sample(None)
        self._control_forwards = len(self._forwards)
        self.control.append(seconds / self._control_forwards)

    def _sample(self, between: Between | None) -> float:
        self._forwards.clear()
        self._lab.sampler.sample(self._prompts, 0, between)
        return sum(self._forwards)


def measure_case_latency(lab: LabProtocol, case: Case, rounds: int = ROUNDS, loop: Loop = time_pairs) -> Latency:
    """Time a case beside the control: single forwards of a plan, whole images where there are modifiers.

    Of whole images half as many pairs are timed as of forwards, but at least six. ``loop`` is that of
    :func:`harness.lab.latency.measure_latency`. The theoretical speed-up follows from what is declared, and of
    modifiers whose cost depends on the images, from what was counted.
    """
    if not case.modifiers:
        return measure_latency(lab, case, rounds, loop)
    with ImagePairs(lab, case) as pairs:
        ran = loop(pairs, max(_LEAST, rounds // 2))
        peak: int | None = None
        control_peak = peak_bytes(lab.device, pairs.one_control)
        if control_peak is not None:
            pairs.before_variant()
            peak = peak_bytes(lab.device, pairs.forward)
            pairs.after_variant()
    count = len(ran)
    control, variant = pairs.control[WARM_UP : WARM_UP + count], pairs.variant[WARM_UP : WARM_UP + count]
    blocks = share(case, lab.checkpoint.stacks) * pairs.counted_cost
    return latency_of(lab, control, variant, batch=pairs.batch, blocks=blocks, peaks=(control_peak, peak))
