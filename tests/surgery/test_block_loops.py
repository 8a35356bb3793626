"""How a forward calls its blocks, read from its source: every form of a loop that diffusers' models have."""

from __future__ import annotations

import ast

import pytest

from harness.surgery.block_loops import BlockCall, block_calls

PARAMETERS = ("x", "text", "temb", "cache")
X = BlockCall(("x",), single=True)


def calls(source, path="blocks"):
    return set(block_calls(ast.parse(source), path, PARAMETERS))


@pytest.mark.parametrize(
    "source",
    [
        "for b in self.blocks:\n x = b(x)",
        "for i, b in enumerate(self.blocks):\n x = b(x, text, temb=temb)",
        "for b in self.blocks:\n h = b(x=h)",
        "for b in self.blocks:\n x = self._gradient_checkpointing_func(b, x, text)",
        "for b in self.blocks:\n x = self._gradient_checkpointing_func(b.__call__, x) if train else b(x)",
        "for b in self.blocks:\n args = (x, text)\n x = b(*args)",
        "for b, other in zip(self.blocks, self.others):\n x = b(x)\n x = other(x)",
        "for i, (b, other) in enumerate(zip(self.blocks, self.others)):\n x = b(x)",
        "mine = self.blocks\nfor b in mine[: len(mine) - 1]:\n x = b(x)",
        "for cycle in range(2):\n for b in self.blocks:\n  x = b(x)",
        "for b in self.blocks:\n table = [shift, scale]\n x = b(x, None, table)",
    ],
)
def test_one_tensor(source):
    assert calls(source) == {X}


def test_two_tensors_in_the_order_of_return():
    assert calls("for b in self.blocks:\n t, i = b(i, t)") == {BlockCall(("text", "x"), single=False)}
    assert calls("for b in self.blocks:\n y = b(y, text)[0]") == {BlockCall(("x",), single=False)}


def test_a_list_in_a_dictionary_and_in_a_submodule():
    source = 'for b in self.modes["image"]:\n x = b(x)\nfor b in self.modes["text"]:\n t, x = b(x, t)'
    assert calls(source, "modes.image") == {X}
    assert calls(source, "modes.text") == {BlockCall(("text", "x"), single=False)}
    assert calls(source, "modes") == set()
    assert calls("for b in self.net.blocks:\n x = b(x)", "net.blocks") == {X}


@pytest.mark.parametrize(
    "body",
    [
        "x = b(x, cache=caches[i])",
        "x = b(x, cache=caches[i] if caches is not None else None)",
        "own = caches.get(i)\n x = b(x, cache=own)",
        "if i in chosen:\n  own = 1\n x = b(x, cache=own)",
        'kwargs["cache"] = caches[i]\n x = b(x, cache=kwargs)',
        "start = 3 * i\n own = caches[:, start:]\n x = b(x, cache=own)",
        "args = (x, text, temb, caches if i > 1 else None)\n x = b(*args)",
    ],
)
def test_an_argument_by_index_is_noted(body):
    assert calls(f"for i, b in enumerate(self.blocks):\n {body}") == {BlockCall(("x",), True, by_index=("cache",))}


def test_a_running_counter_counts_as_an_index():
    source = "for b in self.blocks:\n own = layers[at]\n x = b(x, cache=own)\n at += 1"
    assert calls(source) == {BlockCall(("x",), True, by_index=("cache",))}


def test_what_is_added_behind_a_block_by_index_is_no_argument_by_index():
    source = "for i, b in enumerate(self.blocks):\n x = b(x)\n if samples is not None:\n  x = x + samples[i]"
    assert calls(source) == {X}


def test_tokens_put_together_with_data_by_index():
    source = "for i, b in enumerate(self.blocks):\n both = cat([t, layers[i]])\n x, t = b(x, both)\n t = t[:, :n]"
    assert calls(source) == {BlockCall(("x", "text"), False, by_index=("text",))}


def test_an_output_that_nothing_takes_is_noted():
    source = "for b in self.blocks:\n hint, x = b(x)"
    assert calls(source) == {BlockCall(("x",), False, dropped=("hint",))}


@pytest.mark.parametrize(
    "source", ["for i in range(len(self.blocks)):\n x = self.blocks[i](x)", "x = self.blocks[0](x)"]
)
def test_blocks_by_index_are_no_loop(source):
    assert calls(source) == set()
