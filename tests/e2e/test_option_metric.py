"""Judges and extra metrics as the plugin's users ask for them: measured, left out by name, or one clear line."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

from harness.cli.main import main
from harness.metrics import dinov2, inception, lpips, openclip, pickscore
from harness.models.checkpoints.resolve import BUNDLED
from harness.results.journal import read
from tests.helpers.projects import run

CASES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle",), ("skip",)))


def test_ablation(ablation):
    ablation.check(ablation.measure())


def test_control(control):
    control.check()
"""


@pytest.fixture(scope="module", autouse=True)
def extractors(loaded):
    """Their libraries, too: what an in-process run imports is forgotten, and some can be imported only once."""
    assert inception.network_class()
    assert lpips
    assert pickscore
    assert openclip


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    """A small DINOv2 with random weights."""
    folder = tmp_path_factory.mktemp("dino")
    torch.manual_seed(0)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**size, image_size=28, patch_size=7)).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)
    assert dinov2.make(str(folder), torch.device("cpu"))(np.zeros((1, 3, 32, 32), np.uint8)).shape == (1, 32)
    return folder


@pytest.fixture
def project(pytester, loaded, monkeypatch):
    """A folder of somebody's own, on a machine on which nothing was ever downloaded."""
    monkeypatch.setenv("HF_HUB_CACHE", str(pytester.path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(pytester.path / "torch"))
    pytester.makepyfile(test_mine=CASES)
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:4]
    (pytester.path / "prompts.txt").write_text("\n".join(prompts) + "\n")
    return pytester


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-judge=ViT-L-14"], "*judge 'ViT-L-14' is neither a folder nor one of open_clip's names*"),
        (["--dit-judge=ViT-L14/openai"], "*open_clip has no pretrained 'ViT-L14'; near it are ViT-L-14, *"),
        (["--dit-judge=ViT-L-14/opnai"], "*open_clip has no weights 'opnai' of ViT-L-14; near it are openai"),
        (
            ["--dit-judge=ViT-L-14/openai"],
            "*judge 'ViT-L-14/openai' is not in the hub cache *; run: hf download timm/vit_large_patch14_clip_224.ope*",
        ),
        (["--dit-judge=empty"], "*judge *empty is no open_clip folder: open_clip_config.json is not there"),
        (["--dit-judge=nowhere"], "*judge 'nowhere' is neither a folder nor one of open_clip's names*"),
        (["--dit-metric=lpip"], "*unknown metric 'lpip' (did you mean 'lpips'?); there are inception, lpips, *"),
        (["--dit-metric=lpips"], "*metric 'lpips': no weights: alexnet* is not there; fetch *harness convert *"),
        (
            ["--dit-metric=inception"],
            "*metric 'inception': no weights: *; fetch * and run: python -m harness convert *",
        ),
        (["--dit-metric=dinov2"], "*metric 'dinov2': no weights: * is not in the hub cache; run: hf download *"),
        (["--dit-metric=pickscore=a/b"], "*metric 'pickscore': no weights: a/b is not in the hub cache; run: hf *"),
        (["--dit-metric=dinov2=empty"], "*metric 'dinov2': no config.json in *empty; save the whole model into *"),
        (["--dit-metric=lpips="], "*metric 'lpips=': nothing after '='*"),
        (["--dit-metric=lpips", "--dit-metric=lpips=x"], "*metric 'lpips' is asked for twice*"),
        (["--dit-metric=none", "--dit-metric=lpips"], "*'none' leaves all metrics out*"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_exit_4_before_any_image(project, arguments, message):
    (project.path / "empty").mkdir()
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert len([line for line in result.errlines if line.strip()]) == 1
    assert not (project.path / "reports" / "r" / "images").exists()


@pytest.mark.parametrize(("option", "why"), [("judge", "nothing is judged"), ("metric", "nothing is measured on them")])
def test_random_weights_are_neither_judged_nor_measured(project, option, why):
    result = project.runpytest_inprocess("--dit-weights=random", f"--dit-{option}=lpips")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *: random weights make no images, so {why}; leave out --dit-{option}"])


def test_a_judges_folder_after_a_space_is_refused(project):
    (project.path / "judge").mkdir()
    result = project.runpytest_subprocess("--dit-judge", "judge", "test_mine.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*write --dit-judge=judge with '='*"])


def test_a_judge_by_folder_judges(project):
    shutil.copytree(BUNDLED / "judge", project.path / "mine")
    run(project).assert_outcomes(passed=2)
    own = {r.case: r for r in read(project.path / "reports" / "r")}
    shutil.rmtree(project.path / "reports")
    run(project, "--dit-judge=mine").assert_outcomes(passed=2)
    given = {r.case: r for r in read(project.path / "reports" / "r")}
    assert {k: r.measurement for k, r in own.items()} == {k: r.measurement for k, r in given.items()}
    assert {r.fingerprint.judge for r in given.values()} == {r.fingerprint.judge for r in own.values()}


