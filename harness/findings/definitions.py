"""What the words of the published claims mean here. Fixed before a claim is measured.

docs/findings.md says which were revised later, and what was known then.

The blog's claims were read off pictures, so each word needs a number. Harms are compared as shares of the harm of
images that follow another prompt (:attr:`harness.analysis.study.Study.prompt_ignoring_harm`), which is all the
alignment that a model can lose. So one threshold holds for every model, judge and set of prompts.
"""

from __future__ import annotations

LEVEL = 0.95  # of a claim's intervals together: k comparisons are made at 1 - (1 - LEVEL) / k each (Bonferroni)

CATASTROPHIC = 0.5  # at least half of what there is to lose; "not catastrophic" is less
MILD = 0.1  # "mild", "slight": at most a tenth of it
RECOVERS = 0.5  # "recovers to a large extent": at most half of the harm that it is compared with is left
LOST = 1.0  # "details are completely lost": as far from the control's as another seed's are, in units of that distance
GROUPED = 0.05  # "groups": p of the smooth-decay null (harness.analysis.segmentation)

WORDS = {
    "catastrophic": f"the harm is at least {CATASTROPHIC:.0%} of the harm of images that follow another prompt",
    "not catastrophic": f"it is less than {CATASTROPHIC:.0%} of it",
    "keeps concepts, keeps adherence": "not catastrophic: more than half of what there is to lose is kept",
    "mild, slight": f"it is at most {MILD:.0%} of it",
    "recovers to a large extent": f"at most {RECOVERS:.0%} of the compared variant's harm is left",
    "loses details": "an image is split into its average on an 8 x 8 grid (layout) and the rest (detail); the drift of "
    "the detail is larger than that of the layout, each in units of its own distance between two seeds",
    "details are completely lost": "the drift of the detail is at least its distance between two seeds",
    "degrades, artefacts, unnatural": "surely some harm, and not catastrophic",
    "groups": "the best cut into groups explains more than it would if similarity only decayed smoothly with depth "
    f"(the smooth-decay null), at p <= {GROUPED}",
    "the worst, the least harmful": "surely more (less) harm than every other strategy on the same range, "
    "paired over prompts",
    # Below: further words that the claims use, without numbers of their own; also written before anything was measured.
    "doesn't group": f"the cut explains less than it would under that null: p >= {1 - GROUPED}",
    "strength of grouping": "the share of the scatter of the image stream's outputs that a cut into three groups "
    "explains, minus the share that it explains under the null; for a model, the value of its strongest stack",
    "a middle group": "the central half of a stack by depth, and each half of that which has at least two blocks; the "
    "blocks before and after the middle are the translation layers",
    "looped parallel": "with three loops, or with as many as the range has blocks; a claim has to hold completely for "
    "one of the two",
    "carries layout (detail)": "when single blocks are skipped, the share of the 8 x 8 grid in the drift, in units of "
    "the distance between two seeds, is larger (smaller)",
    "a middle block": "the mean over skipping each block of the middle by itself",
    "critical layer": "its input and output are surely farther apart, in angle, than those of every block not called "
    "critical in that stream",
    "island": "every one of its blocks surely moves its stream farther than the blocks just outside",
    "the least contributing layer": "it surely moves its stream less than every other block",
    "rises with noise": "the slope of its angular distance over the bins of the noise level is surely positive",
    "skipping some of a group": "one of its blocks (the mean over them), or half of them (the mean over both halves); "
    "a claim has to hold completely for one of the two",
    "a middle grouping": "the first and the last of the groups between first and last, where similarities fall into "
    "four groups or more; else the halves of the middle",
    "duplicates subjects": "surely more objects than in the control's images, counted by the bundled world's checker",
    "high at both extremes": "the curvature (the quadratic coefficient) of its angular distance over the bins of the "
    "noise level is surely positive",
    "of the last token, of all tokens": "an angular distance is that of the last token alone, as in the study, or the "
    "mean over the tokens (ids that end with -mean)",
    "matters at the steps at which it turns its states": "the correlation of log angular distance and log velocity "
    "error over steps and blocks, without the means of blocks and of steps, is surely positive",
}
