"""Virtual environments with given versions and this very harness, made once and found again.

An environment of a folder with a checkout of diffusers belongs to that folder, by its whole path. Its packages are
installed anew each time that it is asked for, since nothing but the folder itself says what is in it by now.

pip's own settings decide where packages come from: ``PIP_INDEX_URL``, ``PIP_FIND_LINKS``, pip.conf.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cli.diffusers_checkout import Checkout, state_of
from harness.cli.harness_source import HarnessSource
from harness.cli.version_pins import (
    GIT,
    LABELS,
    MAIN,
    NEWEST,
    constraint_lines,
    git_reference,
    pins,
    releases_asked_for,
    short_name,
)
from harness.errors import HarnessError

_COMPLETE = "complete"  # a file in an environment, written last
_LOG = "log.txt"


@dataclass(frozen=True)
class Environment:
    """A virtual environment: its interpreter, and a digest of all that it was made from.

    ``checkout`` is the folder of diffusers that is installed, in the state that the digest covers; None for a release.
    """

    python: Path
    digest: str
    checkout: Checkout | None = None


@dataclass(frozen=True)
class _Recipe:
    """What an environment is made from; ``digest`` covers all of it but what is in the folder of ``checkout``."""

    label: str
    constraints: Sequence[str]
    requirements: Sequence[str]
    digest: str
    checkout: Checkout | None = None

    @property
    def folder_name(self) -> str:
        return f"{short_name(self.label)}-{self.digest[:12]}"

    @property
    def contents_digest(self) -> str:
        """A digest of all of it, the state of the checkout's files, too."""
        if self.checkout is None:
            return self.digest
        return hashlib.sha256(f"{self.digest}\n{self.checkout.state}".encode()).hexdigest()


@dataclass(frozen=True)
class Environments:
    """Environments by label, kept in ``folder``. ``more`` are requirements that are installed into each, too."""

    folder: Path
    source: HarnessSource
    more: tuple[str, ...] = ()

    def get(self, labels: Sequence[str]) -> list[Environment]:
        """The environment of each label. One is made where there is none of these contents.

        A label is one that :func:`harness.cli.version_pins.pins` knows, ``main`` or a git reference of diffusers, or a
        folder with a checkout of it, which is installed anew. A branch is the commit that it points to now. Raises
        HarnessError for anything else and for a release or reference that isn't there, before an environment is made,
        and where pip can't install one.
        """
        recipes = [self._recipe(label) for label in labels]
        missing = {r.folder_name: r for r in recipes if not (self.folder / r.folder_name / _COMPLETE).exists()}
        for recipe in missing.values():
            for package, release in releases_asked_for(recipe.label).items():
                check_release(release, releases(package), package)
        for name, recipe in {recipe.folder_name: recipe for recipe in recipes}.items():
            if name in missing:
                _make(self.folder / name, recipe)
            elif recipe.checkout is not None:
                _install(self.folder / name, recipe)
        return [
            Environment(_python(self.folder / recipe.folder_name), recipe.contents_digest, recipe.checkout)
            for recipe in recipes
        ]

    def _recipe(self, label: str) -> _Recipe:
        specifiers = pins(label)
        reference = git_reference(label)
        checkout = None
        facts: list[str] = []
        if reference is not None:
            repository, commit = reference[0], _commit(*reference)
            specifiers, wanted = NEWEST, [f"{repository}@{commit}#egg=diffusers"]  # pip reads git+file:// so alone
            facts = [commit]
        elif specifiers is None:
            folder = _diffusers_folder(label)
            checkout = Checkout(folder, state_of(folder))
            specifiers, wanted = NEWEST, ["-e", str(folder)]
        else:
            wanted = [name + specifier for name, specifier in specifiers.items()]
        # "newest" is another environment once there is a newer release.
        facts += [f"{name}=={releases(name)[-1]}" for name, specifier in specifiers.items() if not specifier]
        constraints = constraint_lines(self.source.constraints, specifiers)
        requirements = [*self.source.arguments, *wanted, *self.more]
        text = "\n".join([sys.version, self.source.digest, *facts, *constraints, *requirements])
        return _Recipe(label, constraints, requirements, hashlib.sha256(text.encode()).hexdigest(), checkout)