def test_a_judge_with_random_weights_is_refused_unless_a_person_trusts_it(project):
    texts = (BUNDLED / "prompts.txt").read_text().splitlines()[:8]
    (project.path / "prompts.txt").write_text("\n".join(texts))
    shutil.copytree(BUNDLED / "judge", project.path / "bad")
    weights = project.path / "bad" / "open_clip_model.safetensors"
    mixed = torch.Generator().manual_seed(0)
    state = {
        name: values.flatten()[torch.randperm(values.numel(), generator=mixed)].view_as(values).contiguous()
        for name, values in load_file(weights).items()
    }
    save_file(state, weights, metadata={"format": "pt"})
    result = run(project, "--dit-judge=bad")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*refused: the judge is refused: *images* not surely scored lower*"])
    result.stdout.no_fnmatch_line("*accept with*")  # nothing of it would be stored
    page = (project.path / "reports" / "r" / "ranking.md").read_text()
    assert "the judge is refused: " in page
    assert "harm [sd]" not in page
    shutil.rmtree(project.path / "reports")
    run(project, "--dit-judge=bad", "--dit-trust-judge").assert_outcomes(passed=2)
    page = (project.path / "reports" / "r" / "ranking.md").read_text()
    assert "THE JUDGE FAILED ITS CHECK" in page
    assert "harm [sd]" in page


def test_a_metric_that_is_asked_for_is_a_column_also_from_the_journal(project, dino, capsys):
    shutil.copytree(dino, project.path / "dino")
    result = run(project, "--dit-metric=dinov2=dino")
    result.assert_outcomes(passed=2)
    assert "dinov2 drift" in (project.path / "reports" / "r" / "ranking.md").read_text()
    result.stdout.fnmatch_lines(["left out: dinov2 FID (needs 32 prompts, there are 4)"])
    records = {r.kind: r for r in read(project.path / "reports" / "r")}
    assert records["quality"].measurement.summary["dinov2.drift"] > 0
    assert records["control"].measurement.summary["dinov2.reseed"] > 0
    assert records["quality"].fingerprint.metrics["dinov2"].startswith(str(project.path / "dino"))
    (project.path / "reports" / "r" / "ranking.json").unlink()
    assert main(["report", str(project.path / "reports" / "r")]) == 0
    assert "left out: dinov2 FID" in capsys.readouterr().out
    (row,) = json.loads((project.path / "reports" / "r" / "ranking.json").read_text())[0]["rows"]
    assert row["dinov2.drift"] == pytest.approx(records["quality"].measurement.summary["dinov2.drift"])


@pytest.fixture
def foreign(project):
    """A checkpoint outside the bundled world: the same, but nothing says that its prompts are the world's."""
    folder = project.path / "foreign"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    shutil.copytree(BUNDLED / "judge", project.path / "judge")
    told = json.loads((folder / "harness.json").read_text()) | {"world": False, "seeds": 2}
    (folder / "harness.json").write_text(json.dumps(told))
    return project


def test_what_is_not_there_is_left_out_by_name_and_never_a_zero(foreign, dino, capsys):
    result = run(foreign, "--dit-checkpoint=foreign", f"--dit-metric=dinov2={dino}")
    result.assert_outcomes(passed=2)
    out = " ".join(result.stdout.str().split())
    for said in (
        "inception (no weights: weights-",
        "lpips (no weights: alexnet",
        "pickscore (no weights: yuvalkirstain",
    ):
        assert said in out.split("left out: ")[1]
    records = read(foreign.path / "reports" / "r")
    assert all(set(r.measurement.left_out) == {"inception", "lpips", "pickscore", "dinov2 FID"} for r in records)
    text = (foreign.path / "reports" / "r" / "ranking.md").read_text()
    assert "\nleft out: " in text
    assert "inception (no weights: " in text.split("\nleft out: ")[1]
    assert not any(name in text for name in ("lpips drift", "pickscore delta", "inception drift"))
    assert "dinov2 drift" in text
    assert main(["report", str(foreign.path / "reports" / "r")]) == 0
    assert "inception (no weights: " in capsys.readouterr().out.split("left out: ")[1]


def test_metrics_can_be_left_alone(foreign):
    result = run(foreign, "--dit-checkpoint=foreign", "--dit-metric=none", "-k", "ablation")
    result.assert_outcomes(passed=1, deselected=1)
    assert "left out" not in result.stdout.str()


def test_without_a_judge_of_its_own_a_checkpoint_asks_for_open_clips(foreign):
    path = foreign.path / "foreign" / "harness.json"
    told = json.loads(path.read_text())
    del told["judge"]
    path.write_text(json.dumps(told))
    result = run(foreign, "--dit-checkpoint=foreign")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: judge 'ViT-L-14/openai' is not in the hub cache *; run: hf download timm/*"])


def test_without_prompts_of_its_own_a_checkpoint_takes_the_set_of_the_package(foreign):
    path = foreign.path / "foreign" / "harness.json"
    told = json.loads(path.read_text())
    del told["prompts"]
    path.write_text(json.dumps(told))
    result = foreign.runpytest_inprocess("-p", "no:cacheprovider", "--dit-checkpoint=foreign", "--dit-run-id=r")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    # They are too long for the small text encoder, which reads 20 tokens: that they were asked for is all one can see.
    result.stderr.fnmatch_lines(["ERROR: prompt * has * tokens, * takes 20 *: 'An attic seen from the top of its *"])
