"""Whether a checkpoint's weights fit into memory, before any of them is read: sizes come from the files' headers.

What is counted is weights alone, at the dtype in which they will be held, so that a refusal is certain and a fit is
not: images need some more. On the device, without offload, that is the sum of all components; with ``model``, the
largest component, since one is there at a time; with ``group``, the largest single layer, since layers come and
go one by one. In main memory it is the sum in every case, since a pipeline is loaded there first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from harness.errors import CheckpointError
from harness.models.checkpoints.pipeline_folder import FLOATS, WHOLE, header, weight_files
from harness.models.checkpoints.resolve import Checkpoint
from harness.models.spec import OFFLOADS

SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
_UNLIMITED = 2**60  # version 1 of cgroups writes a number like this for no limit


@dataclass(frozen=True)
class Part:
    """The weights of one component: how many floating-point numbers, bytes of others, and both of its largest layer."""

    floats: int
    others: int
    layer_floats: int
    layer_others: int

    def size(self, dtype: str) -> int:
        """Bytes of all of it."""
        return self.floats * SIZES[dtype] + self.others

    def layer(self, dtype: str) -> int:
        """Bytes of its largest layer."""
        return self.layer_floats * SIZES[dtype] + self.layer_others


@dataclass(frozen=True)
class Room:
    """Bytes that are free: ``device`` where the model runs (``where`` names it), ``main`` in main memory."""

    where: str
    device: int
    main: int


def part(files: Sequence[Path]) -> Part:
    """The weights of a component, from its files' headers. Raises CheckpointError for one that is damaged.

    A layer is what shares a name up to the last dot: ``proj_out`` holds ``proj_out.weight`` and ``proj_out.bias``.
    """
    layers: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for path in files:
        for name, stored in header(path).items():
            layer = layers[name.rpartition(".")[0]]
            if stored.kind in FLOATS:
                layer[0] += stored.numbers
            else:
                layer[1] += stored.numbers * WHOLE.get(stored.kind, 1)
    largest = max(layers.values(), key=lambda pair: pair[0] * 4 + pair[1], default=[0, 0])
    return Part(sum(f for f, _ in layers.values()), sum(o for _, o in layers.values()), largest[0], largest[1])


def parts(checkpoint: Checkpoint) -> dict[str, Part]:
    """Component -> its weights, largest first."""
    parts = {name: part(files) for name, files in weight_files(checkpoint.folder, checkpoint.index).items()}
    return dict(sorted(parts.items(), key=lambda item: -item[1].floats))


def needed(parts: Mapping[str, Part], dtype: str, offload: str) -> int:
    """Bytes on the device."""
    if offload == "group":
        return max((p.layer(dtype) for p in parts.values()), default=0)
    sizes = [p.size(dtype) for p in parts.values()]
    return max(sizes, default=0) if offload == "model" else sum(sizes)


def fits(parts: Mapping[str, Part], dtype: str, offload: str, room: Room) -> bool:
    """Whether the weights fit on the device, and on their way there in main memory."""
    return needed(parts, dtype, offload) <= room.device and needed(parts, dtype, "none") <= room.main


def remedies(parts: Mapping[str, Part], dtype: str, offload: str, room: Room) -> list[str]:
    """The options, one or two at a time, under which the weights would fit; the fewest and mildest first."""
    narrow = ["bfloat16"] if SIZES[dtype] > SIZES["bfloat16"] else []
    # On a CPU there is nothing to offload to.
    modes = [] if room.where == "cpu" else OFFLOADS[OFFLOADS.index(offload) + 1 :]
    tries = [(dtype, mode) for mode in modes] + [(kind, offload) for kind in narrow]
    good = [pair for pair in tries if fits(parts, *pair, room)]
    if not good:
        good = [pair for pair in ((kind, mode) for kind in narrow for mode in modes) if fits(parts, *pair, room)]
    return [_remedy(parts, kind, mode, dtype, offload) for kind, mode in good]


def _remedy(parts: Mapping[str, Part], kind: str, mode: str, dtype: str, offload: str) -> str:
    options = ([f"--dit-offload={mode}"] if mode != offload else []) + (
        [f"--dit-dtype={kind}"] if kind != dtype else []
    )
    about = {"none": "", "model": "largest part ", "group": "largest layer "}[mode]
    return f"{' '.join(options)} ({about}{_gb(needed(parts, kind, mode))} GB)"


def refusal(name: str, parts: Mapping[str, Part], dtype: str, offload: str, room: Room) -> str:
    """The message for weights that don't fit, with the arithmetic and the fixes that would do; empty where they fit."""
    if fits(parts, dtype, offload, room):
        return ""
    sizes = {part_name: p.size(dtype) for part_name, p in parts.items()}
    total = " + ".join(f"{part_name} {_gb(size)}" for part_name, size in sizes.items())
    need = needed(parts, dtype, offload)
    if need > room.device:
        what = {"none": total, "model": f"its largest part, of {total}", "group": f"its largest layer, of {total}"}
        said = f"need {_gb(need)} GB in {dtype}: {what[offload]}; {_gb(room.device)} GB are free on {room.where}"
    else:
        said = (
            f"need {_gb(sum(sizes.values()))} GB of main memory in {dtype} while it is loaded: {total}; "
            f"{_gb(room.main)} GB are free"
        )
    options = remedies(parts, dtype, offload, room)
    end = f"try {', or '.join(options)}" if options else "no dtype or offload makes it fit: use a larger machine"
    return f"checkpoint {name!r} doesn't fit: its weights alone {said}; {end}"


def check(checkpoint: Checkpoint, device: torch.device, offload: str) -> None:
    """Raise CheckpointError where the weights can't fit, with the arithmetic and what would fit."""
    said = refusal(checkpoint.name, parts(checkpoint), checkpoint.settings.dtype, offload, room(device))
    if said:
        raise CheckpointError(said)


def room(device: torch.device) -> Room:
    """What is free now on a device and in main memory."""
    limit = cgroup_free()
    main = int(psutil.virtual_memory().available)
    main = main if limit is None else min(main, limit)
    if device.type != "cuda":
        return Room(device.type, main, main)
    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds and does not use is free to it.
    spare = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return Room(str(device), free + spare, main)


def cgroup_free(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Bytes left under the tightest memory limit of this process's control groups; None where there is no limit.

    Pages of files that can be dropped at once don't count as used. Both versions of cgroups; a container often
    sees its own group as the root.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except (OSError, ValueError):
        return None
    left: list[int] = []
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if not controllers:
            names = ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        base = root / controllers
        inner = base / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(base):
                left += _left(folder, *names)
    return max(0, min(left)) if left else None


def _left(folder: Path, limit: str, usage: str, droppable: str) -> list[int]:
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # "max" is no number: no limit
        return []
    return [most - used + int(stat.get(droppable, 0))] if most < _UNLIMITED else []


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f}"
