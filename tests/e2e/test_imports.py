"""What must stay light does, and nothing reads a pickle."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import harness
from harness.cli.main import COMMANDS
from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers import hubs

HOUSE = Path(harness.__file__).parent
HEAVY = {"torch", "diffusers", "transformers", "open_clip", "torchmetrics"}
LIGHT = {"numpy", "scipy", "pandas"}


def run_python(code, environment=None):
    """What a process prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


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


def test_the_plugin_loads_nothing_heavy():
    code = f"import sys, harness.plugin; print(sorted({HEAVY | LIGHT!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reading_the_source_of_a_pipeline_loads_nothing_heavy():
    code = (
        "import sys; from harness.models.checkpoints.class_source import block_lists, pipeline_source\n"
        "assert pipeline_source('StableDiffusion3Pipeline') and block_lists('PixArtTransformer2DModel')\n"
        f"print(sorted({HEAVY | LIGHT!r} & set(sys.modules)))"
    )
    assert run_python(code) == "[]"


def test_collecting_the_cases_loads_nothing_heavy():
    heavy = HEAVY | {"scipy", "pandas", "harness.findings.blog", "harness.findings.sd35"}
    code = (
        "import sys, pytest\n"
        "assert pytest.main(['--co', '-q', 'cases']) == 0\n"
        f"print(sorted({heavy!r} & set(sys.modules)))\n"  # numpy may be another plugin's
    )
    root = HOUSE.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_the_report_loads_no_torch():
    code = f"import sys, harness.report, harness.report.ranking_terminal; print(sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_help_loads_no_command_and_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-m", "harness", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"harness.cli", "harness.cli.main"} <= loaded
    assert not {name for name in loaded if name.partition(".")[0] in HEAVY | LIGHT}
    assert not {name for name in loaded if name in {f"harness.cli.{command.module}" for command in COMMANDS.values()}}


def test_a_command_loads_no_other_command():
    code = (
        "import sys\n"
        "from harness.cli.main import main\n"
        "try: main(['false-reds', '--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))\n"
        "print(sorted(name for name in sys.modules if name.startswith('harness.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-2:] == [
        "[]",
        "['harness.cli.common', 'harness.cli.false_reds', 'harness.cli.main']",
    ]


# The one command that reads a pickle, when it is asked to, and of it tensors alone.
CONVERTER = "cli.convert"


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


def test_a_hub_id_at_collection_loads_no_hub_library(cache):
    hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    code = (
        "import sys; from harness.models.checkpoints.resolve import resolve; resolve('someone/flux-small')\n"
        "print(sorted({'huggingface_hub', 'torch', 'diffusers', 'numpy'} & set(sys.modules)))"
    )
    assert run_python(code, dict(os.environ)) == "[]"


def test_claims_are_listed_without_anything_heavy():
    code = (
        "import sys\n"
        "from harness.findings.catalogue import select\n"
        "assert [claim.id for claim in select(['C1', 'B2'])] == ['C1', 'B2']\n"
        "heavy = {'torch', 'diffusers', 'scipy', 'pandas', 'numpy', 'harness.findings.blog', 'harness.findings.sd35'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_panels_are_light_and_pyplot_is_never_loaded(tmp_path):
    code = (
        "import sys, numpy, pathlib, harness.report.figures as f\n"
        "heavy = {'matplotlib', 'plotly', 'torch', 'diffusers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        f"f.write_all(pathlib.Path({str(tmp_path)!r}), 'm', harm={{'double': numpy.zeros((2, 3))}})\n"
        "print(sorted({'matplotlib.pyplot', 'plotly.graph_objects', 'torch'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "[]"]


def test_nothing_heavy_is_loaded():
    code = (
        "import sys\n"
        "from harness.cli.main import main\n"
        "assert main(['list']) == main(['list', 'flux.1-dev', '--range', 'middle,each', '--strategy', 'skip']) == 0\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'open_clip', 'pandas', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_package_is_light():
    code = (
        "import sys, harness\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'open_clip', 'numpy', 'pandas', 'scipy', 'pytest'}\n"
        "print(sorted(heavy & set(sys.modules)), sorted(set(harness.__all__) - set(dir(harness))))\n"
        "harness.Ask, harness.Plan, harness.Strategy, harness.HarnessError, harness.rank([])\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[] []", "False", ""]


def test_collecting_loads_nothing_heavy(project):
    code = (
        "import sys, pytest\n"
        "code = pytest.main(['--co', '-q', '-p', 'no:randomly'])\n"
        "print(sorted({'torch', 'diffusers', 'scipy', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
