"""The wheel alone: built, installed without a checkout beside it, and the main job run in a repository of one's own."""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import harness
from harness.models.checkpoints.resolve import BUNDLED, bundled_names
from harness.results.journal import read

pytestmark = pytest.mark.slow
ROOT = Path(harness.__file__).parents[1]
MOST_BYTES = 24e6  # with an autoencoder for each bundled model it was 27.9e6
HOME = """

def test_flux_harness_is_that_of_the_wheel():
    import harness

    assert harness.__file__.startswith({!r})
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that no build folder stays in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "harness", folder / "source" / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "source" / "docs").mkdir()
    for name in ("pyproject.toml", "docs/package.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source" / name)
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(folder / "source")]
    subprocess.run(build, check=True, capture_output=True)  # the wheel is built from the source distribution
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def call(wheel, tmp_path_factory):
    """A function that runs a module in an empty folder, with the harness that the wheel has installed."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("mine")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}

    def call(*arguments, code=0):
        command = [sys.executable, "-P", "-m", *arguments]
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables | {"PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    call.folder, call.site = folder, site
    return call


def test_the_main_job_runs_in_what_init_makes(call):
    assert "made cases/test_flux_tiny.py" in call("harness", "init")
    case_file = call.folder / "cases" / "test_flux_tiny.py"
    case_file.write_text(case_file.read_text() + HOME.format(str(call.site)))
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:2]
    (call.folder / "prompts.txt").write_text("\n".join(prompts) + "\n")
    few = ["--dit-prompts=prompts.txt", "--dit-stack=double", "--dit-strategy=skip", "--benchmark-skip", "-p"]
    few += ["no:cacheprovider", "-k", "flux"]
    quick = call("pytest", "cases/", "--dit-quick", *few, "--dit-run-id=quick")
    assert "least harmful variant: flux-tiny" in quick
    assert "double-L01-03-skip" in quick
    assert re.search(r"\b3 passed", quick)
    assert {p.name for p in call.folder.iterdir()} >= {"reports", "cases", "baselines"}
    assert (call.folder / "reports" / "quick" / "ranking.md").is_file()

    # What is stored is a baseline, with the tolerances that init made.
    few.append("--dit-range=middle")
    call("pytest", "cases/", *few, "--dit-baseline-update=missing", "--dit-run-id=first")
    stored = call.folder / "baselines" / "flux-tiny" / "cpu-float32.json"
    case = "flux-tiny-double-L01-03-skip"
    assert case in json.loads(stored.read_text())["cases"]
    again = call("pytest", "cases/", *few, "--dit-run-id=again")
    assert "tolerances: tolerances.toml" in again
    verdicts = {r.case: r.verdict for r in read(call.folder / "reports" / "again")}
    assert verdicts[case].status == "ok"


def test_it_holds_every_bundled_model_and_one_autoencoder(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert [n for n in names if "/vae/" in n and n.endswith(".safetensors")] == [
        "harness/tiny/weights/flux-tiny/vae/diffusion_pytorch_model.safetensors"
    ]
    for name in bundled_names():
        assert f"harness/tiny/weights/{name}/model_index.json" in names
    assert {"harness/gates/tolerances.toml", "harness/models/data/prompts.txt", "harness/py.typed"} <= set(names)
    assert wheel.stat().st_size < MOST_BYTES


def test_what_a_package_index_shows_has_no_link_into_the_repository(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    metadata = email.message_from_bytes(archive.read(name))
    page = metadata.get_payload()
    assert page.startswith("# dit-ablation-harness")
    assert re.findall(r"\]\((?!https?://)", page) == []
    assert metadata.get_all("Project-URL") is None
    assert "example.invalid" not in metadata.as_string()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    for extra in set(project["optional-dependencies"]) - {"dev"}:
        assert re.search(rf"^\| [^|]*`{extra}`[^|]* \|", page, re.MULTILINE), extra
