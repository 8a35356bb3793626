"""Every block of code in README.md and docs/ is executed: here, or by the test that is named here.

Blocks of shell are tests/e2e/test_documented_commands.py's (parsed, collected, the fast ones run) and, executed at
night, tests/e2e/test_documented_shell.py's; those of docs/gpu.md, docs/start.md and docs/tutorial.md have tests of
their own.
"""

from __future__ import annotations

import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

import harness
from harness.ablation.plan import parse
from harness.analysis.lokr.angle_records import AngleRecord
from harness.cli.main import main
from harness.errors import HarnessError, PlanError
from harness.models.checkpoints.resolve import resolve
from harness.results.journal import write_journal
from tests.helpers.angles import write
from tests.helpers.records import PROMPTS, latency, quality
from tests.helpers.runs import control

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
# (page, how its block begins) -> the test file that executes it, which names the page.
ELSEWHERE = {
    ("library.md", "from harness import Lab, ablate, load"): "e2e/test_library.py",
    ("checkpoints.md", "import torch"): "lab/test_layered_lab.py",
    ("analysis.md", "from harness import Lab, Study"): "test_api.py",
    ("findings.md", "from harness import Lab, Study, findings"): "test_api.py",
    ("findings.md", "import pytest"): "findings/test_definitions.py",
    ("own-model.md", "import torch"): "models/test_declared_stacks.py",
    ("own-model.md", "from harness import Plan"): "models/test_declared_stacks.py",
    ("own-model.md", "from harness import declare_stack"): "models/test_declared_stacks.py",
    ("extending.md", "from harness import Plan, Strategy"): "e2e/test_installed_package.py",
    ("extending.md", "from harness import Modifier"): "e2e/test_installed_package.py",
    ("extending.md", "def checkpoints"): "e2e/test_installed_package.py",
    ("extending.md", "import numpy"): "e2e/test_installed_package.py",
    ("extending.md", "[project]"): "e2e/test_installed_package.py",
    ("measurement.md", "import numpy"): "metrics/test_registry.py",
    ("machines.md", "jobs:"): "e2e/test_machines_page.py",
    ("machines.md", "name: dit-sweep"): "e2e/test_machines_page.py",
    ("machines.md", "#!/bin/bash"): "e2e/test_machines_page.py",
}
NO_CODE = {"", "text"}  # what is printed, lists of folders, a formula


def blocks():
    """(page, language, text) of every block that is code."""
    for page in PAGES:
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if language not in NO_CODE | {"sh"}:
                yield page.name, language, text


def elsewhere(page, text):
    return next((test for (name, start), test in ELSEWHERE.items() if name == page and text.startswith(start)), None)


def here():
    return [block for block in blocks() if elsewhere(block[0], block[2]) is None]


def block(page, start):
    """The block of a page that begins so."""
    (found,) = [text for name, _, text in here() if name == page and text.startswith(start)]
    return found


@pytest.fixture
def small(lab, monkeypatch):
    """``Lab("flux-tiny")`` is the tests' own, which has fewer prompts."""
    monkeypatch.setattr("harness.lab.lab.Lab", lambda name: lab if name == "flux-tiny" else pytest.fail(name))
    return lab


def run(page, start, **names):
    exec(compile(block(page, start), page, "exec"), names)
    return names


