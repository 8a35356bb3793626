"""Other measures' rankings of the same variants: how far alike, and where they part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.results.second_opinion import second_opinions
from tests.helpers.records import PROMPTS, quality


def measured(harms, others, name="grade_loss"):
    """A measurement for each mean harm, with another measure of the given mean."""
    out = []
    for i, (harm, other) in enumerate(zip(harms, others, strict=True)):
        record = quality(f"v{i}", harm)
        noise = np.random.default_rng(i).normal(0, 0.01, PROMPTS)
        values = {**record.measurement.values, name: tuple(map(float, other + noise - noise.mean()))}
        out.append(replace(record.measurement, values=values))
    return out


def names(count):
    return [f"v{i}" for i in range(count)]


def test_the_correlation_is_spearman_s():
    harms, others = [0.1, 0.5, 2.0, 3.0, 9.0, 12.0], [0.0, 0.3, 0.1, 0.5, 0.4, 0.9]
    (opinion,) = second_opinions(names(6), measured(harms, others))
    assert (opinion.name, opinion.drift) == ("checker", False)
    assert opinion.alike.value == pytest.approx(stats.spearmanr(harms, others).statistic)
    assert opinion.alike.low <= opinion.alike.value <= opinion.alike.high
    assert opinion.harmful == 3
    assert opinion.alike_harmful == pytest.approx(stats.spearmanr(harms[3:], others[3:]).statistic)
    assert list(opinion.ranks.values()) == list(stats.rankdata(others))


def test_where_they_part_is_named():
    """One variant that the judge puts last costs nothing by the other measure."""
    (opinion,) = second_opinions(names(6), measured([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 0.5]))
    assert opinion.parted[0].case == opinion.parted_harmful[0].case == "v5"
    assert (opinion.parted[0].by_harm, opinion.parted[0].by_other) == (6, 1)
    (same,) = second_opinions(names(4), measured([1, 2, 3, 4], [1, 2, 3, 4]))
    assert same.alike.value == 1
    assert same.parted == same.parted_harmful == ()


def test_extra_networks_are_opinions_and_their_distances_drifts():
    for name, label, drift in (("pickscore.harm", "pickscore", False), ("dinov2.distance", "dinov2", True)):
        (opinion,) = second_opinions(names(4), measured([1, 2, 3, 4], [4, 3, 2, 1], name))
        assert (opinion.name, opinion.drift, opinion.alike.value) == (label, drift, pytest.approx(-1))
    assert second_opinions(names(4), measured([1, 2, 3, 4], [1, 2, 3, 4], "score")) == []


def test_there_is_none_with_few_variants_or_where_one_lacks_it():
    assert second_opinions(names(3), measured([1, 2, 3], [1, 2, 3])) == []
    some = measured([1, 2, 3, 4], [1, 2, 3, 4])
    del some[0].values["grade_loss"]
    assert second_opinions(names(4), some) == []


def test_an_opinion_without_differences_is_no_number():
    flat = [
        replace(m, values={**m.values, "grade_loss": (0.0,) * PROMPTS}) for m in measured([1, 2, 3, 4], [0, 0, 0, 0])
    ]
    (opinion,) = second_opinions(names(4), flat)
    assert np.isnan(opinion.alike.value)
