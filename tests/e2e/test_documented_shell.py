"""Every shell line of README.md, CONTRIBUTING.md and docs/, executed at night in a folder of its page's own.

A line runs as it stands, but for what :data:`SHORTER` puts in: a bundled model for a real one, fewer steps, four
prompts. What can't run here is in :data:`NOT_HERE` with its reason. docs/start.md and docs/tutorial.md run whole by
tests/e2e/test_tutorial.py, docs/gpu.md by tests/e2e/test_gpu_page.py, and by day tests/e2e/test_documented_commands.py
parses and collects every command.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers import preloaded

ROOT = Path(__file__).parents[2]
PAGES = {  # by name; docs/README.md says where to begin, and has no commands
    path.name: path for path in (*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md")
}
WHOLE = {"start.md": "test_tutorial.py", "tutorial.md": "test_tutorial.py", "gpu.md": "test_gpu_page.py"}
EMPTY_FOLDER = {"README.md", "package.md"}  # their lines begin with `init`, which makes the cases

# (page, pattern of a line) -> why it isn't executed. Each has to match a line of its page.
NOT_HERE = {
    (
        "README.md",
        "pip install",
    ): "installs from a registry; .ci/run does this very block",
    ("CONTRIBUTING.md", "pip install|venv"): "installs from a registry; nox and CI make the same environment",
    ("package.md", "pip install"): "installs from a registry; tests/e2e/test_wheel.py installs the wheel",
    ("machines.md", "pip install"): "installs from a registry",
    ("machines.md", "--on slurm"): "needs a Slurm cluster; tests/e2e/test_slurm.py runs its jobs as processes",
    ("machines.md", "--on ray"): "starts a Ray cluster; tests/e2e/test_ray.py starts one, kills an actor, and goes on",
    ("library.md", "--push-to-hub"): "uploads to the hub; tests/cli/test_hub_upload.py does it with a local one",
    ("overhead.md", "cuda"): "needs a GPU",
    (
        "findings.md",
        "test_healing",
    ): "trains twelve models, a quarter of an hour; tests/healing trains for a few steps",
    (
        "search.md",
        "truth .*--errors",
    ): "measures 2^15 sets; tests/search/test_truth.py does it with fewer blocks",
    (
        "upgrade.md",
        "upgrade --run|bisect",
    ): "installs other releases; see tests/e2e/test_version_commands.py",
    (
        "healing.md",
        "--resume",
    ): "goes on with a training that was stopped; tests/cli/test_heal.py stops one",
    ("data.md", "wandb"): "tests/e2e/test_option_log.py runs each tracker that is installed",
}

# (page or "", pattern, replacement): what makes a line fit for a small model and two cores.
SHORTER = (
    ("machines.md", r"s3://bucket", "file://$PWD/bucket"),
    ("machines.md", r"--dit-resume=\S+", "--dit-resume=RUN"),
    ("", r"(\bsweep .*?)(?= *#|$)", r"\1 --prompts prompts.txt"),
    ("machines.md", r"(?<=--range )(middle,each|each)(?! --strategy skip)", r"\1 --strategy skip"),
    ("", r"(init --checkpoint \S+)", r"\1 --into-another"),
    ("overhead.md", r"FLUX.1-schnell SD3.5-large AuraFlow-v0.2 (.*)--rounds 40", r"FLUX.1-schnell \1--rounds 2"),
    ("healing.md", r"FLUX.1-dev", "flux-tiny"),
    ("healing.md", r"double: 0-4 8-18", "double: 0 2-4"),
    ("healing.md", r"double: 0-2 4-18", "double: 0-2 4"),
    ("healing.md", r"single: 0-9 14-37", "single: 0-3 7-9"),
    ("healing.md", r"--steps \d+", "--steps 2"),
    ("healing.md", r"(heal .*--run reports/healed)", r"\1 --steps 2"),  # the page's own is a thousand
    ("healing.md", r"--batch 4 --accumulate 4", "--batch 2 --accumulate 2"),
    ("", r"FLUX\.1-(dev|schnell)(?!.*(--dit-weights|--into-another|--rounds))", "flux-tiny"),
    ("rivals.md", r"rivals CHECKPOINT", "rivals flux-tiny --speed-up 1.1 --steps 1"),
    ("", r"repeat \d+ *", "repeat 1 "),
    ("gates.md", r"--dit-calibrate 6", "--dit-calibrate 2 --dit-run-id=floors"),
    ("gates.md", r"calibrate reports/RUN", "calibrate reports/floors"),
    ("gates.md", r"(power flux-tiny)", rf"\1 --fault no-op --case '*double-L02-skip' --baselines {ROOT}/baselines"),
    ("search.md", r"(search flux-tiny)", r"\1 --front 0 --confirm 1 --take-prompts 1 --take-steps 1"),
    ("search.md", r"--evaluations 200", "--evaluations 40"),
    ("search.md", r"--harms docs/search/\S+", "--harms harms.jsonl --sample 2 --harm-prompts 2"),
    ("data.md", r"RUN RUN", "reports/RUN reports/GOOD"),
    ("data.md", r"report RUN", "report reports/RUN"),
    ("library.md", r" OUT$", " OUT-$RANDOM"),
    ("healing.md", r" OUT$", " OUT-$RANDOM"),
    ("grains.md", r"test_grains.py +#.*", "test_grains.py --dit-quick"),
    # The desk has stored values, and so cases of these files without any would be red.
    ("", r"^(?=pytest .*cases/test_(inner_grains|grains|rivals)\.py)", "rm -rf baselines/*-tiny && "),
    ("findings.md", r"-k flux", "-k 'flux and (B2 or C1)'"),
    ("analysis.md", r"test_analysis.py -k flux", "test_analysis.py -k 'flux and layers'"),
    ("models.md", r"--page docs/models.md", "--page models.md"),
    ("architecture.md", r"^lint-imports", f"cd {ROOT} && lint-imports"),
    ("overhead.md", r"--dit-weights=random ", "--dit-weights=random:small "),
)

CASES = {
    "test_flux.py": ("flux-tiny", "double"),
    "test_sd3.py": ("sd3-tiny", "joint"),
}
CASE = """import pytest
from harness import Ask

