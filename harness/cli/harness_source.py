"""How another environment gets this very harness: from its checkout, or from the files that are installed here."""

from __future__ import annotations

import hashlib
import re
import tomllib
import zipfile
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.cli.version_pins import OLDEST, package
from harness.errors import HarnessError

_DISTRIBUTION = "dit-ablation-harness"
_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # what pip writes beside a wheel's own metadata


@dataclass(frozen=True)
class HarnessSource:
    """What pip installs for the harness.

    ``arguments`` are pip's, ``constraints`` the lines of a constraints file, ``digest`` changes with what is installed.
    """

    arguments: tuple[str, ...]
    constraints: tuple[str, ...]
    digest: str


def harness_source(folder: Path) -> HarnessSource:
    """The checkout that the harness runs from, or else a wheel of the installed files, which is written to ``folder``.

    Without a checkout the constraints are the versions, installed here, of what the harness requires. Raises
    HarnessError where it runs from neither.
    """
    root = Path(__file__).resolve().parents[2]
    if _is_checkout(root):
        file = root / "constraints.txt"
        constraints = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        project = (root / "pyproject.toml").read_bytes()
        return HarnessSource(("-e", str(root)), tuple(constraints), hashlib.sha256(project).hexdigest())
    try:
        distribution = metadata.distribution(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        raise HarnessError(
            f"{root / 'harness'} is neither in a checkout nor installed, so it can't be put into another environment; "
            "install it with pip"
        ) from None
    wheel, digest = rebuild_wheel(distribution, folder)
    return HarnessSource((str(wheel),), tuple(installed_versions(distribution)), digest)


def _is_checkout(root: Path) -> bool:
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(project.get("project", {}).get("name") == _DISTRIBUTION)


def installed_versions(distribution: metadata.Distribution) -> list[str]:
    """Constraint lines for what a distribution requires (extras aside), and for OLDEST's packages: as installed here.

    A local version (``2.9.0+cpu``) is left out: any build of that version will do.
    """
    required = [package(line) for line in distribution.requires or () if "extra ==" not in line]
    lines: list[str] = []
    for name in dict.fromkeys([*required, *OLDEST]):
        try:
            lines.append(f"{name}=={metadata.version(name).partition('+')[0]}")
        except metadata.PackageNotFoundError:
            continue
    return lines


def rebuild_wheel(distribution: metadata.Distribution, folder: Path) -> tuple[Path, str]:
    """Pack an installed distribution's files into a wheel again: the wheel, and a digest of its contents.

    What pip adds when it installs is left out: scripts (made again from the entry points), bytecode, its own notes.
    Raises HarnessError where a file is gone, and for what was not installed from a wheel.
    """
    contents: dict[str, bytes] = {}
    for file in distribution.files or ():
        note = file.parent.suffix == ".dist-info" and file.name in _NOTES
        if file.parts[0] == ".." or "__pycache__" in file.parts or note:
            continue
        try:
            contents[file.as_posix()] = Path(str(file.locate())).read_bytes()
        except OSError as error:
            raise HarnessError(f"can't pack {distribution.name}: {file}: {error.strerror}; install it again") from None
    about = next((name for name in contents if name.endswith(".dist-info/WHEEL")), None)
    if about is None:
        raise HarnessError(f"{distribution.name} was not installed from a wheel; install it again with pip")
    tag = re.search(r"^Tag: (\S+)", contents[about].decode(), flags=re.MULTILINE)
    info = about.removesuffix("/WHEEL")
    record = "".join(f"{name},sha256={_record_digest(data)},{len(data)}\n" for name, data in contents.items())
    digest = hashlib.sha256(record.encode()).hexdigest()
    wheel = (
        folder / f"wheel-{digest[:12]}" / f"{info.removesuffix('.dist-info')}-{tag[1] if tag else 'py3-none-any'}.whl"
    )
    wheel.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return wheel, digest


def _record_digest(data: bytes) -> str:
    """As a wheel's RECORD has it."""
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
