"""A package index on disk: wheels of a few lines, which pip finds by ``PIP_FIND_LINKS``."""

from __future__ import annotations

import zipfile


def write_wheel(folder, name, version, files=None, requires=()):
    """A wheel with these files (path -> text), by default an empty package."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    files = {f"{name}/__init__.py": ""} if files is None else files
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    files = {
        **files,
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for place, text in files.items():
            archive.writestr(place, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{place},,\n" for place in [*files, f"{info}/RECORD"]))
    return path


def use_index(monkeypatch, folder):
    """Let pip, here and in processes started from here, look into that folder and nowhere else."""
    for name, value in pip_settings(folder).items():
        monkeypatch.setenv(name, value)


def pip_settings(folder):
    """Environment variables for :func:`use_index`."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": "/dev/null"}