pytestmark = pytest.mark.dit({checkpoint!r}, Ask(({stack!r},), ("middle",), ("skip", "reverse")))


def test_ablation(ablation):
    ablation.check(ablation.measure())


def test_control(control):
    control.check()
"""


class Line(NamedTuple):
    """A line of shell, and the page that shows it."""

    page: str
    text: str

    @property
    def reason(self) -> str:
        """Why it isn't executed; empty for the others."""
        reasons = (why for (page, what), why in NOT_HERE.items() if page == self.page and re.search(what, self.text))
        return next(reasons, "")

    @property
    def shorter(self) -> str:
        """What is executed for it."""
        text = self.text
        for page, pattern, replacement in SHORTER:
            if page in ("", self.page):
                text = re.sub(pattern, replacement, text)
        other_folder = r"mkdir another && cd another && python -m harness \1"
        return re.sub(r"python -m harness (init .*)--into-another", other_folder, text)


def lines(page: str) -> Iterator[Line]:
    """The lines of a page's shell blocks, those that go on over several as one."""
    for block in re.findall(r"^```sh\n(.*?)^```", PAGES[page].read_text(), re.MULTILINE | re.DOTALL):
        for text in block.replace("\\\n", " ").splitlines():
            if text.strip() and not text.startswith("#"):
                yield Line(page, text)


WITH_SHELL = [name for name in PAGES if name not in WHOLE and any(not line.reason for line in lines(name))]


