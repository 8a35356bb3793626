"""A procedural world of coloured shapes: what can be said, what can be drawn, which layouts are held out.

A :class:`Layouts` holds N scenes as integer arrays, so that sampling, rendering and checking
are vectorised. Object 0 is the left (or upper) one, object 1 the right (or lower) one; the
caption may name them in either order, so one layout has two phrasings but a single key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.models.spec import Settings

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

SIDE = 40  # pixels a side of the images
COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan")
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = ("small", "large")
TEXTURES = ("solid", "striped")
BACKGROUNDS = ("black", "grey", "white")
_AXES = ("horizontal", "vertical")
# RELATIONS[axis][phrasing]: how the first-named object stands to the second.
_RELATIONS = (("left of", "right of"), ("above", "below"))

WORDS = (
    *("a", "on", "background", "left", "right", "of", "above", "below"),
    *SIZES,
    *TEXTURES,
    *COLOURS,
    *SHAPES,
    *BACKGROUNDS,
)

_HELD_OUT_SHARE = 8  # one layout in eight never enters any training
_SINGLE_SHARE = 0.25
# Places of the object centres in units of the image side. The jitter is not in the caption:
# it is what the seed decides, so a reseed is a visible change without being a worse image.
_PAIR_OFFSET = 0.244
_MAIN_JITTER = 0.031
_CROSS_JITTER = 0.075


@dataclass(frozen=True)
class Layouts:
    """N scenes. Per-object arrays are (N, 2); column 1 is meaningless where ``count == 1``.

    ``centres`` is (N, 2, 2), as (x, y) in units of the image side.
    """

    count: IntArray
    colour: IntArray
    shape: IntArray
    size: IntArray
    texture: IntArray
    axis: IntArray
    background: IntArray
    centres: FloatArray

    def __len__(self) -> int:
        return len(self.count)

    def __getitem__(self, index: slice | IntArray | npt.NDArray[np.bool_]) -> Layouts:
        return Layouts(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})


def sample(n: int, rng: np.random.Generator) -> Layouts:
    """Draw n layouts uniformly over attributes, ``_SINGLE_SHARE`` of them with one object."""
    count = np.where(rng.random(n) < _SINGLE_SHARE, 1, 2)
    axis = rng.integers(len(_AXES), size=n)
    attribute = {
        name: rng.integers(len(values), size=(n, 2))
        for name, values in (
            ("colour", COLOURS),
            ("shape", SHAPES),
            ("size", SIZES),
            ("texture", TEXTURES),
        )
    }
    background = rng.integers(len(BACKGROUNDS), size=n)
    return Layouts(
        count=count,
        **attribute,
        axis=axis,
        background=background,
        centres=_centres(count, axis, rng),
    )


def rejitter(layouts: Layouts, rng: np.random.Generator) -> Layouts:
    """The same scenes with freshly drawn positions."""
    fields = {name: getattr(layouts, name) for name in layouts.__dataclass_fields__}
    fields["centres"] = _centres(layouts.count, layouts.axis, rng)
    return Layouts(**fields)


def _centres(count: IntArray, axis: IntArray, rng: np.random.Generator) -> FloatArray:
    n = len(count)
    along = np.where(count == 1, 0.0, _PAIR_OFFSET)[:, None] * np.array([-1.0, 1.0])
    along = along + rng.uniform(-1, 1, (n, 2)) * _MAIN_JITTER
    across = rng.uniform(-1, 1, (n, 2)) * _CROSS_JITTER
    horizontal = (axis == 0)[:, None]
    x = np.where(horizontal, along, across)
    y = np.where(horizontal, across, along)
    return (0.5 + np.stack([x, y], axis=-1)).astype(np.float32)


def keys(layouts: Layouts) -> list[str]:
    """What a layout *is*, without its jitter: equal for both phrasings of one scene."""
    rows = np.stack([layouts.colour, layouts.shape, layouts.size, layouts.texture], axis=-1)  # (N, 2, 4)
    out: list[str] = []
    for i in range(len(layouts)):
        objects = ["".join(map(str, rows[i, j].tolist())) for j in range(int(layouts.count[i]))]
        place = int(layouts.axis[i]) if layouts.count[i] == 2 else "-"
        out.append(f"{layouts.background[i]}|{place}|" + "|".join(objects))
    return out


def held_out(layouts: Layouts) -> npt.NDArray[np.bool_]:
    """(N,) True where the hash of the layout's key keeps it out of all training."""
    digests = (hashlib.sha256(key.encode()).digest()[0] % _HELD_OUT_SHARE for key in keys(layouts))
    return np.fromiter((d == 0 for d in digests), dtype=np.bool_, count=len(layouts))


