"""What TensorBoard reads of a run: its own reader, on the event files that were written."""

from __future__ import annotations

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.helpers.logged import EXPECTED, log_run


def test_tensorboard_holds_the_figures_the_settings_and_the_ranking(tmp_path):
    assert log_run("tensorboard", tmp_path) == []
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    values = {tag: events.Scalars(tag)[-1].value for tag in events.Tags()["scalars"]}
    for name, value in EXPECTED.items():
        (tag,) = (
            tag for tag in values if tag.replace("_", "").replace("+", "") == name.replace("_", "").replace("+", "")
        )
        assert values[tag] == value
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert texts["ranking/text_summary"] == "# Ranking\n"
    assert "| m.dtype | float32 |" in texts["settings/text_summary"]