def test_what_is_not_executed_is_on_its_page_and_says_why():
    for (page, pattern), why in NOT_HERE.items():
        assert any(re.search(pattern, line.text) for line in lines(page)), (page, pattern)
        assert len(why) > 10
        for name in re.findall(r"tests/\S+\w", why):
            assert (ROOT / name).exists(), why
    for page, test in WHOLE.items():
        assert f'"{page}"' in (ROOT / "tests" / "e2e" / test).read_text(), f"{test} says nothing of {page}"


def test_what_is_put_in_still_fits_its_page():
    for page, pattern, _ in SHORTER:
        own = [line for name in ([page] if page else PAGES) for line in lines(name)]
        assert any(re.search(pattern, line.text) for line in own), (page, pattern)


def test_no_line_that_is_executed_needs_what_is_not_here():
    """Of real models only the shapes are here, by random weights; and no line goes to another machine."""
    for page in WITH_SHELL:
        for line in lines(page):
            if not line.reason:
                assert not re.search(r"s3://|--push-to-hub|pip install|cuda", line.shorter), line
                real = re.search(r"FLUX\.1|SD3\.5|AuraFlow-v", line.shorter)
                assert not real or re.search(r"--dit-weights|--rounds|init ", line.shorter), line


@pytest.fixture(scope="module")
def python():
    with TemporaryDirectory() as folder, preloaded.server(Path(folder)) as path:
        yield path


@pytest.fixture(scope="module")
def tools(tmp_path_factory, python):
    """A folder with `python` and `pytest` for the shell."""
    folder = tmp_path_factory.mktemp("tools")
    preloaded.write_command(folder / "python", python)
    preloaded.write_command(folder / "pytest", python, "-m", "pytest")
    return folder


def shell(tools, folder, text):
    """Run a line of shell in a folder; what it printed."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    own = os.pathsep.join((str(tools), str(Path(sys.executable).parent), os.environ["PATH"]))
    variables |= {"PATH": own, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    plain = "-p harness.plugin -p no:cacheprovider -p no:randomly --benchmark-skip"
    makes_images = (folder / "prompts.txt").exists() and "--dit-weights" not in text
    prompts = f"--dit-prompts={folder}/prompts.txt" if makes_images else ""
    variables["PYTEST_ADDOPTS"] = f"{plain} {prompts}"
    done = subprocess.run(["bash", "-ec", text], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def desk(tmp_path_factory, tools):
    """A repository with a few cases, two runs of them, and what pages take for granted."""
    import torch

    folder = tmp_path_factory.mktemp("desk")
    (folder / "cases").mkdir()
    for name, (checkpoint, stack) in CASES.items():
        (folder / "cases" / name).write_text(CASE.format(checkpoint=checkpoint, stack=stack))
    (folder / "baselines").mkdir()
    shutil.copy(ROOT / "baselines" / "tolerances.toml", folder / "baselines")
    (folder / "prompts.txt").write_text("\n".join((BUNDLED / "prompts.txt").read_text().splitlines()[:4]) + "\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    torch.save({"layer.weight": torch.zeros(2)}, folder / "weights-inception-2015-12-05-6726825d.pth")
    shutil.copy(ROOT / "docs" / "models.md", folder)
    shell(tools, folder, "pytest cases/ --dit-run-id=RUN --dit-baseline-update=missing")
    for name in ("GOOD", "0.40", "0.41", "0.42"):
        shutil.copytree(folder / "reports" / "RUN", folder / "reports" / name)
    return folder


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("page", WITH_SHELL)
def test_the_lines_of_a_page_run(page, desk, tools, tmp_path):
    folder = tmp_path / "mine"
    if page in EMPTY_FOLDER:
        folder.mkdir()
    else:
        shutil.copytree(desk, folder)
    own = {path.name for path in folder.glob("cases/*.py")}
    for line in lines(page):
        if line.reason:
            continue
        named = set(re.findall(r"cases/(test_\w+\.py)", line.text)) - own
        for name in named:  # this repository's, for that line alone
            shutil.copy(ROOT / "cases" / name, folder / "cases")
        shell(tools, folder, line.shorter)
        for name in named:
            (folder / "cases" / name).unlink()
