"""--dit-resume and --dit-shard: a run that goes on measures only what is missing, and its parts make one run."""

from __future__ import annotations

import pytest

from harness.cli.main import main
from harness.lab.lab import Lab
from harness.plugin.fixtures import ablation
from harness.results.journal import FILE, Shard, read
from tests.helpers.projects import CASES, CONTROL, LATENCY, go_on, run


@pytest.fixture
def measured(monkeypatch):
    """The plans of which images are made, and the cases that are timed, from here on."""
    made = []
    sample, measure, control = Lab.run, ablation.measure, Lab.control_measurement

    def counted(self, plan, *rest, **more):
        made.append(str(plan))
        return sample(self, plan, *rest, **more)

    def timed(lab, case, *rest):
        made.append(case.id)
        return measure(lab, case, *rest)

    def controlled(self):
        made.append("control")
        return control(self)

    monkeypatch.setattr(Lab, "run", counted)
    monkeypatch.setattr(ablation, "measure", timed)
    monkeypatch.setattr(Lab, "control_measurement", controlled)
    return made


def test_what_the_journal_holds_is_not_measured_again(project, measured):
    project.makepyfile(test_mine=CASES + CONTROL + LATENCY)
    options = ("-k", "skip or control or reverse and ablation", "--dit-rounds=6")
    run(project, *options).assert_outcomes(passed=4, deselected=3)
    folder = project.path / "reports" / "r"
    written, table = (folder / FILE).read_bytes(), (folder / "ranking.json").read_bytes()
    assert {"0 4", "control"} < set(measured)
    measured.clear()
    result = go_on(project, "--dit-resume=r", *options)
    result.assert_outcomes(passed=3, skipped=1, deselected=3)
    result.stdout.fnmatch_lines(["skipped 1: timed in an earlier part of the run"])
    assert measured == []
    assert "not used" not in result.stdout.str()
    assert (folder / FILE).read_bytes() == written
    assert (folder / "ranking.json").read_bytes() == table
    kept = [line for line in written.splitlines(keepends=True) if b"skip" not in line]
    (folder / FILE).write_bytes(b"".join(kept) + written[:100])  # killed while it wrote a record
    result = go_on(project, "--dit-resume", str(folder), *options)
    result.assert_outcomes(passed=4, deselected=3)
    assert measured.count("0 4") == 1
    assert not [plan for plan in measured if plan not in ("0 4", "control", "flux-tiny-double-L01-03-skip")]
    assert len(read(folder)) == 4


def test_a_test_that_raised_is_run_again(project, measured):
    project.makepyfile(test_mine=CASES + "    raise ValueError('once')\n")
    run(project, "-k", "skip").assert_outcomes(failed=1, deselected=2)
    project.makepyfile(test_mine=CASES)
    measured.clear()
    go_on(project, "--dit-resume=r", "-k", "skip").assert_outcomes(passed=1, deselected=2)
    assert "0 4" in measured
    (record,) = read(project.path / "reports" / "r")
    assert not record.error


def test_only_the_same_measurement_goes_on(project):
    run(project, "-k", "skip")
    for option, other in (("--dit-dtype=bf16", "dtype float32 -> bfloat16"), ("--dit-control-seeds=2", "seeds 4 -> 2")):
        result = go_on(project, "--dit-resume=r", "-k", "skip", option)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: --dit-resume r: flux-tiny was measured differently there (*{other}*); *"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dit-run-id=r",), "--dit-run-id r: * holds a run already; go on with it by --dit-resume=r, or *"),
        (("--dit-resume=s",), "--dit-resume 's': there is no such run in *; the last ones there are r"),
        (("--dit-resume=r", "--dit-run-id=s"), "--dit-resume goes on with a run under its own name; *"),
        (("--dit-resume=r", "--dit-calibrate=2"), "--dit-calibrate repeats a whole run; leave out --dit-resume"),
        (("--dit-shard=0/4",), "--dit-shard '0/4': takes I/N, the I-th of N parts: *"),
        (("--dit-shard=5/4",), "--dit-shard '5/4': takes I/N*"),
        (("--dit-shard=2/x",), "--dit-shard '2/x': takes I/N*"),
    ],
)
def test_wrong_input_is_one_line(project, options, message):
    folder = project.path / "reports" / "r"
    folder.mkdir(parents=True)
    (folder / FILE).write_text("")
    result = go_on(project, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_two_shards_make_the_run(project, capsys):
    run(project)
    whole = {(r.kind, r.case): (r.measurement, r.verdict) for r in read(project.path / "reports" / "r")}
    shards = [f"reports/{name}" for name in "ab"]
    go_on(project, "--dit-run-id=a", "--dit-shard=1/2").assert_outcomes(passed=3, deselected=1)
    assert main(["merge", *shards[:1], "--out", "reports/all"]) == 4
    assert "error: of 2 shards, 2 is missing" in capsys.readouterr().err
    go_on(project, "--dit-run-id=b", "--dit-shard=2/2").assert_outcomes(passed=1, deselected=3)
    assert main(["merge", *shards, "--out", "reports/all"]) == 0
    assert "least harmful variant: flux-tiny" in capsys.readouterr().out
    merged = {(r.kind, r.case): (r.measurement, r.verdict) for r in read(project.path / "reports" / "all")}
    assert merged == whole
    images = sorted(path.name for path in (project.path / "reports" / "r" / "images").iterdir())
    assert sorted(path.name for path in (project.path / "reports" / "all" / "images").iterdir()) == images
    assert main(["merge", *shards, "--out", "reports/all"]) == 4
    assert "holds a run already" in capsys.readouterr().err
    (project.path / "reports" / "b" / Shard(2, 2).complete).unlink()
    assert main(["merge", *shards, "--out", "reports/other"]) == 4
    assert "is of a run that did not end" in capsys.readouterr().err
