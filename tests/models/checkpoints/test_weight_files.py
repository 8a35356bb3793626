"""The digest of a checkpoint's weights."""

from __future__ import annotations

from harness.models.checkpoints import weight_files
from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers import hubs


def test_another_blob_is_another_digest(cache):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    before = weight_files.weights_digest(snapshot)
    link = snapshot / "transformer" / "diffusion_pytorch_model.safetensors"
    other = link.resolve().with_name("f" * 64)
    other.write_bytes(link.read_bytes())
    link.unlink()
    link.symlink_to(other)
    assert weight_files.weights_digest(snapshot) != before
