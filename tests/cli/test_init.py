"""``python -m harness init``: what it makes and what it leaves alone. tests/e2e/test_wheel.py runs what it made."""

from __future__ import annotations

import shutil

import pytest

from harness.cli.main import main
from harness.gates.tolerances import DEFAULTS, load_tolerances, tolerances_of
from harness.models.checkpoints.resolve import BUNDLED

MADE = [
    ".github/workflows/ablations.yml",
    ".gitignore",
    "baselines/tolerances.toml",
    "cases/test_flux_tiny.py",
    "pytest.ini",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, cache):
    """The folder that the command is started in; the hub's cache is another one, and empty."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_it_makes_all_that_is_needed_and_says_what_to_run(folder, capsys):
    assert main(["init"]) == 0
    assert files(folder) == MADE
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.removeprefix("made ") for line in lines if line.startswith("made ")) == MADE
    commands = [line.split("   ")[0].strip() for line in lines[lines.index("next:") + 1 :]]
    assert commands[:3] == [
        "pytest cases/ --dit-quick",
        "pytest cases/ --dit-baseline-update=missing",
        "git add cases baselines pytest.ini .github .gitignore",
    ]
    assert commands[3].startswith("the workflow installs dit-ablation-harness==")
    own = tolerances_of(folder / "baselines")
    assert {t.file for t in own} == {"tolerances.toml"}
    assert [t.metric for t in own] == [t.metric for t in load_tolerances(DEFAULTS)]


def test_it_overwrites_nothing(folder, capsys):
    main(["init"])
    for name in MADE:
        (folder / name).write_text(f"# mine: {name}\n")
    capsys.readouterr()
    assert main(["init", "--checkpoint", "flux-tiny", "--checkpoint", "sd3-tiny"]) == 0
    out = capsys.readouterr().out
    assert {name: (folder / name).read_text() for name in MADE} == {name: f"# mine: {name}\n" for name in MADE}
    for name in MADE:
        assert f"kept {name}, which is there already" in out or name == "pytest.ini"
    assert "made cases/test_sd3_tiny.py" in out
    assert "add /reports/ to .gitignore: runs are written there" in out


def test_a_real_checkpoint_has_cases_before_its_download_and_a_gpu_of_its_own(folder, capsys):
    assert main(["init", "there", "--checkpoint", "FLUX.1-schnell"]) == 0
    out = capsys.readouterr().out
    assert "\n  cd there\n  hf download black-forest-labs/FLUX.1-schnell " in out
    assert '"FLUX.1-schnell",' in (folder / "there" / "cases" / "test_flux_1_schnell.py").read_text()
    assert "[self-hosted, gpu]" in (folder / "there" / MADE[0]).read_text()


@pytest.mark.parametrize(("place", "named"), [(".", "./small"), ("elsewhere", "../small")])
def test_a_folder_is_named_from_where_pytest_is_started(place, named, folder):
    shutil.copytree(BUNDLED / "auraflow-tiny", folder / "small")
    assert main(["init", place, "--checkpoint", "small"]) == 0
    assert f'    "{named}",\n' in (folder / place / "cases" / "test_small.py").read_text()


def test_an_unknown_checkpoint_is_one_line_and_nothing_is_made(folder, capsys):
    assert main(["init", "--checkpoint", "flux-tiny", "--checkpoint", "flux-tinny"]) == 4
    assert capsys.readouterr().err.startswith("error: checkpoint 'flux-tinny'")
    assert files(folder) == []


def test_what_is_in_the_way_is_one_line(folder, capsys):
    (folder / "cases").write_text("")
    assert main(["init"]) == 4
    assert capsys.readouterr().err.startswith("error: can't write cases/test_flux_tiny.py: something else is in its")
