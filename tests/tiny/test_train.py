"""The bundled prompts."""

from __future__ import annotations

from harness.tiny import world
from harness.tiny.train import prompts


def test_the_bundled_prompts_are_held_out_and_all_different():
    texts = prompts(64, 7_001)
    layouts = world.parse_all(texts)
    assert world.held_out(layouts).all()
    assert len(set(world.keys(layouts))) == 64
