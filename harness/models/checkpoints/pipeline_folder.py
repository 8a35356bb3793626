"""A pipeline's folder on disk: its components, the weight files that each is loaded from, the first file missing.

By the standard library alone. Only safetensors count; second copies in another precision (``*.fp16.safetensors``)
are not what is loaded, and neither is a single file beside the components' folders.

The bundled models have one autoencoder, and its weights are stored once, in flux-tiny's folder: they are what
:func:`shards` gives for the others, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from harness.errors import CheckpointError
from harness.files import parse_json

INDEX = "model_index.json"
BUNDLED = Path(__file__).parents[2] / "tiny" / "weights"  # the checkpoints that come with the package
AUTOENCODER = "vae"
AUTOENCODER_HOLDER = BUNDLED / "flux-tiny" / AUTOENCODER
_MODEL_SETTINGS = "config.json"
_SMALL = (".json", ".txt", ".model", ".jinja")
_HALVED = ("temperal_downsample", "temporal_downsample")  # one entry each time that a video autoencoder halves
_COPY = re.compile(r"\.(fp16|fp32|bf16|non_ema)\.")  # a second copy in another precision, or its index
_NAMES = ("diffusion_pytorch_model", "model")  # diffusers', transformers'
# What a class without weights keeps its settings in, by the end of the class's name.
_SETTINGS_OF = (
    ("Tokenizer", "tokenizer_config.json"),
    ("TokenizerFast", "tokenizer_config.json"),
    ("Scheduler", "scheduler_config.json"),
    ("FeatureExtractor", "preprocessor_config.json"),
    ("Processor", "preprocessor_config.json"),
)
# transformers 5 writes what a processor holds into one file of another name, and reads either.
_WHOLE_PROCESSOR = ("preprocessor_config.json", "processor_config.json")
# Bytes of a number in a safetensors file. Whole numbers keep their size at any dtype.
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
WHOLE = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_HEADER_LIMIT = 100_000_000  # as safetensors itself


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a safetensors file: its kind of number (``BF16``) and its shape."""

    kind: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def _components(index: Mapping[str, Any]) -> dict[str, str]:
    """Component -> class, from model_index.json; what was dropped (``[null, null]``) is left out."""
    found: dict[str, str] = {}
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list) and len(value) == 2 and value[1] is not None:
            found[name] = str(value[1])
    return found


def _settings_file(kind: str) -> str:
    """The file that every component of that class has; a model's is ``config.json``."""
    return next((file for end, file in _SETTINGS_OF if kind.endswith(end)), _MODEL_SETTINGS)


def shards(folder: Path) -> list[Path]:
    """The weight files of one component, whether they are there or not; none where it has no safetensors at all.

    Raises CheckpointError for an index that can't be read.
    """
    folder = weights_folder(folder)
    for name in _NAMES:
        index = folder / f"{name}.safetensors.index.json"
        if index.exists():
            return [folder / shard for shard in shard_names(index)]
        single = folder / f"{name}.safetensors"
        if single.exists() or single.is_symlink():
            return [single]
    for name in _NAMES:
        if any(folder.glob(f"{name}-*-of-*.safetensors")):
            return [folder / f"{name}.safetensors.index.json"]
    return []


def shard_names(index: Path) -> list[str]:
    """The weight files of an index (``model.safetensors.index.json``), sorted; all lie beside it.

    Raises CheckpointError where it can't be read, names none, or one outside its folder.
    """
    try:
        table = parse_json(index.read_text(encoding="utf-8"))["weight_map"].values()
        names = sorted({str(name) for name in table})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} names no weight files ({error!r}); fetch or save it again") from None
    if not names or any("/" in name or "\\" in name for name in names):
        raise CheckpointError(f"{index} names files outside its folder, or none; fetch or save it again")
    return names


