"""An upgrade that breaks a family, end to end: real models, real pytest, a plugin in the place of a new diffusers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from harness.cli.case_runs import CaseRuns
from harness.cli.main import main
from harness.results.journal import read
from harness.results.records import Kind, Status
from tests.helpers.projects import TOLERANCES

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CASES = """
import pytest
from harness import Ask

QUICK = ("skip", "reverse")


@pytest.mark.dit("flux-tiny", Ask(("single",), ("middle",), QUICK))
def test_flux(ablation):
    ablation.check(ablation.measure())


@pytest.mark.dit("sd3-tiny", Ask(("joint",), ("middle",), QUICK))
def test_sd3(ablation):
    ablation.check(ablation.measure())


@pytest.mark.dit("bundled")
def test_control(control):
    control.check()
"""
# What a release of diffusers might do to FLUX's single blocks.
BREAK = """
import os
from diffusers.models.transformers.transformer_flux import FluxSingleTransformerBlock

def broken(self, *arguments, **named):
    {what}

FluxSingleTransformerBlock.forward = broken
"""
RAISES = 'raise TypeError("forward() got an unexpected keyword argument\\nwhich nobody knows")'
CRASHES = "os._exit(134)  # as after a failed assertion in a kernel"


@pytest.fixture
def runs(pytester, monkeypatch):
    """Makes runs of two families' cases; ``broken`` replaces FLUX's single block by such a line."""
    pytester.path.joinpath("cases").mkdir()
    pytester.path.joinpath("cases", "test_mine.py").write_text(CASES)
    prompts = (ROOT / "harness/tiny/weights/prompts.txt").read_text().splitlines()[:4]
    pytester.path.joinpath("prompts.txt").write_text("\n".join(prompts) + "\n")
    pytester.path.joinpath("baselines").mkdir()
    pytester.path.joinpath("baselines", "tolerances.toml").write_text(TOLERANCES)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(pytester.path))))
    arguments = ("--dit-prompts=prompts.txt", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", "not auraflow")

    def make(name, *, broken=""):
        more = ()
        if broken:
            pytester.path.joinpath("broken_diffusers.py").write_text(BREAK.format(what=broken))
            more = ("-p", "broken_diffusers")
        return CaseRuns(Path("cases"), Path("reports"), (*arguments, *more)).attempt(name, Path(sys.executable))

    return make


def answer(capsys, *runs):
    code = main(["upgrade", *runs, "--fail-on-regression"])
    return code, capsys.readouterr().out


@pytest.mark.nightly
def test_a_family_that_raises_or_crashes_under_the_new_version_is_named_and_the_answer_is_no(runs, pytester, capsys):
    assert runs("old").problem == ""
    assert answer(capsys, "old=reports/old", "again=reports/old")[0] == 0

    raised = runs("raised", broken=RAISES)
    assert raised.problem == ""  # red cases are a result
    records = {r.case: r for r in read(raised.folder)}
    error = "TypeError: forward() got an unexpected keyword argument"
    broken = ["flux-tiny-single-L02-07-reverse", "flux-tiny-single-L02-07-skip"]
    assert {records[case].error for case in broken} == {error}
    assert {records[case].kind for case in broken} == {Kind.QUALITY}
    assert records["flux-tiny-control[test_control]"].error == error
    assert records["sd3-tiny-joint-L03-08-skip"].verdict.status is Status.UNJUDGED
    code, page = answer(capsys, "old=reports/old", "raised=reports/raised")
    assert code == 1
    assert "- **flux-tiny, float32: no** (4 of 4 cases are missing or failed under raised)" in page
    assert f"| single-L02-07-skip | measured | {error} |" in page
    assert "- **sd3-tiny, float32: yes** (nothing moved by more than its tolerance)" in page
    compared = main(["compare", "reports/old", "reports/raised", "--fail-on-regression"])
    assert compared == 1
    assert "failed in B" in capsys.readouterr().out
    ranking = (raised.folder / "ranking.md").read_text()
    assert f"- `flux-tiny-single-L02-07-skip: {error}`" in ranking
    assert "## sd3-tiny" in ranking

    crashed = runs("crashed", broken=CRASHES)
    assert crashed.problem == "pytest ended with exit code 134 (something broke)"
    code, page = answer(capsys, "old=reports/old", "crashed=reports/crashed")
    assert code == 1
    assert "- **flux-tiny, float32: no** (3 of 3 cases are missing or failed under crashed)" in page
    assert "| single-L02-07-skip | measured | missing |" in page
