"""Our contracts against what another project wrote down by hand: the facts in tests/data/cache_dit_patterns.json."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
from packaging.version import Version

from harness.surgery.block_contract import contract
from harness.survey.classes import transformer_classes
from harness.survey.survey import tiny_transformer

FACTS = json.loads((Path(__file__).parents[1] / "data" / "cache_dit_patterns.json").read_text())
CLASSES = transformer_classes()
# Looked into one by one: what diffusers' own source says where the other project says something else.
THEY_DIFFER = {
    "BriaTransformer2DModel": (
        "theirs is (hidden_states, encoder_hidden_states); both kinds of block end in "
        "'return encoder_hidden_states, hidden_states' (transformer_bria.py of diffusers 0.42.1)"
    ),
}
# What blocks call the two streams where it isn't hidden_states and encoder_hidden_states.
STREAMS = {"audio_hidden_states": "encoder_hidden_states", "x": "hidden_states", "visual_embed": "hidden_states"}


@pytest.mark.parametrize("fact", FACTS["stacks"], ids=lambda fact: f"{fact['class']}-{fact['stack']}")
def test_a_block_returns_what_their_adapter_says(fact):
    name, stack = fact["class"], fact["stack"]
    if name not in CLASSES or (name == "FluxTransformer2DModel" and Version(diffusers.__version__) < Version("0.35")):
        pytest.skip(f"not as it was when they wrote it: diffusers {diffusers.__version__}")
    try:
        transformer = tiny_transformer(CLASSES[name])
    except (TypeError, ValueError) as error:
        if Version(diffusers.__version__) >= Version("0.42"):
            raise
        pytest.skip(f"the small config is for another release: {error}")
    ours = contract(transformer, stack)
    returns = [STREAMS.get(output, output) for output in ours.outputs]
    theirs = FACTS["patterns"][str(fact["pattern"])]["returns"]
    if name in THEY_DIFFER:
        assert sorted(returns) == sorted(theirs)
        assert returns != theirs, f"they agree now: {THEY_DIFFER[name]}"
    else:
        assert returns == theirs
        assert ours.single == (len(theirs) == 1)


def test_the_facts_say_where_they_are_from():
    assert {"project", "file", "commit"} == set(FACTS["source"])
    assert len({fact["class"] for fact in FACTS["stacks"]}) == 40
    assert {str(fact["pattern"]) for fact in FACTS["stacks"]} <= set(FACTS["patterns"])
