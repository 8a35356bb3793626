"""Measure a grid of cases of one checkpoint by workers: on this machine, on a Ray cluster, or as jobs of Slurm.

The cases are those of `pytest cases/` and of `python -m harness list` with the same stacks, ranges and strategies. A
sweep that was stopped goes on by --resume. Exit code 1: a case failed against the stored values of --baselines, or
raised.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from harness.ablation.guidance import read as read_pass
from harness.ablation.steps import read as read_window
from harness.cli import common, grid_options
from harness.cli.report import show
from harness.errors import HarnessError, OptionError
from harness.files import write_atomically
from harness.models import prompts
from harness.models.checkpoints.cases import check_passes
from harness.models.random_weights.checkpoint import KINDS as WEIGHTS
from harness.models.spec import SEEDS
from harness.results.journal import JOURNALS, write_journal
from harness.results.records import Record
from harness.results.run_name import RULE, is_name, new_name
from harness.workers import local, ray_runner, record_files, slurm
from harness.workers.store import Store, is_url
from harness.workers.work import FILE, Measuring, Model, Work, entries_of, read_work
from harness.workers.worker import open_checkpoint

_PLACES = ("--run-id", "--out", "--resume")
RUNNERS = ("local", "ray", "slurm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a name, a hub id in the cache, or a folder")
    grid_options.add_grid(parser)
    parser.add_argument(
        "--steps-window", action="append", default=[], metavar="W", help="only in these denoising steps: 0-1, 3"
    )
    parser.add_argument(
        "--pass",
        dest="passes",
        action="append",
        default=[],
        metavar="PASS",
        help="only in this pass of guidance: uncond, cond",
    )
    parser.add_argument("--on", choices=RUNNERS, default="local", help="where the workers are (default: %(default)s)")
    parser.add_argument(
        "--workers",
        type=common.whole_number(1, 1024),
        metavar="N",
        help="how many (default: one a GPU; without one: 1 here, one a machine of a Ray cluster, 1 job of Slurm)",
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--run-id", metavar="NAME", help="the run folder is reports/NAME (default: a new name)")
    place.add_argument("--out", metavar="FOLDER-OR-URL", help="the run folder: a new one")
    place.add_argument("--resume", metavar="RUN", help="go on with the run of that name, folder or URL")
    place.add_argument("--work-file", type=Path, metavar="FILE", help="measure nothing: write the work file of workers")
    parser.add_argument("--latency", action="store_true", help="time every case, where a worker has its device alone")
    parser.add_argument("--baselines", type=Path, metavar="FOLDER", help="judge by the values that are stored there")
    parser.add_argument("--prompts", type=Path, metavar="FILE", help="a file of prompts (default: the checkpoint's)")
    parser.add_argument(
        "--seeds", type=common.whole_number(1, SEEDS.most), default=1, metavar="N", help="seeds of a variant"
    )
    common.add_settings(parser)
    parser.add_argument("--judge", metavar="J", help="an open_clip folder or ARCHITECTURE/TAG that scores the images")
    parser.add_argument("--trust-judge", action="store_true", help="rank and gate by a judge that failed its check")
    parser.add_argument("--metric", action="append", default=[], metavar="M", help="an extra metric (repeat for more)")
    parser.add_argument("--weights", choices=WEIGHTS, help="random weights: no images, only drift and latency")
    common.add_device(parser)
    common.add_dtype(parser)
    common.add_offload(parser)
    common.add_threads(parser)
    parser.add_argument("--ray-address", metavar="ADDRESS", help="the Ray cluster (default: RAY_ADDRESS, or a new one)")
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of submitit (repeat for more): timeout_min=480, gpus_per_node=1, slurm_partition=gpu",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure what the run folder lacks, and print the ranking. Raises HarnessError; what was measured is kept."""
    slurm_parameters = _parameters(arguments.slurm)
    work = _work(arguments)
    if arguments.work_file is not None:
        write_atomically(arguments.work_file, work.to_text())
        print(f"wrote {arguments.work_file}: {len(work.cases)} cases")
        return 0
    store = _store(arguments)
    store.check_writable()
    if (before := store.read(FILE)) is not None:
        work = _with_earlier(work, read_work(before.decode("utf-8", "replace"), f"{store.place}/{FILE}"))
    store.write(FILE, work.to_text().encode())
    print(f"{len(work.cases)} cases, into {store.place}", flush=True)
    try:
        workers, threads = arguments.workers, arguments.threads
        if arguments.on == "ray":
            address = arguments.ray_address
            ray_runner.run(work, store, workers=workers, threads=threads, address=address, say=common.say)
        elif arguments.on == "slurm":
            slurm.run(work, store, workers=workers, threads=threads, parameters=slurm_parameters, say=common.say)
        else:
            local.run(work, store, workers=workers, threads=threads, say=common.say)
    except HarnessError:
        _finish(work, store)  # what there is, before the error is said
        raise
    except KeyboardInterrupt:
        _finish(work, store)
        raise common.stopped(arguments, "--resume", store.place, without=_PLACES) from None
    records = _finish(work, store)
    if missing := record_files.lacking({(r.kind, r.case): r for r in records}, work):
        raise HarnessError(
            f"{len(missing)} of {len(work.cases)} cases have no record in {store.place} ({missing[0]} ...): go on by "
            "--resume, or give --out a folder or URL that all workers see"
        )
    return 1 if any(record.verdict.status.red for record in records) else 0


