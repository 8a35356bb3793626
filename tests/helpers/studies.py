"""Made-up studies with given harms, drifts and similarities, for claims."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import settings

from harness.ablation.ranges import Span
from harness.ablation.strategies import choose
from harness.analysis.image_drift import ImageDrift
from harness.analysis.profile import Profile, Stream
from harness.findings.blog import BLOG
from harness.findings.healing import HEALING
from harness.findings.pruning import PRUNING
from harness.findings.sd35 import SD35
from harness.results.fingerprint import BaselineFacts

CLAIMS = {c.id: c for c in (*BLOG, *SD35, *PRUNING, *HEALING)}
STACKS = {
    "flux": {"double": 6, "single": 12},
    "sd3": {"joint": 12},
    "auraflow": {"double": 6, "single": 10},
}
PROMPTS = 24
FACTS = BaselineFacts("w", "j", "p", {"steps": 4}, "c", 1, {"diffusers": "0.42.1"})
# A first example pays for imports, and the machine may be busy.
quiet = settings(deadline=None)


@dataclass
class Made:
    """A study with given harms: ``shares(stack, span, strategy)`` of what there is to lose, with noise over prompts."""

    family: str
    shares: Any = None
    noise: float = 0.02
    stacks: dict[str, int] = field(default_factory=dict)
    layout: Any = None  # the same of drifts: (layout, detail)
    noised: Profile | None = None
    facts: BaselineFacts = FACTS
    objects: Any = None  # extra objects by (stack, plan); None where nothing counts them
    steps: int = 4
    velocities: dict[str, Any] = field(default_factory=dict)
    checkpoint: str = ""  # its name; "" for one that no model has
    lab: Any = None

    def __post_init__(self):
        self.stacks = self.stacks or STACKS[self.family]
        self.rng = np.random.default_rng(0)
        self.prompt_ignoring_harm = 10.0 + self.rng.normal(size=PROMPTS)
        self.asked = []
        lengths = self.stacks.items()
        self.trajectory = profile(*(stream(stack, "image", _smooth(length)) for stack, length in lengths))

    def stack_name(self, stack):
        return stack

    @property
    def counts_objects(self):
        return self.objects is not None

    def extra_objects(self, plan, stack):
        return self.objects(stack, str(plan)) + self.rng.normal(size=PROMPTS) * self.noise

    @property
    def name(self):
        return self.checkpoint or f"{self.family}-made"

    def plan(self, stack, first, last, strategy):
        return choose(strategy).plan(self.stacks[stack], Span(first, last))

    def ablate(self, stack, first, last, strategy):
        self.plan(stack, first, last, strategy)
        self.asked.append((stack, Span(first, last), strategy))
        return self.asked[-1]

    def run(self, plan, stack):
        """A set of skipped blocks: ``shares`` gets them in the place of the range."""
        skipped = tuple(b for b in range(self.stacks[stack]) if b not in set(plan.blocks()))
        self.asked.append((stack, skipped, "skip"))
        return self.asked[-1]

    def harm(self, asked):
        return self.prompt_ignoring_harm * self.shares(*asked) + self.rng.normal(size=PROMPTS) * 10 * self.noise

    def image_drift(self, plan, stack):
        layout, detail = self.layout(stack, str(plan))
        wobble = 1 + self.rng.normal(size=(2, PROMPTS)) * self.noise
        return ImageDrift(layout * wobble[0], detail * wobble[1])


def _smooth(blocks):
    """Similarities that decay with distance, without groups."""
    place = np.arange(blocks)
    return np.exp(-0.1 * np.abs(place[:, None] - place))


def parts(**by_strategy):
    """Shares by the strategy's name, before its parameters; ``other`` for the rest."""
    return lambda stack, span, strategy: by_strategy.get(strategy.split(".")[0], by_strategy.get("other", 0.3))


def recovering(double, single):
    """Looped parallel leaves these shares; plain parallel loses .8."""
    return lambda stack, span, strategy: 0.8 if strategy == "parallel" else double if stack == "double" else single


def sides(below, above):
    return lambda stack, span, strategy: below if span.last < 14 else above


def sides_of_12(below, above):
    return lambda stack, span, strategy: below if span.last < 7 else above


SD3_24 = {"stacks": {"joint": 24}}


def stream(stack="joint", name="image", states=None, angular=None, noise=0.003, draws=64, seed=0):
    """A stream with given similarities of the blocks' outputs, or given angular distances (B, D - 1)."""
    rng = np.random.default_rng(seed)
    angular = np.zeros((10, 3)) if angular is None else np.asarray(angular)
    depth = angular.shape[1] + 1
    if states is not None:
        depth = len(states) + 1
        angular = np.zeros((10, depth - 1))
        centred = np.eye(depth)
        centred[1:, 1:] = states
    else:
        centred = np.eye(depth)
    shaken = rng.normal(size=(draws, depth, depth)) * noise
    return Stream(
        stack=stack,
        name=name,
        count=np.ones(10),
        cosine=np.tile(centred, (10, 1, 1)),
        centred=np.tile(centred, (10, 1, 1)),
        cka=np.tile(centred, (10, 1, 1)),
        angular=angular,
        angular_last=angular,
        draws=centred + (shaken + shaken.swapaxes(1, 2)) / 2,
        angular_draws=(drawn := angular.mean(axis=0) + rng.normal(size=(draws, depth - 1)) * noise),
        angular_last_draws=drawn,
    )


def profile(*streams):
    return Profile("made", "noised", 24, np.linspace(0, 1, 11), {}, streams)
