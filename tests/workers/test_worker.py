"""A worker measures what the run folder lacks, writes each record at once, and times nothing beside another worker."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.errors import CaseError, HarnessError, JournalError, SurgeryError
from harness.lab.random_lab import RandomLab
from harness.results.journal import Shard
from harness.results.records import Kind
from harness.workers import record_files
from harness.workers.store import Store
from harness.workers.worker import run_part
from tests.helpers.works import MODEL, work


@pytest.fixture
def measured(monkeypatch):
    """The plans that are measured from here on."""
    plans = []
    run = RandomLab.run
    monkeypatch.setattr(
        RandomLab,
        "run",
        lambda self, plan, *rest, **more: (plans.append(str(plan)), run(self, plan, *rest, **more))[1],
    )
    return plans


def records(store):
    return record_files.read_all(store, pytest.fail)


def test_what_the_run_folder_holds_is_not_measured_again(tmp_path, measured):
    store, lines = Store(tmp_path / "r"), []
    run_part(work(), store, say=lines.append)
    assert len(measured) == 5
    assert lines[-1] == "flux-tiny-random-small-double-L04-skip: measured (5 of 5)"
    before = {name: store.read(name) for name in store.names()}
    assert len(before) == 6  # the control's, too
    measured.clear()
    lost = record_files.file_of(Kind.QUALITY, "flux-tiny-random-small-double-L01-skip")
    (tmp_path / "r" / lost).unlink()
    run_part(work(), store, say=lines.append)
    assert measured == ["0 2-4"]
    assert {name: store.read(name) for name in store.names()} == before
    store.write(lost, before[lost][:50])  # as a file system without renames may leave it
    run_part(work(), store, say=lines.append)
    assert {name: store.read(name) for name in store.names()} == before
    assert lines[-1] == f"{lost} is no record: " + lines[-1].partition("is no record: ")[2]


def test_parts_make_the_whole(tmp_path):
    whole, split = Store(tmp_path / "a" / "r"), Store("memory://parts/r")
    run_part(work(), whole, say=str)
    for number in (1, 2):
        run_part(work(), split, Shard(number, 2), say=str)
    assert records(whole) == records(split)


def test_latency_is_timed_where_the_device_is_not_shared(tmp_path, measured):
    store, asked = Store(tmp_path), work(ranges=("1",), latency=True)
    case = asked.cases[0].id
    run_part(asked, store, workers=2, threads=1, say=str)
    shared = records(store)[Kind.LATENCY, case]
    assert shared.latency is None
    assert shared.verdict.notes == ("not measured: 2 workers share this device",)
    written = (tmp_path / record_files.file_of(Kind.LATENCY, case)).stat().st_mtime_ns
    run_part(asked, store, workers=3, threads=1, say=str)
    assert (tmp_path / record_files.file_of(Kind.LATENCY, case)).stat().st_mtime_ns == written
    run_part(asked, store, say=str)
    assert len(records(store)[Kind.LATENCY, case].latency.variant) == 4
    assert len(measured) == 1


def test_what_a_case_raises_is_its_record_and_the_others_are_measured(tmp_path, monkeypatch):
    run = RandomLab.run

    def fails(self, plan, *rest, **more):
        if str(plan) == "0 2-4":
            raise SurgeryError("it did not take hold\nat all")
        return run(self, plan, *rest, **more)

    monkeypatch.setattr(RandomLab, "run", fails)
    store = Store(tmp_path)
    run_part(work(), store, say=str)
    errors = [record for record in records(store).values() if record.error]
    assert [(record.plan, record.error[:12]) for record in errors] == [("0 2-4", "SurgeryError")]
    assert len(records(store)) == 6
    monkeypatch.undo()
    run_part(work(), store, say=str)
    assert not [record for record in records(store).values() if record.error]


def test_a_run_whose_weights_changed_is_refused(tmp_path):
    store = Store(tmp_path)
    run_part(work(ranges=("1",)), store, say=str)
    name = store.names("records")[1]
    data = json.loads(store.read(name))
    data["fingerprint"]["weights"] = "000000000000"
    store.write(name, json.dumps(data).encode())
    with pytest.raises(
        JournalError, match=r"was measured differently there \(weights 000000000000 -> .*\); go on under"
    ):
        run_part(work(), store, say=str)
    assert len(store.names("records")) == 2


def test_nothing_is_loaded_before_the_run_folder_and_the_cases_are_checked(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.workers.worker._open_lab", lambda *_: pytest.fail("a model was loaded"))
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match=r"^can't write "):
        run_part(work(), Store(tmp_path / "file" / "r"), say=str)
    foreign = replace(work(), cases=(replace(work().cases[0], plan="0-9"),))
    with pytest.raises(CaseError, match=r"block 9 is out of range"):
        run_part(foreign, Store(tmp_path / "r"), say=str)


def test_random_weights_take_no_prompts(tmp_path):
    with pytest.raises(CaseError, match=r"random weights make no images"):
        run_part(work(prompts={"": ("a",)}), Store(tmp_path), say=str)


def test_a_worker_ends_when_its_runner_is_gone(tmp_path):
    with pytest.raises(HarnessError, match=r"the process that started this worker is gone"):
        run_part(work(), Store(tmp_path), parent=1, say=str)
    assert len(Store(tmp_path).names("records")) == 1  # the control's


def test_images_are_judged_and_their_pictures_kept_at_a_url(lab, monkeypatch):
    """On a real lab, with prompts of the work itself: what api.sweep measures, bit for bit."""
    from harness import api

    monkeypatch.setattr("harness.workers.worker._open_lab", lambda *_: lab)
    asked = work(ranges=("1",), model=replace(MODEL, checkpoint="flux-tiny", weights=None))
    store = Store("memory://images/r")
    run_part(asked, store, say=str)
    (alone,) = api.sweep(lab, plans="double: 0 2-4")
    record = records(store)[Kind.QUALITY, "flux-tiny-double-L01-skip"]
    assert record.measurement == alone.measurement
    assert records(store)[Kind.CONTROL, "flux-tiny-control"].measurement.texts == tuple(lab.prompts)
    assert "images/flux-tiny-double-L01-skip.png" in store.names()
