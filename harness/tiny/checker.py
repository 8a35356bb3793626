"""Reading a scene back from pixels: the exact, model-free ground truth of the bundled world.

Background from the border, objects as connected components, colour by vote of the pixels,
texture from the shade of the stripes, shape and size by the best soft IoU against templates
rendered at the component's own centroid. Nothing is learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from harness.models.spec import Settings
from harness.results.arrays import Images
from harness.tiny import render
from harness.tiny.world import SHAPES, SIZES, FloatArray, IntArray, Layouts, parse_all

_MIN_AREA = 14  # pixels; the smallest object (a small cross) covers 41
_FOREGROUND = 0.13  # distance from the background tone, in units of the RGB cube's side
_MIN_CONTRAST = 0.02  # standard deviation over a whole image; below it there is nothing to read
_MAX_OBJECTS = 4  # more components than this are counted, not described
# Four-neighbourhood within each plane of a batch, none across it.
_CROSS_STRUCTURE = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)

ATTRIBUTES = ("background", "count", "colour", "shape", "size", "texture", "relation")


@dataclass(frozen=True)
class CheckerReading:
    """What N images show. Object arrays are (N, MAX_OBJECTS); ``centres`` in pixels, (x, y)."""

    background: IntArray
    count: IntArray
    colour: IntArray
    shape: IntArray
    size: IntArray
    texture: IntArray
    centres: FloatArray


@dataclass(frozen=True)
class Score:
    """Graded agreement of N images with N layouts; every array is (N,) in 0..1.

    ``attributes`` maps each of :data:`ATTRIBUTES` to its share of right answers (averaged over
    the objects that were asked for); ``grade`` is their mean and ``all_right`` whether it is 1.
    """

    attributes: dict[str, FloatArray]
    grade: FloatArray
    all_right: npt.NDArray[np.bool_]


def read(images: Images) -> CheckerReading:
    """Read (N, 3, SIDE, SIDE) uint8 images.

    Raises ValueError when the shape or dtype is another.
    """
    side = render.SIDE
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (3, side, side):
        raise ValueError(
            f"the checker reads uint8 images of shape (N, 3, {side}, {side}), got {images.dtype} {images.shape}"
        )
    n = len(images)
    pixels = images.astype(np.float32) / 255.0
    border = np.concatenate([pixels[:, :, 0], pixels[:, :, -1], pixels[:, :, :, 0], pixels[:, :, :, -1]], axis=-1)
    tone = np.median(border, axis=-1)  # (N, 3), what the background looks like here
    background = np.abs(tone.mean(axis=-1, keepdims=True) - render.BACKGROUND_TONES).argmin(-1)
    distance = np.sqrt(((pixels - tone[:, :, None, None]) ** 2).mean(axis=1))
    foreground = distance > _FOREGROUND

    # One labelling for the whole batch: no connectivity along the batch axis.
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1] = True
    labels, found = ndimage.label(foreground, structure=structure)
    area = np.bincount(labels.ravel(), minlength=found + 1)
    readable = pixels.std(axis=(1, 2, 3)) > _MIN_CONTRAST
    reading = _empty(n, background)
    kept = [k for k in range(1, found + 1) if area[k] >= _MIN_AREA]
    if not kept:
        return reading
    where = ndimage.find_objects(labels)
    owner = np.array([where[k - 1][0].start for k in kept])
    order = sorted(range(len(kept)), key=lambda i: (owner[i], -area[kept[i]]))
    slots, chosen = [], []
    for i in order:
        image = int(owner[i])
        if not readable[image]:
            continue
        slot = int(reading.count[image])
        reading.count[image] += 1
        if slot < _MAX_OBJECTS:
            slots.append((image, slot))
            chosen.append(i)
    if not slots:
        return reading
    image_of, _ = index = tuple(np.array(slots).T)
    mask = labels[image_of] == np.array(kept)[chosen][:, None, None]
    colour, texture = _tones(pixels[image_of], mask)
    alpha = _alpha(pixels[image_of], tone[image_of], mask, colour, texture)
    centre = _centroid(alpha)
    shape, size = _silhouette(alpha, centre)
    reading.colour[index], reading.texture[index] = colour, texture
    reading.shape[index], reading.size[index] = shape, size
    reading.centres[index] = centre
    return reading


def _empty(n: int, background: IntArray) -> CheckerReading:
    def unset() -> IntArray:
        return np.full((n, _MAX_OBJECTS), -1, dtype=np.int64)

    return CheckerReading(
        background=background,
        count=np.zeros(n, dtype=np.int64),
        colour=unset(),
        shape=unset(),
        size=unset(),
        texture=unset(),
        centres=np.full((n, _MAX_OBJECTS, 2), np.nan, dtype=np.float32),
    )


def _tones(patches: FloatArray, masks: npt.NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Colour by vote of the pixels, texture by the share of dark pixels inside (edges blend)."""
    shades = np.stack([render.PALETTE, render.PALETTE * render.STRIPE_SHADE], axis=1)  # (6, 2, 3)
    gap = ((patches[:, None, None] - shades[None, :, :, :, None, None]) ** 2).sum(axis=3)
    flat = gap.reshape(len(patches), -1, *gap.shape[3:])
    nearest = flat.argmin(axis=1)  # (M, H, W) in 0..11
    inside = ndimage.binary_erosion(masks, structure=_CROSS_STRUCTURE)
    usable = np.where(inside.sum(axis=(1, 2), keepdims=True) >= 6, inside, masks)
    votes = np.stack([((nearest // 2 == c) & usable).sum(axis=(1, 2)) for c in range(len(shades))], axis=1)
    colour = votes.argmax(axis=1)
    # The shade of each pixel: its projection on its own colour, 1 where plain.
    own = render.PALETTE[colour]
    shade = np.einsum("mchw,mc->mhw", patches, own) / (own**2).sum(-1)[:, None, None]
    rows = render.stripes()[:, 0] < 1.0  # where a striped object is dark
    dark = _mean(shade, usable & rows[:, None])
    plain = _mean(shade, usable & ~rows[:, None])
    striped = dark < plain * (1.0 + render.STRIPE_SHADE) / 2.0
    return colour, striped.astype(np.int64)


def _mean(values: FloatArray, where: npt.NDArray[np.bool_]) -> FloatArray:
    return (values * where).sum(axis=(1, 2)) / np.maximum(where.sum(axis=(1, 2)), 1)


def _alpha(
    patches: FloatArray,
    tone: FloatArray,
    masks: npt.NDArray[np.bool_],
    colour: IntArray,
    texture: IntArray,
) -> FloatArray:
    """(M, H, W) coverage: each pixel's place on the line from the background to the object's tone."""
    shade = np.where((texture == 1)[:, None, None], render.stripes(), np.float32(1.0))
    span = render.PALETTE[colour][:, :, None, None] * shade[:, None] - tone[:, :, None, None]
    along = ((patches - tone[:, :, None, None]) * span).sum(axis=1) / (span**2).sum(axis=1)
    near = ndimage.binary_dilation(masks, structure=_CROSS_STRUCTURE)
    return np.clip(along, 0.0, 1.0) * near


def _centroid(alpha: FloatArray) -> FloatArray:
    """(M, 2) centre of mass of each plane, as (x, y) in pixels."""
    x, y = render.pixel_grid(alpha.shape[-1])
    total = alpha.sum(axis=(1, 2))
    with np.errstate(invalid="ignore"):  # a plane without mass has no centre: NaN, which fits no template
        return np.stack([(alpha * x).sum(axis=(1, 2)), (alpha * y).sum(axis=(1, 2))], -1) / total[:, None]


def _silhouette(alpha: FloatArray, centres: FloatArray) -> tuple[IntArray, IntArray]:
    """Shape and size by soft IoU of each plane with templates that have the same centroid."""
    m = len(alpha)
    kinds = [(s, z) for s in range(len(SHAPES)) for z in range(len(SIZES))]
    x, y = render.pixel_grid(alpha.shape[-1])
    dx, dy = x - centres[:, 0, None, None], y - centres[:, 1, None, None]
    overlap = np.empty((m, len(kinds)), dtype=np.float32)
    for k, (shape, size) in enumerate(kinds):
        radius = np.full(m, render.RADII[size], dtype=np.float32)
        # Only the triangle's centroid is not its centre: a third of the height below the middle.
        drop = radius[:, None, None] / 3.0 if SHAPES[shape] == "triangle" else np.float32(0.0)
        template = render.coverage(np.full(m, shape), radius, dx, dy + drop)
        low = np.minimum(template, alpha).sum(axis=(1, 2))
        high = np.maximum(template, alpha).sum(axis=(1, 2))
        overlap[:, k] = low / high
    best = overlap.argmax(axis=1)
    return best // len(SIZES), best % len(SIZES)


def score(images: Images, layouts: Layouts) -> Score:
    """Compare what the images show with what the layouts ask for; see :class:`Score`."""
    return _compare(read(images), layouts)


def _compare(reading: CheckerReading, layouts: Layouts) -> Score:
    """:func:`score` on a reading that is already there."""
    n = len(layouts)
    per_object = ("colour", "shape", "size", "texture")
    out = {name: np.zeros(n, dtype=np.float32) for name in ATTRIBUTES}
    out["background"] = (reading.background == layouts.background).astype(np.float32)
    out["count"] = (reading.count == layouts.count).astype(np.float32)
    for i in range(n):
        wanted = int(layouts.count[i])
        seen_objects = min(int(reading.count[i]), _MAX_OBJECTS)
        # match[a, b]: which attributes of wanted object a the seen object b has.
        match = np.array(
            [
                [
                    [getattr(reading, f)[i, b] == getattr(layouts, f)[i, a] for f in per_object]
                    for b in range(seen_objects)
                ]
                for a in range(wanted)
            ],
            dtype=np.float32,
        ).reshape(wanted, seen_objects, len(per_object))
        rows, columns, related = _assign(match, reading.centres[i], int(layouts.axis[i]))
        for f, name in enumerate(per_object):
            out[name][i] = match[rows, columns, f].sum() / wanted
        # A single object has no relation to get wrong, beyond being there.
        out["relation"][i] = related if wanted == 2 else float(seen_objects >= 1)
    grade = np.mean([out[name] for name in ATTRIBUTES], axis=0).astype(np.float32)
    return Score(attributes=out, grade=grade, all_right=grade > 1.0 - 1e-6)


def _assign(match: FloatArray, centres: FloatArray, axis: int) -> tuple[list[int], list[int], float]:
    """The assignment with most attributes right; among equals, one that has the relation right."""
    wanted, seen_objects, _ = match.shape
    if seen_objects == 0:
        return [], [], 0.0
    if wanted == 1:
        return [0], [int(match[0].sum(-1).argmax())], 0.0
    if seen_objects == 1:
        return [int(match[:, 0].sum(-1).argmax())], [0], 0.0
    pairs = [(a, b) for a in range(seen_objects) for b in range(seen_objects) if a != b]

    def related(pair: tuple[int, int]) -> bool:
        step = centres[pair[1]] - centres[pair[0]]
        return bool(step[axis] > np.abs(step[1 - axis]))

    best = max(pairs, key=lambda p: (match[0, p[0]].sum() + match[1, p[1]].sum(), related(p)))
    return [0, 1], list(best), float(related(best))


def layouts_of(settings: Settings, prompts: Sequence[str]) -> Layouts | None:
    """The layouts of a checkpoint's prompts; None where it isn't one of this world, or a prompt is no caption of it.

    None, too, where its images have another size than the world's, which the checker can't read.
    """
    if not settings.world or (settings.height, settings.width) != (render.SIDE, render.SIDE):
        return None
    try:
        return parse_all(prompts)
    except ValueError:
        return None
