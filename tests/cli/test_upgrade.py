"""``upgrade``: what is wrong on its command line is said before anything is begun. tests/e2e makes real runs."""

from __future__ import annotations

import pytest

from harness.cli.main import main
from harness.results.journal import Journal
from tests.helpers.upgrades import under


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cases").mkdir()
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "tolerances.toml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["0.33.1"],
            "'0.33.1' is no LABEL=RUN, like 0.42.1=reports/upgrade-0.42.1; to make the runs: upgrade --run 0.33",
        ),
        (["a=b", "--", "-k", "x"], "arguments of pytest mean nothing for finished runs; --run makes new ones"),
        ([], "an upgrade needs at least two runs"),
        (["--run", "0.33.1"], "one version alone (0.33.1) can't be compared"),
        (["--run", "0.33.1", "0.33.1"], "two of the versions are called 0.33.1"),
        (["--run", "--package", "torch", "2.9.1", "2.9.1"], "two of the versions are called torch-2.9.1"),
        (["a=nowhere", "b=nowhere"], "there is no run nowhere"),
        (["--run", "/a/diffusers", "/a/diffusers"], "two of the versions are called a-diffusers; name each one once"),
        (["--run", "a/diffusers", "b/diffusers"], "'a/diffusers' is no version: give a release"),
        (["--run", "--null", "x"], "--run makes the null run itself; leave out --null"),
        (["--run", "0.33.1", "a=b"], "'a=b' is no version: give a release of diffusers, one of 0.33.1, 0.35.2, pinned"),
        (
            ["--run", "--cases", "elsewhere"],
            "there is no elsewhere, where the case files should be; give --cases FOLDER",
        ),
        (["--run", "--tolerances", "x.toml"], "there is no x.toml, which says how far a figure may move"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_one_line_and_makes_nothing(arguments, message, folder, capsys):
    assert main(["upgrade", *arguments]) == 4
    told = capsys.readouterr().err
    assert told.startswith(f"error: {message}")
    assert told.count("\n") == 1
    assert sorted(p.name for p in folder.iterdir()) == ["baselines", "cases"]


@pytest.fixture
def journals(tmp_path):
    for run in (under("0.35"), under("0.42", 0, 0.4, 0)):
        journal = Journal(tmp_path / run.label)
        for record in run.records:
            journal.append(record)
        journal.close()
    (tmp_path / "t.toml").write_text('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 0.01\n')
    return tmp_path


def command(journals, *arguments):
    return main(["upgrade", *map(str, arguments), "--tolerances", str(journals / "t.toml")])


def test_the_command(journals, capsys):
    old, new = (f"{label}={journals / label}" for label in ("0.35", "0.42"))
    assert command(journals, old, new, "--markdown", journals / "out.md", "--every", journals / "every.md") == 0
    assert "| s-skip | harm |" in (journals / "every.md").read_text()
    assert "**m, float32: no**" in capsys.readouterr().out
    assert (journals / "out.md").read_text().startswith("# Upgrade check")
    assert command(journals, old, new, "--fail-on-regression") == 1
    assert command(journals, new, new.replace("0.42=", "again="), "--fail-on-regression") == 0
    (journals / "empty").mkdir()
    assert command(journals, old, f"0.43={journals / 'empty'}", "--fail-on-regression") == 1
    assert "**m, float32: no** (3 of 3 cases are missing or failed under 0.43)" in capsys.readouterr().out
    noisy = (new, new.replace("0.42=", "again="), "--null", journals / "0.35", "--fail-on-regression")
    assert command(journals, *noisy) == 1  # nothing can be said
    assert command(journals, old, "0.42") == 4
    assert "is no LABEL=RUN" in capsys.readouterr().err
