"""What pytest has collected: the parameters of all tests, and which of them will run in which order."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import pytest

from harness.ablation.case import Case
from harness.ablation.grid import Ask
from harness.ablation.strategies import PART_STRATEGIES
from harness.errors import CaseError, HarnessError, shortened
from harness.gates.baselines import find_folder
from harness.models.checkpoints.resolve import Checkpoint
from harness.plugin import workers
from harness.plugin.keywords import unmatched
from harness.plugin.mistakes import Mistakes, Subject
from harness.plugin.options import Options
from harness.plugin.parameters import DIT, FIXTURES, MarkReader, Parameter, Target, is_marked, mark_of, own_fixtures
from harness.spelling import did_you_mean

# Fixtures whose tests run only when asked for, and the word in -k that asks for them. Naming their file on the command
# line does so, too, and --dit-analysis asks for all of them.
_ON_REQUEST = {"study": "analysis", "finding": "findings"}
_ON_REQUEST_MARK = "dit_on_request"  # the same for any tests; it holds their words
_QUICK_STRATEGIES = ("skip", "reverse", "shuffle.s0", "parallel", "parallel.t3", *PART_STRATEGIES)  # of --dit-quick


# Modifiers alone that belong to --dit-quick: of the whole model or of the middle, and of any single block.
_QUICK_MODIFIERS = (
    *("reuse.n2", "fewer-steps.3", "quant-int4"),
    *("cut-edges.it", "freeze-norm.b1", "clamp-neurons.red.n8", "surrogate.linear"),
)
_QUICK_AFTER_A_BLOCK = ("token-exit.text-dropped",)


@dataclass(frozen=True)
class SelectedTest:
    """A test that will run; ``timed`` says whether it measures latency (takes `benchmark`)."""

    parameter: Parameter
    timed: bool


class Collection:
    """The parameters by id, the checkpoints under test by name, and the tests that will run, in their order."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.parameters: dict[str, Parameter] = {}  # of everything that was collected, whether it will run or not
        self.selected: list[SelectedTest] = []
        self._targets: dict[str, Target] = {}
        self._tests: set[str] = set()  # the names of functions and files with tests of ours
        self.any_test = False  # whether any test was collected that takes a fixture of ours
        self.notes: list[str] = []  # for the header, once reject() was called
        self._mistakes = Mistakes()
        self._marks = MarkReader(options)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give a test its cases (``ablation``), its checkpoints (``control``, ``study``) or claims (``finding``)."""
        fixtures = own_fixtures(metafunc)
        if not fixtures:
            return
        self.any_test = True
        self._tests |= {metafunc.definition.path.name, metafunc.definition.name}
        parameters: dict[str, Parameter] = {}
        checkpoints: list[Checkpoint] = []
        # An error raised here would be shown with a traceback and exit 2; reject() raises it again.
        try:
            mark = mark_of(metafunc.definition, fixtures)
            checkpoints = self._marks.checkpoints(mark)
        except HarnessError as error:
            self._mistakes.add(str(error))
        # Mistakes of tests that nobody asked for say nothing about this run.
        requested = self._is_requested(metafunc.config, metafunc.definition)
        for checkpoint in checkpoints:
            subject = Subject.of((metafunc.definition.path.name, metafunc.definition.name), checkpoint)
            try:
                folder = find_folder(metafunc.definition.path.parent) or metafunc.config.rootpath / "baselines"
                target = self._targets.setdefault(checkpoint.name, Target(checkpoint, folder))
                _check_same_folder(target.checkpoint, checkpoint)
                absent: dict[str, str] = {}  # strategy -> why it makes no case
                own = self._marks.parameters(mark, fixtures, target, absent.__setitem__)
                parameters |= {p.id: p for p in own}
                if requested and "ablation" in fixtures:
                    self._mistakes.ablated(subject, self._marks.lacking(checkpoint) | absent)
            except HarnessError as error:
                if requested:
                    self._mistakes.add(str(error), subject)
        self.parameters |= parameters
        for name in fixtures:
            metafunc.parametrize(name, list(parameters), ids=list(parameters), indirect=True, scope="function")

    def add_words(self, item: pytest.Item) -> None:
        """Names for ``-k`` beside the id: the range's name, ``looped``, the family."""
        parameter = self.parameter(item)
        if parameter is not None:
            item.extra_keyword_matches.update(parameter.words)

    def reject(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Raise what went wrong while parametrizing, as one usage error; what ``-k`` leaves out is no matter."""
        self.notes = self._mistakes.notes(config.option.keyword)
        message = "; ".join(self._mistakes.messages(config.option.keyword))
        if not message:
            return
        message = shortened(message)
        if not workers.is_worker(config):
            raise pytest.UsageError(message)
        # On an xdist worker that would be an internal error: there is nothing to run, and the controller says why.
        workers.send_mistake(config, message)
        items.clear()

    def narrow(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Drop tests without parameters, analyses that nobody asked for, and all that --dit-quick leaves out."""
        kept = [item for item in items if self._is_wanted(item) and self._is_requested(config, item)]
        kept = self._in_shard(self._each_once(kept))
        if len(kept) < len(items):
            config.hook.pytest_deselected(items=[item for item in items if item not in kept])
            items[:] = kept

    def _each_once(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Without the cases at the same cost that another test asks for by name, such as ``fewer-steps.3``."""
        tests = [(item, parameter_id(item), is_timed(item), self._is_at_same_cost(item)) for item in items]
        named = {(case, timed) for _, case, timed, at_same_cost in tests if not at_same_cost}
        return [item for item, case, timed, at_same_cost in tests if not (at_same_cost and (case, timed) in named)]

    def _is_at_same_cost(self, item: pytest.Item) -> bool:
        parameter, mark = self.parameter(item), item.get_closest_marker(DIT)
        if parameter is None or parameter.case is None or mark is None or not parameter.case.modifiers:
            return False
        return any(isinstance(ask, Ask) and ask.at_same_cost for ask in mark.args)

    def _in_shard(self, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """The tests of this part of the run: every N-th case, both of its tests; the first part has all else."""
        shard = self.options.shard
        cases = {p.case.id: None for item in items if (p := self.parameter(item)) is not None and p.case is not None}
        mine = {case for index, case in enumerate(sorted(cases)) if shard.takes(index)}
        return [item for item in items if self._is_mine(item, mine)]

    def _is_mine(self, item: pytest.Item, cases: Container[str]) -> bool:
        parameter = self.parameter(item)
        if parameter is None or parameter.case is None:
            return self.options.shard.number == 1 or parameter is None
        return parameter.case.id in cases

    def _is_wanted(self, item: pytest.Item) -> bool:
        if parameter_id(item) is None:
            return True  # a test of another kind
        parameter = self.parameter(item)
        if parameter is None:
            return False
        case = parameter.case
        return case is None or not self.options.quick or _is_quick(case)

    def _is_requested(self, config: pytest.Config, item: pytest.Item) -> bool:
        """Whether an analysis or a test marked ``dit_on_request`` runs: it takes minutes, beside the cases' own."""
        words = [word for fixture, word in _ON_REQUEST.items() if fixture in fixtures_of(item)]
        mark = item.get_closest_marker(_ON_REQUEST_MARK)
        asked = list(mark.args) if mark is not None else []
        if not is_marked(item) or not (words or asked) or (self.options.analysis and not asked):
            return True
        start = config.invocation_params.dir
        files = {(start / argument.partition("::")[0]).resolve() for argument in config.args}
        return item.path.resolve() in files or any(word in config.option.keyword for word in [*words, *asked])

    def arrange(self, items: list[pytest.Item]) -> None:
        """Order what shares a lab: by checkpoint, its control first, images before timings."""
        names = list(self._targets)

        def place(item: pytest.Item) -> tuple[int, int]:
            parameter = self.parameter(item)
            if parameter is None:
                return (-1, 0)
            return (names.index(parameter.target.name), 0 if parameter.case is None else 1 + is_timed(item))

        items.sort(key=place)
        tests = [(self.parameter(item), is_timed(item)) for item in items]
        self.selected = [SelectedTest(parameter, timed) for parameter, timed in tests if parameter is not None]

    def parameter(self, item: pytest.Item) -> Parameter | None:
        """A test's parameter; None for a test of another kind, and for one whose mark gives it none."""
        return self.parameters.get(parameter_id(item) or "")

    def why_none(self, keyword: str) -> str:
        """A line about an expression of ``-k`` that selects no case, with the nearest right word; "" elsewhere."""
        if self.selected or not self.parameters or not keyword:
            return ""
        names = {*self.parameters, *(word for p in self.parameters.values() for word in p.words), *self._tests}
        words = unmatched(keyword, names)
        return f"-k {keyword!r} selects no case: in no test's name is {', '.join(words)}" if words else ""

    def nearest_id(self, argument: str) -> str:
        """A line for a test on the command line whose case is not there, with the nearest one; "" elsewhere."""
        case = argument.partition("[")[2].removesuffix("]")
        if not case or case in self.parameters:
            return ""
        return f"there is no case {shortened(case)!r}{did_you_mean(case, self.parameters)}"

    @property
    def targets(self) -> list[Target]:
        """The checkpoints of the tests that will run, in that order."""
        return list({test.parameter.target.name: test.parameter.target for test in self.selected}.values())

    @property
    def tested_controls(self) -> frozenset[str]:
        """The checkpoints of which something other than a case is tested, such as the control itself."""
        return frozenset(t.parameter.target.name for t in self.selected if t.parameter.case is None)

    def cases_with_images(self, target: Target) -> list[Case]:
        """The cases of a checkpoint whose quality will be measured, each once."""
        tests = [test.parameter for test in self.selected if test.parameter.target == target and not test.timed]
        return list({p.case.id: p.case for p in tests if p.case is not None}.values())


def _check_same_folder(first: Checkpoint, second: Checkpoint) -> None:
    """Raise CaseError where two checkpoints have one name, and so the same ids and stored values."""
    if first.folder.resolve() != second.folder.resolve():
        raise CaseError(
            f"two checkpoints are called {first.name!r}: {first.folder} and {second.folder}; their cases would have "
            "the same ids and baselines: rename one of the folders"
        )


def parameter_id(item: pytest.Item) -> str | None:
    """The id of a test's parameter; None for a test that takes no fixture of ours, "" where its mark gives it none."""
    spec = getattr(item, "callspec", None)
    if not is_marked(item):
        return None  # fixtures and parameters of other people's may be called like ours
    for name in FIXTURES:
        if spec is not None and name in spec.params:
            value = spec.params[name]
            return value if isinstance(value, str) else ""
    return None


def _is_quick(case: Case) -> bool:
    if case.modifiers:
        if case.label in _QUICK_AFTER_A_BLOCK:
            return True
        return case.label in _QUICK_MODIFIERS and (case.span is None or "middle" in case.words)
    return "middle" in case.words and case.strategy in _QUICK_STRATEGIES


def is_timed(item: pytest.Item) -> bool:
    """Whether a test measures latency: whether it takes `benchmark`."""
    return "benchmark" in fixtures_of(item)


def fixtures_of(item: pytest.Item) -> Sequence[str]:
    """The names of the fixtures that a test takes."""
    return getattr(item, "fixturenames", ())
