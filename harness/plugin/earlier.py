"""What an earlier part of a run measured: ``--dit-resume`` takes it from the journal instead of measuring it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import OptionError
from harness.results.fingerprint import Fingerprint, measured_differently
from harness.results.latency import Latency
from harness.results.records import Kind, Measurement, Record


@dataclass(frozen=True)
class Earlier:
    """The records of a run that goes on, by kind and case; empty for a run that begins.

    What raised, and what was not measured, is not among them: it is run again.
    """

    records: Mapping[tuple[Kind, str], Record] = field(default_factory=dict[tuple[Kind, str], Record])

    @classmethod
    def of(cls, records: Sequence[Record]) -> Earlier:
        """From the records of the run's journals."""
        return cls({(r.kind, r.case): r for r in records if r.done})

    def measurement(self, case: str) -> Measurement | None:
        """What was measured of a variant's images."""
        record = self.records.get((Kind.QUALITY, case))
        return None if record is None else record.measurement

    def latency(self, case: str) -> Latency | None:
        """How a variant was timed."""
        record = self.records.get((Kind.LATENCY, case))
        return None if record is None else record.latency

    def control(self, checkpoint: str) -> Measurement | None:
        """What was measured of the control of a checkpoint."""
        found = (r for r in self.records.values() if r.kind is Kind.CONTROL and r.checkpoint == checkpoint)
        return next((record.measurement for record in found), None)

    def holds(self, record: Mapping[str, object]) -> bool:
        """Whether a record, as JSON, is in the journal already."""
        before = self.records.get((Kind(str(record["kind"])), str(record["case"])))
        return before is not None and _text(before.to_json()) == _text(record)

    def check(self, run: str, fingerprint: Fingerprint) -> None:
        """Raise OptionError where the run measured the checkpoint of a fingerprint differently than this process would.

        That is with other weights, prompts, versions ...; another machine, as after a job was put back in the queue, is
        no difference.
        """
        for record in self.records.values():
            if record.checkpoint != fingerprint.checkpoint:
                continue
            if other := measured_differently(record.fingerprint, fingerprint):
                raise OptionError(
                    f"--dit-resume {run}: {fingerprint.checkpoint} was measured differently there "
                    f"({', '.join(other)}); go on under the same conditions, or start a new run"
                )


def _text(record: Mapping[str, object]) -> str:
    return json.dumps(record, sort_keys=True)
