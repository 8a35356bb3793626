"""``--dit-pictures=FOLDER``: the cases of a checkpoint that takes pictures apart into layers."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import diffusers
import pytest

import harness
from harness.gates import baselines
from harness.lab.pictures import drawn_pictures
from harness.results.journal import read
from tests.helpers import pipelines
from tests.helpers.projects import rewrite

pytestmark = pytest.mark.skipif(
    not hasattr(diffusers, "QwenImageLayeredPipeline"), reason="this diffusers has no QwenImageLayeredPipeline"
)
PROMPTS = ["a large solid red circle on a white background", "a small striped blue cross on a grey background"]
CASES = Path(harness.__file__).parent.parent / "cases" / "test_pipelines.py"
SKIP = "qwen-image-layered-transformer_blocks-L01-skip"
ONE = ("--dit-range=1", "--dit-strategy=skip")
GATES = ("harm", "latent_drift", "alpha_drift", "layer_drift", "layer_harm")
TOLERANCES = "".join(f'[[tolerance]]\npattern = "*"\nmetric = "{name}"\nrelative = 0.01\n' for name in GATES)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """It makes a single layer: what there is of several is tested without pytest."""
    folder = pipelines.save_layered(tmp_path_factory.mktemp("layered"))
    settings = json.loads((folder / "harness.json").read_text())
    (folder / "harness.json").write_text(json.dumps({**settings, "layers": 1}))
    return folder


@pytest.fixture
def project(pytester, model):
    """The cases of this repository, a model and its pictures, tolerances, no stored values yet."""
    shutil.copy(CASES, pytester.path)
    (pytester.path / "qwen-image-layered").symlink_to(model)
    pictures = pytester.mkdir("pictures")
    for picture, name in zip(drawn_pictures(PROMPTS), ("circle", "cross"), strict=True):
        picture.image.save(pictures / f"{name}.png")
        (pictures / f"{name}.txt").write_text(picture.prompt)
    pytester.mkdir("baselines").joinpath("tolerances.toml").write_text(TOLERANCES)
    return pytester


def run(project, *arguments, pictures="--dit-pictures=pictures"):
    return project.runpytest_inprocess(
        *("-p", "no:randomly", "-p", "no:cacheprovider", "--dit-checkpoint=qwen-image-layered", "--dit-metric=none"),
        *("--dit-cache=kept", "--dit-device=cpu"),
        *filter(None, [pictures]),
        *arguments,
    )


def test_a_run_stores_figures_of_layers_and_later_ones_are_judged_by_them(project, monkeypatch):
    stored = run(project, *ONE, "--dit-run-id=a", "--dit-rounds=4", "--dit-baseline-update=missing",
                 "--dit-columns=alpha-drift,layer-harm")  # fmt: skip
    stored.assert_outcomes(passed=2)  # its images and its time
    stored.stdout.fnmatch_lines(
        ["*least harmful variant: qwen-image-layered (2 prompts*", "*layer harm*", "*alpha drift*"]
    )
    path = project.path / "baselines" / "qwen-image-layered" / "cpu-float32.json"
    entries = baselines.load(path, "qwen-image-layered").cases[SKIP]
    assert {*GATES, "clip_delta"} <= set(entries)
    assert entries["alpha_drift"].value > 0.001
    with (project.path / "reports" / "a" / "ranking.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["alpha_drift"]) == pytest.approx(entries["alpha_drift"].value, rel=1e-5)
    assert {"layer_drift", "layer_harm", "composite_drift"} <= set(row)
    assert "alpha drift" in (project.path / "reports" / "a" / "index.html").read_text()
    (record, _) = (each for each in read(project.path / "reports" / "a") if each.case == SKIP)
    assert record.fingerprint.sampling["layers"] == 1
    assert "layer_harm_0" in record.measurement.summary

    run(project, *ONE, "--dit-run-id=b", "--benchmark-skip").assert_outcomes(passed=1, skipped=1)

    data = json.loads(path.read_text())
    data["cases"][SKIP]["alpha_drift"]["value"] *= 0.9
    rewrite(path, data)
    worse = run(project, *ONE, "--dit-resume=b", "--benchmark-skip")
    worse.assert_outcomes(failed=1, skipped=1)
    worse.stdout.fnmatch_lines(["*alpha?drift*"])

    monkeypatch.setattr("harness.surgery.view.AblationView.install", lambda _view: None)
    monkeypatch.setattr("harness.lab.ablated_images.check_trace", lambda *_: None)
    nothing = run(project, *ONE, "--dit-run-id=c", "--benchmark-skip")
    nothing.assert_outcomes(failed=1, skipped=1)
    nothing.stdout.fnmatch_lines(["*the latents are bitwise the control's*"])


def test_the_ids_are_those_of_any_other_pipeline(project):
    listed = run(project, "--co", "-q")
    ids = [line.partition("[")[2].rstrip("]") for line in listed.outlines if "::test_ablation[" in line]
    start = "qwen-image-layered-transformer_blocks"
    assert [each for each in ids if each.endswith("-skip")] == [
        *(f"{start}-L0{block}-skip" for block in range(4)),
        f"{start}-L01-02-skip",
    ]
    assert f"{start}-L01-02-reverse" in ids


@pytest.mark.parametrize(
    ("arguments", "pictures", "said"),
    [
        ([], "", "*takes pictures apart into layers, so it needs some: * --dit-pictures=FOLDER*"),
        ([], "--dit-pictures=nowhere", "*nowhere: no images here (.png, .jpg, .jpeg, .webp)"),
        (["--dit-prompts=x.txt"], "--dit-pictures=pictures", "*the texts of its pictures; leave out other prompts*"),
        (["--dit-batch=2"], "--dit-pictures=pictures", "*takes one picture apart at a time, not 2: *"),
        (["--dit-size=512"], "--dit-pictures=pictures", "*at 640 x 640 or 1024 x 1024 px *, not at 512 x 512*"),
        (["--dit-weights=random"], "--dit-pictures=pictures", "*no pictures are taken apart; leave out --dit-pictures"),
        (["--dit-checkpoint=flux-tiny"], "--dit-pictures=pictures", "*'flux-tiny' (FluxPipeline) makes images from p*"),
        (["--dit-pass=cond"], "--dit-pictures=pictures", "*qwen-image-layered*pass*"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(project, arguments, pictures, said):
    result = run(project, *ONE, *arguments, pictures=pictures)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.errlines if line.startswith("ERROR: ")]
    assert len(errors) == 1
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not (project.path / "reports").exists()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "cross.txt").unlink(), "*cross.txt: not readable; write down what is on cross.png*"),
        (lambda folder: (folder / "cross.txt").write_text(" "), "*cross.txt: empty; write down what is on cross.png"),
        (lambda folder: (folder / "cross.png").write_bytes(b"x"), "*cross.png: not an image that can be read*"),
        (lambda folder: (folder / "cross.txt").write_text(PROMPTS[0]), "*pictures 0 and 1 have the same text*"),
    ],
    ids=["no text", "empty text", "no image", "one text twice"],
)
def test_a_damaged_folder_of_pictures_is_named(project, damage, said):
    damage(project.path / "pictures")
    result = run(project, *ONE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
