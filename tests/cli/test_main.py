"""The commands: errors are one line and exit 4."""

from __future__ import annotations

import pytest

from harness.__main__ import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "nowhere"], "error: no journal in nowhere"),
        (["fingerprint", "flux-tinny"], "error: checkpoint 'flux-tinny' is neither a bundled checkpoint nor a folder"),
        (["fingerprint", "flux-tiny", "--device", "gpu"], "error: device 'gpu' can't be used here"),
        (["tiny", "evaluate", "flux-tinny"], "error: checkpoint 'flux-tinny'"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(arguments) == 4
    written = capsys.readouterr()
    assert written.err.startswith(message)
    assert written.err.count("\n") == 1


def test_a_damaged_journal_is_named(tmp_path, capsys):
    (tmp_path / "shard-1-of-1.jsonl").write_text('{"schema": 1}\n')
    assert main(["report", str(tmp_path)]) == 4
    assert "line 1 is no record: record.kind is missing" in capsys.readouterr().err
