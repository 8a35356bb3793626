"""The command that measures a grid by workers: its cases, its run folder, and what it refuses."""

from __future__ import annotations

import json
import shlex
import uuid

import pytest

from harness.cli.main import main
from harness.results.journal import FILE, read
from harness.workers import local
from harness.workers.store import Store
from harness.workers.work import read_work
from tests.helpers.works import measurements

RANDOM = ["flux-tiny", "--weights", "random:small", "--range", "each", "--strategy", "skip", "--stack", "double"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "grid",
    [
        ["--range", "each,middle", "--strategy", "skip"],
        ["--stack", "single", "--strategy", "reverse"],
        ["--plan", "double: 0 2-4", "--plan", "single: 1-9"],
        [],
    ],
)
def test_the_cases_are_those_of_the_list(grid, tmp_path, capsys):
    assert main(["list", "flux-tiny", *grid, "--json"]) == 0
    listed = [case["id"] for case in json.loads(capsys.readouterr().out)["cases"]]
    assert main(["sweep", "flux-tiny", *grid, "--work-file", "w.json"]) == 0
    assert [entry.id for entry in read_work((tmp_path / "w.json").read_text()).cases] == listed
    assert f"wrote w.json: {len(listed)} cases" in capsys.readouterr().out


def test_what_is_asked_for_is_in_the_work_file(tmp_path):
    (tmp_path / "p.txt").write_text("# colours\na red cross\n\na blue cross\n")
    options = ["--prompts", "p.txt", "--dtype", "bf16", "--steps", "3", "--size", "32x64", "--control-seeds", "2"]
    options += ["--steps-window", "0,1-2", "--latency", "--seeds", "2", "--metric", "lpips", "--batch", "1"]
    assert main(["sweep", "flux-tiny", *options, "--plan", "double: 0 2-4", "--work-file", "w.json"]) == 0
    work = read_work((tmp_path / "w.json").read_text())
    model, measuring = work.model, work.measuring
    assert (model.dtype, model.steps, model.width, model.height) == ("bfloat16", 3, 32, 64)
    assert (model.control_seeds, model.batch, measuring.seeds, measuring.latency) == (2, 1, 2, True)
    assert measuring.prompts == {"colours": ("a red cross", "a blue cross")}
    assert measuring.metrics == ("lpips",)
    assert [entry.window for entry in work.cases] == [(0, 0), (1, 2)]


def test_a_sweep_is_a_run_and_goes_on_by_its_name(tmp_path, capsys):
    assert main(["sweep", *RANDOM, "--run-id", "r"]) == 0
    said = capsys.readouterr().out
    assert "flux-tiny-random-small-double-L04-skip: measured (5 of 5)" in said
    folder = tmp_path / "reports" / "r"
    assert len(read(folder)) == 6
    journal = (folder / FILE).read_bytes()
    assert main(["sweep", *RANDOM, "--resume", "r"]) == 0
    assert "was measured before (5 of 5)" in capsys.readouterr().out
    assert (folder / FILE).read_bytes() == journal
    assert main(["sweep", *RANDOM, "--range", "0-1", "--resume", "r"]) == 0  # more cases: those of before stay
    assert len(read(folder)) == 7
    assert main(["sweep", *RANDOM, "--run-id", "r"]) == 4
    assert "holds a run already; go on with it by --resume r, or choose another" in capsys.readouterr().err
    record = folder / "records" / "flux-tiny-random-small-double-L01-skip.quality.json"
    data = json.loads(record.read_text())
    data["fingerprint"]["weights"] = "0123456789ab"
    record.write_text(json.dumps(data))
    assert main(["sweep", *RANDOM, "--resume", "r"]) == 4
    assert "was measured differently there (weights 0123456789ab -> " in capsys.readouterr().err


def test_a_sweep_that_was_stopped_ranks_what_there_is_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    measure = local.run

    def stopped(*arguments, **options):
        measure(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(local, "run", stopped)
    plan = ["flux-tiny", "--weights", "random:small", "--plan", "double: 0 2-4"]
    assert main(["sweep", *plan, "--run-id", "r"]) == 130
    said = capsys.readouterr()
    assert "nothing to rank" in said.out or "variant" in said.out
    go_on = said.err.partition("stopped; go on with: ")[2]
    assert f"sweep flux-tiny --weights random:small --plan 'double: 0 2-4' --resume {tmp_path}/reports/r" in go_on
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(go_on)[shlex.split(go_on).index("sweep") :]) == 0
    assert (tmp_path / "reports" / "r" / "ranking.md").exists()


def test_a_run_at_a_url_is_measured_ranked_reported_and_merged(tmp_path, capsys):
    url = f"memory://{uuid.uuid4().hex}/r"
    two = ["flux-tiny", "--weights", "random:small", "--plan", "double: 0 2-4", "--plan", "double: 0-1 3-4"]
    assert main(["sweep", *two, "--latency", "--out", url]) == 0
    assert f"wrote {url}/ranking.md" in capsys.readouterr().out
    store = Store(url)
    assert {FILE, "work.json", "ranking.md", "ranking.json"} <= set(store.names())
    assert main(["report", url]) == 0
    assert f"wrote {url}/ranking.md" in capsys.readouterr().out
    assert main(["merge", url, "--out", "whole"]) == 0
    whole = read(tmp_path / "whole")
    with store.as_folder() as folder:
        assert measurements(whole) == measurements(read(folder))
    copy = f"{url}-copy"
    assert main(["merge", "whole", "--out", copy]) == 0
    assert FILE in Store(copy).names()
    assert main(["merge", "whole", "--out", copy]) == 4
    assert "holds a run already; give --out another folder" in capsys.readouterr().err
    lost = next(name for name in store.names("records") if name.endswith(".quality.json"))
    store.remove(lost)
    assert main(["merge", url, "--out", "other"]) == 4
    assert f"1 of 2 cases have no record yet ({lost[8:-13]} ...)" in capsys.readouterr().err


def test_a_case_that_raises_is_red(monkeypatch, capsys):
    def fails(*_, **__):
        raise ValueError("no")

    monkeypatch.setattr("harness.lab.random_lab.RandomLab.run", fails)
    assert main(["sweep", *RANDOM, "--run-id", "r"]) == 1
    assert "ValueError: no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "nope://b/run"], "nope://b/run can't be opened: "),
        (["--out", "file/run"], "can't write "),
        (["--resume", "nothing"], "--resume nothing: "),
        (["--run-id", "a/b"], "--run-id 'a/b': only letters, digits"),
        (["--baselines", "nowhere"], "--baselines nowhere: there is no such folder"),
        (["--slurm", "timeout_min"], "--slurm takes NAME=VALUE, such as timeout_min=480, not 'timeout_min'"),
        (["--workers", "2", "--out", "memory://two/r"], "memory://two/r is seen by this process alone; "),
        (["--range", "99"], "range '99' for stack"),
        (["--judge", "nowhere", "--prompts", "none.txt"], "can't read the prompt file none.txt"),
    ],
)
def test_wrong_input_is_one_line_before_a_model_is_loaded(options, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("harness.workers.worker._open_lab", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "file").write_text("")
    assert main(["sweep", *RANDOM, *options]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert line.startswith("error: ")


def test_an_unknown_runner_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "flux-tiny", "--on", "x"])
    assert stopped.value.code == 2
    assert "argument --on: invalid choice: 'x' (choose from" in capsys.readouterr().err
