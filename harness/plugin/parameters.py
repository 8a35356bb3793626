"""What a mark asks for: the checkpoints it names, and the parameters of its test on each of them.

A parameter is one value that a test runs with: a case, the control, the analysis or a claim. No model is opened here;
ids follow from a checkpoint's config.json alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from harness.ablation.case import Case, stack_length
from harness.ablation.grid import Ask
from harness.ablation.guidance import check_two_passes
from harness.ablation.plan import split_stack
from harness.ablation.ranges import GROUPED, Parts
from harness.analysis import layer_groups
from harness.errors import CaseError, HarnessError
from harness.findings import catalogue
from harness.findings.catalogue import ClaimReference
from harness.findings.claim import Claim, ClaimError
from harness.models.checkpoints.cases import cases_of_grid, cases_of_plans
from harness.models.checkpoints.changed_settings import change_settings
from harness.models.checkpoints.pictures import check_pictures
from harness.models.checkpoints.resolve import Checkpoint, blueprint, bundled_names, resolve, transformer_config
from harness.models.random_weights import checkpoint as random_weights
from harness.plugin.options import Options

FIXTURES = ("ablation", "control", "study", "finding")  # what a mark parametrizes
DIT = "dit"  # the mark of tests that take one of the first three
_DIT_FINDINGS = "dit_findings"  # the mark of tests that take `finding`
_BUNDLED = "bundled"  # stands for every bundled checkpoint in a mark
_OTHERS = "others"  # stands for the checkpoint of --dit-checkpoint in a mark, where its family has no cases of its own
_MEASURE_GROUPS = "pytest cases/test_analysis.py --dit-baseline-update=missing"


@dataclass(frozen=True)
class Target:
    """A checkpoint under test, and the folder that its stored values are in."""

    checkpoint: Checkpoint
    baselines: Path

    @property
    def name(self) -> str:
        """The checkpoint's."""
        return self.checkpoint.name

    @property
    def groups_file(self) -> Path:
        """Where the measured groups of the checkpoint's layers are, if they were measured."""
        return self.baselines / self.name / layer_groups.FILE


@dataclass(frozen=True)
class Parameter:
    """One value that a test runs with; ``id`` stands in brackets behind the test's name.

    An `ablation` has a ``case`` and a `finding` a ``claim``; `control` and `study` are about the checkpoint alone.
    """

    id: str
    target: Target
    case: Case | None = None
    claim: Claim | ClaimReference | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What ``-k`` knows the test by, beside its id: the family, and for a case its range's name, ``looped`` ..."""
        return (self.target.checkpoint.family.name, *(self.case.words if self.case else ()))


