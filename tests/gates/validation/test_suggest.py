"""Suggested tolerances: what is pasted lets the noise pass, and nothing is suggested where it passes already."""

from __future__ import annotations

import pytest

from harness.errors import JournalError
from harness.gates.tolerances import applying, load_tolerances, tolerance_for
from harness.gates.validation.noise_floor import MARGIN
from harness.gates.validation.suggest import suggest
from tests.helpers.records import FINGERPRINT, TOLERANCES, quality

NAMES = ("skip", "reverse", "swap")


def run(*harms):
    return [quality(name, harm) for name, harm in zip(NAMES, harms, strict=True)]


def pasted(tmp_path, suggestions):
    path = tmp_path / "tolerances.toml"
    hand = '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = 0.01\nrelative = 0.002\n'
    path.write_text("\n".join([hand, *(each.toml for each in suggestions)]))
    return load_tolerances(path)


def test_the_noise_that_was_measured_is_allowed_by_what_is_pasted(tmp_path):
    perturbed = [run(1.05, 2.0, 3.0), run(0.98, 2.1, 3.01)]
    suggestions = suggest(run(1.0, 2.0, 3.0), perturbed, TOLERANCES)
    points, harm = suggestions
    assert (points.metric, harm.metric) == ("clip_delta", "harm")
    assert "nothing was allowed" in points.toml  # it has no tolerance here at all
    assert (harm.dtype, harm.device) == (FINGERPRINT.dtype, FINGERPRINT.device)
    assert harm.needed > MARGIN * 0.1 / 0.014
    tolerances = pasted(tmp_path, suggestions)
    here = applying(tolerances, dtype=harm.dtype, device=harm.device)
    for case, stored, now in (("skip", 1.0, 1.05), ("reverse", 2.0, 2.1), ("swap", 3.0, 3.01)):
        assert abs(now - stored) * MARGIN <= tolerance_for(here, f"m-s-{case}", "harm").limit(stored)
    elsewhere = applying(tolerances, dtype="float16", device=harm.device)
    assert tolerance_for(elsewhere, "m-s-skip", "harm").absolute == 0.01
    assert tolerance_for(here, "other-s-skip", "harm").absolute == 0.01
    assert suggest(run(1.0, 2.0, 3.0), perturbed, tolerances) == []


def test_what_gives_no_suggestion():
    with pytest.raises(JournalError, match=r"m: no tolerance can be suggested: .* at least one perturbed run"):
        suggest(run(1.0, 2.0, 3.0), [], TOLERANCES)
    with pytest.raises(JournalError, match="a perturbed run lacks m-s-swap"):
        suggest(run(1.0, 2.0, 3.0), [run(1.0, 2.0, 3.0)[:2]], TOLERANCES)
