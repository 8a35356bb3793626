"""What other packages add: a real one, installed, and broken ones, each named with its fix."""

from __future__ import annotations

import types
from importlib.metadata import entry_points

import pytest

from harness import extensions
from harness.ablation.grid import Ask, expand
from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.ablation.strategies import ALL_STRATEGIES, choose
from harness.cli.main import main
from harness.errors import CaseError, CheckpointError, ExtensionError
from harness.models.checkpoints.resolve import BUNDLED, added, resolve

IMPORTS = "from harness.ablation.plan import Plan\nfrom harness.ablation.strategies import Strategy\n"


@pytest.mark.parametrize(
    ("points", "source", "message"),
    [
        (
            "mine = bad_one:MINE",
            "import no_such_module",
            "strategy 'mine' of package bad-one 0.3 doesn't load: ModuleNotFoundError: No module named "
            "'no_such_module'; fix bad_one:MINE there, or leave it out: pip uninstall bad-one",
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
            "'mine' of package bad-one 0.3 fails on range 1-2: ZeroDivisionError: division by zero; fix bad_one:MINE",
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
    with pytest.raises(CaseError, match=r"'mien' \(did you mean 'mine'\?\); there are skip, .*, mine$"):
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
    assert "mine" not in ALL_STRATEGIES  # what is installed doesn't move anybody's ids


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
    with pytest.raises(CheckpointError, match=r"checkpoint 'my' is neither .*auraflow-v0.2, .*mine, "):
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
