"""Harm against speed-up: what is drawn, and that all of it can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from harness.report.figures.pareto import Variant, pareto, strategy_of
from harness.report.figures.png import encoded, own_style
from harness.report.figures.style import QUALITATIVE


def variants():
    """A front of ten skips, some of them close together, and eight variants that save nothing."""
    out = []
    for i in range(10):
        harm, ratio = 0.1 * 2.0**i, 1.02 + 0.01 * i**1.7
        out.append(
            Variant(
                f"single-L{i:02d}-skip",
                "skip",
                (harm, harm - 0.05, harm * 1.5),
                (ratio, ratio - 0.004, ratio + 0.004),
                True,
            )
        )
    for i, strategy in enumerate(
        ("reverse", "shuffle.s0", "shuffle.s1", "parallel", "swap", "repeat", "plan-12ab34cd")
    ):
        out.append(Variant(f"double-{strategy}", strategy, (i * 0.4, -0.1, i + 1.0), (1.0, 0.99, 1.01), False))
    return [*out, Variant("double-parallel.t3", "parallel.t3", (0.2, -np.inf, np.inf), (0.7, 0.0, np.inf), False)]


@pytest.fixture
def figure():
    with own_style():
        figure = pareto("m: harm", "64 prompts.", "harm (points)", variants(), 90.0)
        figure.canvas.draw()
    return figure


def lines(axes, label):
    (line,) = (line for line in axes.lines if line.get_label() == label)
    return np.stack(line.get_data(), axis=1)


def test_every_variant_is_a_point_with_its_intervals_and_the_control_is_at_one_and_zero(figure):
    (axes,) = figure.axes
    drawn = {bars.get_label(): bars for bars in axes.containers}
    assert set(drawn) == {"skip", "reverse", "shuffle", "parallel", "swap", "repeat", "plan", "parallel.t3"}
    skips = [v for v in variants() if v.strategy == "skip"]
    points, _, (across, upright) = drawn["skip"]
    np.testing.assert_allclose(points.get_data(), [[v.speed_up[0] for v in skips], [v.harm[0] for v in skips]])
    np.testing.assert_allclose([s[:, 0] for s in across.get_segments()], [v.speed_up[1:] for v in skips])
    np.testing.assert_allclose([s[:, 1] for s in upright.get_segments()], [v.harm[1:] for v in skips])
    np.testing.assert_allclose(lines(axes, "control"), [[1.0, 0.0]])
    # An interval without ends has no whiskers.
    _, _, (across, upright) = drawn["parallel.t3"]
    assert across.get_segments()[0][:, 0].tolist() == [0.7, 0.7]


def test_small_harms_and_large_ones_share_an_axis(figure):
    (axes,) = figure.axes
    assert axes.get_yscale() == "symlog"
    low, small, large, high = (axes.transData.transform((1.0, y))[1] for y in (0.0, 0.2, 51.2, 90.0))
    assert small - low > 0.1 * (high - low)
    assert high - large < 0.2 * (high - low)
    assert axes.get_ylim()[1] > 90


def test_the_front_is_joined_from_the_control_on_and_named(figure):
    (axes,) = figure.axes
    front = [(v.speed_up[0], v.harm[0]) for v in variants() if v.front]
    np.testing.assert_allclose(lines(axes, "Pareto front"), [(1.0, 0.0), *front])
    assert [text.get_text() for text in axes.texts] == [v.name for v in variants() if v.front]
    boxes = [text.get_window_extent() for text in axes.texts]
    for one, other in itertools.combinations(boxes, 2):
        assert one.y0 >= other.y1 or other.y0 >= one.y1 or one.x0 >= other.x1 or other.x0 >= one.x1
    whole = figure.bbox
    legend = axes.get_legend().get_window_extent()
    for box in (*boxes, legend, *(text.get_window_extent() for text in figure.texts)):
        assert whole.x0 <= box.x0
        assert box.x1 <= whole.x1
        assert whole.y0 <= box.y0
        assert box.y1 <= whole.y1
    assert all(box.x1 <= legend.x0 for box in boxes)


def test_no_two_strategies_look_the_same(figure):
    (axes,) = figure.axes
    looks = [(bars[0].get_color(), bars[0].get_marker()) for bars in axes.containers]
    assert len(set(looks)) == len(looks)
    assert {colour for colour, _ in looks} <= set(QUALITATIVE)
    assert strategy_of("shuffle.s2") == "shuffle"
    assert strategy_of("parallel.t3") == "parallel.t3"


def test_without_a_front_nothing_is_named_and_without_variants_nothing_is_drawn():
    plain = [v for v in variants() if not v.front]
    with own_style():
        drawn = pareto("m", "2 prompts.", "harm (points)", plain, None)
        assert encoded(drawn)
    assert list(drawn.axes[0].texts) == []
    with pytest.raises(ValueError, match="at least one timed variant"):
        pareto("m", "", "", [], None)


def test_one_disturbed_timing_does_not_press_the_others_together():
    disturbed = Variant("double-swap", "swap", (0.1, 0.0, 0.2), (1.0, 0.5, 9.0), False)
    with own_style():
        (axes,) = pareto("m", "", "harm (points)", [*variants()[:10], disturbed], None).axes
    slowest, fastest = axes.get_xlim()
    assert fastest - slowest < 2 * (variants()[9].speed_up[0] - 1.0)
    assert slowest < 1.0
