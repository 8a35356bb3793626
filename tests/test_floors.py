"""The house: an import only goes down its floors, and what must stay light does."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import harness

HOUSE = Path(harness.__file__).parent
FLOORS = {
    0: (
        *("errors", "plan", "strategies", "case", "records", "prompts", "files", "perturbations"),
        *("families", "folder", "hub", "known", "lora", "registry", "extensions", "cost", "groups", "windows"),
    ),
    1: (
        *("statistics", "ranking", "comparison", "upgrade", "noise", "tolerances", "baselines", "bits", "journal"),
        *("layers", "profiles", "grouping", "predictors", "angular", "lokr"),
    ),
    2: ("contract", "surgery", "lora_layers", "memory", "loading", "pruning", "export", "tiny"),
    3: (
        *("adapters", "sampling", "metrics", "laboratory", "proofs", "randomised", "lab", "latency", "pace", "bench"),
        *("seen", "stepping"),
        *("mutants", "disturb", "power", "analysis", "findings"),
    ),
    4: ("report", "api"),
    5: (
        *("options", "calibration", "collecting", "trial", "running", "inquiry", "inquiries", "plugin"),
        *("commands", "__main__"),
    ),
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}
# The model card of a bundled model is measured with a lab: the one door from floor 2 up, used by __main__ alone.
DOORS = {("tiny.evaluate", "lab"), ("tiny.evaluate", "metrics")}
HEAVY = {"torch", "diffusers", "transformers", "open_clip", "torchmetrics"}
LIGHT = {"numpy", "scipy", "pandas"}


def modules():
    for path in sorted(HOUSE.rglob("*.py")):
        name = ".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            yield name, path


def imported(path, *, nested):
    """Names imported by a module: at its top (TYPE_CHECKING aside), or anywhere."""
    tree = ast.parse(path.read_text())
    nodes = ast.walk(tree) if nested else tree.body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "harness":
                yield from (f"harness.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in modules()])
def test_imports_go_down(name, path):
    own = FLOOR[name.split(".")[0]]
    for target in imported(path, nested=True):
        if target.startswith("harness."):
            other = target.removeprefix("harness.").split(".")[0]
            if (name, other) not in DOORS:
                assert FLOOR[other] <= own, f"{name} on floor {own} imports {other} on floor {FLOOR[other]}"


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in modules()])
def test_floors_are_as_heavy_as_they_may_be(name, path):
    found = {target.split(".")[0] for target in imported(path, nested=False)}
    floor = FLOOR[name.split(".")[0]]
    if floor == 0:
        assert not found & (HEAVY | LIGHT | {"pytest"})
    if floor == 1:
        assert not found & (HEAVY | {"pytest"})
    if floor in (2, 3):
        assert "pytest" not in found
    if floor == 4:
        assert not found & HEAVY


def test_the_plugin_loads_nothing_heavy():
    code = f"import sys, harness.plugin; print(sorted({HEAVY | LIGHT!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_collecting_the_cases_loads_nothing_heavy():
    code = (
        "import sys, pytest\n"
        "assert pytest.main(['--co', '-q', 'cases']) == 0\n"
        f"print(sorted({HEAVY | {'scipy', 'pandas'}!r} & set(sys.modules)))\n"  # numpy may be another plugin's
    )
    root = HOUSE.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_the_report_loads_no_torch():
    code = f"import sys, harness.report, harness.report.terminal; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The one command that reads a pickle, when it is asked to, and of it tensors alone.
CONVERTER = "commands.convert"


def test_the_converter_unpickles_weights_only():
    path = dict(modules())[CONVERTER]
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    loads = [n for n in calls if ast.unparse(n.func) == "torch.load"]
    assert len(loads) == 1
    assert "weights_only=True" in [ast.unparse(keyword) for keyword in loads[0].keywords]


def test_nothing_reads_pickles_or_remote_code():
    for name, path in modules():
        tree = ast.parse(path.read_text())
        names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        assert "pickle" not in set(imported(path, nested=True))
        if "load" in names and name != CONVERTER:
            assert "torch.load(" not in path.read_text()
        keywords = {k.arg: k.value for n in ast.walk(tree) if isinstance(n, ast.Call) for k in n.keywords}
        assert "trust_remote_code" not in keywords
