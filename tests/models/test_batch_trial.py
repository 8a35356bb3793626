"""The batch that fits: by the share of memory that each takes, and by running out of it."""

from __future__ import annotations

import pytest
import torch

from harness.models.batch_trial import largest_batch


@pytest.mark.parametrize(
    ("per_image", "most", "expected"),
    [(0.01, 8, 8), (0.12, 8, 4), (0.2, 8, 4), (0.4, 8, 2), (0.5, 8, 1), (0.95, 8, 1), (2.0, 8, 1), (0.01, 2, 2)],
)
def test_the_largest_power_of_two_that_leaves_a_tenth(per_image, most, expected):
    tried = []

    def share(batch):
        tried.append(batch)
        if batch * per_image > 1:
            raise torch.OutOfMemoryError
        return batch * per_image

    assert largest_batch(share, most) == expected
    assert tried == [1, 2, 4, 8][: len(tried)]


def test_what_else_goes_wrong_is_no_matter_of_memory():
    with pytest.raises(RuntimeError, match="broken"):
        largest_batch(lambda _batch: (_ for _ in ()).throw(RuntimeError("broken")))