def sample_split(n: int, rng: np.random.Generator, *, unseen: bool) -> Layouts:
    """N layouts from the training side, or from the held-out side, of the hash."""
    parts: list[Layouts] = []
    have = 0
    while have < n:
        drawn = sample(max(64, 2 * n * (_HELD_OUT_SHARE if unseen else 1)), rng)
        part = drawn[held_out(drawn) == unseen]
        parts.append(part)
        have += len(part)
    return concatenate(parts)[slice(0, n)]


def concatenate(parts: Sequence[Layouts]) -> Layouts:
    """All scenes of some layouts as one."""
    return Layouts(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in Layouts.__dataclass_fields__}
    )


def captions(layouts: Layouts, reverse: npt.NDArray[np.bool_] | None = None) -> list[str]:
    """One caption per layout; where ``reverse`` is True the second object is named first."""
    out: list[str] = []
    for i in range(len(layouts)):
        nouns = [noun(layouts, i, j) for j in range(int(layouts.count[i]))]
        scene = nouns[0]
        if len(nouns) == 2:
            flip = bool(reverse is not None and reverse[i])
            first, second = nouns[::-1] if flip else nouns
            scene = f"{first} {_RELATIONS[layouts.axis[i]][int(flip)]} {second}"
        out.append(f"{scene} on a {BACKGROUNDS[layouts.background[i]]} background")
    return out


def noun(layouts: Layouts, i: int, j: int) -> str:
    """``a large striped red circle``: object j of scene i."""
    return " ".join(
        (
            "a",
            SIZES[layouts.size[i, j]],
            TEXTURES[layouts.texture[i, j]],
            COLOURS[layouts.colour[i, j]],
            SHAPES[layouts.shape[i, j]],
        )
    )


def parse(caption: str) -> Layouts:
    """The layout (with unjittered centres) that a caption of this world describes.

    Raises ValueError naming the caption when it is not one of this world's sentences.
    """
    words = caption.split()
    try:
        if words[-1] != "background" or words[-4:-2] != ["on", "a"]:
            raise ValueError
        background = BACKGROUNDS.index(words[-2])
        body = words[:-4]
        objects = [_parse_noun(body[:5])]
        axis = flip = 0
        rest = body[5:]
        if rest:
            relation = " ".join(rest[:-5])
            axis = next(a for a, pair in enumerate(_RELATIONS) if relation in pair)
            flip = _RELATIONS[axis].index(relation)
            objects.append(_parse_noun(rest[-5:]))
        if flip:
            objects.reverse()
    except (ValueError, IndexError, StopIteration):
        raise ValueError(f"not a caption of the bundled world: {caption!r}") from None
    count = len(objects)
    size, texture, colour, shape = (np.array([[o[k] for o in (objects * 2)[:2]]]) for k in range(4))
    along = np.array([-_PAIR_OFFSET, _PAIR_OFFSET]) if count == 2 else np.zeros(2)
    centres = np.full((1, 2, 2), 0.5, dtype=np.float32)
    centres[0, :, axis] += along
    return Layouts(
        count=np.array([count]),
        colour=colour,
        shape=shape,
        size=size,
        texture=texture,
        axis=np.array([axis]),
        background=np.array([background]),
        centres=centres,
    )


def _parse_noun(words: Sequence[str]) -> tuple[int, int, int, int]:
    article, size, texture, colour, shape = words
    if article != "a":
        raise ValueError
    return SIZES.index(size), TEXTURES.index(texture), COLOURS.index(colour), SHAPES.index(shape)


def parse_all(texts: Sequence[str]) -> Layouts:
    """:func:`parse` over a list, as one :class:`Layouts`."""
    return concatenate([parse(text) for text in texts])


def layouts_of(settings: Settings, prompts: Sequence[str]) -> Layouts | None:
    """The layouts of a checkpoint's prompts.

    None where it isn't one of this world, a prompt is no caption of it, or its images have another size (as under
    ``--dit-size``), so that nothing can read them.
    """
    if not settings.world or (settings.width, settings.height) != (SIDE, SIDE):
        return None
    try:
        return parse_all(prompts)
    except ValueError:
        return None
