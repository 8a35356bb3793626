"""What other packages add: a real one, installed, and broken ones, each named with its mend."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import types
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import harness
from harness import extensions
from harness.__main__ import main
from harness.ablation import strategies
from harness.ablation.grid import Ask, expand
from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.ablation.strategies import EVERY, choose
from harness.errors import CaseError, CheckpointError, ExtensionError
from harness.models.checkpoints.resolve import BUNDLED, added, resolve

DOCS = Path(harness.__file__).parent.parent / "docs" / "extending.md"
PROJECT = """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

{}
[tool.setuptools]
py-modules = ["dit_extras", "dit_extras_metrics"]
"""
CHECKPOINTS = """
import os

def checkpoints():
    return {"extra-flux": os.environ["EXTRA_FLUX"], "extra.big-1": "org/big"}
"""
CASES = """
import pytest
from harness.ablation.case import Ask

@pytest.mark.dit("flux-tiny", Ask(("single",), ("middle",), ("skip", "ends", "ends.w2")))
def test_ablation(ablation):
    ablation.check(ablation.measure())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment of a process that has the package: pip really installs it, into a folder of its own."""
    source, target = tmp_path_factory.mktemp("dit-extras"), tmp_path_factory.mktemp("site")
    # The package is the one in the docs, but for where its weights are.
    (project,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    strategy, _, metric = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (source / "pyproject.toml").write_text(PROJECT.format(project))
    (source / "dit_extras.py").write_text(strategy + CHECKPOINTS)
    (source / "dit_extras_metrics.py").write_text(metric)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, "--target", target, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    weights = tmp_path_factory.mktemp("weights")
    folder = weights / "somewhere"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    shutil.copy(BUNDLED / "prompts.txt", weights)
    path = os.pathsep.join(filter(None, [str(target), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "EXTRA_FLUX": str(folder)}


def call(installed, *arguments, code=0):
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=installed)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_an_installed_package_is_listed(installed):
    found = json.loads(call(installed, "list", "--json"))
    assert found["errors"] == []
    ends = next(entry for entry in found["strategies"] if entry["name"] == "ends")
    assert ends == {
        "name": "ends",
        "summary": "The range's first and last blocks alone, w of each.",
        "parameters": {"w": "blocks of each end"},
        "least": 3,
        "package": "dit-extras 1.2",
        "error": "",
    }
    by_name = {entry["name"]: entry for entry in found["checkpoints"]}
    extra = by_name["extra-flux"]
    assert (extra["stacks"], extra["package"], extra["weights"]) == (
        {"double": 5, "single": 10},
        "dit-extras 1.2",
        "here",
    )
    assert by_name["extra.big-1"]["weights"] == "not here"
    assert "brightness" in [entry["name"] for entry in found["metrics"]]
    text = call(installed, "list")
    assert "\nends           .wN blocks of each end  3             dit-extras 1.2  The range's first" in text
    assert "\nextra-flux " in text
    assert "\nbrightness " in text


def test_its_names_are_used_like_the_harness_own(installed):
    grid = ["--stack", "single", "--strategy", "ends.w2", "--range", "3-9"]
    found = json.loads(call(installed, "list", "extra-flux", *grid, "--json"))
    assert [(c["id"], c["plan"]) for c in found["cases"]] == [("extra-flux-single-L03-09-ends.w2", "0-4 8 9")]
    assert "checkpoint 'extra.big-1' of package dit-extras 1.2: " in call(
        {**installed, "HF_HUB_OFFLINE": "1"}, "list", "extra.big-1", code=4
    )
    assert "strategy 'ends' has no parameter 't2' in 'ends.t2'; it takes wN (blocks of each end)" in call(
        installed, "list", "flux-tiny", "--strategy", "ends.t2", code=4
    )


def test_its_strategy_makes_cases_and_collecting_stays_light(installed, tmp_path):
    (tmp_path / "test_mine.py").write_text(CASES)
    code = (
        "import sys, pytest\n"
        "arguments = ['--co', '-q', '-p', 'no:cacheprovider', 'test_mine.py']\n"
        "assert pytest.main(arguments) == pytest.main([*arguments, '--dit-checkpoint=extra-flux']) == 0\n"
        "print('dit_extras' in sys.modules, sorted({'torch', 'dit_extras_metrics'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=installed, cwd=tmp_path
    )
    ids = [line.split("[")[1].rstrip("]") for line in done.stdout.splitlines() if "::test_ablation[" in line]
    expected = ["single-L02-07-skip", "single-L02-07-ends", "single-L02-07-ends.w2"]
    assert sorted(ids) == sorted(f"{name}-{case}" for name in ("flux-tiny", "extra-flux") for case in expected)
    assert done.stdout.splitlines()[-1] == "True []"


@pytest.mark.slow
def test_its_strategy_and_metric_are_measured_on_its_checkpoint(installed, tmp_path):
    shutil.copytree(BUNDLED / "judge", tmp_path / "judge")
    shutil.copytree(BUNDLED / "flux-tiny", tmp_path / "copy")
    code = (
        "from harness import Lab, rank, sweep\n"
        "lab = Lab('extra-flux', prompts=['a large solid red circle on a grey background'], metrics=['brightness'])\n"
        "(record,) = sweep(lab, strategies='ends', stacks='single')\n"
        "print([name for name in record.measurement.summary if 'brightness' in name])\n"
        "print(rank([record]))\n"
    )
    environment = {**installed, "EXTRA_FLUX": str(tmp_path / "copy")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "['brightness.drift']"
    assert "least harmful variant: extra-flux (1 prompts)" in done.stdout
    assert "single-L02-07-ends" in done.stdout


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Puts the metadata and the module of a package in front of everybody's eyes, as an installer would."""

    def add(name, points, source="", version="0.3"):
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(textwrap.dedent(points))
        (tmp_path / f"{name.replace('-', '_')}.py").write_text(textwrap.dedent(source))
        forget()

    def forget():
        extensions.found.cache_clear()
        extensions.checkpoints.cache_clear()
        strategies._foreign.cache_clear()

    modules = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield add
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    monkeypatch.undo()
    forget()