@dataclass
class MarkReader:
    """Reads marks under the options of the command line. A checkpoint is looked up once."""

    options: Options
    _checkpoints: dict[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])

    def checkpoints(self, mark: pytest.Mark) -> list[Checkpoint]:
        """The checkpoints that a mark names, or that of ``--dit-checkpoint`` where it is of the same family.

        Raises HarnessError where one can't be found.
        """
        name: str = mark.args[0]
        if name == _OTHERS:
            other = None if self.options.checkpoint is None else self._checkpoint(self.options.checkpoint)
            return [other] if other is not None and other.family.general else []
        names = bundled_names() if name == _BUNDLED else [name]
        if self.options.checkpoint is None:
            return [self._checkpoint(n) for n in names]
        families = {blueprint(n).checkpoint.family for n in names}  # the mark's own checkpoints won't run
        replacement = self._checkpoint(self.options.checkpoint)
        return [replacement] if name == _BUNDLED or replacement.family in families else []

    def lacking(self, checkpoint: Checkpoint) -> dict[str, str]:
        """What the command line asks for and a checkpoint doesn't have, each with the message that says so.

        Stacks that ``--dit-stack`` and ``--dit-plan`` name, and the two passes of guidance that ``--dit-pass`` needs.
        """
        named = [*self.options.stacks, *(stack for text in self.options.plans if (stack := _stack_of(text)))]
        absent = [stack for stack in dict.fromkeys(named) if not checkpoint.has_stack(stack)]
        reasons = {stack: _why(stack_length, checkpoint.name, checkpoint.stacks, stack) for stack in absent}
        if self.options.passes and not (guided := checkpoint.family.guided(checkpoint.settings)):
            reasons["--dit-pass"] = _why(check_two_passes, checkpoint.name, guided=guided)
        return reasons

    def _checkpoint(self, name: str) -> Checkpoint:
        if name not in self._checkpoints:
            dtype, weights, change = self.options.dtype, self.options.weights, self.options.settings
            if weights is None:
                checkpoint = resolve(name, dtype=dtype, lora=self.options.lora)
                pictures, prompts = self.options.pictures is not None, self.options.prompts is not None
                check_pictures(checkpoint.name, checkpoint.family, pictures=pictures, prompts=prompts)
                self._checkpoints[name] = change_settings(checkpoint, change, transformer_config(checkpoint))
            else:
                architecture = random_weights.resolve(name, weights, dtype=dtype)
                self._checkpoints[name] = change_settings(architecture, change, architecture.config)
        return self._checkpoints[name]

    def parameters(
        self,
        mark: pytest.Mark,
        fixtures: Sequence[str],
        target: Target,
        on_lacking: Callable[[str, str], None] | None = None,
    ) -> list[Parameter]:
        """The parameters of a test with this mark that takes these fixtures, on one checkpoint.

        ``on_lacking`` is called with each strategy below the block that makes no case, since the checkpoint's blocks
        lack the part that it leaves out, and with a message; without it, that is an error, too. Raises HarnessError
        where the mark holds something else than its fixtures need, or a case can't be built.
        """
        if "finding" in fixtures:
            return [Parameter(f"{target.name}-{c.id}", target, claim=c) for c in _claims(mark)]
        asks = _asks(mark)
        if "control" in fixtures:
            return [Parameter(f"{target.name}-control", target)]
        if "study" in fixtures:
            return [Parameter(f"{target.name}-analysis", target)]
        return [Parameter(case.id, target, case=case) for case in self._cases(target, asks, on_lacking)]

    def _cases(self, target: Target, asks: Sequence[Ask], on_lacking: Callable[[str, str], None] | None) -> list[Case]:
        """The cases of the command line's plans or grid, else of the mark's grid.

        What the command line asks of a stack or of a pass that the checkpoint lacks makes no cases: another checkpoint
        has it, or :meth:`lacking` says that none does.
        """
        checkpoint, windows, passes = target.checkpoint, self.options.windows, self.options.passes
        if passes and not checkpoint.family.guided(checkpoint.settings):
            return []
        if self.options.plans:
            lacking = self.lacking(checkpoint)
            texts = [text for text in self.options.plans if _stack_of(text) not in lacking]
            modifiers = self.options.modifiers
            return cases_of_plans(checkpoint, texts, modifiers=modifiers, windows=windows, passes=passes)
        grid = self.options.asks(checkpoint, asks)
        measured = _measured_groups(target, grid) if self.options.groups else {}
        return cases_of_grid(checkpoint, grid, windows=windows, passes=passes, measured=measured, on_lacking=on_lacking)


def own_fixtures(metafunc: pytest.Metafunc) -> list[str]:
    """Those of our fixtures that a test takes.

    Their names are common words, and other people's suites have fixtures and parameters called so, too: without a mark
    of ours, such a test is none of our business.
    """
    test = metafunc.definition
    taken = [name for name in FIXTURES if name in metafunc.fixturenames]
    return taken if is_marked(test) else [name for name in taken if _is_ours(metafunc, name)]


def is_marked(test: pytest.Item) -> bool:
    """Whether a test has a mark of ours."""
    return any(test.get_closest_marker(name) is not None for name in (DIT, _DIT_FINDINGS))


