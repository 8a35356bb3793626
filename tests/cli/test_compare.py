"""``python -m harness compare``."""

from __future__ import annotations

import pytest

from harness.cli.main import main
from harness.gates.comparison import compare
from harness.results.journal import Journal
from tests.helpers.records import TOLERANCES, quality, shifted


def one(records, others, tolerances=TOLERANCES):
    (found,) = compare(records, others, tolerances)
    return found


@pytest.fixture
def runs(tmp_path):
    run = [quality("skip", 1.0), quality("reverse", 0.2)]
    for name, records in (("a", run), ("b", [run[0], shifted(run[1], 0.4)])):
        journal = Journal(tmp_path / name)
        for record in records:
            journal.append(record)
        journal.close()
    (tmp_path / "tolerances.toml").write_text('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 0.01\n')
    return tmp_path


def command(runs, *arguments):
    return main(["compare", *map(str, arguments), "--tolerances", str(runs / "tolerances.toml")])


def test_the_command_prints_what_moved_and_fails_when_asked_to(runs, capsys):
    a, b = runs / "a", runs / "b"
    assert command(runs, a, b) == 0
    text = capsys.readouterr().out
    assert "s-reverse" in text
    assert "s-skip" not in text
    assert command(runs, a, b, "--fail-on-regression", "--markdown", runs / "out.md") == 1
    assert "| s-reverse | harm | 0.2 | 0.6 |" in (runs / "out.md").read_text()
    assert command(runs, b, a, "--fail-on-regression") == 0  # better is no regression
    assert command(runs, a, a, "--all", "--fail-on-regression") == 0
    assert "s-skip" in capsys.readouterr().out


def test_without_a_file_of_ones_own_the_harness_tolerances_hold(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs / "a")
    assert main(["compare", str(runs / "a"), str(runs / "b"), "--fail-on", "change"]) == 1
    assert "s-reverse" in capsys.readouterr().out
    (runs / "a" / "baselines").mkdir()
    own = runs / "a" / "baselines" / "tolerances.toml"
    own.write_text('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 5\n')
    assert main(["compare", str(runs / "a"), str(runs / "b"), "--fail-on", "change"]) == 0
    assert main(["compare", str(runs / "a"), str(runs / "b"), "--tolerances", "t.toml"]) == 4
    assert "there is no t.toml" in capsys.readouterr().err


def test_what_counts_as_a_difference_can_be_chosen(runs):
    a, b = runs / "a", runs / "b"
    # The worse, its reverse, a little inside the tolerance, and the very same.
    nearly = shifted(quality("reverse", 0.2), 0.001)
    journal = Journal(runs / "c")
    for record in (quality("skip", 1.0), nearly):
        journal.append(record)
    journal.close()
    expected = {(a, b): (1, 1, 1), (b, a): (0, 1, 1), (a, runs / "c"): (0, 0, 1), (a, a): (0, 0, 0)}
    for (one, other), codes in expected.items():
        found = tuple(command(runs, one, other, "--fail-on", how) for how in ("regression", "change", "bits"))
        assert found == codes, (one.name, other.name)


def test_bad_input_is_one_line(runs, capsys):
    assert command(runs, runs / "a", runs / "nowhere") == 4
    assert "no journal in" in capsys.readouterr().err
    assert main(["compare", str(runs / "a"), str(runs / "b"), "--tolerances", str(runs / "none.toml")]) == 4
    assert "give --tolerances FILE" in capsys.readouterr().err
