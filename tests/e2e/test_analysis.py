"""Analyses and claims as their users meet them: only when asked for, held against stored values, and reported."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from PIL import Image

from harness.analysis import layer_groups, profile
from harness.findings.catalogue import SETS
from harness.findings.claim import ClaimVerdict
from harness.findings.expected import load
from harness.gates import baselines
from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers.projects import CASES, TOLERANCES, run

ANALYSIS = """
import pytest

pytestmark = pytest.mark.dit("flux-tiny")


def test_layers(study):
    study.check_layers()


def test_groups(study):
    study.check_groups()


def test_velocity(study):
    study.check_velocity()


def test_predictors(study):
    study.check_predictors()


def test_additivity(study):
    study.check_additivity()
"""
FINDINGS = """
import pytest

from harness.findings.claim import claim
from harness.findings.harm_questions import ablated, catastrophic, mild


@claim("X1", "the middle can go", source="our notes")
def middle(study):
    "Skipping the middle of the double stack is mild."
    return [mild(study, ablated(study, "double", "middle", "skip"))]


@claim("X2", "the middle is everything", source="our notes")
def everything(study):
    "Skipping it is catastrophic."
    return [catastrophic(study, ablated(study, "double", "middle", "skip"))]


@claim("X3", "about another model", source="our notes", families=("sd3",))
def another(study):
    "Never measured."
    return []


@pytest.mark.dit_findings("flux-tiny", middle, everything, another)
def test_finding(finding):
    finding.check()
"""
SD35 = SETS["sd35"].ids
MORE = """
[[tolerance]]
pattern = "*"
metric = "velocity"
relative = 0.02
"""


@pytest.fixture
def project(pytester, loaded):
    """Somebody's own analyses and claims beside a case, with a few prompts."""
    pytester.makepyfile(test_analysis=ANALYSIS, test_findings=FINDINGS, test_mine=CASES)
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()[:6]
    (pytester.path / "prompts.txt").write_text("\n".join(prompts) + "\n")
    (pytester.path / "baselines").mkdir()
    (pytester.path / "baselines" / "tolerances.toml").write_text(TOLERANCES + MORE)
    return pytester


@pytest.mark.parametrize(
    ("arguments", "analyses", "claims"),
    [
        ([], 0, 0),
        (["."], 0, 0),
        (["--dit-analysis"], 5, 3),
        (["test_analysis.py"], 5, 0),
        (["test_findings.py::test_finding", "test_mine.py"], 0, 3),
        (["-k", "findings"], 0, 3),
        (["-k", "analysis and velocity"], 1, 0),
        (["-k", "not findings"], 0, 0),
    ],
)
def test_they_run_only_when_asked_for(project, arguments, analyses, claims):
    result = run(project, "--co", "-q", *arguments)
    lines = [line for line in result.outlines if "::" in line]
    assert sum("test_analysis.py" in line for line in lines) == analyses
    assert sum("test_findings.py" in line for line in lines) == claims


def test_an_analysis_leaves_a_page_figures_and_profiles(project):
    result = run(project, "test_analysis.py", "-k", "layers or groups or velocity")
    result.assert_outcomes(passed=3, deselected=2)
    folder = project.path / "reports" / "r" / "analysis" / "flux-tiny"
    page = (folder / "analysis.md").read_text()
    for heading in ("## Figures", "## Groups", "## Velocity"):
        assert page.count(heading) == 1
    assert {"trajectory.safetensors", "noised.safetensors", "velocity.png", "similarity-single-image.png"} <= {
        path.name for path in folder.iterdir()
    }
    HTMLParser().feed((folder / "figures.html").read_text())
    result.stdout.fnmatch_lines(
        [
            "flux-tiny: groups: double no block structure *",
            "wrote reports/r/analysis/*.md",
            "wrote reports/r/analysis/*/figures.html",
        ]
    )
    assert not (project.path / "baselines" / "flux-tiny").exists()


def test_figures_are_held_against_stored_ones(project):
    path = project.path / "baselines" / "flux-tiny" / "analysis" / "cpu-float32.json"
    arguments = ["test_analysis.py", "-k", "velocity"]
    assert run(project, *arguments, "--dit-baseline-update=missing").ret == 0
    stored = baselines.load(path, "flux-tiny")
    assert set(stored.cases) == {"flux-tiny-double-velocity", "flux-tiny-single-velocity"}
    assert run(project, *arguments).ret == 0
    data = json.loads(path.read_text())
    data["cases"]["flux-tiny-double-velocity"]["velocity"]["value"] *= 1.1
    path.write_text(json.dumps(data))
    result = run(project, *arguments)
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(
        [
            "double-velocity velocity: *, stored * (+-*, tolerances.toml *",
            "changed since: nothing that is recorded",
            "accept with: *--dit-baseline-update=changed",
        ]
    )
    assert run(project, *arguments, "--dit-baseline-update=missing").ret == 0  # keeps what is there
    assert run(project, *arguments).ret == 1
    assert run(project, *arguments, "--dit-baseline-update=changed").ret == 0
    assert run(project, *arguments).ret == 0


def test_groups_that_moved_fail(project):
    arguments = ["test_analysis.py", "-k", "groups"]
    path = project.path / "baselines" / "flux-tiny" / layer_groups.FILE
    assert run(project, *arguments, "--dit-baseline-update=missing").ret == 0
    found = layer_groups.read(path, "flux-tiny")
    assert set(found.stacks) == {"double", "single"}
    assert run(project, *arguments).ret == 0
    data = json.loads(path.read_text())
    data["stacks"]["single"] |= {"structure": True, "p": 0.01}
    path.write_text(json.dumps(data))
    result = run(project, *arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["groups moved: single: blocks 0, * -> no block structure"])


