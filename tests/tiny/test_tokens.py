"""One token a word."""

from __future__ import annotations

import pytest

from harness.tiny import auraflow, flux, sd3, vae


@pytest.mark.parametrize(("family", "module"), [("flux", flux), ("sd3", sd3), ("auraflow", auraflow)])
def test_tokens_of_words_stand_where_the_heads_look(family, module, asked, tmp_path):
    """One token a word in every bundled tokenizer, CLIP's behind its start token."""
    captions, _ = asked
    pipeline = module.build_pipeline(tmp_path, vae.build())
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        tokenizer = getattr(pipeline, name, None)
        if tokenizer is None:
            continue
        specials = 2 if "CLIP" in type(tokenizer).__name__ else 1
        for caption in captions[:50]:
            assert len(tokenizer(caption).input_ids) == len(caption.split()) + specials
