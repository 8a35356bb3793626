"""What is captured in tests: prompts of different lengths, and every family with and without guidance."""

from __future__ import annotations

from harness.analysis.capture import on_trajectory
from harness.models.checkpoints.resolve import resolve

PROMPTS = [
    "a large solid red circle on a grey background",
    "a small striped blue cross",
    "a large solid green square above a small striped yellow cross on a white background",
]
GUIDED = {"guidance": 2.5, "negative_prompt": "blurry"}


def capture(sampler, prompts=PROMPTS, **more):
    return on_trajectory(sampler, resolve(f"{sampler.family.name}-tiny"), prompts, **more)


ALL = ["flux", "sd3", ("sd3", GUIDED), ("auraflow", GUIDED)]
IDS = ["flux", "sd3", "sd3-guided", "auraflow-guided"]
