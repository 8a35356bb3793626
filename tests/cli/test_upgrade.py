"""``upgrade``: what is wrong on its command line is said before anything is begun. tests/e2e makes real runs."""

from __future__ import annotations

import pytest

from harness.cli.main import main


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
        (["--run", "a/diffusers", "b/diffusers"], "two of the versions are called diffusers"),
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
