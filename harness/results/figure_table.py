"""All columns of the ranked table and all figures that are measured: each is declared here, once.

The terminal, Markdown, CSV, JSON, failure messages, gates and the tables in README.md and docs/measurement.md derive
from this table (:mod:`harness.results.columns`): a figure that is added to it appears in all of them. The order is that
of the table's columns from left to right.
"""

from __future__ import annotations

from harness.results.figure import BOTH_TABLES, HARM_TABLE, SHORTENED, SPEED_TABLE, TIER, Better, Column, Figure

# What the bundled world's checker grades, beside the mean over them (grade) and whether all are right (all_right).
ATTRIBUTES = ("background", "count", "colour", "shape", "size", "texture", "relation")

_RANKED: tuple[Column, ...] = (
    Figure(
        name="rank",
        brief="rank among all variants of the run by harm, with its 95 % interval",
        label="#",
        legend="The rank (`#`) is 1 for the best variant; in a ranking by harm it comes with its simultaneous 95 % "
        "interval.",
        tables=BOTH_TABLES,
        form=".0f",
        count=True,
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="tier",
        dropped=TIER,
        label="tier",
        legend="Tiers part the ranking: a new one begins at the first variant that is surely more harmful than the "
        "first of the tier before. A variant with a wide interval may stand behind such a cut without being surely "
        "more harmful itself; its rank's interval says so. There are none with fewer than 16 prompts. An adaptive run "
        "has two: 1 is what it takes for tier 1 of an exhaustive run, 2 is the rest.",
        tables=HARM_TABLE,
        form=".0f",
        count=True,
        better=Better.LOWER,
        files=True,
    ),
    Column(
        name="variant",
        brief="stack of blocks, range of blocks (`L03` is block 3), what was done with them",
        label="variant",
        legend="A variant is named by its stack of blocks, its range of blocks and its strategy.",
        tables=BOTH_TABLES,
        text=True,
    ),
    Column(
        name="plan",
        label="plan",
        legend="The plan lists the blocks in the order in which they run.",
        tables=BOTH_TABLES,
        text=True,
        dropped=0,
    ),
    Figure(
        name="clip_delta",
        brief="how many points (cosine x 100) the judge scores the images lower than the control's, with its 95 % "
        "interval",
        label="harm",
        unit="points",
        legend="Harm is how much lower the judge scores the variant's images for their prompts than the control's "
        "images of the same prompts, seeds and initial latents (0: as good as the control), in points of the score "
        "(cosine x 100), with its 95 % interval over prompts; files hold the change of the score, which has the other "
        "sign.",
        tables=HARM_TABLE,
        strategies=True,
        form=".2f",
        negated=True,
        better=Better.HIGHER,
        gated=True,
        restates="harm",
        stored=True,
        files=True,
    ),
    Figure(
        name="harm",
        label="harm",
        unit="sd",
        legend="Harm in sd is harm in points over the unit of harm, the standard deviation of the control's score from "
        "seed to seed; sds of two checkpoints, or of two sets of prompts, are different units.",
        tables=HARM_TABLE,
        strategies=True,
        form=".2f",
        better=Better.LOWER,
        gated=True,
        stored=True,
        paired=True,
        scale="seed_sd",
        files=True,
        dropped=10,
    ),
    Figure(
        name="lost_percent",
        label="lost %",
        legend="Lost % is harm in percent of what there is to lose, the harm of images that follow another prompt (0: "
        "as good as the control, 100: the prompt has no effect any more), with Fieller's 95 % interval over prompts.",
        tables=HARM_TABLE,
        form=".1f",
        better=Better.LOWER,
        files=True,
        dropped=9,
    ),
    Figure(
        name="lost_percent_low",
        unit="%",
        legend="The low end of lost % is the lower end of its 95 % interval.",
        files=True,
    ),
    Figure(
        name="lost_percent_high",
        unit="%",
        legend="The high end of lost % is the upper end of its 95 % interval.",
        files=True,
    ),
    Figure(
        name="to_lose",
        unit="points",
        legend="What there is to lose is how much lower the judge scores the control's images for the other prompts "
        "than for their own, mean over prompts; lost % is in percent of it.",
        better=Better.HIGHER,
        files=True,
    ),
    Figure(
        name="score",
        legend="Score is the mean of the judge's score of an image for its prompt (cosine x 100) over all images of "
        "the control.",
        better=Better.HIGHER,
        control_gated=True,
        paired=True,
    ),
    Figure(
        name="first_score",
        legend="First score is the score over the control's images of the first seed alone, which variants are "
        "measured on.",
        better=Better.HIGHER,
        control_gated=True,
    ),
    Figure(
        name="seed_sd",
        unit="points",
        legend="The unit of harm is the standard deviation of the control's score from seed to seed, pooled within "
        "prompts; it is stored with the baseline and estimated again only for other weights.",
    ),
    Figure(
        name="seed_sd_low",
        unit="points",
        legend="The unit's low end is the lower end of the 95 % interval of the unit of harm, over prompts.",
    ),
    Figure(
        name="seed_sd_high",
        unit="points",
        legend="The unit's high end is the upper end of the 95 % interval of the unit of harm, over prompts.",
    ),
    Figure(
        name="worst_tenth",
        label="worst tenth",
        unit="points",
        legend="Worst tenth is the mean harm of the tenth of the prompts that lose most: what a mean over all prompts "
        "hides where most lose nothing.",
        tables=HARM_TABLE,
        form=".1f",
        better=Better.LOWER,
        files=True,
        dropped=2,
    ),
    Figure(
        name="lost_share",
        legend="Lost share is the share of prompts whose harm is above 1 sd.",
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="collapsed",
        label="coll.",
        legend="Coll. counts the collapsed images (NaN, black or constant); they score like grey, and a variant of "
        "which most images collapsed ranks after all others.",
        tables=HARM_TABLE,
        form=".0f",
        count=True,
        better=Better.LOWER,
        gated=True,
        control_gated=True,
        stored=True,
        files=True,
    ),
    Figure(
        name="prompts_measured",
        label="prompts",
        legend="Prompts, in an adaptive run, are those that the variant was measured on: a variant stops early where "
        "it is clearly of tier 1, or clearly more harmful.",
        tables=HARM_TABLE,
        optional=True,
        form=".0f",
        count=True,
        files=True,
        dropped=SHORTENED,
    ),
    Figure(
        name="speed_up",
        brief="time of one forward of the un-ablated transformer over the variant's; `*`: on the Pareto front",
        label="speed-up",
        legend="Speed-up is the time of one forward of the un-ablated transformer over the time of the variant's "
        "(1.25: a quarter faster): the median over pairs of forwards timed in turns, with an interval of at least 95 % "
        "(order statistics). `*` marks the Pareto front: plans that leave out blocks, are surely faster than the "
        "control, and surely faster than every less harmful one; of fewer steps, reuse and other modifiers likewise.",
        tables=BOTH_TABLES,
        strategies=True,
        form=".2f",
        better=Better.HIGHER,
        files=True,
    ),
    Figure(
        name="relative_time",
        legend="Relative time is the variant's time over the control's, one over the speed-up; it fails where its "
        "whole interval is further from the stored one's than the tolerance, on the same kind of device.",
        better=Better.LOWER,
        latency_gated=True,
        stored=True,
    ),
    Figure(
        name="theoretical_speed_up",
        label="theory",
        legend="Theory is the speed-up if every block took equal time and nothing else took any.",
        tables=BOTH_TABLES,
        form=".2f",
        better=Better.HIGHER,
        dropped=3,
        files=True,
    ),
    Figure(
        name="image_speed_up",
        label="image",
        legend="Image is the speed-up of an image from end to end, with text encoders, every denoising step and the "
        "VAE: the control's time over the variant's, from their forwards and the time outside of them.",
        tables=HARM_TABLE,
        form=".2f",
        better=Better.HIGHER,
        files=True,
        dropped=3,
    ),
    Figure(
        name="image_seconds",
        unit="s",
        legend="Image seconds is how long the variant takes for an image from end to end, in a batch of up to four.",
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="control_image_seconds",
        unit="s",
        legend="Control image seconds is the same of the control.",
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="memory",
        label="memory",
        legend="Memory is how far the peak of a forward's memory under the ablation lies above the bare model's.",
        tables=SPEED_TABLE,
        form="+.1f",
        better=Better.LOWER,
    ),
    Figure(
        name="clip_score",
        brief="mean CLIP score (cosine x 100) of the variant's images for their prompts, by the judge",
        label="CLIP",
        legend="CLIP is the mean score of the variant's images for their prompts (cosine x 100) by the judge, a CLIP "
        "model; harm in points is how much lower that is than of the control's images.",
        tables=HARM_TABLE,
        form=".1f",
        better=Better.HIGHER,
        files=True,
    ),
    Figure(
        name="clip_min",
        label="CLIP min",
        legend="CLIP min is the mean change of the score of a prompt's lowest-scoring sentence, where prompts are "
        "longer than the judge reads at once.",
        tables=HARM_TABLE,
        optional=True,
        form="+.1f",
        better=Better.HIGHER,
        files=True,
        dropped=1,
    ),
    Figure(
        name="latent_drift",
        brief="how far the final latents are from the control's; 0: identical, 1: as far as another seed",
        label="drift",
        legend="Drift is the distance (1 - cosine) of the final latents from the control's, over the mean distance "
        "between two seeds of one prompt (0: identical, 1: as far as another seed).",
        tables=HARM_TABLE,
        form=".2f",
        better=Better.LOWER,
        gated=True,
        stored=True,
        files=True,
    ),
    Figure(
        name="layer_harm",
        label="layer harm",
        unit="points",
        legend="Layer harm is how much lower the judge scores each RGBA layer alone for its picture's text than the "
        "control's layer, mean over layers, where pictures are taken apart into layers; harm is then that of the "
        "composite.",
        tables=HARM_TABLE,
        optional=True,
        form=".2f",
        better=Better.LOWER,
        gated=True,
        stored=True,
        paired=True,
        files=True,
        dropped=1,
    ),
    Figure(
        name="alpha_drift",
        label="alpha drift",
        legend="Alpha drift is the mean squared difference of each RGBA layer's alpha from the control's, mean over "
        "layers (0 to 1): where a layer is, not what is on it.",
        tables=HARM_TABLE,
        optional=True,
        form=".3g",
        better=Better.LOWER,
        gated=True,
        stored=True,
        paired=True,
        files=True,
        dropped=1,
    ),
    Figure(
        name="layer_drift",
        label="layer drift",
        legend="Layer drift is the mean squared difference of each RGBA layer's red, green and blue, multiplied by its "
        "alpha, from the control's, mean over layers (0 to 1).",
        tables=HARM_TABLE,
        optional=True,
        form=".3g",
        better=Better.LOWER,
        gated=True,
        stored=True,
        paired=True,
        files=True,
        dropped=1,
    ),
    Figure(
        name="composite_drift",
        legend="Composite drift is the mean squared difference of the RGBA layers laid over each other from the "
        "control's (0 to 1).",
        better=Better.LOWER,
        paired=True,
        files=True,
    ),
    Figure(
        name="output_drift",
        label="output drift",
        legend="Output drift is the relative L2 distance of the transformer's output from the control's.",
        tables=SPEED_TABLE,
        form=".2f",
        better=Better.LOWER,
        dropped=12,
        files=True,
    ),
    Figure(
        name="pixel_drift",
        legend="Pixel drift is the mean squared error between the variant's and the control's pixels, over that "
        "between two seeds of one prompt.",
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="psnr",
        legend="PSNR is the peak signal-to-noise ratio in dB of the variant's pixels against the control's.",
        better=Better.HIGHER,
        stored=True,
        files=True,
    ),
    Figure(
        name="ssim_drift",
        legend="SSIM drift is the structural dissimilarity (1 - SSIM) of the variant's and the control's images, over "
        "that between two seeds of one prompt.",
        better=Better.LOWER,
        files=True,
    ),
    Figure(
        name="image_drift",
        legend="Image drift is the distance (1 - cosine) of the judge's image features from the control's, over the "
        "mean "
        "distance between two seeds of one prompt.",
        better=Better.LOWER,
        stored=True,
        files=True,
    ),
    Figure(
        name="grade_loss",
        label="checker",
        legend="Checker is the change of the share of a caption's attributes (background, count, colour, shape, size, "
        "texture, relation) that the image gets right, by the exact checker of the bundled world; files hold the loss, "
        "which has the other sign.",
        tables=HARM_TABLE,
        form="+.3f",
        negated=True,
        better=Better.LOWER,
        stored=True,
        files=True,
        dropped=4,
    ),
    Figure(
        name="checker_rank",
        label="checker #",
        legend="Checker # is the variant's rank by the checker's loss alone, which no network has a part in; equal "
        "variants share the mean of their ranks.",
        tables=HARM_TABLE,
        optional=True,
        form=".4g",
        better=Better.LOWER,
        files=True,
        dropped=4,
    ),
    Figure(
        name="reseed_latent",
        legend="Reseed latent is the mean distance (1 - cosine) between the control's latents of two seeds of one "
        "prompt, the unit of drift.",
        control_gated=True,
        better=Better.LOWER,
    ),
    Figure(
        name="reseed_mse",
        legend="Reseed MSE is the mean squared error between the control's pixels of two seeds of one prompt.",
    ),
    Figure(
        name="reseed_ssim",
        legend="Reseed SSIM is the mean dissimilarity (1 - SSIM) of the control's images of two seeds of one prompt.",
    ),
    Figure(
        name="reseed_image",
        legend="Reseed image is the mean distance (1 - cosine) between the judge's features of two seeds of one "
        "prompt.",
    ),
    Figure(
        name="reseed_layer",
        legend="Reseed layer is the mean layer drift between the control's layers of two seeds of one picture: a "
        "variant whose layer drift is as large made other layers altogether.",
    ),
    Figure(
        name="reseed_alpha",
        legend="Reseed alpha is the same of alpha drift.",
    ),
    Figure(
        name="fid",
        legend="FID is the FID@N, on the judge's features, of the variant's images against the control's.",
        better=Better.LOWER,
    ),
    Figure(
        name="fid_null",
        legend="The null FID is the mean FID@N, on the judge's features, of the control's images of one seed against "
        "those of another.",
        control_gated=True,
        better=Better.LOWER,
    ),
    Figure(
        name="fid_ratio",
        label="FID/null",
        legend="FID/null is the FID between the variant's and the control's images, divided by the FID between two "
        "sets of the control's images with other seeds (1: no worse than a reseed), both on the judge's features; it "
        "needs at least 32 prompts.",
        tables=HARM_TABLE,
        form=".1f",
        better=Better.LOWER,
        gated=True,
        stored=True,
        files=True,
        dropped=2,
    ),
    Figure(
        name="mmd",
        legend="MMD is the unbiased paired squared maximum mean discrepancy of the judge's features with a Gaussian "
        "kernel as wide as the median distance of the control's features, over pairs of images of different prompts "
        "(0: identical).",
        better=Better.LOWER,
        stored=True,
        files=True,
    ),
    Figure(
        name="output_rms",
        legend="Output RMS is the root mean square of the un-ablated transformer's output, where no images are made.",
    ),
    Figure(
        name="same_as_listed",
        label="surgery",
        legend="Surgery is how the ablation was proved to be applied: `bitwise` where the output equals that of a "
        "model "
        "whose list holds just the plan's blocks, `trace` where there is no such list and the blocks that ran were "
        "compared with the plan.",
        tables=SPEED_TABLE,
        text=True,
        files=True,
    ),
    Column(
        name="gate",
        brief="whether the test passed: the verdict against the stored values",
        label="gate",
        legend="Gate is the verdict against the stored baseline.",
        tables=BOTH_TABLES,
        text=True,
    ),
)


