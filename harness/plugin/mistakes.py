"""What is wrong with the case files or the command line, kept until it is known which of it ``-k`` is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

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
    """Mistakes by test and checkpoint, and which checkpoints lack what the command line asks for, such as a stack."""

    _messages: list[tuple[str, Subject | None]] = field(default_factory=list[tuple[str, Subject | None]])
    _ablated: list[tuple[Subject, Mapping[str, str]]] = field(default_factory=list[tuple[Subject, Mapping[str, str]]])

    def add(self, message: str, subject: Subject | None = None) -> None:
        """Keep a mistake. One about no ``subject`` counts whatever ``-k`` says."""
        self._messages.append((message, subject))

    def ablated(self, subject: Subject, lacking: Mapping[str, str]) -> None:
        """Keep that a test ablates a checkpoint, and the message for everything asked for that this one lacks."""
        self._ablated.append((subject, lacking))

    def messages(self, keyword: str) -> list[str]:
        """Those that the tests which ``-k`` selects are about, each once.

        That a checkpoint lacks something is one of them only where none of these tests' checkpoints has it.
        """
        messages = [text for text, subject in self._messages if subject is None or self._counts(subject, keyword)]
        for reasons in self._lacking(keyword):
            messages += reasons if all(reasons) else []
        return list(dict.fromkeys(messages))

    def notes(self, keyword: str) -> list[str]:
        """A line for everything that one of these checkpoints lacks and another one has."""
        lines = [f"{why}: no cases of it there" for reasons in self._lacking(keyword) for why in reasons if why]
        return list(dict.fromkeys(lines))

    def _lacking(self, keyword: str) -> list[list[str]]:
        """Of each thing that is lacking, a message for each selected test and checkpoint; "" where it is there."""
        selected = [lacking for subject, lacking in self._ablated if self._counts(subject, keyword)]
        things = dict.fromkeys(thing for lacking in selected for thing in lacking)
        return [[lacking.get(thing, "") for lacking in selected] for thing in things]

    def _counts(self, subject: Subject, keyword: str) -> bool:
        subjects = [*(other for _, other in self._messages if other), *(other for other, _ in self._ablated)]
        return subject.may_be_selected(keyword, (name for other in subjects for name in other.checkpoint))
