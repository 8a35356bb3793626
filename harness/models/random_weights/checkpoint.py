"""Any known architecture with random weights: what needs a model but not its pictures, without a download.

The blocks, their kinds and their order are the real model's, so ids, plans and surgery are, too; what is
measured is whether the surgery takes hold, what it saves and what it costs. There is no quality to measure.
Nothing here imports torch: a checkpoint's name and size come from its transformer's config alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import CheckpointError
from harness.models.checkpoints.pipeline_folder import vae_reduction
from harness.models.checkpoints.resolve import Checkpoint, Settings, blueprint
from harness.models.spec import WidthKeys
from harness.spelling import did_you_mean

KINDS = ("random", "random:small")
NO_QUALITY = "random weights: no quality"
NO_STEPS = "random weights run one forward, so there are no denoising steps to choose from"
NO_PASSES = "random weights run one forward on random inputs, so there are no two passes of guidance"

# The reduced size: a model of a few million parameters that runs on a laptop, in blocks of the same kinds.
_HEADS = 2
_HEAD_WIDTH = 32
_TEXT_WIDTH = 64  # of the text states and of the pooled vector
_PIXELS = 128
_TEXT_TOKENS = 32
_BATCH = 8
_LARGE = 512  # pixels a side from which one image fills a GPU


@dataclass(frozen=True)
class RandomCheckpoint(Checkpoint):
    """A checkpoint's architecture, to be filled with random weights.

    ``config`` builds its transformer; ``latent`` is how many pixels a side its VAE makes one latent of.
    """

    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    small: bool = False
    latent: int = field(kw_only=True)

    @property
    def about(self) -> str:
        """What is run and measured, for the header."""
        settings = self.settings
        return (
            f"{'reduced' if self.small else 'full'} size, {settings.height} x {settings.width} px, batch "
            f"{settings.batch}, {settings.dtype}; random weights: surgery, latency and memory, no quality"
        )


def resolve(name: str, kind: str, *, dtype: str | None = None) -> RandomCheckpoint:
    """Look at a checkpoint as :func:`harness.models.checkpoints.resolve.blueprint` does, and give it random weights.

    Raises CheckpointError.
    """
    return _randomise(*blueprint(name, dtype=dtype), kind)


def _randomise(checkpoint: Checkpoint, config: Mapping[str, Any], kind: str) -> RandomCheckpoint:
    """The same architecture under another name, so that its ids and baselines never mix with the real ones.

    ``kind`` is one of KINDS. Raises CheckpointError for another one, or a config that lacks what is needed.
    """
    if kind not in KINDS:
        raise CheckpointError(f"weights can be {' or '.join(KINDS)}, not {kind!r}{did_you_mean(kind, KINDS)}")
    if checkpoint.family.general:
        raise CheckpointError(
            f"checkpoint {checkpoint.name!r}: --dit-weights draws what a pipeline passes to its transformer; what "
            f"{checkpoint.family.pipeline} passes isn't known; save a small pipeline of it with random weights, and "
            "give its folder to --dit-checkpoint"
        )
    small = kind == "random:small"
    own = {name: value for name, value in config.items() if not name.startswith("_")}
    known = {f.name: getattr(checkpoint, f.name) for f in dataclasses.fields(Checkpoint)}
    return RandomCheckpoint(
        **known
        | {
            "name": f"{checkpoint.name}-{kind.replace(':', '-')}",
            "settings": _settings(checkpoint.settings, small=small),
            "config": reduced(own, checkpoint.family.width_keys, checkpoint.name) if small else own,
            "small": small,
            "latent": vae_reduction(checkpoint.folder) or checkpoint.family.latent_pixels,
            "lora": None,
        }
    )


def _settings(settings: Settings, *, small: bool) -> Settings:
    """Sizes of the forward that is timed; the checkpoint's own resolution and text length at full size."""
    if small:
        settings = replace(
            settings,
            height=min(settings.height, _PIXELS),
            width=min(settings.width, _PIXELS),
            max_sequence_length=min(settings.max_sequence_length, _TEXT_TOKENS),
        )
    return replace(settings, batch=1 if max(settings.height, settings.width) >= _LARGE else _BATCH)


def reduced(config: Mapping[str, Any], keys: WidthKeys, name: str = "") -> dict[str, Any]:
    """A transformer's config with fewer and narrower heads, and narrower text, whose widths stand under ``keys``.

    Untouched: the number of blocks of every stack, and what makes their kinds: dual attention, the norm of
    queries and keys, ``context_pre_only``, guidance, channels, patches. Raises CheckpointError where it has no heads.
    """
    out = dict(config)
    try:
        heads, width = min(config[keys.heads], _HEADS), min(config[keys.head_width], _HEAD_WIDTH)
    except (KeyError, TypeError):
        raise CheckpointError(
            f"checkpoint {name!r}: its transformer's config gives no {keys.heads} and {keys.head_width}; "
            "save the transformer again with save_pretrained, which writes them"
        ) from None
    if keys.rotary_axes in config:
        out[keys.rotary_axes] = _axes(config[keys.rotary_axes], config[keys.head_width], width)
    out |= {keys.heads: heads, keys.head_width: width}
    out |= {key: min(config[key], _TEXT_WIDTH) for key in keys.text if key in config}
    if keys.projected_text in config:
        out[keys.projected_text] = heads * width  # the text enters the blocks as wide as the image
    return out


def _axes(axes: list[int], whole: int, width: int) -> list[int]:
    """The rotary axes' shares of a head, in the same proportions; each is even, and they sum to the width."""
    if width == whole:
        return list(axes)
    scaled = [max(2, axis * width // whole // 2 * 2) for axis in axes[:-1]]
    return [*scaled, width - sum(scaled)]
