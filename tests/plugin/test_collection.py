"""Which of the collected tests run, and in which order."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import SAME_COST, Ask, plugin
from harness.models.checkpoints.changed_settings import SettingsChange
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.plugin import workers
from harness.plugin.collection import Collection, SelectedTest, parameter_id
from harness.plugin.parameters import FIXTURES, own_fixtures
from tests.helpers.options import DEFAULTS

HERE = Path(__file__)
CASES = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle", "first"), ("skip", "swap")))


class Metafunc:
    """A test function that pytest asks for its parameters; ``items`` are the tests that come of it."""

    def __init__(self, *fixtures, decorator=None, path=HERE):
        self.fixturenames = fixtures
        self.config = SimpleNamespace(rootpath=HERE.parent)
        self._calls = []  # what other hooks have given
        mark = decorator and decorator.mark
        # The plugin's own fixtures, found as pytest finds them.
        ours = {name: (SimpleNamespace(func=getattr(plugin, name)._get_wrapped_function()),) for name in FIXTURES}
        self.definition = SimpleNamespace(
            name="test_x",
            path=path,
            iter_markers=lambda name: [],
            _fixtureinfo=SimpleNamespace(name2fixturedefs=ours),
            get_closest_marker=lambda name: mark if mark is not None and mark.name == name else None,
        )
        self.items = []

    def parametrize(self, name, values, ids, **_):
        assert list(values) == list(ids)
        self.items = [item(self.fixturenames, **{name: value}) for value in values] or [
            item(self.fixturenames, **{name: object()})  # as pytest marks an empty set
        ]
        if (mark := self.definition.get_closest_marker("dit")) is not None:
            for each in self.items:
                each.get_closest_marker = {"dit": mark}.get


def item(fixtures=(), path=HERE, marked=True, **params):
    return SimpleNamespace(
        callspec=SimpleNamespace(params=params) if params else None,
        fixturenames=fixtures,
        path=path,
        extra_keyword_matches=set(),
        params=params,
        get_closest_marker=lambda name: CASES.mark if marked and name == "dit" else None,
    )


def collect(*tests, **options):
    """A collection of these tests, and their items in the order in which they were collected."""
    collection = Collection(replace(DEFAULTS, **options))
    items = []
    for test in tests:
        collection.parametrize(test)
        items += test.items
    return collection, items


def config(*arguments, keyword="", worker=False):
    """Pytest's configuration, which notes what was deselected."""
    dropped = []

    def deselected(items):
        dropped.extend(items)

    made = SimpleNamespace(
        args=list(arguments),
        option=SimpleNamespace(keyword=keyword),
        invocation_params=SimpleNamespace(dir=HERE.parent),
        hook=SimpleNamespace(pytest_deselected=deselected),
        dropped=dropped,
    )
    if worker:
        made.workerinput, made.workeroutput = {}, {}
    return made


def ids(items):
    return [parameter_id(item) for item in items]


def test_parameters_are_kept_by_their_id():
    collection, items = collect(
        Metafunc("ablation", decorator=CASES), Metafunc("control", decorator=pytest.mark.dit("sd3-tiny"))
    )
    assert ids(items) == [
        "flux-tiny-double-L00-skip",
        "flux-tiny-double-L01-03-skip",
        "flux-tiny-double-L01-03-swap",
        "sd3-tiny-control",
    ]
    assert list(collection.parameters) == ids(items)
    assert [collection.parameter(each).id for each in items] == ids(items)
    collection.add_words(items[1])
    assert items[1].extra_keyword_matches == {"flux", "middle"}
    assert collection.parameter(item()) is None


def test_the_nearest_baselines_belong_to_a_checkpoint_and_the_first_file_decides(tmp_path):
    near = tmp_path / "cases"
    (near / "baselines").mkdir(parents=True)
    mark = pytest.mark.dit("flux-tiny")
    elsewhere = Metafunc("control", decorator=mark, path=tmp_path / "test_b.py")
    collection, _ = collect(Metafunc("control", decorator=mark, path=near / "test_a.py"), elsewhere)
    assert collection.parameters["flux-tiny-control"].target.baselines == near / "baselines"
    alone, _ = collect(elsewhere)
    assert alone.parameters["flux-tiny-control"].target.baselines == HERE.parent / "baselines"


