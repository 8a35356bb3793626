"""Windows of denoising steps: in ids and cases, and on the pipelines, where the plan holds in them alone."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.ablation import steps as windows
from harness.ablation.case import by_hand
from harness.ablation.grid import Ask, expand, from_id, in_windows
from harness.ablation.plan import identity, parse
from harness.ablation.ranges import range_text
from harness.api import sweep
from harness.errors import CaseError, SurgeryError
from harness.lab import cost
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED
from harness.models.sampler import Sampler
from harness.models.spec import Settings
from harness.results.ranking import rank
from harness.results.records import Status, Verdict, from_json, of_case
from harness.surgery.trace import traced
from harness.surgery.view import BlockView, ablate
from harness.surgery.windowed import in_window
from harness.tiny import render
from tests.helpers import models
from tests.helpers.models import random_pipelines
from tests.results.test_records import quality

STACKS = {"double": 6, "single": 12}
SPANS = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair)))


@given(SPANS)
def test_windows_read_back(window):
    assert windows.read(range_text(*window)) == window
    assert windows.split("skip" + windows.suffix(window)) == ("skip", window)


def test_a_single_step_is_written_alone():
    assert windows.read("2") == windows.read("2-2") == (2, 2)
    assert windows.suffix((2, 2)) == "-steps-2"
    assert windows.suffix(None) == ""
    assert windows.split("skip") == ("skip", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no range of denoising steps; write a step"),
        ("all", "window 'all' is no range"),
        ("-1", "is no range"),
        ("0-1-2", "is no range"),
        ("٣", "is no range"),
        ("3-1", "runs backwards; write it from the lower step to the higher: 1-3"),
    ],
)
def test_what_is_no_window_is_named(text, message):
    with pytest.raises(CaseError, match=message):
        windows.read(text)


@given(SPANS, st.integers(1, 31))
def test_a_window_over_all_steps_is_none(window, steps):
    if window[1] >= steps:
        with pytest.raises(
            CaseError, match=rf"goes beyond the {steps} denoising steps of checkpoint 'm' \(0-{steps - 1}\)"
        ):
            windows.within(window, steps, "m")
    else:
        assert windows.within(window, steps, "m") == (None if window == (0, steps - 1) else window)


@pytest.mark.parametrize("window", [(-1, 1), (2, 1)])
def test_windows_from_python_are_checked_too(window):
    with pytest.raises(CaseError, match="is no range of denoising steps"):
        windows.within(window, 4, "m")


@given(SPANS, st.sampled_from(["skip", "shuffle.s2", "parallel.t3"]), st.sampled_from(["each", "middle", "2-4"]))
def test_ids_read_back(window, strategy, depth):
    if depth == "each":
        strategy = "skip"
    asks = [Ask(("double",), (depth,), (strategy,))]
    for case in expand("flux-tiny", STACKS, asks, windows=[window], steps=40):
        assert re.fullmatch(r"[a-zL0-9.-]+", case.id)
        again = from_id("flux-tiny", STACKS, case.id)
        assert (again.id, again.plan, again.window) == (case.id, case.plan, window)


@pytest.mark.parametrize("ending", ["-steps-3-1", "-steps-00-1", "-steps-1-1", "-steps-", "-steps-0-1-steps-2"])
def test_what_is_no_id_is_refused(ending):
    with pytest.raises(CaseError):
        from_id("m", STACKS, f"m-double-L01-04-skip{ending}")


def test_each_window_makes_its_own_cases():
    asks = [Ask(("double",), ("middle", "1-4"), ("skip", "reverse")), Ask(("double",), ("3",), ("skip",))]
    cases = expand("m", STACKS, asks, windows=[(0, 1), (3, 3), (0, 1), (0, 3)], steps=4)
    assert [case.id.removeprefix("m-double-") for case in cases] == [
        *("L03-skip-steps-0-1", "L03-skip-steps-3", "L03-skip"),
        *("L01-04-skip-steps-0-1", "L01-04-skip-steps-3", "L01-04-skip"),
        *("L01-04-reverse-steps-0-1", "L01-04-reverse-steps-3", "L01-04-reverse"),
    ]
    assert [case.words for case in cases[3:6]] == [("middle", "window"), ("middle", "window"), ("middle",)]


def test_without_windows_cases_are_what_they_were():
    (case,) = expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], steps=4)
    assert (case.id, case.window, case.words) == ("m-double-L01-04-skip", None, ("middle",))


def test_a_window_beyond_the_last_step_is_named():
    with pytest.raises(CaseError, match="window 2-4 goes beyond the 4 denoising steps of checkpoint 'm'"):
        expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], windows=[(2, 4)], steps=4)


def test_plans_by_hand_have_windows_too():
    whole = by_hand("m", STACKS, "double: 0-1 4-5")
    (part,) = in_windows(whole, [(1, 1)], 4)
    assert part.id == f"{whole.id}-steps-1"
    assert part.words == ("by-hand", "window")


def test_savings_count_the_windows_share():
    """Two of six blocks left out: a third; in one of four steps a twelfth, of the stack's six among 18 blocks."""
    asks = [Ask(("double",), ("2-3",), ("skip",))]
    (whole,) = expand("m", STACKS, asks)
    (part,) = expand("m", STACKS, asks, windows=[(2, 2)], steps=4)
    assert whole.saving == pytest.approx(1 / 3)
    assert part.saving == pytest.approx(1 / 12)
    assert from_id("m", STACKS, part.id).saving == pytest.approx(1 / 3)  # the steps aren't known: inside the window
    assert cost.share(part, STACKS) == pytest.approx(1 - 2 / 18 / 4)
    asked = cost.cost(STACKS, Settings(steps=4), "flux", [whole, part], 8)
    assert asked.work == pytest.approx(1 - 2 / 18 * (1 + 1 / 4) / 2)


