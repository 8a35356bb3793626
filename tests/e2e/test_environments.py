"""Virtual environments by the real venv and pip, from an index on disk."""

from __future__ import annotations

import subprocess
from importlib import metadata

import pytest

from harness.cli.diffusers_checkout import Checkout, state_of
from harness.cli.environments import Environments, releases
from harness.cli.harness_source import HarnessSource, rebuild_wheel
from harness.errors import HarnessError
from tests.helpers.wheels import use_index, write_checkout, write_wheel

VERSIONS = {
    "diffusers": ("0.33.1", "0.34.0", "0.42.1"),
    "transformers": ("4.51.3", "5.23.0"),
    "huggingface_hub": ("0.30.0", "2.4.0"),
    "tokenizers": ("0.21.4", "0.23.3"),
    "ballast": ("1.0", "2.0"),
}
# Builds a wheel of one module without any package beside it.
BACKEND = """
import zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "diffusers-0.50.0.dev0.dist-info"
    with zipfile.ZipFile(folder + "/diffusers-0.50.0.dev0-py3-none-any.whl", "w") as archive:
        archive.writestr({name!r}, {text!r})
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: diffusers\\nVersion: 0.50.0.dev0\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return "diffusers-0.50.0.dev0-py3-none-any.whl"
build_editable = build_wheel
"""


@pytest.fixture
def index(tmp_path, monkeypatch):
    folder = tmp_path / "index"
    for name, versions in VERSIONS.items():
        for version in versions:
            write_wheel(folder, name, version)
    use_index(monkeypatch, folder)
    return folder


@pytest.fixture
def source(tmp_path):
    wheel = write_wheel(tmp_path / "source", "house", "1.0", {"house.py": "ROOMS = 13\n"}, ["diffusers", "ballast"])
    return HarnessSource((str(wheel),), ("ballast==1.0", "diffusers==0.42.1", "tokenizers==0.23.3"), "digest")


def installed(environment):
    code = "from importlib import metadata; print(*(f'{d.name}=={d.version}' for d in metadata.distributions()))"
    done = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True)
    return {line.partition("==")[0]: line.partition("==")[2] for line in done.stdout.split()}


def imported(environment):
    """What the module says that a process of the environment imports."""
    code = "import diffusers; print(diffusers.VERSION)"
    return subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_an_environment_has_the_harness_its_diffusers_and_the_constraints_and_is_made_once(
    index, source, tmp_path, capsys
):
    environments = Environments(tmp_path / "made", source)
    (environment,) = environments.get(["0.34.0"])
    packages = installed(environment)
    expected = {"house": "1.0", "diffusers": "0.34.0", "ballast": "1.0", "transformers": "4.51.3"}
    assert expected.items() <= packages.items()
    assert (packages["huggingface_hub"], packages["tokenizers"]) == ("0.30.0", "0.21.4")
    assert "making an environment for 0.34.0 in" in capsys.readouterr().err
    assert (tmp_path / "made" / ".gitignore").read_text() == "*\n"

    assert environments.get(["0.34.0", "0.34.0"]) == [environment, environment]
    assert capsys.readouterr().err == ""
    (environment.python.parents[1] / "complete").unlink()  # as after a broken installation
    assert environments.get(["0.34.0"]) == [environment]
    assert "making" in capsys.readouterr().err


@pytest.mark.slow
def test_the_newest_and_the_pinned_are_not_taken_for_each_other_and_a_stale_one_is_not_used(index, source, tmp_path):
    environments = Environments(tmp_path / "made", source)
    newest, pinned = environments.get(["newest", "pinned"])
    assert newest.python != pinned.python
    assert installed(newest)["diffusers"] == installed(pinned)["diffusers"] == "0.42.1"
    write_wheel(index, "diffusers", "0.43.0")
    again = environments.get(["newest", "pinned"])
    assert again[1] == pinned
    assert again[0].python != newest.python
    assert installed(again[0])["diffusers"] == "0.43.0"


def test_whatever_it_is_made_from_is_in_its_digest(index, source, tmp_path):
    """Without making any: the folder's name tells."""

    def name(label="0.34.0", source=source, more=()):
        return Environments(tmp_path, source, more)._recipe(label).folder_name

    other = HarnessSource(source.arguments, source.constraints, "another digest")
    constrained = HarnessSource(source.arguments, ("ballast==2.0",), source.digest)
    names = [name(), name("0.33.1"), name(source=other), name(source=constrained), name(more=("peft",))]
    assert len(set(names)) == len(names)
    assert name() == names[0]
    assert names[0].startswith("0.34.0-")


@pytest.mark.slow
def test_a_checkout_of_diffusers_is_installed_editable_and_more_beside_it(index, source, tmp_path, monkeypatch):
    checkout = write_checkout(tmp_path / "mine" / "diffusers", "0.50.0")
    monkeypatch.chdir(tmp_path)
    (environment,) = Environments(tmp_path / "made", source, ("ballast==1.0",)).get(["mine/diffusers"])
    assert environment.python.parents[1].name.startswith("diffusers-")
    (checkout / "src" / "diffusers" / "__init__.py").write_text("VERSION = 'edited'\n")  # an edit is seen at once
    assert imported(environment) == "edited"


