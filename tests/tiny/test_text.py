"""What the text encoders are asked: every label stands at the words that say it."""

from __future__ import annotations

import numpy as np
import torch

from harness.tiny import auraflow, text, tokens, vae, world
from harness.tiny.text import IGNORE, NOUN_WORDS, SHAPE_WORD, Exam


def test_labels_are_the_words_of_the_caption(asked):
    captions, labels = asked
    for i, caption in enumerate(captions):
        words = caption.split()
        assert words[labels.background[i]] == world.BACKGROUNDS[labels.scene["background"][i]]
        for j in (0, 1):
            if labels.named["shape"][i, j] == IGNORE:
                assert "left" not in words
                assert labels.scene["count"][i] == 0
                continue
            noun = words[labels.starts[i, j] :][:NOUN_WORDS]
            assert noun[0] == "a"
            assert noun[SHAPE_WORD] == world.SHAPES[labels.named["shape"][i, j]]
            assert world.COLOURS[labels.named["colour"][i, j]] in noun
            assert world.SIZES[labels.named["size"][i, j]] in noun
            assert world.TEXTURES[labels.named["texture"][i, j]] in noun


def test_places_follow_the_relation(asked):
    captions, labels = asked
    where = {"left of": (0, 1), "right of": (1, 0), "above": (2, 3), "below": (3, 2)}
    for i, caption in enumerate(captions):
        for relation, places in where.items():
            if f" {relation} " in caption:
                assert tuple(labels.named["place"][i]) == places


def test_an_exam_counts_what_it_asks():
    exam = Exam([])
    exam.ask(torch.tensor([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]]), np.array([0, 0, IGNORE]))
    assert (exam.right, exam.asked) == (1, 2)
    assert exam.losses[0] > 1


def test_pads_of_a_masked_encoder_are_zero(tmp_path):
    """As AuraFlowPipeline makes them."""
    torch.manual_seed(0)
    pipeline = auraflow.build_pipeline(tmp_path, vae.build())
    reader = text.Bidirectional(
        pipeline.text_encoder, pipeline.tokenizer, tokens.T5_LENGTH, auraflow.WIDTH, masked=True
    )
    ids = reader.ids(["a large solid red circle on a grey background"])
    states = reader.states(ids)
    assert (states[ids == 0] == 0).all()
    assert (states[ids != 0].abs().sum(dim=-1) > 0).all()
