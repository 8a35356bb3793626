"""Token exit: a stream leaves the sequence after a block (DyVTE drops visual tokens that stopped contributing).

After block k of a stack, in every later block of that stack and of the stacks behind it:

- **frozen**: the stream keeps the state that block k gave it. Later blocks still compute keys and values from that
  state, so the other stream goes on reading it; what they would add to it is thrown away. Nothing is saved.
- **dropped**: later blocks run without it. Their sequences are shorter by its tokens, in attention and feed-forward
  alike, which is time saved; the other stream reads itself alone.

Usually the text leaves. Where the image leaves, nothing that comes later reaches the output any more, so that frozen
and dropped give the same image: that of a model which ends after block k (its last norm and projection still run).
Dropped doesn't run the later blocks then.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from harness.ablation.plan import Plan
from harness.ablation.ranges import Span
from harness.errors import SurgeryError
from harness.grains.block_range import ARGUMENTS, TEXT_ARGUMENT, BlockRange, Stream, block_range
from harness.grains.calls import Calls, counted, remove_after
from harness.grains.forward_facts import ForwardFacts, forward_facts
from harness.models.stacks import blocks_at, stacks
from harness.surgery.view import ablate

_ROTARY = "image_rotary_emb"  # FLUX: (cos, sin), (tokens, width) each, of the text and then of the image


class Exit(enum.StrEnum):
    """What becomes of a stream that leaves."""

    FROZEN = "frozen"
    DROPPED = "dropped"


@contextmanager
def token_exit(
    transformer: Any, stack: str | None, after: int, stream: Stream = Stream.TEXT, how: Exit = Exit.DROPPED
) -> Iterator[Calls]:
    """Let a stream leave after block ``after`` of a stack, for the length of a ``with`` block.

    After the very last block nothing is left to leave: nothing is installed, and the model runs as it is. What the
    ``with`` block gets counts, by block, the calls that ran with the stream frozen or without it (blocks of later
    stacks are counted behind those of the first, so that all numbers differ); where the image is dropped, those calls
    that didn't run, in each forward.

    Raises CaseError where there is no such block; SurgeryError, also from inside a forward, where a later block runs
    before block ``after`` did, and where no later block ran at all. Where the image is dropped the later stacks are
    put under plans, and SurgeryError says so if one is under a plan already.
    """
    where = block_range(transformer, stack, Span(after, after))
    later = _later(where, after)
    calls = Calls(f"{stream} {how} after block {after} of stack {where.stack!r}")
    with counted(calls, expected=bool(later)) as hooks:
        if later and stream is Stream.IMAGE and how is Exit.DROPPED:
            _end_after(where, after, later, calls, hooks)
        elif later:
            facts = hooks.enter_context(forward_facts(where.model))
            held = _Held(where, stream, facts, calls.what)
            remove_after(hooks, where.blocks[after].register_forward_hook(held.take))
            number = after
            for part in later:
                for block in part.blocks.values():
                    number += 1
                    gone = _Gone(part, number, held, facts, calls)
                    if how is Exit.DROPPED:
                        gone.drop(block, hooks)
                    remove_after(hooks, block.register_forward_hook(gone.restore))
        yield calls


def _later(where: BlockRange, after: int) -> list[BlockRange]:
    """The rest of the stack behind block ``after``, and the stacks behind it; those without a block left out."""
    known = stacks(where.model)
    names = list(known)
    length = len(blocks_at(where.model, where.attribute))
    rest = [block_range(where.model, where.stack, Span(after + 1, length - 1))] if after + 1 < length else []
    behind = [name for name in names[names.index(where.stack) + 1 :] if len(blocks_at(where.model, known[name]))]
    return rest + [block_range(where.model, name, None) for name in behind]


def _end_after(where: BlockRange, after: int, later: list[BlockRange], calls: Calls, hooks: ExitStack) -> None:
    number = after
    for part in later:
        kept = tuple(range(after + 1)) if part.stack == where.stack else ()
        hooks.enter_context(ablate(where.model, Plan(kept), part.stack))
        number += len(part.blocks)
    left_out = range(after + 1, number + 1)

    def note(_module: nn.Module, _args: tuple[Any, ...], _output: Any) -> None:
        for index in left_out:
            calls.note(index)

    remove_after(hooks, where.blocks[after].register_forward_hook(note))


class _Held:
    """The state that the stream leaves with, taken anew in every forward."""

    def __init__(self, where: BlockRange, stream: Stream, facts: ForwardFacts, what: str) -> None:
        self.stream = stream
        self._where, self._facts, self._what = where, facts, what
        self._state: Tensor | None = None
        self._forward = 0

    def take(self, _block: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        """The stream's state in what the block returns, the first time that it runs in a forward."""
        if self._forward != self._facts.forwards:
            self._forward = self._facts.forwards
            self._state = self._where.outputs(output, self._facts.image_tokens)[self.stream]

    def state(self) -> Tensor:
        """(B, tokens, width)."""
        if self._state is None or self._forward != self._facts.forwards:
            raise SurgeryError(f"{self._what}: a later block runs before that block did; leave out the plan on it")
        return self._state