def test_predictors_and_additivity_run_on_every_stack(project):
    result = run(project, "test_analysis.py", "-k", "predictors")
    result.assert_outcomes(passed=1, deselected=4)
    page = (project.path / "reports" / "r" / "analysis" / "flux-tiny" / "analysis.md").read_text()
    assert "| measure | costs | double | single | all stacks | all stacks, by the checker |" in page
    assert "| latent drift | a run a block |" in page
    assert "vitality" not in page  # DINOv2 isn't measured
    result.stdout.fnmatch_lines(
        ["flux-tiny: harm of single skips is ranked best, of what costs less, by *", "flux-tiny: depth alone: *"]
    )


def test_claims_get_verdicts_and_fail_only_against_stored_ones(project):
    prompts = (BUNDLED / "prompts.txt").read_text().splitlines()
    (project.path / "prompts.txt").write_text("\n".join(prompts[:32]))  # with six nothing is decided
    result = run(project, "test_findings.py")
    result.assert_outcomes(passed=2, skipped=1)
    result.stdout.fnmatch_lines(
        ["published claims, on flux-tiny: *1 not applicable*", "wrote reports/r/findings.jsonl"]
    )
    folder = project.path / "reports" / "r"
    assert "| X1 | the middle can go | contradicted |" in (folder / "findings.md").read_text()
    page = (folder / "index.html").read_text()
    assert "<title>Published claims on flux-tiny</title>" in page
    assert "test_findings.py::test_finding[flux-tiny-X1]" in page

    run(project, "test_findings.py", "--dit-baseline-update=missing").assert_outcomes(passed=2, skipped=1)
    stored = load(project.path / "baselines", "flux-tiny")
    assert stored.claims["X1"] is ClaimVerdict.CONTRADICTED
    assert stored.claims["X3"] is ClaimVerdict.NOT_APPLICABLE
    data = json.loads(stored.path.read_text())
    data["claims"]["X1"] = "supported"
    stored.path.write_text(json.dumps(data))
    result = run(project, "test_findings.py")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["flux-tiny-X1: contradicted, where supported is stored", "accept with: *--dit-baseline-update=changed"]
    )


def test_claims_by_name_have_the_ids_of_their_own_and_load_nothing(project):
    mark = '@pytest.mark.dit_findings("flux-tiny", "sd35", "B4", middle)'
    code = FINDINGS.replace('@pytest.mark.dit_findings("flux-tiny", middle, everything, another)', mark)
    project.makepyfile(test_findings=code)
    result = run(project, "--co", "-q", "test_findings.py")
    names = [line.partition("[")[2].rstrip("]") for line in result.outlines if "::" in line]
    assert names == [f"flux-tiny-{name}" for name in (*SD35, "B4", "X1")]
    result = run(project, "test_findings.py", "-k", "B4 or C1")
    result.assert_outcomes(passed=1, skipped=2, deselected=len(SD35) + 2 - 3)
    assert (
        "| B4 | skipping double 0 is not catastrophic" in (project.path / "reports" / "r" / "findings.md").read_text()
    )


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("", "*needs a mark that names its checkpoint and its claims*"),
        ('@pytest.mark.dit_findings("flux-tiny")', "*takes a checkpoint's name and then one or more Claims*"),
        ('@pytest.mark.dit_findings("flux-tiny", middle, middle)', "*there are two claims called X1"),
        (
            '@pytest.mark.dit_findings("flux-tiny", "blgo")',
            "*unknown claim or set of claims 'blgo' (did you mean 'blog'?)*",
        ),
        (
            '@pytest.mark.dit_findings("flux-tiny", 3)',
            "*the dit_findings mark: 3 is neither a Claim nor the name of one",
        ),
        ('@pytest.mark.dit_findings("flux-tiny", middle, wide=1)', "*knows no wide; it takes a checkpoint and claims"),
    ],
)
def test_a_wrong_mark_is_one_line(project, mark, message):
    wrong = FINDINGS.replace('@pytest.mark.dit_findings("flux-tiny", middle, everything, another)', mark)
    project.makepyfile(test_findings=wrong)
    result = run(project, "test_findings.py")
    assert result.ret == 4
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_random_weights_have_nothing_to_look_into(project):
    result = project.runpytest_inprocess(
        "-p", "no:randomly", "--dit-weights=random:small", "--dit-run-id=r", "test_analysis.py", "-k", "velocity"
    )
    result.assert_outcomes(skipped=1, deselected=4)


def test_images_of_ones_own_are_noised(project):
    """A folder that isn't there is one line; with one, figures are not held against those of the model's own images."""
    result = run(project, "test_analysis.py", "-k", "layers", "--dit-images=nowhere")
    result.assert_outcomes(errors=1, deselected=4)
    result.stdout.fnmatch_lines(["*there is no folder of images *nowhere*"])
    folder = project.path / "pictures"
    folder.mkdir()
    Image.new("RGB", (48, 64), "red").save(folder / "a.png")
    (folder / "a.txt").write_text("a large solid red circle on a grey background\n")
    assert run(project, "test_analysis.py", "-k", "layers", "--dit-images=pictures").ret == 0
    written = profile.read(project.path / "reports" / "r" / "analysis" / "flux-tiny" / "noised.safetensors")
    assert written.prompts == 1
