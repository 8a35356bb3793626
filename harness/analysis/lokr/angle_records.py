"""Angular distances of layers, one sample a line: the record format of the SD3.5-Large layer study.

A line is ``{"timestep": 0.512, "encoder_hidden_states": [...], "hidden_states": [...]}``: for each block the angle
(1/pi) arccos(cos) in 0..1 between what enters and what leaves it, of the text (encoder_hidden_states) and of the
image (hidden_states). SD3.5-Large gives 38 and 37: its last block returns no text. A model of several stacks has its
blocks in running order.

Timesteps are written as the study writes them, 0 (clean) to 1 (noise), so that its notebook bins them. Files on
diffusers' scale of 0 to 1000 are read as well: :func:`timestep_means` takes a file in which a timestep is above 1 for
one of those. Files compressed with gzip, like the study's own, or with bzip2 are read as they are.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TextIO, cast

import numpy as np

from harness.errors import HarnessError
from harness.files import parse_json
from harness.results.arrays import Array
from harness.results.serialise import from_plain, no_unknown_fields, to_plain

_TOP = 1000.0  # of diffusers' timesteps
_LONGEST = 2**20  # bytes of a line; the study's have 2 KB
_BEGIN = b'{"timestep": '  # of every line that is written here
_COMPRESSED = (b"\x1f\x8b", b"BZh")  # how files of gzip and of bzip2 begin


class RecordError(HarnessError, ValueError):
    """A file of angular distances with a line that is none, or records that don't belong together."""


@dataclass(frozen=True)
class AngleRecord:
    """One sample: ``timestep`` 0..1 (or 0..1000), angles 0..1 of the text and of the image, block by block."""

    timestep: float
    encoder_hidden_states: tuple[float, ...]
    hidden_states: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """The number of text and of image angles."""
        return len(self.encoder_hidden_states), len(self.hidden_states)

    def line(self) -> str:
        """The record as a line of the file, with every digit."""
        return json.dumps(to_plain(self))


def _checked(record: AngleRecord) -> AngleRecord:
    """The same record. Raises ValueError where a number isn't finite or out of range, or there are no angles."""
    if not 0.0 <= record.timestep <= _TOP:  # also where it is NaN
        raise ValueError(f"timestep {record.timestep!r} is outside 0..1000")
    for name in ("encoder_hidden_states", "hidden_states"):
        angles = getattr(record, name)
        wrong = [angle for angle in angles if not 0.0 <= angle <= 1.0]
        if wrong:
            raise ValueError(f"{name} has {wrong[0]!r}; an angle (1/pi) arccos(cos) is in 0..1")
    if not record.hidden_states:
        raise ValueError("hidden_states is empty")
    return record


