"""What takes pictures apart needs pictures and settings that its pipeline takes; nothing else takes pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints.pictures import check_pictures, check_settings
from harness.models.spec import FLUX, LAYERED_ADAPTER, Settings

LAYERED = replace(FLUX, adapter=LAYERED_ADAPTER, pipeline="QwenImageLayeredPipeline")
GOOD = Settings(height=640, width=640)


def test_settings_that_the_pipeline_takes_pass_and_those_of_others_are_their_own():
    check_settings("x", LAYERED, GOOD)
    check_settings("x", LAYERED, replace(GOOD, height=1024, width=1024))
    check_settings("x", FLUX, replace(GOOD, width=512, batch=8))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"width": 1024}, r"'x' takes pictures apart at 640 x 640 or 1024 x 1024 px .*, not at 1024 x 640; set one"),
        ({"height": 512, "width": 512}, "not at 512 x 512"),
        ({"batch": 4}, "'x' takes one picture apart at a time, not 4: QwenImageLayeredPipeline deals out the layers"),
    ],
)
def test_a_size_or_a_batch_that_it_does_not_take_is_refused(changed, said):
    with pytest.raises(CheckpointError, match=said):
        check_settings("x", LAYERED, replace(GOOD, **changed))


@pytest.mark.parametrize(
    ("family", "pictures", "prompts", "said"),
    [
        (
            LAYERED,
            False,
            False,
            r"takes pictures apart into layers, so it needs some: .* --dit-pictures=FOLDER, or Lab",
        ),
        (LAYERED, True, True, r"are the texts of its pictures; leave out other prompts \(--dit-prompts, prompts=\)"),
        (
            FLUX,
            True,
            False,
            r"'x' \(FluxPipeline\) makes images from prompts alone, and takes no pictures apart; leave",
        ),
    ],
)
def test_pictures_are_needed_by_one_kind_and_refused_by_the_other(family, pictures, prompts, said):
    with pytest.raises(CheckpointError, match=said):
        check_pictures("x", family, pictures=pictures, prompts=prompts)


def test_what_has_all_that_it_needs_passes():
    check_pictures("x", LAYERED, pictures=True, prompts=False)
    check_pictures("x", FLUX, pictures=False, prompts=True)