def _with_earlier(work: Work, earlier: Work) -> Work:
    """The work with the cases of the run that it goes on with, first, so that none leaves its journal."""
    known = {entry.id for entry in earlier.cases}
    return replace(work, cases=(*earlier.cases, *(entry for entry in work.cases if entry.id not in known)))


def _finish(work: Work, store: Store) -> list[Record]:
    """Write the journal, the ranking and the pictures' sheet of what was measured, and print the ranking."""
    records = record_files.ordered(record_files.read_all(store, common.warn), work)
    if not records:
        return []
    record_files.check_one_measurement(records, store.place)
    with store.as_folder() as folder:
        write_journal(folder, records)
        show(folder, records, store.place)
    return records


def _work(arguments: argparse.Namespace) -> Work:
    named = arguments.checkpoint
    width, height = arguments.size or (None, None)
    model = Model(
        checkpoint=str(Path(named).absolute()) if Path(named).is_dir() else named,
        weights=arguments.weights,
        dtype=arguments.dtype,
        device=arguments.device,
        offload=arguments.offload,
        steps=arguments.steps,
        width=width,
        height=height,
        control_seeds=arguments.control_seeds,
        batch=arguments.batch,
    )
    checkpoint = open_checkpoint(model)
    spans = [read_window(text) for text in grid_options.several(arguments.steps_window)]
    passes = [read_pass(text) for text in grid_options.several(arguments.passes)]
    check_passes(checkpoint, passes)
    cases = grid_options.read_grid(arguments, checkpoint, spans, passes)
    file, folder = arguments.prompts, arguments.baselines
    if folder is not None and not folder.is_dir():
        raise HarnessError(f"--baselines {folder}: there is no such folder")
    texts = None if file is None else {name: tuple(group) for name, group in prompts.categories(file).items()}
    measuring = Measuring(
        prompts=texts,
        judge=_absolute(arguments.judge),
        trust_judge=arguments.trust_judge,
        metrics=tuple(arguments.metric),
        seeds=arguments.seeds,
        baselines=None if folder is None else str(folder.absolute()),
        latency=arguments.latency,
    )
    return Work(model, measuring, entries_of(cases))


def _absolute(judge: str | None) -> str | None:
    return str(Path(judge).absolute()) if judge and Path(judge).exists() else judge


def _store(arguments: argparse.Namespace) -> Store:
    """The run folder. Raises HarnessError where a new one holds a run, or one to go on with holds none."""
    resumed: str | None = arguments.resume
    if resumed is not None:
        store = Store(resumed if is_url(resumed) or Path(resumed).is_dir() else Path("reports") / resumed)
        if store.read(FILE) is None:
            raise HarnessError(f"--resume {resumed}: {store.place} holds no sweep to go on with")
        return store
    name = arguments.run_id or new_name()
    if not is_name(name):
        raise OptionError(f"--run-id {name!r}: {RULE}")
    store = Store(arguments.out or Path("reports") / name)
    if store.read(FILE) is not None or (store.folder is not None and any(store.folder.glob(JOURNALS))):
        again = arguments.out or name
        raise HarnessError(f"{store.place} holds a run already; go on with it by --resume {again}, or choose another")
    return store


def _parameters(texts: list[str]) -> dict[str, str | int]:
    """What --slurm says, by name; numbers as such."""
    out: dict[str, str | int] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise HarnessError(f"--slurm takes NAME=VALUE, such as timeout_min=480, not {text!r}")
        out[name] = int(value) if value.isdigit() else value
    return out