def _grades() -> tuple[Figure, ...]:
    """The checker's grades of the control, and what a variant loses of them."""
    shares = {"grade": "all attributes of a caption", "all_right": "images with every attribute right"}
    shares |= {name: f"captions whose {name}" for name in ATTRIBUTES}
    out: list[Figure] = []
    for name, share in shares.items():
        is_right = "that are right" if name == "grade" else "" if name == "all_right" else "is right in the image"
        sentence = " ".join(filter(None, (f"the share of {share}", is_right)))
        title = name.replace("_", " ").capitalize()
        out.append(Figure(name=name, better=Better.HIGHER, legend=f"{title} is {sentence}, by the checker."))
        if name != "grade":
            legend = f"{title} loss is how much lower {sentence} is than the control's, by the checker."
            out.append(Figure(name=f"{name}_loss", better=Better.LOWER, legend=legend))
    return tuple(out)


GRADES = _grades()
COLUMNS: tuple[Column, ...] = (*_RANKED[:-1], *GRADES, _RANKED[-1])

# Columns of the summary per strategy, before the figures that are marked as such.
STRATEGY_COLUMNS: tuple[Column, ...] = (
    Column(name="stack", label="stack", text=True, legend="The stack of blocks that the strategy was run on."),
    Column(name="depth", label="range", text=True, legend="The range of blocks, by depth."),
    Column(name="strategy", label="strategy", text=True, legend="The strategy; its random seeds are taken together."),
    Figure(name="cases", label="cases", legend="How many cases the medians are over.", form=".0f", count=True),
)
