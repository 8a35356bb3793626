"""Inception v3 as FID knows it: torch-fidelity's network in torchmetrics' wrapper, so that values are theirs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from harness.errors import MetricError, first_line
from harness.extras import install_command
from harness.metrics.base import Embedder
from harness.metrics.batches import in_portions
from harness.metrics.model_files import FAILURES, file_digest, frozen, quiet, tensors, weight_file
from harness.results.arrays import Features, Images

NAME = "inception"
FILE = "weights-inception-2015-12-05-6726825d.safetensors"


class Inception(Embedder):
    """2048 features before the last layer, of images resized to 299 px with antialiasing as torchmetrics does.

    Raises MetricError where torch-fidelity is not installed or the weights are not its own.
    """

    name = NAME
    id = "inception-v3-compat"

    def __init__(self, path: Path, device: torch.device) -> None:
        # The constructor loads with torch.load, and downloads where no file is given. A file object that holds what
        # was read from safetensors is safe, as nobody else has written it.
        state = io.BytesIO()
        torch.save(tensors(path), state)
        state.seek(0)
        try:
            with quiet():
                network = network_class()(self.id, ["2048"], feature_extractor_weights_path=state)
        except FAILURES as error:
            raise MetricError(NAME, f"{path} doesn't load: {first_line(error)}", _mend().format(path=path)) from error
        self.weights = file_digest(path)
        self._device = device
        self._network = frozen(network, device)

    def __call__(self, images: Images) -> Features:
        """(N, 3, H, W) uint8 to (N, 2048) float32."""

        def read(some: Images) -> Features:
            with torch.inference_mode():
                return self._network(torch.from_numpy(some).to(self._device)).float().cpu().numpy()

        return in_portions(read, images, most=32)


def network_class() -> Any:
    """The class in torchmetrics. Raises MetricError without torch-fidelity: it is an empty shell then."""
    try:
        import torch_fidelity  # noqa: F401
        from torchmetrics.image.fid import NoTrainInceptionV3
    except ImportError:
        raise MetricError(NAME, "torch-fidelity is not installed", f"run: {install_command(NAME)}") from None
    return NoTrainInceptionV3


def _mend() -> str:
    """How its weights come to where they are looked for; torch-fidelity must be installed."""
    from torch_fidelity import feature_extractor_inceptionv3

    url = feature_extractor_inceptionv3.URL_INCEPTION_V3
    return f"fetch {url} and run: python -m harness convert {Path(url).name} {{path}}"


def make(where: str | None, device: torch.device) -> Inception:
    """From a file or the folder that holds it; by default torch's own. Raises MetricError."""
    network_class()
    return Inception(weight_file(NAME, where, FILE, _mend()), device)