class _Gone:
    """One later block, which runs with the stream frozen or without it."""

    def __init__(self, where: BlockRange, number: int, held: _Held, facts: ForwardFacts, calls: Calls) -> None:
        self._where, self._number, self._held, self._facts, self._calls = where, number, held, facts, calls

    def drop(self, block: nn.Module, hooks: ExitStack) -> None:
        """Have the text taken out of what the block is called with."""
        remove_after(hooks, block.register_forward_pre_hook(self._without_text, with_kwargs=True))
        if not self._where.one_sequence and self._where.common_attention:
            attention = block.get_submodule("attn")
            remove_after(hooks, attention.register_forward_pre_hook(_attend_alone, with_kwargs=True))
            project = _project_and_add_no_text if self._where.flux_before_035 else _add_no_text
            remove_after(hooks, attention.register_forward_hook(project))

    def restore(self, _block: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        """The block's output with the stream as it left: so what follows finds the shapes that it expects."""
        held = self._held.state()
        self._calls.note(self._number)
        if not self._where.joined:
            return self._where.with_outputs(output, {self._held.stream: held})
        # Without its text a joined output has the image's tokens alone, and the text part is empty.
        streams = self._where.outputs(output, self._facts.image_tokens)
        return self._where.with_outputs(output, {**streams, self._held.stream: held})

    def _without_text(
        self, block: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        call = self._where.arguments(block, args, kwargs)
        streams = self._where.inputs(call, self._facts.image_tokens)
        text = streams[Stream.TEXT]
        if self._where.joined:
            call[ARGUMENTS[Stream.IMAGE]] = streams[Stream.IMAGE]
        else:
            call[TEXT_ARGUMENT] = text[:, :0]
        if call.get(_ROTARY) is not None:
            call[_ROTARY] = tuple(part[text.shape[1] :] for part in call[_ROTARY])
        return (), call


def _attend_alone(
    _attention: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Without any text token: the processors of diffusers' common attention can't reshape a text of no tokens."""
    return args, {**kwargs, TEXT_ARGUMENT: None}


def _add_no_text(_attention: nn.Module, _args: tuple[Any, ...], output: Tensor) -> tuple[Tensor, Tensor]:
    """The pair that the block expects, its text empty."""
    return output, output[:, :0]


def _project_and_add_no_text(attention: Any, _args: tuple[Any, ...], output: Tensor) -> tuple[Tensor, Tensor]:
    """The same of FLUX before diffusers 0.35, whose processor leaves the projection out where it gets no text."""
    for part in attention.to_out:  # the projection and its dropout
        output = part(output)
    return output, output[:, :0]
