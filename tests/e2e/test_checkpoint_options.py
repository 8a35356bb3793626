"""--dit-checkpoint, --dit-dtype, --dit-lora and --dit-offload as their users meet them."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import read
from tests.helpers import hubs
from tests.helpers.projects import run

CASES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip",)))


def test_ablation(ablation):
    ablation.check(ablation.measure())
"""
WEIGHTS = BUNDLED / "flux-tiny" / "transformer" / "diffusion_pytorch_model.safetensors"


def prompts():
    return (BUNDLED / "prompts.txt").read_text().splitlines()[:2]


@pytest.fixture
def project(pytester, loaded, monkeypatch):
    pytester.makepyfile(test_mine=CASES)
    (pytester.path / "prompts.txt").write_text("\n".join(prompts()) + "\n")
    monkeypatch.setenv("HF_HUB_CACHE", str(pytester.path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return pytester


def style(path, layer="transformer_blocks.0.attn.to_v", scale=0.5):
    """A LoRA of one layer of flux-tiny."""
    shape = load_file(WEIGHTS)[f"{layer}.weight"].shape if layer else (96, 96)
    generator = torch.Generator().manual_seed(0)
    name = f"transformer.{layer or 'no_block'}"
    made = {
        f"{name}.lora_A.weight": torch.randn(2, shape[1], generator=generator) * scale,
        f"{name}.lora_B.weight": torch.randn(shape[0], 2, generator=generator) * scale,
    }
    path.parent.mkdir(exist_ok=True)
    save_file(made, str(path))


def theirs(project, hub_id, *left_out):
    """flux-tiny in the hub's cache, with its judge where it looks for one."""
    snapshot = hubs.put(project.path / "hub", hub_id, BUNDLED / "flux-tiny", leave_out=left_out)
    (snapshot.parent / "judge").symlink_to(BUNDLED / "judge")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dit-dtype=half"], "--dit-dtype takes float32, bfloat16, float16, not 'half'"),
        (["--dit-offload=disk"], "--dit-offload takes none, model, group, not 'disk'"),
        (
            ["--dit-offload=group", "--dit-device=cpu"],
            "--dit-offload=group keeps weights in main memory until the GPU *",
        ),
        (["--dit-lora=none.safetensors"], "LoRA 'none.safetensors' is not there; give a .safetensors file, *"),
        (["--dit-lora=style.bin"], "LoRA style.bin is a pickle, which can run any code when it is read; save it as *"),
        (["--dit-lora=notes.txt"], "LoRA notes.txt is no .safetensors file"),
        (["--dit-lora=cut.safetensors"], "cut.safetensors is damaged (*); fetch or save it again"),
        (["--dit-lora=empty"], "LoRA 'empty' holds no .safetensors file"),
        (
            ["--dit-lora=someone/style"],
            "LoRA 'someone/style' is no folder here and not in the hub cache *; download it: *",
        ),
        (["--dit-lora=other.safetensors"], "LoRA other.safetensors was not made for 'flux-tiny': 2 of 2 weights fit *"),
        (["--dit-checkpoint=FLUX.1-schnell"], "checkpoint 'FLUX.1-schnell' (black-forest-labs/FLUX.1-schnell) is no *"),
        (["--dit-checkpoint=someone/nothing"], "checkpoint 'someone/nothing' is no folder here and not in the hub *"),
        (["--dit-checkpoint=someone/half"], "someone/half is half-downloaded: transformer/config.json is not there; *"),
        (
            ["--dit-checkpoint=someone/most"],
            "someone/most is half-downloaded: vae/config.json is not there; finish it: *",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_exit_4(project, arguments, said):
    style(project.path / "other.safetensors", layer="")
    style(project.path / "a.safetensors")
    (project.path / "cut.safetensors").write_bytes((project.path / "a.safetensors").read_bytes()[:-8])
    (project.path / "style.bin").write_bytes(b"\x80\x04")
    (project.path / "notes.txt").write_text("")
    (project.path / "empty").mkdir()
    for name, left_out in (("half", "transformer/config.json"), ("most", "vae/config.json")):
        theirs(project, f"someone/{name}", left_out)
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + said])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert len([line for line in result.errlines if line.strip()]) == 1


@pytest.mark.parametrize("option", ["--dit-lora=a.safetensors", "--dit-offload=model"])
def test_random_weights_take_neither(project, option):
    result = project.runpytest_inprocess("--dit-weights=random:small", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --dit-weights=random:small: *; leave out {option.split('=')[0]}"])


def test_a_lora_after_a_space_is_refused(project):
    style(project.path / "a.safetensors")
    result = project.runpytest_subprocess("--dit-lora", "a.safetensors", "test_mine.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*write --dit-lora=a.safetensors with '='*"])


@pytest.mark.slow
def test_a_lora_never_meets_the_bases_baseline(project):
    (project.path / "baselines").mkdir()
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=1)
    assert [path.name for path in (project.path / "baselines").iterdir()] == ["flux-tiny"]
    (base,) = read(project.path / "reports" / "r")
    style(project.path / "style" / "a.safetensors")
    result = run(project, "--dit-lora=style")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dit: flux-tiny-lora-* (5 double, *); no baseline for cpu-float32: nothing is judged"])
    (adapted,) = read(project.path / "reports" / "r")
    assert base.fingerprint.weights != adapted.fingerprint.weights
    assert base.measurement.latents_sha256 != adapted.measurement.latents_sha256
    assert adapted.case.startswith("flux-tiny-lora-")
    assert adapted.case.endswith("-double-L01-03-skip")


@pytest.mark.slow
def test_a_dtype_has_a_baseline_of_its_own(project):
    (project.path / "baselines").mkdir()
    run(project, "--dit-baseline-update=all").assert_outcomes(passed=1)
    result = run(project, "--dit-dtype=bfloat16", "--dit-baseline-update=all")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dit: flux-tiny (5 double, 10 single blocks, 4 steps, bfloat16); *"])
    files = sorted((project.path / "baselines" / "flux-tiny").iterdir())
    assert [path.name for path in files] == ["cpu-bfloat16.json", "cpu-float32.json"]
    harms = [next(iter(json.loads(path.read_text())["cases"].values()))["harm"]["value"] for path in files]
    assert harms[0] != harms[1]


@pytest.mark.slow
def test_a_hub_id_in_the_cache_is_a_checkpoint(project):
    theirs(project, "someone/flux-small")
    result = run(project, "--dit-checkpoint=someone/flux-small")
    result.assert_outcomes(passed=1)
    (there,) = read(project.path / "reports" / "r")
    run(project, "--dit-run-id=s")
    (here,) = read(project.path / "reports" / "s")
    assert there.case.startswith("someone-flux-small-")
    assert there.measurement == here.measurement
    assert there.fingerprint.weights == here.fingerprint.weights
