"""LPIPS (Zhang et al. 2018) on AlexNet: torchmetrics' network, with weights that are read from safetensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from harness.errors import MetricError, first_line
from harness.metrics.base import PairDistance
from harness.metrics.batches import in_portions
from harness.metrics.model_files import FAILURES, checked, file_digest, frozen, tensors, torch_folder
from harness.results.arrays import Images, Values

NAME = "lpips"
BACKBONE = "alexnet-owt-7be5be79.safetensors"
HEADS = "lpips-alex.safetensors"
_LEAST = 32  # pixels; AlexNet's third layer has nothing left of smaller images


class Lpips(PairDistance):
    """The learned perceptual distance of image pairs, at the images' own size.

    ``paths`` are AlexNet's features and the weights of the distance, in one file or two, with the names that
    torchvision and the LPIPS packages give them. Raises MetricError where one is missing.
    """

    name = NAME
    id = "lpips-alex"

    def __init__(self, paths: tuple[Path, ...], device: torch.device) -> None:
        stored = {key: value for path in paths for key, value in tensors(path).items()}
        try:
            # The public class downloads its network, or reads it from a pickle.
            from torchmetrics.functional.image.lpips import _LPIPS

            network = _LPIPS(pretrained=False, net="alex", pnet_rand=True, use_dropout=False)
        except FAILURES as error:
            raise MetricError(NAME, f"torchmetrics' LPIPS: {first_line(error)}", "use torchmetrics 1.9") from error
        try:
            network.load_state_dict(_matched(stored, list(network.state_dict())))
        except FAILURES as error:
            raise MetricError(
                NAME, f"{' and '.join(map(str, paths))} hold no LPIPS: {first_line(error)}", "convert them again"
            ) from error
        self.weights = file_digest(*paths)
        self._device = device
        self._network = frozen(network, device)

    def __call__(self, a: Images, b: Images) -> Values:
        """(N,) distances of (N, 3, H, W) uint8 images; exactly 0 for equal ones."""
        if min(a.shape[-2:]) < _LEAST:
            raise MetricError(NAME, f"images of {a.shape[-1]}x{a.shape[-2]} px", f"it needs {_LEAST} px or more")

        def read(x: Images, y: Images) -> Values:
            with torch.inference_mode():
                one, other = (torch.from_numpy(t).to(self._device).float().div(255) for t in (x, y))
                return self._network(one, other, normalize=True).flatten().double().cpu().numpy()

        return in_portions(read, a, b, most=32, budget=2**23)


def _matched(stored: Mapping[str, Tensor], wanted: list[str]) -> dict[str, Tensor]:
    """Stored tensors under torchmetrics' names.

    AlexNet's ``features.3.weight`` is its ``net.slice2.3.weight``; a head is ``lin0.model.1.weight`` where a dropout
    comes before it and ``lin0.model.0.weight`` where none does, and stands a second time under ``lins``.
    """

    def plain(key: str) -> str:
        key = re.sub(r"^(net\.slice\d+|features)\.", "features.", key)
        return re.sub(r"^(?:lins\.|lin)(\d)\.model\.[01]\.", r"lin\1.", key)

    known = {plain(key): value for key, value in stored.items()}
    return {key: known[plain(key)] for key in wanted if plain(key) in known}


def _mend(path: Path) -> str:
    """How one of its two files comes to where it is looked for: torchmetrics brings the heads."""
    import torchmetrics.functional.image as where
    from torchvision.models import AlexNet_Weights

    if path.name == HEADS:
        return f"run: python -m harness convert {Path(where.__file__).parent / 'lpips_models' / 'alex.pth'} {path}"
    url = AlexNet_Weights.IMAGENET1K_V1.url
    return f"fetch {url} and run: python -m harness convert {Path(url).name} {path}"


def make(where: str | None, device: torch.device) -> Lpips:
    """From one file that holds everything or the folder of the two; by default torch's own. Raises MetricError."""
    place = Path(where) if where else torch_folder()
    paths = (place,) if place.is_file() else (place / BACKBONE, place / HEADS)
    for path in paths:
        if not path.exists():
            raise MetricError(NAME, f"no weights: {path.name} is not there", _mend(path))
        if path.suffix != ".safetensors":
            raise MetricError(
                NAME,
                f"{path} is no safetensors file",
                f"convert it: python -m harness convert {path} {path.with_suffix('.safetensors')}",
            )
        checked(NAME, path)
    return Lpips(paths, device)
