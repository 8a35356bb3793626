"""Bisection: the first release that changed something, against a linear scan."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.bisect import before, between, first_changed, most_asked
from harness.cli.main import main
from harness.errors import HarnessError

KNOWN = ["0.32.2", "0.33.0", "0.33.1", "0.34.0", "0.35.0"]


def scan(releases, changed):
    """The slow reference."""
    return next((release for release in releases[1:] if changed(release)), None)


@given(st.integers(2, 60), st.data())
def test_it_finds_what_a_linear_scan_finds(number, data):
    releases = [str(i) for i in range(number)]
    first = data.draw(st.integers(1, number))  # from there on; at `number` nothing changed
    asked = []

    def changed(release):
        asked.append(release)
        return int(release) >= first

    assert first_changed(releases, changed) == scan(releases, lambda r: int(r) >= first)
    assert len(asked) == len(set(asked)) <= most_asked(number)
    assert "0" not in asked


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_what_changes_back_still_gives_a_release_that_changed_after_one_that_had_not(later):
    flags = [False, *later]
    releases = [str(i) for i in range(len(flags))]
    first = first_changed(releases, lambda release: flags[int(release)])
    if not flags[-1]:
        assert first is None
        return
    assert flags[int(first)]
    assert not flags[int(before(releases, first))]


@pytest.mark.parametrize(("number", "most"), [(2, 1), (3, 2), (4, 3), (5, 3), (6, 4), (33, 6)])
def test_the_number_of_questions(number, most):
    assert most_asked(number) == most
    releases = [str(i) for i in range(number)]
    asked = []
    for first in range(1, number):
        asked.append([])
        first_changed(releases, lambda release, first=first: asked[-1].append(release) or int(release) >= first)
    assert max(map(len, asked)) == most


def test_the_releases_between_two():
    assert between(KNOWN, "0.33.0", "0.34.0") == ["0.33.0", "0.33.1", "0.34.0"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.33.9", "0.34.0", r"the registry has no diffusers 0.33.9; the newest that it has are 0.32.2, .*0.35.0"),
        ("0.33.1", "newest", "the registry has no diffusers newest"),
        ("0.34.0", "0.33.1", "diffusers 0.33.1 is not later than 0.34.0; give the old release first"),
        ("0.34.0", "0.34.0", "diffusers 0.34.0 is not later than 0.34.0"),
    ],
)
def test_releases_that_cannot_be_searched(old, new, message):
    with pytest.raises(HarnessError, match=message):
        between(KNOWN, old, new)


def test_releases_of_another_package_are_called_so():
    with pytest.raises(HarnessError, match="the registry has no transformers 9"):
        between(KNOWN, "0.33.1", "9", "transformers")
    with pytest.raises(HarnessError, match=r"transformers 0\.33\.1 is not later than 0\.34\.0"):
        between(KNOWN, "0.34.0", "0.33.1", "transformers")


def test_without_the_tolerances_that_are_named_or_cases_nothing_is_begun(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["bisect", "0.33.1", "0.35.0", "--tolerances", "t.toml"]) == 4
    assert "there is no t.toml, which says how far a figure may move" in capsys.readouterr().err
    assert main(["bisect", "0.33.1", "0.35.0"]) == 4  # without a file, the harness's own tolerances
    assert "there is no cases" in capsys.readouterr().err
    (tmp_path / "t.toml").write_text("")
    assert main(["bisect", "0.33.1", "0.35.0", "--tolerances", "t.toml"]) == 4
    assert "there is no cases, where the case files should be; give --cases FOLDER" in capsys.readouterr().err