def test_tests_are_ordered_by_checkpoint_control_images_timings():
    collection, items = collect(
        Metafunc("ablation", "benchmark", decorator=CASES),
        Metafunc("ablation", decorator=CASES),
        Metafunc("control", decorator=pytest.mark.dit("sd3-tiny")),
        Metafunc("control", decorator=pytest.mark.dit("flux-tiny")),
    )
    other = item()
    items = [*items[::-1], other]
    collection.arrange(items)
    assert items[0] is other
    assert ids(items[1:3]) == ["flux-tiny-control", "flux-tiny-double-L01-03-swap"]  # reversed above
    assert ["benchmark" in each.fixturenames for each in items[1:]] == [False] * 4 + [True] * 3 + [False]
    assert [test.parameter.id for test in collection.selected] == ids(items[1:])
    assert [test.timed for test in collection.selected] == [False] * 4 + [True] * 3 + [False]
    flux, sd3 = collection.targets
    assert (flux.name, sd3.name) == ("flux-tiny", "sd3-tiny")
    assert len(collection.cases_with_images(flux)) == 3
    assert collection.cases_with_images(sd3) == []


def test_a_case_that_is_only_timed_makes_no_images():
    collection, items = collect(Metafunc("ablation", "benchmark", decorator=CASES))
    collection.arrange(items)
    assert collection.cases_with_images(collection.targets[0]) == []
    assert collection.selected[0] == SelectedTest(collection.parameters[ids(items)[0]], timed=True)


def test_quick_leaves_a_few_strategies_on_the_middles():
    collection, items = collect(
        Metafunc("ablation", decorator=CASES), Metafunc("control", decorator=pytest.mark.dit("flux-tiny")), quick=True
    )
    run = config()
    collection.narrow(run, items)
    assert ids(items) == ["flux-tiny-double-L01-03-skip", "flux-tiny-control"]
    assert ids(run.dropped) == ["flux-tiny-double-L00-skip", "flux-tiny-double-L01-03-swap"]


def test_a_test_without_parameters_is_dropped_and_another_kind_of_test_is_not():
    collection, items = collect(Metafunc("control", decorator=pytest.mark.dit("flux-tiny")), checkpoint="sd3-tiny")
    other, run = item(), config()
    items.append(other)
    collection.narrow(run, items)
    assert items == [other]
    assert len(run.dropped) == 1


@pytest.mark.parametrize(
    ("run", "options", "runs"),
    [
        (config(), {}, False),
        (config(), {"analysis": True}, True),
        (config(keyword="analysis and flux"), {}, True),
        (config(keyword="flux"), {}, False),
        (config(f"{HERE.name}::test_layers"), {}, True),
        (config(".."), {}, False),
    ],
    ids=["not asked for", "option", "word", "another word", "file", "folder"],
)
def test_an_analysis_runs_when_it_is_asked_for(run, options, runs):
    collection, items = collect(Metafunc("study", decorator=pytest.mark.dit("flux-tiny")), **options)
    collection.narrow(run, items)
    assert len(items) == runs


@pytest.mark.parametrize(
    ("run", "options", "runs"),
    [
        (config(), {}, False),
        (config(), {"analysis": True}, False),
        (config(keyword="grains and flux"), {}, True),
        (config(keyword="flux"), {}, False),
        (config(HERE.name), {}, True),
    ],
    ids=["not asked for", "analysis", "word", "another word", "file"],
)
def test_what_is_on_request_runs_when_it_is_asked_for(run, options, runs):
    collection, items = collect(Metafunc("ablation", decorator=CASES), **options)
    marks = {"dit": CASES.mark, "dit_on_request": pytest.mark.dit_on_request("grains").mark}
    for test in items:
        test.get_closest_marker = marks.get
    collection.narrow(run, items)
    assert bool(items) == runs


def test_the_quick_run_has_parts_of_the_middle():
    mark = pytest.mark.dit("flux-tiny", Ask(("double",), ("middle", "each"), ("skip-attn", "scale.f50", "scale.f20")))
    collection, items = collect(Metafunc("ablation", decorator=mark), quick=True)
    collection.narrow(config(), items)
    assert ids(items) == ["flux-tiny-double-L01-03-skip-attn", "flux-tiny-double-L01-03-scale.f50"]


def test_the_quick_run_has_grains_inside_the_middle_and_streams_that_leave():
    mark = pytest.mark.dit(
        "flux-tiny",
        Ask(("double",), ("middle", "2"), (), ("cut-edges.it", "cut-edges.ti", "surrogate.linear")),
        Ask(("double",), ("4",), (), ("token-exit.text-dropped", "token-exit.text-frozen")),
    )
    collection, items = collect(Metafunc("ablation", decorator=mark), quick=True)
    collection.narrow(config(), items)
    assert ids(items) == [
        "flux-tiny-double-L04-token-exit.text-dropped",
        "flux-tiny-double-L01-03-cut-edges.it",
        "flux-tiny-double-L01-03-surrogate.linear",
    ]


