"""What is told to a tracker, and how: a failure of one costs that tracker, and never the run."""

from __future__ import annotations

import contextlib
import importlib
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from harness.errors import first_line
from harness.loggers.table import TRACKERS
from harness.results.columns import figure
from harness.results.record_figures import figures_of
from harness.results.records import Record

PROJECT = "dit-ablation-harness"  # where the tracker's own environment variable names none


class Logger(Protocol):
    """One run in one tracker. Its module has ``open_run(run, folder)``, which begins it or goes on with it."""

    def log(self, figures: Mapping[str, float], settings: Mapping[str, str]) -> None:
        """Add figures by name, and what they were measured with (:func:`settings_of`)."""

    def finish(self, files: Sequence[Path]) -> None:
        """Add the files of the ranking, and end the run."""


class Loggers:
    """The trackers of a run. None of the methods raises for what a tracker raises: ``say`` is called with a line."""

    def __init__(self, names: Sequence[str], run: str, folder: Path, say: Callable[[str], None]) -> None:
        self._say = say
        self._open: dict[str, Logger] = {}
        self._red: set[str] = set()
        for name in names:

            def begin(name: str = name) -> None:
                self._open[name] = importlib.import_module(TRACKERS[name].module).open_run(run, folder)

            self._try(name, begin)

    def log(self, record: Record) -> None:
        """Tell every tracker the figures of a record, as ``harm/flux-tiny-double-L02-skip``."""
        (self._red.add if record.verdict.status.red else self._red.discard)(record.title)
        figures = {**named_figures(record), "red": float(len(self._red))}
        settings = settings_of(record)
        for name, logger in list(self._open.items()):
            self._try(name, lambda logger=logger: logger.log(figures, settings))  # type: ignore[misc]

    def finish(self, files: Sequence[Path]) -> None:
        """Give every tracker the files that there are, and end its run."""
        there = [path for path in files if path.is_file()]
        for name, logger in list(self._open.items()):
            self._try(name, lambda logger=logger: logger.finish(there))  # type: ignore[misc]
        self._open.clear()

    def _try(self, name: str, call: Callable[[], None]) -> None:
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # trackers greet
                call()
        except Exception as error:  # noqa: BLE001 - each tracker has errors of its own, and none may cost the run
            self._open.pop(name, None)
            self._say(f"--dit-log={name}: {first_line(error, with_type=True)}; {name} gets nothing more of this run")


def named_figures(record: Record) -> dict[str, float]:
    """What a tracker is told of a record: the figures of the ranked table, each named by figure and case.

    Of the control, those that it is judged by. The rest is in the ranking's files, which the tracker gets at the end.
    """
    told: dict[str, float] = {}
    for name, value in figures_of(record).items():
        declared = figure(name)
        shown = declared is not None and (declared.tables or declared.control_gated)
        if shown and math.isfinite(value):
            told[f"{name}/{record.case}"] = value
    return told


def settings_of(record: Record) -> dict[str, str]:
    """What a record was measured with, as a tracker's configuration: ``flux-tiny.dtype``, ``flux-tiny.torch`` ..."""
    fingerprint = record.fingerprint
    plain = {
        name: getattr(fingerprint, name)
        for name in ("weights", "judge", "prompts", "device", "dtype", "capability", "threads", "offload")
    }
    every = {**plain, **fingerprint.sampling, **fingerprint.versions}
    return {f"{record.checkpoint}.{name}": str(value) for name, value in every.items()}
