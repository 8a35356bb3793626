"""PickScore is the model's logit, and reads the prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

from harness.errors import PromptError
from tests.helpers.extractors import CLIP_TOKENIZER


def test_pickscore_is_the_models_logit(metrics, places, images, texts):
    prepare, read = (
        AutoImageProcessor.from_pretrained(places / "pickscore"),
        AutoTokenizer.from_pretrained(CLIP_TOKENIZER),
    )
    model = CLIPModel.from_pretrained(places / "pickscore").eval()
    with torch.inference_mode():
        given = {**read(texts, padding=True, return_tensors="pt"), **prepare(list(images), return_tensors="pt")}
        direct = model(**given).logits_per_image.diagonal().numpy()
    assert metrics["pickscore"](images, texts) == pytest.approx(direct, rel=1e-5)


def test_pickscore_reads_the_prompt_and_sees_damage(metrics, images, texts):
    score = metrics["pickscore"]
    right = score(images, texts)
    assert not np.allclose(right, score(images, texts[::-1]), rtol=1e-4)
    assert not np.allclose(right, score(np.full_like(images, 128), texts), rtol=1e-4)


def test_pickscore_scores_long_prompts_by_sentence(metrics, images, texts):
    score, some = metrics["pickscore"], images[:1]
    sentences = [f"A {text[2:]}." for text in texts[:3]]
    each = np.concatenate([score(some, [sentence]) for sentence in sentences])
    assert score(some, [" ".join(sentences)]) == pytest.approx(each.mean(), rel=1e-6)
    with pytest.raises(PromptError, match="pickscore reads 20 tokens, this prompt has 42: 'red red"):
        score(some, ["red " * 40])