def test_the_case_file_of_the_readme_has_cases(pytester, loaded):
    pytester.makepyfile(test_mine=block("README.md", "import pytest"))
    result = pytester.runpytest_inprocess("test_mine.py", "--co", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    assert result.ret == 0
    assert sum("double-L" in line for line in result.outlines) > 5, result.stdout.str()


def test_the_claim_of_a_mark_is_collected(pytester, loaded):
    pytester.makepyfile(test_mine="import pytest\n" + block("findings.md", "@pytest.mark.dit_findings"))
    result = pytester.runpytest_inprocess("test_mine.py", "--co", "-q", "-p", "no:cacheprovider", "-p", "no:randomly")
    assert any("C3-image" in line for line in result.outlines)


def test_the_library_of_the_readme_and_of_the_package_page(small, pipelines, capsys):
    def short(prompt):
        return pipelines["flux"](prompt, height=32, width=32, num_inference_steps=1, max_sequence_length=8)

    text = block("README.md", "from harness import Lab, ablate")
    assert "(4|5|6|7)x3 8-18" in text  # a plan over the 19 double blocks of FLUX.1; the bundled model has fewer
    short.transformer = pipelines["flux"].transformer
    names = {"pipeline": short, "prompt": "a red circle"}
    exec(compile(text.replace("0-3 (4|5|6|7)x3 8-18", "0-1"), "README.md", "exec"), names)
    assert len(names["images"]) == 1
    assert "least harmful variant: flux-tiny" in capsys.readouterr().out
    run("package.md", "from harness import Lab, rank, sweep")
    assert "least harmful variant: flux-tiny" in capsys.readouterr().out


def test_names_that_the_api_page_imports():
    names = run("api.md", "from harness import Ask")
    assert {"Ask", "Lab", "ablate", "rank", "sweep"} <= names.keys()


def test_a_run_is_read_and_ranked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_journal(tmp_path / "reports" / "RUN", [quality("a", 0.1), quality("b", 3.0)])
    run("formats.md", "from harness import rank")
    assert "least harmful variant: m (16 prompts)" in capsys.readouterr().out


def test_a_run_is_taken_apart_in_tables(tmp_path, monkeypatch, capsys):
    """Without pyarrow its last table file is not written, and the error names the package."""
    monkeypatch.chdir(tmp_path)
    write_journal(tmp_path / "reports" / "RUN", [control(), quality("a", 0.1), latency("a", 1.2), quality("b", 3.0)])
    text = block("data.md", "from harness import load, rank")
    if find_spec("pyarrow") is None:
        with pytest.raises(HarnessError, match="pyarrow"):
            exec(compile(text, "data.md", "exec"), {})
        text = text.replace('run.to_parquet("tables/")\n', "")
    names: dict[str, object] = {}
    exec(compile(text, "data.md", "exec"), names)
    assert len(names["worst"]) == 3 * PROMPTS  # the control has scores, too
    assert (tmp_path / "pareto.png").stat().st_size > 1000


def test_ranks_by_layer_make_an_adapter_of_peft(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    length = sum(resolve("flux-tiny").stacks.values())
    values = tuple(0.1 + 0.01 * i for i in range(length))
    write(tmp_path / "R.jsonl", [AngleRecord(t, values, values) for t in (0.05, 0.5, 0.95)])
    arguments = ["lokr", "--records", "R.jsonl", "--checkpoint", "flux-tiny", "--out", "l.json", "--peft", "ranks.json"]
    assert main(arguments) == 0
    pipeline = harness.load("flux-tiny")
    run("analysis.md", "import json", pipeline=pipeline)
    assert any("lora_A" in name for name, _ in pipeline.transformer.named_parameters())


def test_exported_models_are_loaded(tmp_path, monkeypatch):
    import diffusers
    import torch

    monkeypatch.chdir(tmp_path)
    assert main(["export", "--checkpoint", "flux-tiny", "--plan", "single: 0-5 7-9", "OUT"]) == 0
    names = {name: getattr(diffusers, name) for name in ("FluxTransformer2DModel", "FluxPipeline")}
    own = str(resolve("flux-tiny").folder)
    made = run("library.md", "transformer = FluxTransformer2DModel", torch=torch, CHECKPOINT=own, **names)
    assert len(made["pipeline"].transformer.single_transformer_blocks) == 9
    assert run("tutorial.md", "import torch")["transformer"].config.num_single_layers == 9


def test_settings_in_toml_and_json_are_what_is_read(pytester, loaded):
    pytester.makepyprojecttoml(block("options.md", "[tool.pytest.ini_options]"))
    config = pytester.parseconfig()
    assert config.getini("dit_dtype") == "bf16"
    points = tomllib.loads(block("measurement.md", "[project.entry-points"))["project"]["entry-points"]
    assert points == {"harness.metrics": {"sharpness": "dit_sharpness:make"}}
    assert tomllib.loads(block("formats.md", "#:schema")) == {}
    listed = json.loads(block("gpu.md", "["))
    schema = json.loads((ROOT / "docs" / "schemas" / "nightly.json").read_text())
    assert list(Draft202012Validator(schema).iter_errors(listed)) == []


def test_the_grammar_of_plans_is_what_is_read():
    """Each word that the grammar has in quotes, in a plan of its own."""
    grammar = block("plans.md", "plan   = step")
    words = set(re.findall(r'"([a-z]+)"', grammar))
    assert words == {"attn", "ff", "text", "image", "x"}
    for part in words - {"x"}:
        assert parse(f"0.{part} 1-3") != parse("0-3")
    for group in ("(0|1)", "(0|1)+", "(0|1)~", "(0|1)x3", "(0 1|2)", "(0-1|2-3)"):
        assert '"("' in grammar
        assert parse(f"{group} 4") != parse("4")
    for wrong in ("0..attn", "(0", "0|1", "0*1000", "1--2", "0.nothing"):
        with pytest.raises(PlanError):
            parse(wrong)


def test_yaml_is_yaml():
    for _, language, text in blocks():
        if language == "yaml":
            assert isinstance(yaml.safe_load(text), dict)


def test_no_block_is_left_out():
    """Each is executed above, or by a test that names its page. (Run with the whole file.)"""
    for (page, start), test in ELSEWHERE.items():
        assert any(name == page and text.startswith(start) for name, _, text in blocks()), (page, start)
        assert page in (ROOT / "tests" / test).read_text(), f"{test} says nothing of {page}"
    source = Path(__file__).read_text()
    named = set(re.findall(r'(?:block|run)\(\s*"([\w.-]+\.md)", "([^"]+)"', source))
    for page, language, text in here():
        assert any(page == name and text.startswith(start) for name, start in named), (
            f"{page}: nothing executes this block of {language}: {text[:80]}"
        )


def test_whatever_is_code_says_so():
    """A block without a language holds no command and no import, which nothing would execute."""
    for page in PAGES:
        for language, text in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            if language in NO_CODE:
                begins = [line for line in text.splitlines() if re.match(r"(pytest|python|pip|nox|import|from) ", line)]
                assert begins == [], page.name