def weights_folder(folder: Path) -> Path:
    """The folder with a component's weights: the component's own, or of a bundled autoencoder the one that holds them.

    A copy of a bundled checkpoint elsewhere has no claim to the original's files.
    """
    shared = folder.name == AUTOENCODER and folder.resolve().parent.parent == BUNDLED.resolve()
    return AUTOENCODER_HOLDER if shared and not any(folder.glob("*.safetensors")) else folder


def name_inside(folder: Path, path: Path) -> str:
    """A file's name relative to its pipeline's folder; one that another folder holds is named as if it were there."""
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else "/".join(path.parts[-2:])


def weight_files(folder: Path, index: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Component -> the safetensors files that it is loaded from, for every component that is a model."""
    models = [name for name, kind in _components(index).items() if _settings_file(kind) == _MODEL_SETTINGS]
    return {name: shards(folder / name) for name in models}


def first_missing(folder: Path, index: Mapping[str, Any]) -> str | None:
    """The first file that the pipeline needs and that is not there, relative to the folder.

    A component with no weights at all is not named here, since they may be there in another format.
    """
    settings = [folder / name / _settings_file(kind) for name, kind in _components(index).items()]
    wanted = [path for path in settings if not _in_whole_processor(path)]
    wanted += [path for files in weight_files(folder, index).values() for path in files]
    # A link whose blob is gone is a file that was meant to be there.
    wanted += [path for path in small_files(folder, index) if path.is_symlink()]
    gone = next((path for path in wanted if not path.exists()), None)
    return None if gone is None else name_inside(folder, gone)


def _in_whole_processor(settings: Path) -> bool:
    """Whether the settings of a processor are in the file that holds all of it."""
    usual, whole = _WHOLE_PROCESSOR
    return settings.name == usual and (settings.parent / whole).exists()


def small_files(folder: Path, index: Mapping[str, Any]) -> list[Path]:
    """Settings and vocabularies: everything but weights that decides what the pipeline does."""
    beside = [folder / INDEX, folder / "harness.json"]
    inside = [path for name in _components(index) for path in sorted((folder / name).rglob("*"))]
    return [p for p in beside if p.exists()] + [p for p in inside if p.suffix in _SMALL and not _COPY.search(p.name)]


def vae_reduction(folder: Path) -> int | None:
    """Pixels a side that the VAE makes one latent of; None without a VAE's config.

    It halves at each block but one (AutoencoderKL, AutoencoderDC), or wherever its config lists whether time is halved,
    too (the video autoencoders that Qwen-Image and others use for images).
    """
    try:
        config = parse_json((folder / "vae" / _MODEL_SETTINGS).read_text(encoding="utf-8"))
        halved = next((config[key] for key in _HALVED if key in config), None)
        blocks = config.get("encoder_block_out_channels") or config["block_out_channels"] if halved is None else halved
        return int(2 ** (len(blocks) if halved is not None else max(0, len(blocks) - 1)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def header(path: Path) -> dict[str, TensorHeader]:
    """The tensors of a safetensors file, from its header. Raises CheckpointError where it is none, or cut off."""
    if path.exists() and not path.is_file():  # opening a pipe would wait for whoever writes into it
        raise CheckpointError(f"{path} is no file")
    try:
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= _HEADER_LIMIT:
                raise ValueError("it does not begin like a safetensors file")
            table = parse_json(stream.read(length).decode("utf-8"))
            tensors = {
                str(name): TensorHeader(str(entry["dtype"]), tuple(int(n) for n in entry["shape"]))
                for name, entry in table.items()
                if name != "__metadata__"
            }
            end = max((int(e["data_offsets"][1]) for n, e in table.items() if n != "__metadata__"), default=0)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is not there; fetch or save it again") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); fetch or save it again") from None
    size = path.stat().st_size
    if size != 8 + length + end:
        raise CheckpointError(f"{path} is damaged ({size} of {8 + length + end} bytes); fetch or save it again")
    return tensors
