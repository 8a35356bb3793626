"""Putting the shards of a run together: which there are, whether all are, and whether they were measured alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import JournalError
from harness.results.fingerprint import Fingerprint, measured_differently
from harness.results.journal import JOURNALS, Shard, latest, read_whole
from harness.results.records import Record


def shards_in(runs: Sequence[Path]) -> dict[Shard, Path]:
    """The journals of some run folders, by the shard that they are of, in order.

    Raises JournalError where there are none, where they are parts of several runs, and where one is there twice, is
    missing, or did not run to its end.
    """
    found: dict[Shard, Path] = {}
    for path in (path for run in runs for path in sorted(run.glob(JOURNALS))):
        shard = Shard.of_file(path)
        if shard in found:
            raise JournalError(f"shard {shard.number} of {shard.count} is there twice: {found[shard]} and {path}")
        found[shard] = path
    if not found:
        raise JournalError(f"no journal in {', '.join(map(str, runs))}: a run folder holds {JOURNALS} (see reports/)")
    counts = sorted({shard.count for shard in found})
    if len(counts) > 1:
        raise JournalError(f"these are shards of different runs, of {' and of '.join(map(str, counts))}")
    missing = [number for number in range(1, counts[0] + 1) if Shard(number, counts[0]) not in found]
    if missing:
        raise JournalError(
            f"of {counts[0]} shards, {', '.join(map(str, missing))} is missing; give all of their run folders"
        )
    for shard, path in found.items():
        if shard.count > 1 and not (path.parent / shard.complete).exists():
            raise JournalError(
                f"{path} is of a run that did not end; go on with it: pytest ... "
                f"--dit-shard={shard.number}/{shard.count} --dit-resume={path.parent}"
            )
    return dict(sorted(found.items()))


def merged(shards: Mapping[Shard, Path]) -> list[Record]:
    """The records of all shards. Raises JournalError where one is damaged or was measured under other conditions."""
    records: list[Record] = []
    first: dict[str, tuple[Path, Fingerprint]] = {}
    for path in shards.values():
        for record in read_whole(path):
            origin, fingerprint = first.setdefault(record.checkpoint, (path, record.fingerprint))
            if other := measured_differently(fingerprint, record.fingerprint):
                raise JournalError(
                    f"{path} measured {record.checkpoint} differently than {origin}: {', '.join(other)}; run that "
                    "shard again under the same conditions"
                )
            records.append(record)
    return latest(records)