IMPORTS = "from harness.ablation.plan import Plan\nfrom harness.ablation.strategies import Strategy\n"


@pytest.mark.parametrize(
    ("points", "source", "message"),
    [
        (
            "mine = bad_one:MINE",
            "import no_such_module",
            "strategy 'mine' of package bad-one 0.3 doesn't load: ModuleNotFoundError: No module named "
            "'no_such_module'; mend bad_one:MINE there, or leave it out: pip uninstall bad-one",
        ),
        ("mine = bad_one:MINE", "", "doesn't load: AttributeError: module 'bad_one' has no attribute 'MINE'"),
        (
            "mine = bad_one:MINE",
            "MINE = max",
            "is a builtin_function_or_method, where a harness.Strategy",
        ),
        ("mine = bad_one:MINE", "MINE = Strategy('other', None, 1)", "calls itself 'other'; both names must be"),
        ("mine = bad_one:MINE", "MINE = Strategy('mine', None, 1, {'ab': ''})", "has a parameter 'ab'; a parameter is"),
        ("plan-mine = bad_one:MINE", "MINE = Strategy('plan-mine', None, 1)", "begins like that of a plan by hand"),
        (
            "mine = bad_one:MINE",
            "MINE = Strategy('mine', lambda length, span: 1 / 0, 1)",
            "'mine' of package bad-one 0.3 fails on range 1-2: ZeroDivisionError: division by zero; mend bad_one:MINE",
        ),
        (
            "mine = bad_one:MINE",
            "MINE = Strategy('mine', lambda length, span: Plan((0, 7)), 1)",
            "gives 0 7 on range 1-2, which is no plan over 4 blocks",
        ),
        ("mine = bad_one:MINE", "MINE = Strategy('mine', lambda length, span: None, 1)", "gives None on range 1-2"),
        (
            "skip = bad_one:MINE",
            "",
            "package bad-one 0.3 adds a strategy 'skip', which the harness has itself; rename it in one of them, or "
            "pip uninstall bad-one",
        ),
        ("My_One = bad_one:MINE", "", "package bad-one 0.3 adds a strategy 'My_One': a name is lower case letters"),
    ],
)
def test_a_broken_strategy_is_named_with_its_package(points, source, message, package):
    package("bad-one", f"[harness.strategies]\n{points}\n", IMPORTS + source)
    name = points.split(" ")[0]
    with pytest.raises(ExtensionError) as found:
        choose(name).plan(4, Span(1, 2))
    assert message in str(found.value)
    assert "\n" not in str(found.value)


def test_a_broken_strategy_spoils_nothing_else(package):
    package("bad-one", "[harness.strategies]\nmine = bad_one:MINE\n", "import no_such_module")
    assert choose("skip").plan(4, Span(1, 2)) == parse("0 3")
    with pytest.raises(CaseError, match=r"unknown strategy 'mien'; there are skip, .*, mine$"):
        choose("mien")


def test_two_packages_with_one_name(package):
    points = "[harness.strategies]\nmine = {}:MINE\n"
    package("one", points.format("one"))
    package("two", points.format("two"))
    with pytest.raises(ExtensionError, match=r"package two 0.3 adds a strategy 'mine', and so does one 0\.3; rename"):
        choose("skip")


