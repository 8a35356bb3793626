"""The command that compares removing blocks with its rivals."""

from __future__ import annotations

import pytest

from harness.cli import rivals
from harness.cli.main import main
from harness.results.matched_compute import PLAN, Contender


def test_it_prints_and_writes_the_table(monkeypatch, tmp_path, capsys):
    asked = []

    def measured(lab, speed_ups, _say):
        asked.append((lab.checkpoint.settings.steps, tuple(speed_ups)))
        return [Contender(PLAN, "double: 0-2", 1.5, (0.0, 1.0, 0.0, 1.0))]

    monkeypatch.setattr(rivals, "measure_rivals", measured)
    page = tmp_path / "rivals.md"
    assert not main(["rivals", "flux-tiny", "--steps", "3", "--speed-up", "1.5x", "--markdown", str(page)])
    assert asked == [(3, (1.5,))]
    assert "| flux-tiny | 1.5x | plan | `double: 0-2` |" in capsys.readouterr().out
    assert "`double: 0-2`" in page.read_text()


@pytest.mark.parametrize("text", ["1", "fast", "-2", "nan"])
def test_a_speed_up_that_is_none_is_named(text, capsys):
    assert main(["rivals", "flux-tiny", f"--speed-up={text}"])
    assert f"--speed-up takes a number above 1, such as 1.25, not {text!r}" in capsys.readouterr().err
