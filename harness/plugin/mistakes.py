"""What is wrong with the case files or the command line, kept until it is known which of it ``-k`` is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness.ablation.case import stack_length
from harness.errors import CaseError
from harness.models.checkpoints.resolve import Checkpoint
from harness.plugin.keywords import may_select


@dataclass(frozen=True)
class Subject:
    """A test on one checkpoint, by the names that ``-k`` knows them by."""

    test: tuple[str, ...]
    checkpoint: tuple[str, ...]

    @classmethod
    def of(cls, test: Iterable[str], checkpoint: Checkpoint) -> Subject:
        """The subject of a test (its file's and its function's name) on a checkpoint."""
        return cls(tuple(test), (checkpoint.name, checkpoint.family.name))

    def may_be_selected(self, keyword: str, checkpoints: Iterable[str]) -> bool:
        """Whether ``-k`` may select it among tests on ``checkpoints``, which are names and families."""
        return may_select(keyword, (*self.test, *self.checkpoint), set(checkpoints) - set(self.checkpoint))


@dataclass
class Mistakes:
    """Mistakes by test and checkpoint, and which checkpoints lack a stack that the command line names."""

    _messages: list[tuple[str, Subject | None]] = field(default_factory=list[tuple[str, Subject | None]])
    _ablated: list[tuple[Subject, Checkpoint]] = field(default_factory=list[tuple[Subject, Checkpoint]])
    _stacks: dict[str, None] = field(default_factory=dict[str, None])

    def add(self, message: str, subject: Subject | None = None) -> None:
        """Keep a mistake. One about no ``subject`` counts whatever ``-k`` says."""
        self._messages.append((message, subject))

    def ablated(self, subject: Subject, checkpoint: Checkpoint, lacking: Iterable[str]) -> None:
        """Keep that a test ablates a checkpoint, and which of the stacks that the command line names this one lacks."""
        self._ablated.append((subject, checkpoint))
        self._stacks |= dict.fromkeys(lacking)

    def messages(self, keyword: str) -> list[str]:
        """Those that the tests which ``-k`` selects are about, each once.

        A stack is one of them only where none of these tests' checkpoints has it.
        """
        messages = [text for text, subject in self._messages if subject is None or self._counts(subject, keyword)]
        ablated = self._selected(keyword)
        for stack in self._stacks:
            if not any(checkpoint.has_stack(stack) for checkpoint in ablated):
                messages += [_no_stack(checkpoint, stack) for checkpoint in ablated]
        return list(dict.fromkeys(messages))

    def notes(self, keyword: str) -> list[str]:
        """A line for each stack that one of these checkpoints lacks and another one has."""
        ablated = self._selected(keyword)
        return [
            f"{_no_stack(checkpoint, stack)}: no cases of it there"
            for stack in self._stacks
            for checkpoint in ablated
            if not checkpoint.has_stack(stack)
        ]

    def _selected(self, keyword: str) -> list[Checkpoint]:
        selected = (checkpoint for subject, checkpoint in self._ablated if self._counts(subject, keyword))
        return list({checkpoint.name: checkpoint for checkpoint in selected}.values())

    def _counts(self, subject: Subject, keyword: str) -> bool:
        subjects = [*(other for _, other in self._messages if other), *(other for other, _ in self._ablated)]
        return subject.may_be_selected(keyword, (name for other in subjects for name in other.checkpoint))


def _no_stack(checkpoint: Checkpoint, stack: str) -> str:
    try:
        stack_length(checkpoint.name, checkpoint.stacks, stack)
    except CaseError as error:
        return str(error)
    raise AssertionError(f"{checkpoint.name} has {stack}")
