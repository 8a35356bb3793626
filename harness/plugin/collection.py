"""From marks and options to test items: no model is opened here, ids come from config.json alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from harness.ablation.case import Case, by_hand
from harness.ablation.grid import Ask, expand, in_windows
from harness.ablation.ranges import GROUPED, Parts
from harness.analysis import layer_groups
from harness.errors import CaseError, HarnessError
from harness.findings import catalogue
from harness.findings.catalogue import ClaimReference
from harness.findings.claim import Claim, ClaimError
from harness.gates.baselines import find_folder
from harness.models.checkpoints.resolve import Checkpoint, blueprint, bundled_names, resolve
from harness.models.random_weights import checkpoint as randomised
from harness.plugin.options import Options

MARK = "dit"
CLAIMS = "dit_findings"  # the mark of tests that take `finding`
BUNDLED = "bundled"  # a mark's checkpoint: every bundled one
FIXTURES = ("ablation", "control", "study", "finding")
# Tests that run only when asked for, and the word in -k that does so beside --dit-analysis and their file's own name.
ASKED = {"study": "analysis", "finding": "findings"}
MEASURE = "pytest cases/test_analysis.py --dit-baseline-update=missing"
QUICK = ("skip", "reverse", "shuffle.s0", "parallel", "parallel.t3")


@dataclass
class Collection:
    """What has been collected so far, by parameter id."""

    options: Options
    cases: dict[str, Case] = field(default_factory=dict[str, Case])
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])
    owners: dict[str, str] = field(default_factory=dict[str, str])  # parameter id -> checkpoint name
    claims: dict[str, Claim | ClaimReference] = field(default_factory=dict[str, Claim | ClaimReference])
    baselines: dict[str, Path] = field(default_factory=dict[str, Path])  # checkpoint name -> folder
    errors: list[str] = field(default_factory=list[str])
    wanted: list[str] = field(default_factory=list[str])  # parameter ids that will run
    pictured: list[str] = field(default_factory=list[str])  # those of them that are cases and make images
    _resolved: dict[str, Checkpoint] = field(default_factory=dict[str, Checkpoint])

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Give a test its cases (``ablation``), its checkpoints (``control``, ``study``) or claims (``finding``)."""
        wanted = [name for name in FIXTURES if name in metafunc.fixturenames]
        if not wanted:
            return
        ids: list[str] = []
        try:
            for checkpoint in self._asked(metafunc):
                self.checkpoints[checkpoint.name] = checkpoint
                folder = find_folder(metafunc.definition.path.parent)
                self.baselines.setdefault(checkpoint.name, folder or metafunc.config.rootpath / "baselines")
                ids += self._ids(wanted, checkpoint, metafunc)
        except HarnessError as error:
            # An error raised here would be shown with a traceback and exit 2; arrange() raises it again.
            self.errors.append(str(error))
            ids = []
        for name in wanted:
            metafunc.parametrize(name, ids, ids=ids, indirect=True, scope="function")

    def _mark(self, metafunc: pytest.Metafunc) -> pytest.Mark:
        claims = "finding" in metafunc.fixturenames
        mark = metafunc.definition.get_closest_marker(CLAIMS if claims else MARK)
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
            raise HarnessError(
                f"the {mark.name} mark knows no {', '.join(mark.kwargs)}; it takes a checkpoint and {takes}"
            )
        return mark

    def _claims(self, metafunc: pytest.Metafunc) -> tuple[Claim | ClaimReference, ...]:
        requested = self._mark(metafunc).args[1:]
        if not requested:
            raise HarnessError(
                "the dit_findings mark takes a checkpoint's name and then one or more Claims, ids of claims or sets "
                f"of them ({', '.join(catalogue.SETS)})"
            )
        try:
            return catalogue.select(requested)
        except ClaimError as error:
            raise HarnessError(f"the dit_findings mark: {error}") from None

    def _asks(self, metafunc: pytest.Metafunc) -> tuple[Ask, ...]:
        asks = self._mark(metafunc).args[1:]
        if not all(isinstance(ask, Ask) for ask in asks):
            raise HarnessError("the dit mark takes a checkpoint's name and then Asks")
        return cast("tuple[Ask, ...]", asks)

    def _asked(self, metafunc: pytest.Metafunc) -> list[Checkpoint]:
        """The mark's checkpoint, or the command line's where that is of its family."""
        name = self._mark(metafunc).args[0]
        names = bundled_names() if name == BUNDLED else [name]
        if self.options.checkpoint is None:
            return [self._resolve(n) for n in names]
        own = [blueprint(n).checkpoint for n in names]  # their families alone: nothing of theirs will run
        given = self._resolve(self.options.checkpoint)
        return [given] if name == BUNDLED or any(c.family == given.family for c in own) else []

    def _resolve(self, name: str) -> Checkpoint:
        if name not in self._resolved:
            options = self.options
            if options.weights is None:
                self._resolved[name] = resolve(name, dtype=options.dtype, lora=options.lora)
            else:
                self._resolved[name] = randomised.resolve(name, options.weights, dtype=options.dtype)
        return self._resolved[name]

    def _ids(self, wanted: list[str], checkpoint: Checkpoint, metafunc: pytest.Metafunc) -> list[str]:
        if "finding" in wanted:
            claims = {f"{checkpoint.name}-{claim.id}": claim for claim in self._claims(metafunc)}
            self.claims |= claims
            self.owners |= dict.fromkeys(claims, checkpoint.name)
            return list(claims)
        asks = self._asks(metafunc)
        for fixture, word in (("control", "control"), ("study", "analysis")):
            if fixture in wanted:
                key = f"{checkpoint.name}-{word}"
                self.owners[key] = checkpoint.name
                return [key]
        windows, steps = self.options.windows, checkpoint.settings.steps
        if self.options.plans:
            by_plan = [by_hand(checkpoint.name, checkpoint.stacks, text) for text in self.options.plans]
            cases = [made for case in by_plan for made in in_windows(case, windows, steps)]
        else:
            grid = self.options.asks(checkpoint, asks)
            measured = self._measured(checkpoint, grid) if self.options.groups else {}
            cases = expand(checkpoint.name, checkpoint.stacks, grid, windows=windows, steps=steps, measured=measured)
        for case in cases:
            self.cases[case.id] = case
            self.owners[case.id] = checkpoint.name
        return list(dict.fromkeys(case.id for case in cases))

    def _measured(self, checkpoint: Checkpoint, asks: Sequence[Ask]) -> dict[str, Parts]:
        """The measured groups of the stacks of which a depth is asked for. Raises HarnessError where there are none."""
        path = self.groups_file(checkpoint.name)
        if not path.exists():
            raise CaseError(
                f"--dit-range-source=groups: checkpoint {checkpoint.name!r} has no measured groups "
                f"({path} is not there); make them with: {MEASURE}"
            )
        found = layer_groups.read(path, checkpoint.name)
        deep = {stack for ask in asks if set(ask.ranges) & set(GROUPED) for stack in ask.stacks}
        return {s: layer_groups.spans(found, s, length) for s, length in checkpoint.stacks.items() if s in deep}

    def groups_file(self, checkpoint: str) -> Path:
        """Where a checkpoint's measured groups lie."""
        return self.baselines[checkpoint] / checkpoint / layer_groups.FILE

    def add_words(self, item: pytest.Item) -> None:
        """Names for ``-k`` beside the id: the range's depth, ``looped``, the family."""
        key = parameter(item)
        if key in self.owners:
            item.extra_keyword_matches.add(self.checkpoints[self.owners[key]].family.name)
        if key in self.cases:
            item.extra_keyword_matches.update(self.cases[key].words)

    def reject(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Raise what went wrong while parametrizing, as one usage error."""
        if not self.errors:
            return
        # Quality and latency tests of one file ask for the same grid and fail alike.
        message = "; ".join(dict.fromkeys(self.errors))
        if not hasattr(config, "workerinput"):
            raise pytest.UsageError(message)
        # On an xdist worker that would be an internal error: there, one test says it.
        items[:] = [Refused.from_parent(items[0].session, name="dit", message=message)]

    def narrow(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Drop tests without cases and, under --dit-quick, all but a few strategies on the middles."""
        dropped = [item for item in items if self._drops(item) or not self._asked_for(config, item)]
        if dropped:
            items[:] = [item for item in items if item not in dropped]
            config.hook.pytest_deselected(items=dropped)

    def _drops(self, item: pytest.Item) -> bool:
        key = parameter(item)
        if key is None:
            return False
        if key not in self.owners:
            return True
        case = self.cases.get(key)
        if case is None or not self.options.quick:
            return False
        return "middle" not in case.words or case.strategy not in QUICK

    def _asked_for(self, config: pytest.Config, item: pytest.Item) -> bool:
        """Whether an analysis runs: it takes minutes, and ``pytest cases/`` is about the cases."""
        words = [word for fixture, word in ASKED.items() if fixture in _fixtures(item)]
        if not words or self.options.analysis:
            return True
        start = config.invocation_params.dir
        named = {(start / argument.partition("::")[0]).resolve() for argument in config.args}
        return item.path.resolve() in named or any(word in config.option.keyword for word in words)

    def arrange(self, items: list[pytest.Item]) -> None:
        """Order what shares a lab: by checkpoint, its control first, images before timings."""
        order = list(self.checkpoints)

        def place(item: pytest.Item) -> tuple[int, int]:
            key = parameter(item)
            if key is None or key not in self.owners:
                return (-1, 0)
            return (order.index(self.owners[key]), 0 if key not in self.cases else 1 + ("benchmark" in _fixtures(item)))

        items.sort(key=place)
        keys = [parameter(item) for item in items]
        self.wanted = [key for key in keys if key in self.owners]
        pictured = {parameter(item): None for item in items if "benchmark" not in _fixtures(item)}
        self.pictured = [key for key in pictured if key in self.cases]


class Refused(pytest.Item):
    """A test that only says what was wrong with the options."""

    def __init__(self, *, message: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.message = message

    def runtest(self) -> None:
        """Fail with the message."""
        pytest.fail(self.message, pytrace=False)


def parameter(item: pytest.Item) -> str | None:
    """The id of an item's case, checkpoint or claim; None for a test of another kind. Empty sets give ''."""
    spec = getattr(item, "callspec", None)
    for name in FIXTURES:
        if spec is not None and name in spec.params:
            value = spec.params[name]
            return value if isinstance(value, str) else ""
    return None


def _fixtures(item: pytest.Item) -> list[str]:
    return getattr(item, "fixturenames", [])
