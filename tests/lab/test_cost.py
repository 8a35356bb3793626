"""What a sweep costs, counted before anything is loaded."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.ablation.grid import Ask, expand, from_id
from harness.ablation.strategies import ALL_STRATEGIES
from harness.api import sweep
from harness.lab import cost
from harness.lab.lab import Lab
from harness.models.spec import AURAFLOW, FLUX, SD3, Settings
from harness.report.cost_line import cost_line, power_line
from tests.simulations.coverage import students
from tests.simulations.real import real_scores

STACKS = {"double": 5, "single": 10}
LARGER = {"double": 6, "single": 12}
SETTINGS = Settings(steps=4, batch=64, seeds=4)


def cases_of(*asks):
    return expand("flux-tiny", STACKS, asks)


def test_savings_count_the_windows_share():
    """Two of six blocks left out: a third; in one of four steps a twelfth, of the stack's six among 18 blocks."""
    asks = [Ask(("double",), ("2-3",), ("skip",))]
    (whole,) = expand("m", LARGER, asks)
    (part,) = expand("m", LARGER, asks, windows=[(2, 2)], steps=4)
    assert whole.saving == pytest.approx(1 / 3)
    assert part.saving == pytest.approx(1 / 12)
    assert from_id("m", LARGER, part.id).saving == pytest.approx(1 / 3)  # the steps aren't known: inside the window
    assert cost.share(part, LARGER) == pytest.approx(1 - 2 / 18 / 4)
    asked = cost.cost(LARGER, Settings(steps=4), FLUX, [whole, part], 8)
    assert asked.work == pytest.approx(1 - 2 / 18 * (1 + 1 / 4) / 2)


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("double-L00-04-reuse.n2+single-L00-09-reuse.n2", 1 / 2),
        ("double-L00-04-reuse.n2-steps-2-3+single-L00-09-reuse.n2-steps-2-3", 3 / 4),
        ("double-L01-skip+single-L02-07-reuse.n2", (14 - 6 / 2) / 15),
        ("double-L01-skip+double-L03-04-reuse.n2", 14 / 15 * (1 - 2 / 15 / 2)),  # as if the plan were spread evenly
        ("double-L01-skip+single-L02-07-reuse.n2+fewer-steps.2", (14 - 6 / 2) / 15 / 2),
        ("double-L01-skip+first-block-cache.t200", 14 / 15),  # what the cache saves is counted
    ],
)
def test_what_modifiers_save_in_ranges_adds_up(text, blocks):
    assert cost.share(from_id("m", STACKS, f"m-{text}", steps=4), STACKS) == pytest.approx(blocks)


def test_the_arithmetic():
    cases = cases_of(Ask(("double",), ("middle",), ("skip", "reverse", "parallel.t3")))
    found = cost.cost(STACKS, SETTINGS, FLUX, cases, 100)
    assert (found.cases, found.images, found.control_images) == (3, 300, 400)
    assert found.forwards == (3 + 4) * 4 * 2  # two batches for a hundred prompts
    assert found.together == 64
    assert not found.guided
    # The middle of 5 is 3 blocks of 15: skip leaves them out, three loops run them three times.
    assert [cost.share(c, STACKS) for c in cases] == pytest.approx([12 / 15, 1, 21 / 15])
    assert found.work == pytest.approx((12 + 15 + 21) / 45)
    assert found.controls == pytest.approx(4 + (12 + 15 + 21) / 15)
    picture = 5 * 2 * 3 * 256 * 256 + 60_000  # of each of the three cases
    assert found.disk == 4 * (4_000 + 2 * 8 * 80 * 80 * 3 + 130 * 100) + 3 * picture
    # Two batches of 3 s, of which 1 s is not the transformer's, for 3 cases and 4 seeds.
    assert cost.cost(STACKS, SETTINGS, FLUX, cases, 128).seconds(3.0, 0.5) == pytest.approx(
        2 * (7 * 1.0 + (4 + 48 / 15) * 2.0)
    )


@pytest.mark.parametrize(
    ("family", "guidance", "guided"),
    [(FLUX, 3.5, False), (SD3, 7.0, True), (SD3, 1.0, False), (AURAFLOW, 3.5, True), (AURAFLOW, 0.0, False)],
    ids=lambda value: getattr(value, "name", None),
)
def test_guidance_in_one_batch_is_said(family, guidance, guided):
    found = cost.cost(STACKS, Settings(guidance=guidance), family, cases_of(Ask(("double",), ("0",), ("skip",))), 8, 20)
    assert found.guided is guided
    assert ("each twice for guidance" in cost_line(found)) is guided
    assert found.forwards == 5 * 20 * 8  # steps are those asked for, one image a forward


def test_the_line_of_the_header():
    cases = cases_of(Ask(("double", "single"), ("middle",), ALL_STRATEGIES))
    assert cost_line(cost.cost(STACKS, SETTINGS, FLUX, cases, 64)) == (
        "20 cases: 1,280 images and 256 of the control, 96 forwards of 64 images, 1.03 of the control's blocks"
    )
    assert cost_line(cost.cost(STACKS, SETTINGS, FLUX, cases, 64), control_may_be_stored=True) == (
        "20 cases: 1,280 images and at most 256 of the control, at most 96 forwards of 64 images, "
        "1.03 of the control's blocks"
    )
    assert cost_line(cost.cost(STACKS, SETTINGS, FLUX, cases[:1], 0)) == "1 case"


