"""The harness as a library: load a checkpoint, sweep a grid of ablations over it, rank what was measured.

The same cases, measurements, records, verdicts and ranking as under pytest, without pytest. Without a folder of
baselines every verdict is ``unjudged``, and the unit of harm is this lab's own control's.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.ablation.case import Case
from harness.ablation.grid import grid
from harness.ablation.guidance import read as read_pass
from harness.ablation.steps import read
from harness.errors import CheckpointError
from harness.gates.reference import Reference, reference_for
from harness.models.checkpoints.cases import cases_of_grid, cases_of_plans, check_passes
from harness.models.checkpoints.resolve import Checkpoint, resolve
from harness.report.rankings import Rankings
from harness.results import ranking
from harness.results.journal import JOURNALS, Journal
from harness.results.journal import read as read_journal
from harness.results.records import Record
from harness.workers.case_records import latency_record, no_pictures, quality_record
from harness.workers.store import Store, is_url

if TYPE_CHECKING:
    from harness.lab.protocol import LabProtocol
    from harness.results.run_tables import RunTables

Names = str | Sequence[str]


def load(place: str | Path, *, device: str | None = None, dtype: str | None = None, revision: str | None = None) -> Any:
    """What is at a place: the tables of a run (as :func:`load_run`), or the diffusers pipeline of a checkpoint.

    A run is a folder with journals in it (``reports/RUN``), a journal file, or the URL of a run folder; a checkpoint a
    bundled or known name, a hub id in the cache, or a folder of a pipeline. The options are those of a pipeline:
    ``device`` is torch's name for one (default: the GPU where there is one), ``dtype`` ``float32``, ``bfloat16`` or
    ``float16`` (default: the checkpoint's own), ``revision`` a branch, tag or commit of a hub id that was downloaded
    (default: ``main``). In eval mode, from safetensors files on this disk alone.
    Raises CheckpointError with the command that fixes it where the checkpoint can't be found or loaded, and
    JournalError as :func:`load_run`.
    """
    if _is_run(place):
        return load_run(place)
    # These load torch, which ranking records does without.
    from harness.models import environment, loading

    return loading.load(resolve(str(place), dtype=dtype, revision=revision), environment.pick_device(device))


def load_run(run: str | Path) -> RunTables:
    """A run as pandas DataFrames: ``cases``, ``prompts``, ``latency`` and ``control``; docs/data.md has their columns.

    ``run`` is a run folder (``reports/RUN``), a journal file, or the URL of a run folder. ``.columns("cases")`` tells
    what each column is, ``.to_parquet(folder)`` writes the tables as files. Lines of a journal that are no records are
    left out, with a warning. No torch. Raises JournalError where there is no journal, or no record in it.
    """
    from harness.results.run_tables import run_tables  # loads pandas, which a sweep does without

    def warn(line: str) -> None:
        warnings.warn(line, stacklevel=3)

    store = Store(run)
    if store.folder is not None and not store.folder.is_dir():
        return run_tables(store.folder.absolute().parent.name, read_journal(store.folder, left_out=warn))
    with store.as_folder() as folder:
        return run_tables(store.name, read_journal(folder, left_out=warn))


def _is_run(place: str | Path) -> bool:
    path = Path(place)
    return is_url(str(place)) or path.suffix == ".jsonl" or (path.is_dir() and any(path.glob(JOURNALS)))


def sweep(
    lab: LabProtocol | str | Path,
    *,
    strategies: Names = (),
    ranges: Names = (),
    stacks: Names = (),
    plans: str | Sequence[str] = (),
    modifiers: Names = (),
    windows: Names = (),
    passes: Names = (),
    latency: bool = False,
    baselines: str | Path | None = None,
    folder: str | Path | None = None,
) -> Iterator[Record]:
    """Measure every case of a grid on a lab, least deep first; each Record is given as soon as it is measured.

    ``lab`` is a :class:`~harness.lab.lab.Lab`, or a checkpoint's name or folder, of which one is opened.
    ``strategies`` (``"skip"``, ``"parallel.t3"``), ``ranges`` (``"middle"``, ``"each"``, ``"4-7"``) and ``stacks`` are
    sequences, or one text with commas; left out, they are the harness's own strategies on the middle of every
    stack. ``plans`` (``"double: 0-1 3-4"``) are measured instead of a grid, or before one that is asked for.
    ``modifiers`` (``"fewer-steps.3"``, ``"single-L02-07-reuse.n2"``; ``+`` joins several) are put on each plan and
    strategy that is asked for, and are cases of their own where none is. With
    ``windows`` of denoising steps (``"0-1"``, ``"3"``; 0-based) each case holds in those steps alone; with ``passes``
    of guidance (``"uncond"``, ``"cond"``), in that pass alone. A record's
    measurement holds per-image values over the lab's prompts at seed 0, and its summary harm in units of the
    control's seed-to-seed sd. With ``latency`` a second record of each case follows its first, with the times of 12
    pairs of forwards, control and variant in turns; a case in a window or in one pass has none. With a folder of
    ``baselines`` each case is judged against the values stored there, as under pytest, and the stored unit of harm is
    taken. With ``folder``, records and pictures are also kept there (a warning says where a picture can't be written),
    and ``python -m harness report FOLDER`` ranks them again.

    Raises CaseError or PlanError at once for what the checkpoint doesn't have, CheckpointError for one that can't be
    opened, BaselineError where the stored values can't be read, JournalError where the folder can't be written, and
    while measuring SurgeryError for a plan that did not take hold.
    """
    checkpoint = _checkpoint_of(lab)
    by_plan = [plans] if isinstance(plans, str) else plans
    spans = [read(text) for text in _names(windows)]
    one_pass = [read_pass(text) for text in _names(passes)]
    check_passes(checkpoint, one_pass)
    cases = cases_of_plans(checkpoint, by_plan, modifiers=_names(modifiers), windows=spans, passes=one_pass)
    if strategies or ranges or stacks or not cases:
        ask = grid(
            checkpoint.stacks,
            only=_names(stacks),
            ranges=_names(ranges),
            strategies=_names(strategies),
            modifiers=_names(modifiers),
        )
        cases += cases_of_grid(checkpoint, [ask], windows=spans, passes=one_pass)
    if isinstance(lab, str | Path):
        lab = _open(checkpoint)  # after the cases, so that a typo is said before a model is loaded
    journal = None if folder is None else Journal(Path(folder))
    reference = None if baselines is None else reference_for(lab, Path(baselines))
    return _run(lab, cases, journal, reference, latency=latency)


def _checkpoint_of(lab: LabProtocol | str | Path) -> Checkpoint:
    """The checkpoint of a lab, or the one of that name. Raises CheckpointError, for anything else too."""
    if isinstance(lab, str | Path):
        return resolve(str(lab))
    checkpoint = getattr(lab, "checkpoint", None)
    if not isinstance(checkpoint, Checkpoint):
        raise CheckpointError(
            f"sweep takes a Lab or a checkpoint's name or folder, not a {type(lab).__name__}: write "
            'sweep(Lab("flux-tiny"), ...) or sweep("flux-tiny", ...)'
        )
    return checkpoint


def _open(checkpoint: Checkpoint) -> LabProtocol:
    from harness.lab.lab import Lab  # loads torch, which ranking records does without

    return Lab(checkpoint)


def _names(names: Names) -> Sequence[str]:
    return [part.strip() for part in names.split(",") if part.strip()] if isinstance(names, str) else names


def _run(
    lab: LabProtocol, cases: Sequence[Case], journal: Journal | None, reference: Reference | None, *, latency: bool
) -> Iterator[Record]:
    """Measure the cases one by one; the journal, if there is one, has each record before the caller does."""
    folder = None if journal is None else journal.path.parent
    try:
        for record, keep_pictures in _records(lab, cases, folder, reference, latency=latency):
            if journal is not None:
                journal.append(record)
                if problem := keep_pictures():  # after the record: a full disk costs pictures first
                    warnings.warn(problem, stacklevel=2)
            yield record
    finally:
        if journal is not None:
            journal.close()


def _records(
    lab: LabProtocol, cases: Sequence[Case], folder: Path | None, reference: Reference | None, *, latency: bool
) -> Iterator[tuple[Record, Callable[[], str]]]:
    """Each record with a function that keeps its pictures and gives the reason where that fails, empty where not."""
    run = "" if folder is None else folder.name
    for case in cases:
        yield quality_record(lab, case, reference, run=run, pictures=folder)
        if latency and case.in_whole_forwards:
            yield latency_record(lab, case, reference, run=run), no_pictures


def rank(records: Iterable[Record]) -> Rankings:
    """Rank records of any number of checkpoints: a list with one Ranking each, which prints as the tables.

    In a notebook the list and each Ranking are shown as HTML tables; ``to_frame()`` of either gives a pandas
    DataFrame, one row a variant and one column a figure.
    Rows are ordered by harm (in the control's seed-to-seed sd, with its 95 % interval over prompts), with
    simultaneous intervals of ranks and tiers. Pure: the same records, from :func:`sweep` or from a journal
    (``harness.results.journal.read``), give the same ranking on any machine. No torch.
    """
    return Rankings.of(ranking.rank(records))
