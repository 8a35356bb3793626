"""Figures of extra metrics, whose names are known at run time only, and figures of the layer analysis."""

from __future__ import annotations

from harness.results.figure import HARM_TABLE, Better, Figure

# What an extra metric measures follows its name and a dot. Which of these there are follows from the metric's kind:
# an Embedder gives drift and FID, a PairDistance drift, a TextScorer delta. ``{}`` stands for the metric's name; the
# control's own figures (reseed, score, ...) are no columns.
EXTRA: tuple[Figure, ...] = (
    Figure(
        name="fid_ratio",
        label="{} FID/null",
        legend="`{} FID/null` is as FID/null, on the features of that extra metric.",
        tables=HARM_TABLE,
        optional=True,
        form=".1f",
        better=Better.LOWER,
        files=True,
        stored=True,
        dropped=1,
    ),
    Figure(
        name="drift",
        label="{} drift",
        legend="`{} drift` is the mean distance of the variant's images from the control's by that extra metric, over "
        "that between two seeds of one prompt (1: as far as another seed).",
        tables=HARM_TABLE,
        optional=True,
        form=".2f",
        better=Better.LOWER,
        files=True,
        stored=True,
        dropped=1,
    ),
    Figure(
        name="delta",
        label="{} delta",
        legend="`{} delta` is the mean change of that extra metric's score, in its own unit, paired by prompt and "
        "seed.",
        tables=HARM_TABLE,
        optional=True,
        form="+.2f",
        better=Better.HIGHER,
        files=True,
        stored=True,
        dropped=1,
    ),
    Figure(
        name="fid",
        legend="`{} FID` is the FID@N of the variant's images against the control's, on that extra metric's features.",
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="fid_null",
        legend="`{} null FID` is the FID@N of the control's images of one seed against another, on that metric's "
        "features.",
    ),
    Figure(
        name="reseed",
        legend="`{} reseed` is the mean distance between the control's images of two seeds of one prompt.",
    ),
    Figure(
        name="score",
        legend="`{} score` is the mean of that extra metric's score over the control's images.",
        better=Better.HIGHER,
    ),
)

# A Grader names its grades itself: ``<metric>.<grade>_loss`` of a variant, ``<metric>.<grade>`` of the control.
GRADE_LOSS = Figure(
    name="GRADE_loss",
    label="{} {}",
    legend="`{} GRADE` is the mean change of that grade by that extra metric, paired by prompt and seed.",
    tables=HARM_TABLE,
    optional=True,
    form="+.3f",
    negated=True,
    better=Better.LOWER,
    files=True,
    stored=True,
    dropped=1,
)
GRADE = Figure(
    name="GRADE",
    legend="`{} GRADE` is the mean of that grade over the control's images.",
    better=Better.HIGHER,
)

# Figures of the layer analysis, by stack and stream; all of them are gated where a baseline of them is stored.
ANALYSIS: tuple[Figure, ...] = (
    Figure(name="influence", legend="Influence is 1 - cosine of a block's input and output."),
    Figure(name="angular", legend="Angular is the angle between a block's input and output, over pi."),
    Figure(
        name="noised_angular",
        legend="Noised angular is the same on the control's finished images with noise added again.",
    ),
    Figure(
        name="similarity",
        legend="Similarity is the cosine of the states at different depths, after the mean over tokens was taken away.",
    ),
    Figure(
        name="cka",
        legend="CKA is the debiased centred kernel alignment of the states at different depths.",
    ),
    Figure(
        name="velocity",
        legend="Velocity is the relative squared error of the predicted velocity when one block is skipped.",
    ),
    Figure(
        name="rho",
        legend="Rho is Spearman's rank correlation of a measure with the harm of skipping a block, over blocks.",
    ),
    Figure(
        name="off",
        legend="Off is the share of pairs of blocks whose joint harm is surely not the sum of their harms.",
    ),
)
