"""A folder with a checkout of diffusers: what state its files are in.

A run under a folder's files says something about these files alone. The state is the commit and what was changed since,
so that a run is not taken for one of another state.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError

_MADE_BY_PIP = (".egg-info", ".dist-info")


@dataclass(frozen=True)
class Checkout:
    """A folder of diffusers; ``state`` tells one state of its files from another: ``4f1c20a with changes 09ab12``."""

    folder: Path
    state: str

    def check_unchanged(self) -> None:
        """Raise HarnessError where the files are not in that state any more."""
        now = state_of(self.folder)
        if now != self.state:
            raise HarnessError(
                f"{self.folder} was changed while the runs were made (from {self.state} to {now}), so they are of "
                "neither state; start again, and give a copy of the folder if you want to go on working in it"
            )


def state_of(folder: Path) -> str:
    """The state of a folder's files: the commit, and a digest of what differs from it; without git, of all files."""
    top = _git(folder, "rev-parse", "--show-toplevel")
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if top is None or commit is None or Path(top.decode().strip()).resolve() != folder.resolve():
        files = (path for path in sorted(folder.rglob("*")) if _is_source(path.relative_to(folder)))
        return f"files {_digest(folder, files)}"
    changes = _git(folder, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD") or b""
    others = _git(folder, "ls-files", "--others", "--exclude-standard", "-z") or b""
    names = (Path(name.decode(errors="surrogateescape")) for name in others.split(b"\0") if name)
    untracked = [folder / name for name in names if _is_source(name)]
    short = commit.decode()[:12]
    return f"{short} with changes {_digest(folder, untracked, changes)}" if changes or untracked else short


def _is_source(path: Path) -> bool:
    hidden = any(part.startswith(".") or part.endswith(_MADE_BY_PIP) for part in path.parts)
    return not hidden and "__pycache__" not in path.parts


def _digest(folder: Path, files: Iterable[Path], start: bytes = b"") -> str:
    together = hashlib.sha256(start)
    for file in files:
        if file.is_file():
            together.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode(errors="surrogateescape"))
            together.update(file.read_bytes())
    return together.hexdigest()[:12]


def _git(folder: Path, *arguments: str) -> bytes | None:
    """What git prints; None where it fails or isn't there."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)  # noqa: S603, S607
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
