"""``python -m harness upgrade``."""

from __future__ import annotations

import pytest

from harness.__main__ import main
from harness.results.journal import Journal
from tests.helpers.upgrades import under


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
    assert command(journals, old, "0.42") == 4
    assert "is no LABEL=RUN" in capsys.readouterr().err
