"""What a pipeline's folder has to hold."""

from __future__ import annotations

import json

from harness.models.checkpoints.pipeline_folder import first_missing
from harness.models.checkpoints.resolve import BUNDLED


def test_a_component_that_was_dropped_is_not_missed():
    folder = BUNDLED / "flux-tiny"
    index = json.loads((folder / "model_index.json").read_text())
    assert index["image_encoder"] == [None, None]
    index["text_encoder_3"] = index["tokenizer_3"] = [None, None]
    assert first_missing(folder, index) is None
