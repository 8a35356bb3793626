"""The lab: what it measures is paired, deterministic, and right about identity and collapse."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.ablation import plan as plans
from harness.ablation.case import by_hand
from harness.ablation.guidance import GuidancePass
from harness.ablation.plan import identity, parse
from harness.errors import CaseError, CheckpointError, PromptError, SurgeryError
from harness.lab.lab import Lab
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.models.sampler import Samples, generator_for
from harness.surgery.view import BlockView

PROMPTS = (BUNDLED / "prompts.txt").read_text().splitlines()


def test_identity_measures_nothing(lab):
    measured, _ = lab.run(identity(5), "double")
    for name in ("harm", "clip_delta", "collapsed", "latent_drift", "pixel_drift", "ssim_drift", "image_drift", "mmd"):
        assert measured.summary[name] == 0, name
    assert measured.latents_sha256 == lab.control.seeds[0].latents_sha256


def test_a_reseed_has_drift_one_and_harm_about_nothing(lab):
    first, second = lab.control.seeds[:2]
    assert lab.control.reseed["latent"] > 0
    assert abs((first.scores - second.scores).mean()) < 3 * lab.seed_sd


def test_damage_is_ranked_by_harm(lab):
    mild, _ = lab.run(parse("0-3 5-9"), "single")
    grave, _ = lab.run(parse("0 4"), "double")
    assert grave.summary["harm"] > mild.summary["harm"]
    assert grave.summary["harm"] > 1
    assert grave.summary["grade_loss"] > mild.summary["grade_loss"]
    assert grave.summary["latent_drift"] > mild.summary["latent_drift"] > 0


def test_the_order_of_cases_changes_nothing(lab):
    plans = [(parse("0 4"), "double"), (parse("0-3 5-9"), "single"), (parse("0 (1|2|3)x3 4"), "double")]
    forward = [lab.run(plan, stack)[0] for plan, stack in plans]
    backward = [lab.run(plan, stack)[0] for plan, stack in reversed(plans)][::-1]
    assert forward == backward


def test_a_plan_is_parsed_once_at_most(lab, monkeypatch):
    """A text where it comes in; from there on, the plan itself goes down to the view."""
    texts = []
    monkeypatch.setattr(plans, "parse", lambda text, **named: texts.append(text) or parse(text, **named))
    lab.run(parse("0 4"), "double")
    assert texts == []
    lab.run("double: 0 4")
    assert texts == ["0 4"]
    case = by_hand("flux-tiny", lab.checkpoint.stacks, "single: 0-3 (4|5)x1 6-9")
    lab.run(case.plan, case.stack)
    assert texts == ["0 4", "0-3 (4|5)x1 6-9"]


def test_a_prompts_noise_depends_on_it_and_the_seed_alone(lab):
    some = lab.prompts[:3]
    together = lab.sampler.noise(some, seed=2)
    assert torch.equal(together[1:2], lab.sampler.noise([some[1]], seed=2))
    assert not torch.equal(together, lab.sampler.noise(some, seed=3))
    draws = [torch.randn(3, generator=generator_for("a", 0)) for _ in range(2)]
    assert torch.equal(*draws)


def test_batching_changes_next_to_nothing(lab):
    whole = lab.sampler.sample(lab.prompts, seed=0)
    lab.sampler.batch, before = 5, lab.sampler.batch
    try:
        parts = lab.sampler.sample(lab.prompts, seed=0)
    finally:
        lab.sampler.batch = before
    assert torch.allclose(whole.latents, parts.latents, atol=1e-3)


@pytest.mark.parametrize("fill", [float("nan"), float("inf"), 0.0, 0.5, 1.0])
def test_broken_images_collapse_and_score_like_grey(lab, fill):
    good = lab.sampler.sample(lab.prompts, seed=0)
    images = good.images.clone()
    images[3] = fill
    seen = lab.observe(Samples(images, good.latents))
    grey = lab.observe(Samples(torch.full_like(images, 0.502), good.latents))
    assert seen.collapsed.tolist() == [i == 3 for i in range(len(images))]
    assert seen.scores[3] == pytest.approx(grey.scores[3], abs=1e-3)
    assert np.isfinite(seen.scores).all()


def test_a_plan_that_did_not_take_hold_is_an_error(lab, monkeypatch):
    """If iterating the view gave the original blocks, say after a change in diffusers, nothing must pass."""
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([self[i] for i in range(len(self))]))
    with pytest.raises(SurgeryError, match="did not take hold"):
        lab.run(parse("0 4"), "double")


def test_the_unit_of_harm_is_the_stored_one(lab):
    measured, _ = lab.run(parse("0 4"), "double")
    lab.fix_unit(2 * lab.control.seed_sd)
    try:
        halved, _ = lab.run(parse("0 4"), "double")
    finally:
        lab.fix_unit(lab.control.seed_sd)
    assert halved.summary["harm"] == pytest.approx(measured.summary["harm"] / 2)


def test_identity_behind_slots(lab):
    for stack in ("double", "single"):
        lab.check_identity(stack)


def test_fingerprints_tell_apart(lab):
    other = dataclasses.replace(lab.fingerprint, threads=lab.fingerprint.threads + 1)
    assert other.digest != lab.fingerprint.digest
    assert len(lab.fingerprint.weights) == 12


def test_what_can_not_be_sampled_is_named(lab):
    with pytest.raises(PromptError, match=r"prompt 1 has 2[0-9] tokens, text_encoder_2 takes 20"):
        lab.sampler.check(["a large striped red circle above a large striped red circle on a grey background and more"])


def test_without_a_judge_of_its_own_a_checkpoint_is_judged_by_open_clip(lab, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    bare = dataclasses.replace(lab.checkpoint, settings=dataclasses.replace(lab.checkpoint.settings, judge=""))
    with pytest.raises(CheckpointError, match="judge 'ViT-L-14/openai' is not in the hub cache"):
        Lab(bare, prompts=["a"])


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


def test_the_lab_names_a_pass_that_it_does_not_have(lab):
    for measured in (lab.run, lab.sample):
        with pytest.raises(CaseError, match="checkpoint 'flux-tiny' is sampled in a single pass, without"):
            measured(parse("0 4"), "double", guidance_pass=GuidancePass.CONDITIONAL)
    with pytest.raises(CaseError, match="only a plan can hold in one pass of guidance"):
        lab.run(modifiers="fewer-steps.3", guidance_pass=GuidancePass.CONDITIONAL)


def test_the_lab_names_a_window_that_it_does_not_have(lab):
    with pytest.raises(CaseError, match="window 3-4 goes beyond the 4 denoising steps of checkpoint 'flux-tiny'"):
        lab.run(parse("0 4"), "double", (3, 4))


def test_the_lab_checks_every_step(lab, monkeypatch):
    monkeypatch.setattr("harness.surgery.view.AblationView.install", lambda self: None)
    with pytest.raises(SurgeryError, match="step 2, inside its window"):
        lab.run(parse("0 4"), "double", (2, 2))


def test_a_control_that_collapses_is_one_line(tmp_path):
    """One infinite weight, as an overflow of fp16 leaves it: every image is no numbers, and harm has no unit."""
    folder = shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "mine")
    settings = json.loads((folder / "harness.json").read_text())
    paths = {name: str((BUNDLED / "flux-tiny" / settings[name]).resolve()) for name in ("judge", "prompts")}
    (folder / "harness.json").write_text(json.dumps(settings | paths | {"seeds": 2, "steps": 1}))
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["x_embedder.bias"][0] = float("inf")
    save_file(weights, path)
    broken = Lab(resolve(str(folder)), prompts=PROMPTS[:3], device=torch.device("cpu"))
    message = r"the control of 'mine' the same on every seed .* no unit of harm: 6 of its 6 images collapsed"
    for measure in (broken.control_measurement, lambda: broken.run("double: 0 4")):
        with pytest.raises(CheckpointError, match=message):
            measure()


def test_the_judge_is_checked_once_and_every_measurement_says_so(lab):
    measured, control = lab.run(parse("0 4"), "double").measurement, lab.control_measurement()
    assert measured.judge_check is control.judge_check is lab.judge_check
    assert (lab.judge_check.prompts, lab.judge_check.faults) == (8, ())
    assert lab.anew().judge_check is lab.judge_check  # of a faulty model's images, later, it isn't checked


def test_the_control_s_measurement_has_the_prompts_and_their_categories(lab):
    assert lab.control_measurement().texts == tuple(lab.prompts)
    assert lab.control_measurement().categories == ()
    assert lab.run(parse("0 4"), "double").measurement.texts == ()
    apart = Lab(lab.checkpoint, prompts={"one": lab.prompts[:3], "two": lab.prompts[3:8]})
    assert apart.prompts == lab.prompts
    assert apart.categories == ("one",) * 3 + ("two",) * 5


def test_a_lab_shows_what_it_is(lab):
    expected = (
        f"<Lab flux-tiny (FluxTransformer2DModel, 5 double, 10 single blocks) on {lab.device}, float32; prompts: "
    )
    assert repr(lab).startswith(expected)
    fresh = lab.anew()
    assert "control: not measured yet>" in repr(fresh)
    assert "control" not in vars(fresh)  # showing it measured nothing
    assert lab.control is not None
    assert repr(lab).endswith(f"prompts: 8, judge: {lab.judge.id}, control: measured>")


def test_a_lab_of_something_else_says_what_to_write(lab):
    with pytest.raises(CheckpointError, match=r'not a FluxPipeline, .*: Lab\("flux-tiny"\); a pipeline of your own is'):
        Lab(lab.sampler.pipeline)
    assert Lab(BUNDLED / "flux-tiny", prompts=PROMPTS[:1]).checkpoint.folder == BUNDLED / "flux-tiny"


def test_diffusers_names_of_stacks_are_taken(lab):
    ours, _ = lab.run("single: 0-3 5-9")
    assert lab.run("single_transformer_blocks: 0-3 5-9")[0] == ours
    assert lab.run("0-3 5-9", "single_transformer_blocks")[0] == ours
    with pytest.raises(CaseError, match="'skip' is a strategy, and a plan says which blocks run: 'double: 0 2-4'"):
        lab.run("skip")


def test_a_halved_batch_is_in_the_notes_and_in_the_fingerprint(lab, monkeypatch):
    """Images of another batch differ in their last bits, and a run that goes on must know."""
    asked = lab.fingerprint
    monkeypatch.setattr(lab.sampler, "batch", 8)
    monkeypatch.setattr(lab.sampler, "halved", False)
    monkeypatch.setattr(lab, "notes", ())
    call = lab.sampler._call

    def limited(settings, **more):
        if len(settings["latents"]) > 4:
            raise torch.OutOfMemoryError
        return call(settings, **more)

    monkeypatch.setattr(lab.sampler, "_call", limited)
    lab.sample(parse("0 4"), "double")
    try:
        assert lab.notes == ("not enough memory for so many images at once: 4 from now on (--dit-batch=4)",)
        assert lab.fingerprint.sampling == {**asked.sampling, "batch": 4}
        assert lab.timed_forward().batch == 4
    finally:
        monkeypatch.undo()
        del lab.fingerprint
    assert lab.fingerprint == asked


def test_a_device_may_be_named():
    assert Lab("flux-tiny", prompts=["a red circle"], device="cpu").device == torch.device("cpu")
    with pytest.raises(CheckpointError, match="device 'cup' can't be used here"):
        Lab("flux-tiny", prompts=["a red circle"], device="cup")