def test_records_hold_the_window_and_old_ones_still_read():
    (case,) = expand("m", STACKS, [Ask(("double",), ("middle",), ("skip",))], windows=[(0, 1)], steps=4)
    record = of_case(case, "quality", quality("skip", 0.5).fingerprint, Verdict(Status.OK))
    assert record.window == (0, 1)
    assert from_json(json.loads(json.dumps(record.to_json()))) == record
    old = quality("skip", 0.5).to_json()
    del old["window"]
    assert from_json(old).window is None
    with pytest.raises(ValueError, match="window has 1 entries, not 2"):
        from_json({**record.to_json(), "window": [0]})


def test_rankings_tell_windows_apart():
    """Cases of one strategy, each with its own seeds' median, never mixed with another window's."""
    records = [
        dataclasses.replace(quality(f"shuffle.s{s}", harm), case=f"m-s-{s}-{w}", window=w)
        for w, harm in ((None, 3.0), ((0, 1), 1.0), ((2, 3), 2.0))
        for s in range(2)
    ]
    (ranking,) = rank(records)
    assert {row.strategy for row in ranking.rows} == {
        f"shuffle.s{s}{w}" for s in range(2) for w in ("", "-steps-0-1", "-steps-2-3")
    }
    assert {(g.strategy, g.cases, round(g.harm, 6)) for g in ranking.groups} == {
        ("shuffle", 2, 3.0),
        ("shuffle-steps-0-1", 2, 1.0),
        ("shuffle-steps-2-3", 2, 2.0),
    }


# On the pipelines.


PROMPTS = ["a large solid red circle on a grey background", "a small striped blue cross", "a large blue square"]
STEPS = 4
RUNS = {"flux": {}, "flux-true": {}, "sd3": {"guidance": 2.5}, "auraflow": {"guidance": 2.5}, "sd3-unguided": {}}
PLANS = {"flux": ("single", "0 (1|2)x2 3-9"), "sd3": ("joint", "0 3 1-2 5-11"), "auraflow": ("double", "0 2")}


class TrueCfg(Sampler):
    """FLUX's true guidance: two forwards a step."""

    def conditions(self, prompts):
        found, other = (super(TrueCfg, self).conditions(p) for p in (prompts, [PROMPTS[-1]] * len(prompts)))
        return {**found, **{f"negative_{name}": value for name, value in other.items()}}

    def _call(self, given, **more):
        return super()._call({**given, "true_cfg_scale": 2.0}, **more)


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    return random_pipelines(tmp_path_factory.mktemp("pipelines"))


