"""The prompts that lost most."""

from __future__ import annotations

from dataclasses import replace

from harness.report.worst_prompts import PromptHarm, prompt_harms, worst
from tests.helpers.records import quality

MEASURED = quality("skip", 0.0).measurement


def of(*harms, texts=()):
    measured = replace(MEASURED, n=len(harms), prompts=4, values={"harm": harms}, summary={"seed_sd": 2.0})
    return prompt_harms(measured, texts)


def test_the_worst_come_first_with_their_numbers_and_texts():
    prompts = of(1.0, 8.0, -2.0, 4.0, texts=["a", "b", "c", "d"])
    assert worst(prompts) == [PromptHarm(2, 4.0, "b"), PromptHarm(4, 2.0, "d"), PromptHarm(1, 0.5, "a")]
    assert [p.number for p in worst(of(1.0, 1.0, 1.0, 1.0))] == [1, 2, 3]


def test_several_seeds_of_a_prompt_are_its_mean():
    assert [p.harm for p in of(0.0, 4.0, 0.0, 0.0, 2.0, 2.0, 8.0, 0.0)] == [1.0, 0.0, 1.0, 2.0]


def test_texts_that_are_not_known_are_empty_and_long_ones_are_cut():
    assert of(1.0, 2.0, 3.0, 4.0)[0].text == ""
    assert of(1.0, 2.0, 3.0, 4.0, texts=["of another run"])[0].text == ""
    short = PromptHarm(1, 0.0, "word\n\x1b[31m " + "word " * 40).short
    assert len(short) <= 80
    assert short.isprintable()
    assert short.endswith(" ...")
    assert prompt_harms(replace(MEASURED, values={}), ()) == []