def read(path: Path) -> Iterator[AngleRecord]:
    """The records of a file, plain or compressed, one at a time: memory doesn't grow with it. Empty lines are skipped.

    Raises RecordError, naming file and line: no such file, a damaged archive, no JSON object, a key missing or unknown,
    no numbers, numbers that aren't finite or out of range, another number of angles than in the line before.
    """
    shape = None
    place = 0
    try:
        with _open(path) as lines:
            while line := lines.readline(_LONGEST):
                place += 1
                if line.isspace():
                    continue
                if len(line) == _LONGEST and not line.endswith(b"\n"):
                    raise ValueError(f"the line is longer than {_LONGEST} bytes, which is no record")
                record = _record_of(line)
                if shape is not None and record.shape != shape:
                    raise ValueError(f"{_lengths(record.shape)}, after {_lengths(shape)} in the lines above")
                shape = record.shape
                yield record
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RecordError(f"{path} is a damaged archive, after line {place}: {error}; copy or write it again") from None
    except OSError as error:
        raise RecordError(f"can't read the records {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise RecordError(f"{path}, line {place}: {error}; leave the line out or write the file again") from None


def _open(path: Path) -> IO[bytes]:
    """The file's lines, decompressed where its first bytes are those of gzip or bzip2, whatever its name."""
    with path.open("rb") as file:
        head = file.read(3)
    if head.startswith(_COMPRESSED[0]):
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return bz2.open(path, "rb") if head.startswith(_COMPRESSED[1]) else path.open("rb")


def _end_with_a_line(path: Path) -> None:
    """Let a file end with a whole line; of its last one the newline may be missing, or more. Raises OSError."""
    with path.open("r+b") as file:
        size = file.seek(0, io.SEEK_END)
        start = max(0, size - _LONGEST)
        file.seek(start)
        before, newline, last = file.read().rpartition(b"\n")
        if not last or (start and not newline):
            return  # nothing is missing, or it is no file of records, as reading it will say
        try:
            _record_of(last)
        except ValueError:
            if last.startswith(_BEGIN) or _BEGIN.startswith(last):  # else it is something else's file
                file.truncate(start + len(before) + len(newline))
        else:
            file.write(b"\n")


def _record_of(line: bytes) -> AngleRecord:
    """Raises ValueError where the line is no record."""
    data = no_unknown_fields(AngleRecord, parse_json(line.decode("utf-8")), "record")
    return _checked(from_plain(AngleRecord, data, "record"))


def _lengths(shape: tuple[int, int]) -> str:
    return f"{shape[0]} text and {shape[1]} image angles"


class Writer:
    """Appends records to a file, each as a whole line at once, so that a killed run loses at most the last.

    A file that ends inside a line, as a killed run leaves it, goes on on a fresh one: half a record is cut off, and one
    of which only the newline is missing is kept.

    A context manager. Raises RecordError for a record that couldn't be read back, whose timestep is above 1, or of
    another shape than the one before it, where the file holds timesteps of 0..1000 or is compressed, and where it can't
    be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shape: tuple[int, int] | None = None
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        try:
            if self.path.exists():
                if not self._compressed():
                    _end_with_a_line(self.path)
                self._check_the_file_so_far()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise RecordError(f"can't write {self.path}: {error.strerror or error}") from None
        return self

    def _compressed(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(3).startswith(_COMPRESSED)

    def _check_the_file_so_far(self) -> None:
        if self._compressed():
            raise RecordError(f"{self.path} is compressed, and lines are appended as plain text; name another file")
        for record in read(self.path):
            self._shape = record.shape
            if record.timestep > 1.0:
                raise RecordError(
                    f"{self.path} has a timestep of {record.timestep:g}, on diffusers' scale, and records are written "
                    "with timesteps of 0..1; name another file"
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, record: AngleRecord) -> None:
        """Append one record."""
        if self._file is None:
            raise RecordError(f"{self.path} is not open; write inside a with statement")
        if self._shape is not None and record.shape != self._shape:
            raise RecordError(f"{self.path} has {_lengths(self._shape)} a line, this record {_lengths(record.shape)}")
        try:
            line = _checked(record).line()
            if record.timestep > 1.0:
                raise ValueError(f"timestep {record.timestep!r} is outside 0..1; divide diffusers' timesteps by 1000")
        except ValueError as error:
            raise RecordError(f"no record for {self.path}: {error}") from None
        self._shape = record.shape
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            raise RecordError(f"can't write {self.path}: {error.strerror or error}") from None


@dataclass(frozen=True)
class Means:
    """Mean angles by noise level: ``edges`` (B + 1,) cut 0..1 evenly, ``count`` (B,) samples fell into each bin.

    ``text`` (B, M) and ``image`` (B, L) are NaN in a bin without samples.
    """

    edges: Array
    count: Array
    text: Array
    image: Array


class _Sums:
    """Running sums over uniform bins of timestep / top; a level of exactly 1 is in the last bin."""

    def __init__(self, bins: int, top: float, shape: tuple[int, int]) -> None:
        self.top = top
        self.count = np.zeros(bins)
        self.text, self.image = (np.zeros((bins, length)) for length in shape)

    def add(self, record: AngleRecord) -> None:
        bin_ = min(int(record.timestep / self.top * len(self.count)), len(self.count) - 1)
        self.count[bin_] += 1
        self.text[bin_] += record.encoder_hidden_states
        self.image[bin_] += record.hidden_states

    def means(self) -> Means:
        samples = np.where(self.count > 0, self.count, np.nan)[:, None]
        edges = np.linspace(0.0, 1.0, len(self.count) + 1)
        return Means(edges, self.count, self.text / samples, self.image / samples)


def timestep_means(records: Iterable[AngleRecord], bins: int = 10, top: float | None = None) -> Means:
    """Means per uniform bin of the timestep, in running sums: memory doesn't grow with the number of records.

    ``top`` is the timestep of pure noise; by default 1 where no timestep is above 1, else 1000 (both are summed until
    the first one above 1). Raises RecordError: no records, lengths that change, a timestep above ``top``. Raises
    ValueError for fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"{bins} bins")
    sums: list[_Sums] = []
    shape = (0, 0)
    for place, record in enumerate(records):
        if not sums:
            shape = record.shape
            sums = [_Sums(bins, each, shape) for each in ((1.0, _TOP) if top is None else (top,))]
        if record.shape != shape:
            raise RecordError(f"record {place} has {_lengths(record.shape)}, the ones before {_lengths(shape)}")
        if len(sums) == 2 and record.timestep > 1.0:
            del sums[0]
        if record.timestep > sums[-1].top:
            raise RecordError(f"record {place} has timestep {record.timestep:g}, above {sums[-1].top:g}")
        for each in sums:
            each.add(record)
    if not sums:
        raise RecordError("there are no records to average")
    return sums[0].means()