@pytest.fixture(params=sorted(RUNS))
def sampler(request, pipelines):
    family = request.param.split("-")[0]
    settings = Settings(steps=STEPS, guidance=1.0, height=render.SIDE, width=render.SIDE, max_sequence_length=20)
    kind = TrueCfg if request.param == "flux-true" else Sampler
    return kind(pipelines[family], family, dataclasses.replace(settings, **RUNS[request.param]), batch=2)


def latents(sampler, window):
    stack, plan = PLANS[sampler.family]
    with in_window(sampler.transformer, plan, stack, window) as stepping:
        made = sampler.sample(PROMPTS, 0, between=stepping).latents
    assert stepping.check(STEPS) == 2 * STEPS  # two batches, each from its own first step
    return made


def reference(sampler, window):
    """The view toggled around every single forward, by how many steps the scheduler has taken."""
    stack, plan = PLANS[sampler.family]
    transformer, scheduler = sampler.transformer, sampler.pipeline.scheduler
    forward, step = transformer.forward, scheduler.step
    taken, forwards = 0, 0

    def counted(*args, **kwargs):
        nonlocal taken
        taken += 1
        return step(*args, **kwargs)

    def toggled(*args, **kwargs):
        nonlocal forwards
        forwards += 1
        if window[0] <= taken % STEPS <= window[1]:
            with ablate(transformer, plan, stack):
                return forward(*args, **kwargs)
        return forward(*args, **kwargs)

    transformer.forward, scheduler.step = toggled, counted
    try:
        made = sampler.sample(PROMPTS, 0).latents
    finally:
        del transformer.forward, scheduler.step
    assert taken == 2 * STEPS
    assert forwards == taken * (2 if isinstance(sampler, TrueCfg) else 1)
    return made


def test_a_window_is_bitwise_the_view_toggled_by_hand(sampler):
    found = {}
    for window in ((0, 0), (0, 2), (1, 2), (3, 3), (1, 3)):
        found[window] = latents(sampler, window)
        assert torch.equal(found[window], reference(sampler, window)), window
    found[0, STEPS - 1] = latents(sampler, (0, STEPS - 1))
    plan, stack = PLANS[sampler.family][::-1]
    with ablate(sampler.transformer, plan, stack):
        assert torch.equal(found[0, STEPS - 1], sampler.sample(PROMPTS, 0).latents)
    found[None] = sampler.sample(PROMPTS, 0).latents
    for a, b in pairwise(found.values()):
        assert not torch.equal(a, b)


def test_complementary_windows_share_their_steps(sampler):
    """Up to where the later window begins, its run is the control's; so are the first steps' latents."""
    seen: dict[str, list[torch.Tensor]] = {"control": [], "late": []}
    stack, plan = PLANS[sampler.family]
    scheduler = sampler.pipeline.scheduler
    step = scheduler.step

    def watch(kept):
        def stepped(*args, **kwargs):
            out = step(*args, **kwargs)
            kept.append(out[0].clone())
            return out

        return stepped

    try:
        scheduler.step = watch(seen["control"])
        sampler.sample(PROMPTS[:2], 0)
        scheduler.step = watch(seen["late"])
        with in_window(sampler.transformer, plan, stack, (2, 3)) as stepping:
            sampler.sample(PROMPTS[:2], 0, between=stepping)
    finally:
        del scheduler.step
    same = [torch.equal(a, b) for a, b in zip(seen["control"], seen["late"], strict=True)]
    assert same == [True, True, False, False]


def test_a_failure_in_the_middle_leaves_the_model_as_it_was(sampler):
    stack, plan = PLANS[sampler.family]

    def stopped(stepping, step):
        stepping(step)
        if step == 2:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        in_window(sampler.transformer, plan, stack, (1, 3)) as stepping,
    ):
        sampler.sample(PROMPTS, 0, between=partial(stopped, stepping))
    assert not any(isinstance(module, BlockView) for module in sampler.transformer.children())
    with traced(sampler.transformer, stack) as ran:
        sampler.sample(PROMPTS[:1], 0)
    length = len(set(ran))
    assert ran[:length] == list(identity(length).blocks())


# The check, on a small model stepped by hand.


@pytest.fixture(scope="module")
def small():
    return models.flux()


