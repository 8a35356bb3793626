"""What the words of the published claims mean here. Fixed before any claim was measured; see docs/findings.md.

The blog's claims were read off pictures, so each word needs a number. The scale is ``lost``: the harm of images that
follow another prompt (:attr:`harness.analysis.study.Study.lost`), which is all the alignment that a model can lose.
A harm is judged as a share of it, so that one threshold holds for every model, judge and set of prompts.
"""

from __future__ import annotations

LEVEL = 0.95  # of a claim's intervals together: k comparisons are made at 1 - (1 - LEVEL) / k each (Bonferroni)

CATASTROPHIC = 0.5  # at least half of what there is to lose; "not catastrophic" is less
MILD = 0.1  # "mild", "slight", "keeps concepts": at most a tenth of it
RECOVERS = 0.5  # "recovers to a large extent": at most half of the harm that it is compared with is left
GROUPED = 0.05  # "groups": p of the smooth-decay null (harness.grouping)

WORDS = {
    "catastrophic": f"the harm is at least {CATASTROPHIC:.0%} of the harm of images that follow another prompt",
    "not catastrophic": f"it is less than {CATASTROPHIC:.0%} of it",
    "mild, slight, keeps concepts": f"it is at most {MILD:.0%} of it",
    "recovers to a large extent": f"at most {RECOVERS:.0%} of the compared variant's harm is left",
    "loses details": "drift of what is left after averaging to an 8 x 8 grid is larger than drift of that grid, each "
    "in units of its own reseed",
    "groups": f"an exact segmentation beats the smooth-decay null at p <= {GROUPED}",
    "the worst, the least harmful": "surely more (less) harm than every other strategy on the same range, "
    "paired over prompts",
}
