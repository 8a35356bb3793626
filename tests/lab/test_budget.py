"""What a budget says, and what is left of it."""

from __future__ import annotations

import pytest

from harness.errors import OptionError
from harness.lab.budget import Account, Budget, read_budget


@pytest.mark.parametrize(
    ("text", "images", "seconds"),
    [
        ("2h", None, 7200),
        ("90m", None, 5400),
        ("1.5 h", None, 5400),
        ("45s", None, 45),
        ("800 images", 800, None),
        ("800images", 800, None),
        ("1 image", 1, None),
    ],
)
def test_hours_minutes_and_images(text, images, seconds):
    budget = read_budget(text)
    assert (budget.images, budget.seconds) == (images, seconds)


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "0h", "0 images", "2 days", "1e3 images", "2h 30m", "inf h"])
def test_anything_else_is_refused(text):
    with pytest.raises(OptionError, match="takes hours, minutes or control images"):
        read_budget(text)


def test_images_are_counted():
    account = Account(Budget("10 images", images=10))
    account.spend(7.5)
    assert account.affords(2.5)
    assert not account.affords(2.6)


def test_seconds_run_and_images_cost_what_those_before_did():
    now = [100.0]
    account = Account(Budget("60s", seconds=60), clock=lambda: now[0])
    assert account.affords(1000)  # nothing is known of an image yet
    now[0] += 20
    account.spend(10)
    assert account.seconds == 20
    assert account.affords(20)
    assert not account.affords(21)
    now[0] += 41
    assert not account.affords(0)