def test_the_harness_own_refusals_stay_what_they_are(package):
    source = """
        from harness.ablation.strategies import Strategy, skip
        from harness.errors import CaseError

        def mine(length, span, n=1):
            if n > 2:
                raise CaseError("mine takes n1 or n2")
            return skip(length, span)

        MINE = Strategy("mine", mine, least=3, parameters={"n": "how many"})
    """
    package("good", "[harness.strategies]\nmine = good:MINE\n", source)
    cases = expand("m", {"double": 8}, [Ask(("double",), ("2-5",), ("mine", "mine.n2"))])
    assert [case.id for case in cases] == ["m-double-L02-05-mine"]  # equal plans are one case
    with pytest.raises(CaseError, match="'mine' changes nothing on range 1-2, which has 2 blocks; it needs at least 3"):
        choose("mine").plan(8, Span(1, 2))
    with pytest.raises(CaseError, match=r"^mine takes n1 or n2$"):
        choose("mine.n3").plan(8, Span(1, 4))
    assert choose("mine").strategy.package == "good 0.3"
    assert "mine" not in EVERY  # what is installed doesn't move anybody's ids


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{'flux-tiny': '/x'}", "adds a checkpoint 'flux-tiny', which the harness has itself; rename it"),
        ("{'sd3.5-large': '/x'}", "adds a checkpoint 'sd3.5-large', which the harness has itself"),
        ("{'Mine': '/x'}", "adds a checkpoint 'Mine': a name is lower case letters and digits"),
        ("{'mine': 3}", "gives 'mine': 3, where a name and a folder or hub id are needed"),
        ("['mine']", "is a list, where a mapping of names to folders or hub ids is needed"),
        ("lambda: 1 / 0", "checkpoint 'all' of package bad-one 0.3 fails when it is called: ZeroDivisionError: "),
        ("no_such_name", "doesn't load: NameError: name 'no_such_name' is not defined"),
    ],
)
def test_broken_checkpoints_are_named_with_their_package(value, message, package):
    package("bad-one", "[harness.checkpoints]\nall = bad_one:ALL\n", f"ALL = {value}")
    with pytest.raises(ExtensionError) as found:
        resolve("mine")
    assert message in str(found.value)
    assert "pip uninstall bad-one" in str(found.value)


def test_checkpoints_of_two_packages(package, tmp_path):
    package("one", "[harness.checkpoints]\nall = one:ALL\n", f"ALL = {{'mine': {str(BUNDLED / 'flux-tiny')!r}}}")
    found = resolve("mine")
    assert (found.name, found.stacks, found.bundled) == ("mine", {"double": 5, "single": 10}, False)
    assert dict(added()) == {"mine": extensions.Added(str(BUNDLED / "flux-tiny"), "one 0.3")}
    with pytest.raises(CheckpointError, match=r"checkpoint 'my' is neither .*auraflow-v0.2, mine, "):
        resolve("my")
    package("two", "[harness.checkpoints]\nmore = two:ALL\n", "ALL = {'mine': '/elsewhere', 'gone': '/elsewhere'}")
    with pytest.raises(ExtensionError, match=r"package two 0.3 adds a checkpoint 'mine', and so does one 0\.3"):
        resolve("mine")


def test_a_folder_that_is_gone_names_the_package(package):
    package("one", "[harness.checkpoints]\nall = one:ALL\n", "ALL = {'mine': '/no/such/folder'}")
    with pytest.raises(
        CheckpointError, match=r"^checkpoint 'mine' of package one 0\.3: checkpoint '/no/such/folder' is"
    ):
        resolve("mine")


def test_the_list_shows_what_is_broken_and_the_rest(package, capsys):
    points = "[harness.strategies]\nmine = bad_one:MINE\n[harness.checkpoints]\ngone = bad_one:GONE\n"
    package("bad-one", points, "GONE = {'gone': '/no/such/folder'}  # and no MINE")
    assert main(["list"]) == 4
    written = capsys.readouterr()
    assert written.err.startswith("error: checkpoint 'gone' of package bad-one 0.3: checkpoint '/no/such/folder' is")
    assert "strategy 'mine' of package bad-one 0.3 doesn't load: " in written.err
    assert written.err.count("\n") == 1
    for name in ("flux-tiny", "gone", "skip", "mine"):
        assert f"\n{name} " in written.out


def test_a_broken_package_is_one_line_in_pytest(pytester, package):
    package("bad-one", "[harness.strategies]\nmine = bad_one:MINE\n", "import no_such_module")
    pytester.makepyfile(CASES.replace('"ends", "ends.w2"', '"mine"'))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "--co")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: strategy 'mine' of package bad-one 0.3 doesn't load: ModuleNotFoundError*"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_finding_loads_nothing_and_reads_the_metadata_once(package, monkeypatch):
    package("one", "[harness.metrics]\nmine = one:MINE\nother = one:OTHER\n", "raise RuntimeError('imported')")
    asked = []
    monkeypatch.setattr(extensions, "entry_points", lambda **given: asked.append(given) or entry_points(**given))
    for _ in range(3):
        found = extensions.found(extensions.METRICS)
    assert list(found) == ["mine", "other"]
    assert isinstance(found, types.MappingProxyType)
    assert asked == [{"group": "harness.metrics"}]
    with pytest.raises(ExtensionError, match=r"metric 'mine' of package one 0\.3 doesn't load: RuntimeError: imported"):
        extensions.loaded(found["mine"])
