"""A package index on disk, of wheels of a few lines which pip finds by ``PIP_FIND_LINKS``; a checkout of diffusers."""

from __future__ import annotations

import zipfile

# Builds the wheel of an editable installation without any package beside it.
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    info = "diffusers-{version}.dist-info"
    name = "diffusers-{version}-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        archive.writestr("diffusers.pth", {source!r})
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: diffusers\\nVersion: {version}\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return name
"""


def write_checkout(folder, version):
    """A folder with a checkout of diffusers: a package of one line, ``VERSION``, and what pip builds it with."""
    package = folder / "src" / "diffusers"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(f"VERSION = {version!r}\n")
    (folder / "setup.py").write_text("")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    (folder / "backend.py").write_text(BACKEND.format(version=version, source=str(package.parent)))
    return folder


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