@pytest.mark.nightly
def test_a_checkout_is_installed_anew_each_time_and_two_of_one_name_are_two_environments(
    index, source, tmp_path, capsys
):
    """Its second use once tested what its first use had installed, and another clone's use, too."""
    mine, theirs = (write_checkout(tmp_path / whose / "diffusers", "0.50.0") for whose in ("mine", "theirs"))
    environments = Environments(tmp_path / "made", source)
    first, other = environments.get([str(mine), str(theirs)])
    assert first.python != other.python
    assert first.digest != other.digest
    capsys.readouterr()
    write_checkout(mine, "0.51.0")
    again, same = environments.get([str(mine), str(theirs)])
    assert (again.python, same) == (first.python, other)
    assert again.digest != first.digest
    assert (installed(again)["diffusers"], installed(same)["diffusers"]) == ("0.51.0", "0.50.0")
    assert (imported(again), imported(same)) == ("0.51.0", "0.50.0")
    said = capsys.readouterr().err
    assert "making an environment" not in said
    assert f"installing {mine} (files {again.checkout.state.split()[1]}) in" in said


def test_the_state_of_a_checkout_is_its_commit_and_what_differs_from_it(repository):
    clean = state_of(repository)
    assert clean == git(repository, "rev-parse", "HEAD")[:12]
    file, text = repository / "backend.py", (repository / "backend.py").read_text()
    states = [clean]
    for change in ("# one\n", "# two\n"):
        file.write_text(text + change)
        states.append(state_of(repository))
    file.write_text(text)
    assert state_of(repository) == clean
    (repository / "new.py").write_text("1\n")
    states.append(state_of(repository))
    (repository / "new.py").write_text("2\n")
    states.append(state_of(repository))
    git(repository, "add", "new.py")  # staged or not is the same to a run, and still another state than the commit
    states.append(state_of(repository))
    assert len(set(states)) == len(states)
    assert all(state.startswith(f"{clean} with changes ") for state in states[1:])
    git(repository, "commit", "-qm", "new")
    assert state_of(repository) == git(repository, "rev-parse", "HEAD")[:12] != clean
    (repository / "diffusers.egg-info").mkdir()  # pip's
    (repository / "diffusers.egg-info" / "PKG-INFO").write_text("1")
    assert " with " not in state_of(repository)


def test_without_a_repository_of_its_own_the_state_is_that_of_all_files(repository, tmp_path, monkeypatch):
    inside = write_checkout(repository / "unpacked", "0.50.0")  # somebody else's repository around it
    alone = write_checkout(tmp_path / "alone", "0.50.0")
    for folder in (inside, alone):
        first = state_of(folder)
        assert first.startswith("files ")
        (folder / "src" / "diffusers" / "__init__.py").write_text("VERSION = 'edited'\n")
        edited = state_of(folder)
        assert edited != first
        (folder / ".git-like").mkdir()
        (folder / ".git-like" / "x").write_text("hidden")
        assert state_of(folder) == edited
    monkeypatch.setenv("PATH", str(tmp_path))  # no git
    assert state_of(repository).startswith("files ")


def test_a_checkout_that_was_edited_since_is_an_error(tmp_path):
    folder = write_checkout(tmp_path / "diffusers", "0.50.0")
    checkout = Checkout(folder, state_of(folder))
    checkout.check_unchanged()
    write_checkout(folder, "0.51.0")
    with pytest.raises(HarnessError, match=r"diffusers was changed while the runs were made \(from files \w+ to files"):
        checkout.check_unchanged()


@pytest.mark.slow
def test_another_package_alone_has_its_release_and_the_rest_stays_pinned(index, source, tmp_path):
    (environment,) = Environments(tmp_path / "made", source, ("transformers",)).get(["transformers==4.51.3"])
    assert environment.python.parents[1].name.startswith("transformers-4.51.3-")
    expected = {"transformers": "4.51.3", "diffusers": "0.42.1", "ballast": "1.0", "tokenizers": "0.23.3"}
    assert expected.items() <= installed(environment).items()
    (newest,) = Environments(tmp_path / "made", source).get(["ballast==newest"])
    assert installed(newest)["ballast"] == "2.0"


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.invalid", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(folder, number):
    """A commit of a diffusers whose module holds that number."""
    module = {"name": "diffusers/__init__.py", "text": f"NUMBER = {number}\n"}
    (folder / "backend.py").write_text(BACKEND.format(**module))
    git(folder, "add", ".")
    git(folder, "commit", "-qm", str(number))
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path):
    """A git repository of diffusers with two commits on its main branch, the first one tagged."""
    folder = tmp_path / "upstream" / "diffusers"
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    commit(folder, 1)
    git(folder, "tag", "-a", "v1", "-m", "one")
    commit(folder, 2)
    git(folder, "branch", "other/main", "v1")  # its name ends like that of the main branch
    return folder