def process_variables(python: Path) -> dict[str, str]:
    """Environment variables for a process of an interpreter.

    Another interpreter than this one gets no PYTHONPATH: packages on it would be imported instead of its own, and pip
    would count them as installed.
    """
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH" or str(python) == sys.executable}


def releases(name: str) -> list[str]:
    """The registry's releases of a package for this Python, the oldest first. Raises HarnessError where it has none."""
    done = _call([sys.executable, "-m", "pip", "index", "versions", name])
    listed = re.search(r"Available versions: (.*)", done.stdout)
    if listed is None:
        raise HarnessError(
            f"pip finds no release of {name}: {_last_error(done)}; check the network and pip's settings (PIP_INDEX_URL)"
        )
    return [version.strip() for version in listed[1].split(",")][::-1]


def check_release(release: str, known: Sequence[str], package: str = "diffusers") -> None:
    """Raise HarnessError for a release of a package that isn't among those of the registry."""
    if release not in known:
        raise HarnessError(
            f"the registry has no {package} {release}; the newest that it has are {', '.join(known[-5:])}"
        )


def _diffusers_folder(label: str) -> Path:
    folder = Path(label).resolve()
    if not (folder / "setup.py").exists():
        raise HarnessError(
            f"{label!r} is no version: give a release of diffusers, one of {', '.join(LABELS)}, {MAIN}, a package with "
            "its release (transformers==4.56.2), a git reference (git+URL@BRANCH), or a folder with a checkout of "
            "diffusers"
        )
    return folder


def _commit(repository: str, reference: str) -> str:
    """The commit that a branch or a tag of a repository points to; a whole commit as it is. Raises HarnessError."""
    if re.fullmatch(r"[0-9a-f]{40}", reference):
        return reference
    # A branch before a tag, as pip has it; what an annotated tag is about stands behind ^{}. A bare name would also
    # match the end of others (x/main).
    names = [f"refs/heads/{reference}", f"refs/tags/{reference}^{{}}", f"refs/tags/{reference}", reference]
    try:
        done = _call(["git", "ls-remote", repository.removeprefix(GIT), *names])
    except OSError:
        raise HarnessError(f"git is not installed, so {repository}@{reference} can't be had") from None
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in done.stdout.splitlines())}
    for name in names:
        if name in commits:
            return commits[name]
    fatal = [line.removeprefix("fatal: ") for line in done.stderr.splitlines() if line.startswith("fatal: ")]
    why = (fatal or [_last_error(done)])[0] if done.returncode else "it has no such branch or tag"
    raise HarnessError(f"{repository} has no {reference}: {why}")


def _make(folder: Path, recipe: _Recipe) -> None:
    print(f"making an environment for {recipe.label} in {folder}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / ".gitignore").write_text("*\n", encoding="utf-8")  # gigabytes that nobody wants to commit
    _check(_call([sys.executable, "-m", "venv", "--clear", str(folder)]), f"can't make {folder}", folder)
    _install(folder, recipe)


def _install(folder: Path, recipe: _Recipe) -> None:
    """Install what the recipe names; of what is there already, only folders anew."""
    (folder / _COMPLETE).unlink(missing_ok=True)
    if recipe.checkout is not None:
        print(f"installing {recipe.checkout.folder} ({recipe.checkout.state}) in {folder}", file=sys.stderr)
    file = folder / "constraints.txt"
    file.write_text("\n".join([*recipe.constraints, ""]), encoding="utf-8")
    pip = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", str(file)]
    _check(_call([*pip, *recipe.requirements]), f"pip can't make an environment for {recipe.label}", folder)
    (folder / _COMPLETE).touch()


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _call(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    variables = process_variables(Path(command[0]))
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables)  # noqa: S603 - venv, pip


def _check(done: subprocess.CompletedProcess[str], what: str, folder: Path) -> None:
    if done.returncode:
        (folder / _LOG).write_text(done.stdout + done.stderr, encoding="utf-8")
        raise HarnessError(f"{what}: {_last_error(done)}; see {folder / _LOG}")


def _last_error(done: subprocess.CompletedProcess[str]) -> str:
    """The last line that says ERROR, as pip's do, or the last line of all."""
    lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    errors = [line for line in errors if not line.startswith("ResolutionImpossible")]  # the address of pip's manual
    return (errors or lines or [f"exit code {done.returncode}"])[-1].rstrip(".")
