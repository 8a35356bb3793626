"""--dit-adaptive and --dit-budget: the variants of a checkpoint are measured together, at the first test of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from harness.ablation.case import Case
from harness.analysis.adaptive_rounds import Outcome, least_budget, measure_in_rounds
from harness.errors import OptionError
from harness.gates import baselines
from harness.gates.reference import control_may_be_stored
from harness.gates.verdict import unjudged
from harness.lab.budget import Account
from harness.lab.lab import Lab
from harness.lab.protocol import LabProtocol
from harness.models.environment import device_key, pick_device
from harness.plugin.collection import Collection
from harness.plugin.earlier import Earlier
from harness.plugin.labs import prompt_count
from harness.plugin.options import Options
from harness.results.records import Kind, Measurement, Record


@dataclass
class AdaptiveSession:
    """What the adaptive runs of a session have measured, by checkpoint.

    ``append`` writes a record into the journal after each round of a case, so that a run that is killed loses one round
    of one case; ``say`` prints a line.
    """

    collection: Collection
    earlier: Earlier
    run: str
    append: Callable[[Record], None]
    say: Callable[[str], None]
    account: Account | None = None
    _outcomes: dict[str, Outcome] = field(default_factory=dict[str, Outcome])

    def measure(self, lab: LabProtocol, case: Case) -> Measurement | None:
        """What was measured of a case; the first call for a checkpoint measures all of its selected cases.

        None for a lab that makes no images. Raises what the case's run raised. Skips the test of a case that the budget
        leaves out, and ends the session where that doesn't pay for the control.
        """
        if not isinstance(lab, Lab):
            return None
        name = lab.checkpoint.name
        if name not in self._outcomes:
            self._outcomes[name] = self._measured(lab, self._cases(name))
        outcome = self._outcomes[name]
        if (error := outcome.errors.get(case.id)) is not None:
            raise error
        return outcome.measurements.get(case.id)

    def why_unmeasured(self, case: Case) -> str:
        """Why the budget left a case out; empty where it did not."""
        outcome = self._outcomes.get(case.checkpoint)
        return "" if outcome is None else outcome.unmeasured.get(case.id, "")

    def _cases(self, checkpoint: str) -> Sequence[Case]:
        (target,) = (target for target in self.collection.targets if target.name == checkpoint)
        return self.collection.cases_with_images(target)

    def _measured(self, lab: Lab, cases: Sequence[Case]) -> Outcome:
        measured = ((case.id, self.earlier.measurement(case.id)) for case in cases)

        def keep(case: Case, measurement: Measurement) -> None:
            assert measurement.subset is not None
            verdict = unjudged(f"the run went no further: {measurement.subset.text} were measured")
            self.append(Record.of(case, Kind.QUALITY, lab.fingerprint, verdict, measurement=measurement, run=self.run))

        try:
            return measure_in_rounds(
                lab,
                cases,
                before={name: before for name, before in measured if before is not None},
                keep=keep,
                say=self.say,
                account=self.account,
            )
        except OptionError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def check_budget(options: Options, collection: Collection) -> None:
    """Raise OptionError where the budget is for several checkpoints, or less than the control and the screening cost.

    What seconds are worth is known only once the control was measured.
    """
    budget, targets = options.budget, collection.targets
    if budget is None or not targets:
        return
    if len(targets) > 1:
        names = " and ".join(target.name for target in targets)
        raise OptionError(f"--dit-budget is of one checkpoint, and this run has {names}; choose one with -k")
    (target,) = targets
    cases, settings = collection.cases_with_images(target), target.checkpoint.settings
    if budget.images is None or not cases:
        return
    device, name = device_key(pick_device(options.device)), target.name
    stored = control_may_be_stored(baselines.file_of(target.baselines, name, device, settings.dtype))
    seeds = options.seeds if stored and not options.measures_whole_control else settings.seeds
    control = seeds * prompt_count(target.checkpoint, options)
    least = least_budget(target.checkpoint.stacks, cases, settings.steps, control)
    if budget.images < least:
        raise OptionError(
            f"--dit-budget {budget.text}: the control takes {control} images and the screening {least - control:.0f}, "
            "before any variant; give more, or ask for less (--dit-control-seeds, --dit-prompts)"
        )