def test_what_is_wrong_with_marks_ends_the_run_in_one_line():
    collection, items = collect(
        Metafunc("ablation", decorator=CASES),
        Metafunc("ablation", decorator=pytest.mark.dit("flux-tiny", "skip")),
        Metafunc("ablation", "benchmark", decorator=pytest.mark.dit("flux-tiny", "skip")),
        Metafunc("control"),
    )
    with pytest.raises(pytest.UsageError) as error:
        collection.reject(config(), items)
    first, second = str(error.value).split("; ", 1)
    assert first == "the dit mark takes a checkpoint's name and then Asks"
    assert second.startswith("a test that takes 'ablation', 'control' or 'study' needs a mark")
    collect(Metafunc("ablation", decorator=CASES))[0].reject(config(), items)


GRID = pytest.mark.dit("bundled", Ask((), (), ()))


@pytest.mark.parametrize(
    ("options", "keyword", "message", "notes"),
    [
        # Another checkpoint that may be selected has the stack.
        (
            {"stacks": ("double",)},
            "",
            "",
            ["checkpoint 'sd3-tiny' has no stack 'double'; it has joint (12 blocks): no"],
        ),
        ({"plans": ("double: 0-1 (2|3)x3 4",)}, "plan", "", ["checkpoint 'sd3-tiny' has no stack 'double'; it has"]),
        ({"stacks": ("double",)}, "flux", "", []),
        ({"stacks": ("double", "joint")}, "flux", "'flux-tiny' has no stack 'joint'; it has double (5 blocks)", []),
        # Of those that -k may select, none has it.
        ({"stacks": ("double",)}, "sd3", "checkpoint 'sd3-tiny' has no stack 'double'", []),
        ({"plans": ("joint: 0 4",)}, "not sd3", "'auraflow-tiny' has no stack 'joint'; it has double (6 blocks)", []),
        ({"stacks": ("tripel",)}, "", "checkpoint 'auraflow-tiny' has no stack 'tripel'; it has double", []),
        # A plan that fits one checkpoint and not another.
        ({"plans": ("double: 0-3 5",)}, "auraflow", "", []),
        ({"plans": ("double: 0-3 5",)}, "flux", "over stack 'double' of 5 blocks (0-4): block 5 is out of range", []),
        ({"plans": ("double: 0-9",)}, "flux", "over stack 'double' of 5 blocks (0-4): block 9 is out of range", []),
        ({"strategies": ("skp",)}, "flux and not looped", "unknown strategy 'skp'", []),
    ],
)
def test_only_mistakes_that_k_is_about_are_told(options, keyword, message, notes):
    collection, items = collect(Metafunc("ablation", decorator=GRID), **options)
    run = config(keyword=keyword)
    if message:
        with pytest.raises(pytest.UsageError) as error:
            collection.reject(run, items)
        assert message in str(error.value)
        others = {"flux": ("sd3", "auraflow"), "sd3": ("flux",), "not sd3": ("sd3",)}.get(keyword, ())
        assert not any(f"'{other}-tiny'" in str(error.value) for other in others)
    else:
        collection.reject(run, items)
    for note, start in zip(collection.notes, notes, strict=bool(not message)):
        assert note.startswith(start)
        assert note.endswith(": no cases of it there")


def test_a_stack_that_one_checkpoint_lacks_makes_no_cases_there():
    collection, _ = collect(Metafunc("ablation", decorator=GRID), stacks=("single",), strategies=("skip",))
    names = {parameter.target.name for parameter in collection.parameters.values()}
    assert names == {"auraflow-tiny", "flux-tiny"}
    collection, _ = collect(Metafunc("ablation", decorator=GRID), plans=("joint: 0 2-11", "single: 0 2-9"))
    assert sorted(p.case.stack for p in collection.parameters.values()) == ["joint", "single", "single"]


@pytest.mark.parametrize(
    ("tests", "options"),
    [
        ([GRID], {"strategies": ("skip-ff",)}),
        (
            [
                pytest.mark.dit(name, Ask((stack,), ("middle",), ("skip-ff",)))
                for name, stack in (("flux-tiny", "double"), ("sd3-tiny", "joint"), ("auraflow-tiny", "double"))
            ],
            {},
        ),
    ],
    ids=["command line", "mark"],
)
def test_a_part_that_one_checkpoint_lacks_makes_no_cases_there(tests, options):
    """AuraFlow's blocks have no attention without their feed-forward; the others' have."""
    lacks = "strategy 'skip-ff' makes no case of checkpoint 'auraflow-tiny': '1.attn': block 1 of stack 'double' has no"
    collection, items = collect(*(Metafunc("ablation", decorator=mark) for mark in tests), **options)
    assert {parameter.target.name for parameter in collection.parameters.values()} == {"flux-tiny", "sd3-tiny"}
    collection.reject(config(), items)
    (note,) = collection.notes
    assert note.startswith(lacks)
    assert note.endswith(": no cases of it there")
    with pytest.raises(pytest.UsageError, match="'skip-ff' makes no case of checkpoint 'auraflow-tiny'"):
        collection.reject(config(keyword="auraflow"), items)