def walk(small, *, announced=range(5), window=(1, 2), before=None):
    """Four steps of one forward each; ``before(step, view)`` interferes."""
    model, arguments = small
    with in_window(model, "0 3", "double", window) as stepping, torch.no_grad():
        for step in announced:
            stepping(step)
            if before is not None:
                before(step, stepping._view)
            if step < 4:
                model(**arguments)
    return stepping


def test_a_right_walk_passes(small):
    assert walk(small).check(4) == 4
    assert walk(small, announced=[*range(5), *range(5)]).check(4) == 8


def test_a_view_that_stays_is_seen(small):
    stepping = walk(small, before=lambda step, view: view.install() if step == 3 else None)
    with pytest.raises(
        SurgeryError, match=r"step 3, outside its window: stack 'double': the plan '0-3' .* \[0, 3\] ran"
    ):
        stepping.check(4)


def test_a_view_that_is_missing_is_seen(small):
    stepping = walk(small, before=lambda step, view: view.remove() if step == 2 else None)
    with pytest.raises(
        SurgeryError, match=r"step 2, inside its window: stack 'double': the plan '0 3' .* \[0, 1\] ran"
    ):
        stepping.check(4)


def test_a_view_that_nobody_iterates_is_seen(small, monkeypatch):
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    with pytest.raises(SurgeryError, match="step 1, inside its window"):
        walk(small).check(4)


@pytest.mark.parametrize("announced", [range(4), range(6), [0, 1, 3, 2, 4], [*range(5), 0], []])
def test_steps_that_were_not_asked_for_are_seen(small, announced):
    with pytest.raises(SurgeryError, match=r"announced steps .* where 4 were asked for"):
        walk(small, announced=announced).check(4)


def test_a_step_without_a_forward_is_seen(small):
    stepping = walk(small)
    stepping._starts[2] = (2, stepping._starts[1][1])  # step 1 ran nothing, step 2 what both ran
    with pytest.raises(SurgeryError, match="step 1, inside its window"):
        stepping.check(4)


def test_blocks_after_the_last_step_are_seen(small):
    model, arguments = small
    with in_window(model, "0 3", "double", (0, 1)) as stepping, torch.no_grad():
        for step in range(5):
            stepping(step)
            model(**arguments)
    with pytest.raises(SurgeryError, match="ran after the last step"):
        stepping.check(4)


# In the lab and the library.


@pytest.fixture(scope="module")
def lab():
    return Lab("flux-tiny", prompts=(BUNDLED / "prompts.txt").read_text().splitlines()[:8])


def test_the_lab_measures_windows(lab):
    plan = parse("0 4")
    whole, _ = lab.run(plan, "double")
    assert lab.run(plan, "double", (0, 3))[0] == whole == lab.run(plan, "double", window=None)[0]
    early, late = lab.run(plan, "double", (0, 0))[0], lab.run("double: 0 4", window=(3, 3))[0]
    assert len({m.latents_sha256 for m in (whole, early, late, lab.control_measurement())}) == 4
    for measured in (early, late):
        assert 0 < measured.summary["latent_drift"] < whole.summary["latent_drift"]
        assert measured.summary["harm"] < whole.summary["harm"]
    assert lab.run(identity(5), "double", (1, 2))[0].summary["latent_drift"] == 0


def test_the_lab_names_a_window_that_it_does_not_have(lab):
    with pytest.raises(CaseError, match="window 3-4 goes beyond the 4 denoising steps of checkpoint 'flux-tiny'"):
        lab.run(parse("0 4"), "double", (3, 4))


def test_the_lab_checks_every_step(lab, monkeypatch):
    monkeypatch.setattr("harness.surgery.view.AblationView.install", lambda self: None)
    with pytest.raises(SurgeryError, match="step 2, inside its window"):
        lab.run(parse("0 4"), "double", (2, 2))


def test_the_library_sweeps_windows(lab):
    records = list(sweep(lab, strategies="skip", stacks="double", windows="0-1,2-3"))
    assert [(r.case, r.window) for r in records] == [
        ("flux-tiny-double-L01-03-skip-steps-0-1", (0, 1)),
        ("flux-tiny-double-L01-03-skip-steps-2-3", (2, 3)),
    ]
    with pytest.raises(CaseError, match="goes beyond the 4 denoising steps"):
        sweep(lab, strategies="skip", windows="4")