def test_several_seeds_of_a_variant_cost_as_much():
    cases = cases_of(Ask(("double",), ("middle",), ("skip", "reverse")))
    one, three = (cost.cost(STACKS, SETTINGS, FLUX, cases, 100, variant_seeds=n) for n in (1, 3))
    assert (three.images, three.control_images) == (3 * one.images, one.control_images)
    assert three.forwards == (2 * 3 + 4) * 4 * 2
    assert three.controls == pytest.approx(4 + 3 * (12 + 15) / 15)
    assert three.seconds(3.0, 0.5) > 2 * one.seconds(3.0, 0.5) - 4 * 2 * 3.0


@pytest.mark.parametrize(("prompts", "seeds"), [(48, 1), (48, 4), (256, 1), (8, 1)])
def test_the_half_width_is_that_of_reseeds(prompts, seeds):
    """Of normal scores: a variant as far from the control as another seed, on several of its seeds."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        harms = (rng.normal(size=(prompts, seeds)) - rng.normal(size=(prompts, seeds))).mean(axis=1)
        interval = students(harms)
        found.append((interval.high - interval.low) / 2)
    asked = cost.cost(STACKS, SETTINGS, FLUX, [], prompts, variant_seeds=seeds)
    # The root of the mean square: a sample's deviation is smaller than the true one on average.
    assert asked.half_width == pytest.approx(float(np.sqrt(np.mean(np.square(found)))), rel=0.05)


def test_the_half_width_fits_the_real_control():
    """Two seeds of FLUX's control on drawn prompts, in units of its seed-to-seed sd, on average over draws."""
    scores, rng = real_scores(), np.random.default_rng(1)
    unit = float(np.sqrt(scores.var(axis=1, ddof=1).mean()))
    found = []
    for _ in range(300):
        drawn = rng.choice(scores[:, :2], 64)
        interval = students(drawn[:, 0] - drawn[:, 1])
        found.append((interval.high - interval.low) / 2 / unit)
    assert cost.cost(STACKS, SETTINGS, FLUX, [], 64).half_width == pytest.approx(float(np.mean(found)), rel=0.2)


def test_quantiles_are_students():
    for freedom, probability in ((1, 0.975), (2, 0.99), (7, 0.975), (47, 1 - 0.025 / 231), (63, 1 - 0.025 / 1596)):
        assert cost._student(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=0.01)


def test_what_is_told_apart_is_told_apart_in_four_of_five_runs():
    """Two of ten variants that differ by so much, all else equal, under the Bonferroni limit."""
    rng, prompts = np.random.default_rng(2), 48
    asked = cost.cost(STACKS, SETTINGS, FLUX, cases_of(Ask(("single",), ("each",), ("skip",))), prompts)
    assert asked.cases == 10
    limit = stats.t.isf(0.025 / 45, prompts - 1)
    differences = asked.told_apart + np.sqrt(2) * rng.normal(size=(2000, prompts))
    t = differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / np.sqrt(prompts))
    assert (t > limit).mean() == pytest.approx(0.8, abs=0.04)


def test_the_line_says_what_can_be_seen():
    cases = cases_of(Ask(("double",), ("middle",), ("skip", "reverse")))
    asked = cost.cost(STACKS, SETTINGS, FLUX, cases, 48)
    assert power_line(asked, 1.5) == (
        "48 prompts x 1 seed: harm is known to about \u00b10.62 points (0.41 sd) where images change as much as by "
        "another seed; two of 2 variants are told apart from about 0.87 points (0.58 sd) on"
    )
    assert "\u00b10.21 sd where" in power_line(cost.cost(STACKS, SETTINGS, FLUX, cases[:1], 48, 0, 4), None)
    assert power_line(cost.cost(STACKS, SETTINGS, FLUX, cases, 1), None) == ""


def test_the_plan_is_what_is_run(capsys):
    """Every forward of a real sweep, and the images in it, counted on the model."""
    prompts = ["a large solid red circle on a grey background", "a small solid red cross on a black background"]
    lab = Lab("flux-tiny", prompts=prompts)
    ran: list[int] = []
    lab.transformer.register_forward_pre_hook(
        lambda _module, _args, given: ran.append(len(given["hidden_states"])), with_kwargs=True
    )
    list(sweep(lab, stacks="double", strategies="skip,swap"))
    cases = expand("flux-tiny", STACKS, [Ask(("double",), ("middle",), ("skip", "swap"))])
    found = cost.cost(lab.checkpoint.stacks, lab.checkpoint.settings, FLUX, cases, len(prompts))
    assert len(ran) == found.forwards
    assert set(ran) == {found.together}
    assert sum(ran) == (found.images + found.control_images) * found.steps


def test_the_three_ways_to_rank_in_control_images():
    asked = cost.cost(STACKS, SETTINGS, FLUX, cases_of(Ask(("double",), ("each",), ("skip",))), 64)
    assert asked.exhaustive == pytest.approx(64 * (4 + 5 * 14 / 15))
    assert asked.adaptive == pytest.approx(64 * (4 + cost.ADAPTIVE_SHARE * 5 * 14 / 15))
    # 8 forwards share the blocks before the one left out, of 15 blocks; 8 prompts and 1 step would be 24, 4 and 3 28.
    assert cost.screening_size(8.0, 4) == (6, 2)
    assert cost.single_skips_cost(STACKS, 4) == pytest.approx(6 * (1 + 2 * 8 / 4))
    assert cost.screening_size(1000.0, 4) == (4, 1)
