"""The run folder of workers: a folder of this machine, or one at a URL that fsspec can open (``s3://bucket/run``).

A file is replaced in one step: whoever reads it sees the old one or the whole new one. On a disk that is a rename. In
an object store an object appears when it was sent whole. On other file systems it is written beside and then moved.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, first_line
from harness.files import write_atomically

_OBJECTS = {"memory", "s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oci", "r2", "hf"}  # where writing is one step
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}


def is_url(place: str) -> bool:
    """Whether a run folder is named by a URL, and not by a path."""
    return "://" in place


class Store:
    """A run folder at a path or a URL. Raises HarnessError where the URL is of a file system that isn't known here."""

    def __init__(self, place: str | Path) -> None:
        self.place = str(place)
        self._files: Any = None
        self._root = ""
        if not is_url(self.place):
            self.folder: Path | None = Path(self.place)  # as it is written, for messages
            self.place = str(self.folder.absolute())  # for other processes
        elif self.place.startswith("file://"):
            self.folder = Path(self.place.removeprefix("file://")).absolute()
            self.place = str(self.folder)
        else:
            self.folder = None
            self._files, self._root = _open(self.place)
        self.name = self.place.rstrip("/").rpartition("/")[2]

    @property
    def kind(self) -> str:
        """``file``, or the first part of the URL: ``s3``."""
        return self.place.partition("://")[0] if self.folder is None else "file"

    @property
    def shared(self) -> bool:
        """Whether another process sees it."""
        return self.kind != "memory"

    def check_shared(self) -> None:
        """Raise HarnessError where no other process sees what is written here."""
        if not self.shared:
            raise HarnessError(
                f"{self.place} is seen by one process alone; give --out a folder or URL that all can see"
            )

    def check_writable(self) -> None:
        """Raise HarnessError where nothing can be written here. Call it before a model is loaded."""
        name = f".can-write-{uuid.uuid4().hex[:8]}"
        self.write(name, b"")
        self.remove(name)

    def write(self, name: str, data: bytes) -> None:
        """Replace a file of this folder in one step. Raises HarnessError where that fails."""
        if self.folder is not None:
            write_atomically(self.folder / name, data)
            return
        path = f"{self._root}/{name}"
        try:
            with suppress(NotImplementedError):
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
            if self.kind in _OBJECTS:
                self._files.pipe_file(path, data)
            else:
                beside = f"{path}.{uuid.uuid4().hex[:8]}.partial"
                self._files.pipe_file(beside, data)
                self._files.mv(beside, path)
        except Exception as error:  # noqa: BLE001 - each file system has errors of its own
            raise HarnessError(f"can't write {self.place}/{name}: {first_line(error, with_type=True)}") from None

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)
        else:
            with suppress(Exception):
                self._files.rm_file(f"{self._root}/{name}")

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file. Raises HarnessError where it can't be read."""
        try:
            if self.folder is not None:
                return (self.folder / name).read_bytes()
            content: bytes = self._files.cat_file(f"{self._root}/{name}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:  # noqa: BLE001 - as in write()
            raise HarnessError(f"can't read {self.place}/{name}: {first_line(error, with_type=True)}") from None
        return content

    def names(self, subfolder: str = "") -> list[str]:
        """The files in a subfolder or below, in order, as paths from the run folder; none where it isn't there.

        Files that begin with a dot or end in ``.partial`` are in the middle of being written. Raises HarnessError.
        """
        if self.folder is not None:
            top = self.folder / subfolder
            paths = [path.relative_to(self.folder).as_posix() for path in top.rglob("*") if path.is_file()]
        else:
            paths = [path.removeprefix(f"{self._root}/") for path in self._listed(f"{self._root}/{subfolder}")]
        partial = [p for p in paths if p.endswith(".partial") or p.rpartition("/")[2].startswith(".")]
        return sorted(set(paths) - set(partial))

    def _listed(self, top: str) -> list[str]:
        try:
            self._files.invalidate_cache()  # other workers write, too
            return [str(path) for path in self._files.find(top.rstrip("/"))]
        except FileNotFoundError:
            return []
        except Exception as error:  # noqa: BLE001 - as in write()
            raise HarnessError(f"can't list {self.place}: {first_line(error, with_type=True)}") from None

    def read_all(self, subfolder: str) -> Mapping[str, bytes]:
        """The contents of all files in a subfolder, by name; one that is removed meanwhile is left out."""
        contents = {name: self.read(name) for name in self.names(subfolder)}
        return {name: data for name, data in contents.items() if data is not None}

    def upload(self, folder: Path) -> None:
        """Write every file of a local folder here. Raises HarnessError."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.write(path.relative_to(folder).as_posix(), path.read_bytes())

    @contextmanager
    def as_folder(self) -> Iterator[Path]:
        """This run folder as a folder of this machine: itself, or else a copy, whose changes are written back."""
        if self.folder is not None:
            yield self.folder
            return
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / self.name
            folder.mkdir()
            before = self.read_all("")
            for name, data in before.items():
                write_atomically(folder / name, data)
            yield folder
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                name, data = path.relative_to(folder).as_posix(), path.read_bytes()
                if before.get(name) != data:
                    self.write(name, data)


def _open(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    import fsspec  # here: a run in a local folder needs none of it

    scheme = url.partition("://")[0]
    try:
        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(scheme) or str(error.name or "").partition(".")[0]
        fix = f"; install it: pip install {package}" if package else ""
        raise HarnessError(f"{url} needs a package that is not installed ({first_line(error)}){fix}") from None
    except Exception as error:  # noqa: BLE001 - each file system has errors of its own
        raise HarnessError(f"{url} can't be opened: {first_line(error)}") from None
    return files, str(path).rstrip("/")


def read_place(place: str) -> str:
    """The text of one file at a path or a URL. Raises HarnessError where it can't be read."""
    folder, _, name = place.rpartition("/")
    data = Store(folder or ("/" if place.startswith("/") else ".")).read(name)
    if data is None:
        raise HarnessError(f"there is no {place}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise HarnessError(f"{place} is no text") from None