def _is_ours(metafunc: pytest.Metafunc, fixture: str) -> bool:
    """Whether the fixture of that name that a test gets is the plugin's own."""
    # pytest has no public way to ask, neither for what another hook has given nor for the fixture.
    if any(fixture in call.params for call in metafunc._calls):  # noqa: SLF001
        return False
    test = metafunc.definition
    for mark in test.iter_markers("parametrize"):
        names = mark.args[0] if mark.args else mark.kwargs.get("argnames", "")
        if fixture in (names.replace(",", " ").split() if isinstance(names, str) else names):
            return False
    # The last definition is the nearest one.
    definitions = test._fixtureinfo.name2fixturedefs.get(fixture, ())  # noqa: SLF001
    return bool(definitions) and definitions[-1].func.__module__ == "harness.plugin"


def mark_of(test: pytest.Item, fixtures: Sequence[str]) -> pytest.Mark:
    """The mark that parametrizes a test with these fixtures. Raises HarnessError where there is none, or no valid one.

    Whether its claims or Asks are valid is seen when its parameters are built.
    """
    if "ablation" in fixtures and len(fixtures) > 1:
        others = " and ".join(f"'{name}'" for name in fixtures[1:])
        raise HarnessError(
            f"a test that takes 'ablation' can't take {others} as well: it runs once a case, and they run once a "
            "checkpoint or a claim; ablation.lab has the control"
        )
    claims = "finding" in fixtures
    mark = test.get_closest_marker(_DIT_FINDINGS if claims else DIT)
    if mark is None or not mark.args or not isinstance(mark.args[0], str):
        if claims:
            raise HarnessError(
                "a test that takes 'finding' needs a mark that names its checkpoint and its claims: "
                '@pytest.mark.dit_findings("flux-tiny", "blog")'
            )
        raise HarnessError(
            "a test that takes 'ablation', 'control' or 'study' needs a mark that names its checkpoint: "
            '@pytest.mark.dit("flux-tiny", Ask(stacks=..., ranges=..., strategies=...))'
        )
    if mark.kwargs:
        takes = "claims" if claims else "Asks"
        raise HarnessError(f"the {mark.name} mark knows no {', '.join(mark.kwargs)}; it takes a checkpoint and {takes}")
    return mark


def _asks(mark: pytest.Mark) -> tuple[Ask, ...]:
    asks = mark.args[1:]
    if not all(isinstance(ask, Ask) for ask in asks):
        raise HarnessError("the dit mark takes a checkpoint's name and then Asks")
    return cast("tuple[Ask, ...]", asks)


def _claims(mark: pytest.Mark) -> tuple[Claim | ClaimReference, ...]:
    names = mark.args[1:]
    if not names:
        raise HarnessError(
            "the dit_findings mark takes a checkpoint's name and then one or more Claims, ids of claims or sets "
            f"of them ({', '.join(catalogue.SETS)})"
        )
    try:
        return catalogue.select(names)
    except ClaimError as error:
        raise HarnessError(f"the dit_findings mark: {error}") from None


def _stack_of(plan: str) -> str | None:
    """The stack that a plan by hand names; None where it names none."""
    return split_stack(plan)[0]


def _why(check: Callable[..., object], *arguments: object, **named: object) -> str:
    """The message of the CaseError that a check raises."""
    try:
        check(*arguments, **named)
    except CaseError as error:
        return str(error)
    raise AssertionError(f"{check.__name__}{arguments} raises nothing")


def _measured_groups(target: Target, asks: Sequence[Ask]) -> dict[str, Parts]:
    """The stored groups of the stacks of which ``first``, ``middle`` or ``last`` is asked for.

    Raises HarnessError where none are stored for the checkpoint.
    """
    path = target.groups_file
    if not path.exists():
        raise CaseError(
            f"--dit-range-source=groups: checkpoint {target.name!r} has no measured groups "
            f"({path} is not there); make them with: {_MEASURE_GROUPS}"
        )
    groups = layer_groups.read(path, target.name)
    stacks = {stack for ask in asks if set(ask.ranges) & set(GROUPED) for stack in ask.stacks}
    lengths = target.checkpoint.stacks
    return {stack: layer_groups.spans(groups, stack, n) for stack, n in lengths.items() if stack in stacks}