def test_mistakes_of_tests_that_nobody_asked_for_are_none():
    marks = {"dit": pytest.mark.dit("flux-tiny", Ask((), (), (), ("fewer-steps.3",))).mark}
    test = Metafunc("ablation", decorator=CASES)
    test.definition.get_closest_marker = marks.get
    for asked, arguments in ((False, ()), (True, (HERE.name,))):
        marks["dit_on_request"] = pytest.mark.dit_on_request("rivals").mark
        test.config = SimpleNamespace(rootpath=HERE.parent, **vars(config(*arguments)))
        collection, items = collect(test, windows=((0, 1),))
        if asked:
            with pytest.raises(pytest.UsageError, match="modifier 'fewer-steps' changes the whole run"):
                collection.reject(config(), items)
        else:
            collection.reject(config(), items)


def test_a_stack_of_the_case_file_that_is_not_there_is_a_mistake():
    collection, items = collect(
        Metafunc("ablation", decorator=pytest.mark.dit("flux-tiny", Ask(("joint",), ("1",), ())))
    )
    with pytest.raises(pytest.UsageError, match="'flux-tiny' has no stack 'joint'"):
        collection.reject(config(), items)


def test_steps_size_seeds_and_batch_replace_the_checkpoints():
    change = SettingsChange(steps=2, width=24, height=32, seeds=3, batch=5)
    collection, _ = collect(Metafunc("control", decorator=pytest.mark.dit("flux-tiny")), settings=change)
    settings = collection.parameters["flux-tiny-control"].target.checkpoint.settings
    assert (settings.steps, settings.width, settings.height, settings.seeds, settings.batch) == (2, 24, 32, 3, 5)


def test_a_worker_runs_nothing_and_tells_the_controller_why(request):
    collection, items = collect(Metafunc("control"))
    items, on_worker = [request.node], config(worker=True)
    collection.reject(on_worker, items)
    assert items == []
    assert "needs a mark that names its checkpoint" in workers.mistake_of(on_worker)


def test_two_folders_of_one_name_are_refused(tmp_path):
    """Their ids and their baselines would be the same."""
    folders = [shutil.copytree(BUNDLED / "flux-tiny", tmp_path / name / "model") for name in ("a", "b")]
    first, second = (Metafunc("control", decorator=pytest.mark.dit(str(folder))) for folder in folders)
    assert ids(collect(first, first)[1]) == ["model-control"] * 2
    collection, items = collect(first, second)
    with pytest.raises(pytest.UsageError, match=r"two checkpoints are called 'model': .*a/model and .*b/model; "):
        collection.reject(config(), items)


@pytest.mark.parametrize("first", ["same cost", "named"])
def test_a_case_at_the_same_cost_that_another_test_names_runs_there_alone(first):
    same_cost = Metafunc(
        "ablation", decorator=pytest.mark.dit("flux-tiny", Ask(("single",), ("3",), ("skip",)), SAME_COST)
    )
    named = Metafunc(
        "ablation", decorator=pytest.mark.dit("flux-tiny", Ask((), (), (), ("fewer-steps.3", "fewer-steps.1")))
    )
    tests = [same_cost, named] if first == "same cost" else [named, same_cost]
    collection, items = collect(*tests)
    assert len(items) == 7
    collection.narrow(config(), items)
    own = [each for each in items if each in same_cost.items]
    assert [each for each in items if each in named.items] == named.items
    assert len(own) == 4
    assert set(ids(own)) == set(ids(same_cost.items)) - {"flux-tiny-fewer-steps.3"}


def test_a_fixture_or_a_parameter_of_another_suite_with_a_name_of_ours_is_left_alone():
    theirs = Metafunc("control", "study")
    theirs.definition._fixtureinfo.name2fixturedefs = {"control": (SimpleNamespace(func=ids),), "study": ()}
    parametrized = Metafunc("control", "ablation")
    for names in ("control, ablation", ["control", "ablation"], ("control", "ablation")):
        parametrized.definition.iter_markers = lambda _, names=names: [pytest.mark.parametrize(names, []).mark]
        assert own_fixtures(parametrized) == []
    assert own_fixtures(theirs) == []
    assert collect(theirs, parametrized)[1] == []
    others = [item(("finding",), marked=False, finding="x"), item(("study",), marked=False)]
    Collection(DEFAULTS).narrow(config(), kept := list(others))
    assert kept == others
    assert own_fixtures(Metafunc("control")) == ["control"]


def test_a_fixture_of_another_kind_needs_no_mark():
    collection, items = collect(Metafunc("tmp_path"))
    assert (items, collection.parameters) == ([], {})


def test_targets_hold_the_resolved_checkpoint():
    collection, _ = collect(Metafunc("control", decorator=pytest.mark.dit("flux-tiny")))
    assert collection.parameters["flux-tiny-control"].target.checkpoint == resolve("flux-tiny")
