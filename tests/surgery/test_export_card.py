"""The model card of an exported transformer."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from harness.results.judge_check import JudgeCheck
from harness.surgery.export_card import CardFacts, how_measured, model_card
from tests.helpers.records import latency, quality

FACTS = CardFacts(
    transformer="FluxTransformer2DModel",
    pipeline="FluxPipeline",
    blocks={"double": (0, 1, 3, 4)},
    lengths={"double": 5, "single": 10},
    checkpoint="m",
    base_model="black-forest-labs/FLUX.1-dev",
)


def measured(plan, harm, stack="double", **other):
    return replace(quality("skip", harm, stack=stack), plan=plan, **other)


def front(text):
    """The card's front matter as the hub reads it, and the text below it."""
    match = re.fullmatch(r"---\n(.*?)\n---\n(.*)", text, re.DOTALL)
    return yaml.safe_load(match[1]), match[2]


def test_the_front_matter_names_the_original_and_the_library():
    matter, text = front(model_card(FACTS))
    assert matter["base_model"] == "black-forest-labs/FLUX.1-dev"
    assert matter["library_name"] == "diffusers"
    assert "pruned" in matter["tags"]
    assert "# FluxTransformer2DModel of black-forest-labs/FLUX.1-dev, without some of its blocks" in text
    assert 'FluxPipeline.from_pretrained("black-forest-labs/FLUX.1-dev", transformer=transformer, ' in text
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    compile(code, "card", "exec")


def test_an_original_without_a_hub_id_is_asked_for():
    matter, text = front(model_card(replace(FACTS, base_model="")))
    assert "base_model" not in matter
    assert "# base_model: ORG/NAME" in model_card(replace(FACTS, base_model=""))
    assert "# FluxTransformer2DModel of m, without" in text
    assert "# FluxTransformer2DModel of m\\nn, without" in model_card(replace(FACTS, base_model="", checkpoint="m\nn"))


def test_every_stack_has_its_blocks():
    text = model_card(replace(FACTS, blocks={"double": (3, 0, 1), "single": ()}, converted="this and that"))
    assert "| double | 3 0 1 | 2 of 5: 2 4 |" in text
    assert "| single | - | 10 of 10: 0-9 |" in text
    assert "| single | 0-9 | none of 10 |" in model_card(FACTS)
    assert "Converted: this and that." in text


def test_harm_is_that_of_the_same_plan():
    records = [measured("0 1 3 4", 1.5), measured("0 1 4", 9.0), measured("0 1 3 4", 7.0, stack="single")]
    text = model_card(FACTS, records)
    assert re.search(r"\| double \| `0 1 3 4` \| 1\.50 \[\d\.\d\d, \d\.\d\d\], 16 prompts \| not measured \|", text)
    assert "9.0" not in text
    assert "measured one at a time" not in text
    both = model_card(replace(FACTS, blocks={"double": (0, 1, 3, 4), "single": (0,)}), records)
    assert "| single | `0` | not measured | not measured |" in both
    assert "The plans were measured one at a time; together they may harm more than their sum." in both


@pytest.mark.parametrize(
    "other",
    [
        {"checkpoint": "another"},
        {"window": (0, 1)},
        {"measurement": None},
    ],
)
def test_other_measurements_are_not_quoted(other):
    text = model_card(FACTS, [measured("0 1 3 4", 1.5, **other)])
    assert "| double | `0 1 3 4` | not measured |" in text
    assert "This model was not measured before it was saved." in text


def test_a_refused_judge_is_not_quoted():
    record = measured("0 1 3 4", 1.5)
    check = JudgeCheck(16, 20.0, faults=("it scores noise above the images",))
    text = model_card(FACTS, [replace(record, measurement=replace(record.measurement, judge_check=check))])
    assert "| double | `0 1 3 4` | not measured |" in text


def test_a_speed_up_is_quoted_and_how_both_were_measured_is_said():
    records = [measured("0 1 3 4", 1.5), replace(latency("skip", 1.25, stack="double"), plan="0 1 3 4")]
    text = model_card(FACTS, records)
    assert re.search(r"\| double \| `0 1 3 4` \| 1\.50 \[.*\], 16 prompts \| 1\.25 \[1\.15, 1\.35\] \|", text)
    assert "Measured on 16 prompts (4 steps, float32, device cpu) with the judge j; dit-ablation-harness " in text
    assert "torch 2.15.0." in text
    assert "| double | `0 1 3 4` | not measured | 1.25 [" in model_card(FACTS, records[1:])
    sampling = {"steps": 50, "width": 1024, "height": 768}
    fingerprint = replace(records[0].fingerprint, sampling=sampling, versions={})
    assert how_measured(fingerprint, 1).startswith(
        "Measured on 1 prompt (1024 x 768 px, 50 steps, float32, device cpu)"
    )