@pytest.mark.nightly
def test_a_git_reference_is_the_commit_that_it_points_to_now(index, source, repository, tmp_path):
    def module(label):
        (environment,) = Environments(tmp_path / "made", source).get([label])
        code = "import diffusers; print(diffusers.NUMBER)"
        done = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip(), environment.python.parents[1].name

    here = f"git+file://{repository}"
    number, name = module(f"{here}@main")
    assert (number, name.startswith("diffusers-main-")) == ("2", True)
    assert module(f"{here}@v1")[0] == "1"
    assert module(f"{here}@main") == (number, name)
    commit(repository, 3)
    assert module(f"{here}@main")[0] == "3"  # the branch moved on, and another environment was made


def test_a_git_reference_is_looked_up_without_making_anything(index, source, repository, tmp_path):
    def digest(reference):
        return Environments(tmp_path / "made", source)._recipe(f"git+file://{repository}{reference}").digest

    head = git(repository, "rev-parse", "HEAD")
    assert digest("@main") == digest(f"@{head}") == digest("")
    assert digest("@v1") == digest("@" + git(repository, "rev-parse", "HEAD~1")) != digest("@main")
    with pytest.raises(HarnessError, match=r"git\+file://\S*diffusers has no nothing: it has no such branch or tag"):
        digest("@nothing")
    with pytest.raises(HarnessError, match=r"git\+file://\S*nowhere has no main: "):
        Environments(tmp_path / "made", source).get([f"git+file://{repository.parent}/nowhere@main"])
    assert not (tmp_path / "made").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["source", "more"])
def test_what_pip_cannot_install_is_one_line(what, index, source, tmp_path):
    more, lacking = ("no-such-package",), "no-such-package"
    if what == "source":
        (index / "ballast-1.0-py3-none-any.whl").unlink()
        more, lacking = (), "Cannot install house==1.0 because"
    with pytest.raises(HarnessError, match=rf"^pip can't make an environment for 0.34.0: .*{lacking}") as raised:
        Environments(tmp_path / "made", source, more).get(["0.34.0"])
    assert "\n" not in str(raised.value)
    (log,) = (tmp_path / "made").glob("*/log.txt")
    assert str(raised.value).endswith(f"; see {log}")
    assert "No matching distribution" in log.read_text() or "conflict" in log.read_text()


def test_a_release_of_another_package_that_the_registry_lacks_is_one_line(index, source, tmp_path):
    with pytest.raises(
        HarnessError, match=r"^the registry has no transformers 4.0.0; the newest that it has are 4.51.3"
    ):
        Environments(tmp_path / "made", source).get(["transformers==4.0.0"])
    assert not (tmp_path / "made").exists()


def test_a_release_that_the_registry_lacks_is_one_line_and_makes_nothing(index, source, tmp_path):
    message = "^the registry has no diffusers 0.39.7; the newest that it has are 0.33.1, 0.34.0, 0.42.1$"
    with pytest.raises(HarnessError, match=message):
        Environments(tmp_path / "made", source).get(["0.34.0", "0.39.7"])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("label", ["0.33", "nowhere", "NEWEST"])
def test_an_unknown_label_is_one_line_and_makes_nothing(label, index, source, tmp_path):
    with pytest.raises(
        HarnessError, match=rf"'{label}' is no version: give a release .* 0.33.1, 0.35.2, pinned, newest"
    ):
        Environments(tmp_path / "made", source).get(["0.34.0", label])
    assert not (tmp_path / "made").exists()


def test_releases_are_the_registrys_the_oldest_first(index):
    assert releases("diffusers") == ["0.33.1", "0.34.0", "0.42.1"]
    write_wheel(index, "diffusers", "0.100.0")
    write_wheel(index, "diffusers", "0.43.0rc1")
    assert releases("diffusers")[-1] == "0.100.0"


def test_a_registry_without_the_package_is_one_line(index):
    message = r"^pip finds no release of nothing-here: No matching distribution.*; check the network and pip's settings"
    with pytest.raises(HarnessError, match=message):
        releases("nothing-here")


@pytest.mark.slow
def test_pip_installs_a_rebuilt_wheel(index, tmp_path):
    """What is installed here, rebuilt, is installed there with the same files."""
    here = metadata.distribution("safetensors")
    wheel, digest = rebuild_wheel(here, tmp_path / "wheels")
    source = HarnessSource((str(wheel),), (), digest)
    (environment,) = Environments(tmp_path / "made", source).get(["0.33.1"])
    assert installed(environment)["safetensors"] == here.version
    code = "import safetensors; print(safetensors.__version__)"
    done = subprocess.run([environment.python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here.version
