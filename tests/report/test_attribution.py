"""What a red test blames: variant, model, decoding and judge, or only the stored value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.attribution import attribution, control_attribution, control_line
from tests.helpers.records import FINGERPRINT
from tests.helpers.red import CASE, CONTROL, reference, variant

SAME, MOVED = variant(0.9), variant(0.9, "x" * 64)
OTHER_CONTROL = replace(CONTROL, latents_sha256="y" * 64)


def scored(control, score):
    return replace(control, summary={**control.summary, "score": score})


VARIANT_MOVED = (
    "latents: the variant's moved and the control's are bit-identical, so the variant changed and not the model"
)
UNMOVED = "latents: the variant's are bit-identical to the stored ones"


@pytest.mark.parametrize(
    ("measured", "control", "said"),
    [
        (MOVED, CONTROL, VARIANT_MOVED),
        (
            MOVED,
            scored(CONTROL, 28.0),
            f"{VARIANT_MOVED}, and its score moved too (score 30 -> 28), so decoding or the judge changed as well",
        ),
        (
            MOVED,
            scored(OTHER_CONTROL, 28.0),
            "control: moved too (score 30 -> 28), so look for a change of the model or the library first",
        ),
        (
            MOVED,
            OTHER_CONTROL,
            "control: not bit-identical but within its tolerances, so the variant, or its stored value, changed and "
            "not the model",
        ),
        (
            SAME,
            CONTROL,
            f"{UNMOVED} and the control's score is the stored one, so only the stored value changed (edited, or "
            "measured otherwise)",
        ),
        (
            SAME,
            scored(CONTROL, 28.0),
            f"{UNMOVED} and the control moved too (score 30 -> 28), so decoding or the judge changed",
        ),
        (
            SAME,
            OTHER_CONTROL,
            f"{UNMOVED} and the control's are not, so look for a change in what the variant leaves out",
        ),
    ],
    ids=[
        "variant",
        "variant and judge",
        "model",
        "variant within the control's tolerances",
        "stored value",
        "judge",
        "what the variant leaves out",
    ],
)
def test_three_cases_and_their_kin(measured, control, said):
    assert attribution(CASE.id, measured, control, reference()) == said


def test_what_is_not_stored_is_said():
    unknown = "control: not stored, so nothing says whether the variant, or its stored value, changed or the model"
    assert attribution(CASE.id, MOVED, CONTROL, reference(control_latents="")) == unknown
    assert attribution(CASE.id, SAME, CONTROL, reference(score=False)) == (
        f"{UNMOVED}; the control's score is not stored, so nothing says whether decoding, the judge or the stored "
        "value changed"
    )
    # The control's latents aren't stored, but its score is.
    assert attribution(CASE.id, SAME, CONTROL, reference(control_latents="")).startswith(f"{UNMOVED} and the control's")
    assert attribution(CASE.id, SAME, CONTROL, replace(reference(), baseline=None)) == ""
    assert control_line(CONTROL, replace(reference(), baseline=None), "it") == ""


def test_bits_of_another_machine_say_nothing_of_a_variant():
    """They were stored under a fingerprint that is neither the stored control's nor today's."""
    known = reference(digest="1" * 12)
    assert attribution(CASE.id, MOVED, CONTROL, known) == (
        "control: bit-identical, so the variant, or its stored value, changed and not the model"
    )
    assert attribution(CASE.id, MOVED, scored(CONTROL, 28.0), known) == (
        "control: bit-identical latents, but it moved (score 30 -> 28), so decoding or the judge changed"
    )
    assert attribution(CASE.id, MOVED, CONTROL, reference(digest=FINGERPRINT.digest)) == VARIANT_MOVED


def test_a_score_without_a_tolerance_is_compared_exactly():
    ungated = reference(tolerances=("harm",))
    assert "decoding or the judge" in attribution(CASE.id, SAME, scored(CONTROL, 30.001), ungated)
    assert "only the stored value" in attribution(CASE.id, SAME, scored(CONTROL, 30.0), ungated)


def test_a_red_control_whose_latents_are_the_stored_ones():
    assert "decoding, the judge or the stored value" in control_attribution(scored(CONTROL, 28.0), reference())
    assert control_attribution(scored(OTHER_CONTROL, 28.0), reference()) == ""
    assert control_attribution(CONTROL, replace(reference(), baseline=None)) == ""
