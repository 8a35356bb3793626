"""The checkpoint that is written: loaded like any other, described, and never over something else."""

from __future__ import annotations

import json

import pytest
import torch

from harness.errors import HarnessError
from harness.healing.folder import STATE, check_target, summary, write_checkpoint
from harness.healing.harm import Harms
from harness.healing.heal import heal
from harness.healing.state import State
from harness.models.checkpoints.resolve import resolve
from harness.models.environment import pick_device
from harness.models.loading import load
from harness.results.statistics import Interval
from tests.helpers.records import FINGERPRINT


@pytest.fixture(scope="module")
def healed(flux_sampler, tmp_path_factory):
    from harness.healing.heal import Job
    from harness.healing.recipe import Recipe
    from tests.healing.conftest import PROMPTS

    folder = tmp_path_factory.mktemp("healed") / "out"
    recipe = Recipe(steps=2, batch=2, rate=1e-3)
    job = Job("flux-tiny", "0123456789ab", ["double: 0 2-4", "single: 0-8"], PROMPTS, recipe, "float32")
    result = heal(flux_sampler, job, folder / STATE)
    harms = Harms(Interval(5, 4, 6), Interval(1, 0.5, 1.5), Interval(4, 3, 5), Interval(1.1, 1.0, 1.2), prompts=16)
    write_checkpoint(folder, resolve("flux-tiny"), job, result, harms, FINGERPRINT)
    return folder, job, result


def test_it_is_a_checkpoint_like_any_other(healed):
    folder, _, result = healed
    checkpoint = resolve(str(folder))
    assert dict(checkpoint.stacks) == {"double": 4, "single": 9}
    original = resolve("flux-tiny")
    assert checkpoint.judge_folder == original.judge_folder
    assert checkpoint.prompts_file == original.prompts_file
    assert (checkpoint.settings.steps, checkpoint.settings.world) == (4, True)
    pipeline = load(checkpoint, pick_device("cpu"))
    own = pipeline.transformer.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in result.model.state_dict().items())
    assert not (folder / STATE).exists()


def test_it_says_what_was_done(healed):
    folder, job, result = healed
    facts = json.loads((folder / "healing.json").read_text())
    assert facts["plans"] == {"double": "0 2-4", "single": "0-8"}
    assert (facts["steps"], facts["images"], facts["trained_parameters"]) == (2, 4, result.trained)
    assert len(facts["losses"]) == 2
    card = (folder / "README.md").read_text()
    assert "without some of its blocks, healed" in card
    assert "trained for 2 steps of 2 noised images (all weights" in card
    assert "| double | 0 2-4 | 1 of 5: 1 |" in card
    assert "| the same blocks, not healed | 5.00 [4.00, 6.00] |" in card
    assert "Speed-up of one forward: 1.10 [1.00, 1.20]." in card
    assert "Measured on 16 prompts (4 steps, float32, device cpu) with the judge j;" in card
    assert "prompts that it was not trained on" in card
    assert 'FluxPipeline.from_pretrained("THIS_FOLDER"' in card
    lines = summary(folder, job, result)
    assert lines[0].startswith(f"wrote {folder}: FluxTransformer2DModel under double: 0 2-4; single: 0-8, healed for 2")
    assert f"pytest cases/ --dit-checkpoint {folder}" in lines[-1]


def test_a_folder_that_holds_something_is_refused(healed, tmp_path):
    folder, _, _ = healed
    with pytest.raises(HarnessError, match="is there already and not empty; name a folder that isn't there yet"):
        check_target(folder, resume=False)
    with pytest.raises(HarnessError, match="the healing is finished; leave out --resume"):
        check_target(folder, resume=True)
    with pytest.raises(HarnessError, match="there is no healing to resume"):
        check_target(tmp_path / "new", resume=True)
    check_target(tmp_path / "new", resume=False)
    check_target(tmp_path, resume=False)
    State(tmp_path / STATE, {"steps": 7}).begin()
    with pytest.raises(HarnessError, match=r"unfinished healing \(0 of 7 steps\); add --resume to go on"):
        check_target(tmp_path, resume=False)
    check_target(tmp_path, resume=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(HarnessError, match="is a file, not a folder"):
        check_target(tmp_path / "file", resume=False)
