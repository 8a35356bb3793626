"""``--dit-checkpoint=FOLDER``: a folder is a checkpoint, and a broken one is named."""

from __future__ import annotations

import shutil

import pytest

from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers.projects import run


def _copy(project):
    folder = project.path / "mine"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    shutil.copytree(BUNDLED / "judge", project.path / "judge")
    return folder


def _foreign(folder):
    path = folder / "model_index.json"
    path.write_text(path.read_text().replace("FluxPipeline", "StableDiffusionPipeline"))


def _cut(folder):
    path = next((folder / "transformer").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:5000])


def _no_weights(folder):
    next((folder / "transformer").glob("*.safetensors")).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            _foreign,
            "*is a StableDiffusionPipeline with FluxTransformer2DModel: of a FluxTransformer2DModel only *",
        ),
        (lambda f: shutil.rmtree(f / "transformer"), "*has no transformer*"),
        (_no_weights, "*has no transformer weights*"),
        (_cut, "*diffusion_pytorch_model.safetensors is damaged*"),
        (lambda f: (f / "model_index.json").unlink(), "*is no diffusers pipeline folder*"),
        (lambda f: (f / "model_index.json").write_text("{"), "*is not valid JSON*"),
        (
            lambda f: (f / "harness.json").write_text('{"step": 4}'),
            "*json: step is unknown (did you mean 'steps'?); the fields are steps*",
        ),
        (
            lambda f: (f / "harness.json").write_text('{"steps": "4"}'),
            "*steps is '4', not a whole number; fix it*",
        ),
    ],
    ids=["class", "no folder", "no weights", "cut", "no index", "no json", "unknown setting", "wrong setting"],
)
def test_a_broken_checkpoint_folder_is_named(project, damage, message):
    damage(_copy(project))
    result = run(project, "--dit-checkpoint=mine")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_folder_is_a_checkpoint(project):
    _copy(project)
    result = run(project, "--dit-checkpoint=mine", "-k", "skip")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["*least harmful variant: mine*"])


def test_a_folder_after_a_space_is_refused(project):
    _copy(project)
    result = project.runpytest_subprocess("--dit-checkpoint", "mine", "test_mine.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*write --dit-checkpoint=mine with '='*"])
