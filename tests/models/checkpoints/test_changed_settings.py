"""Steps, sizes, seeds and batches of one run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from harness.errors import CheckpointError, OptionError
from harness.models.checkpoints.changed_settings import SettingsChange, change_settings, read_size
from harness.models.checkpoints.pipeline_folder import vae_reduction
from harness.models.checkpoints.resolve import BUNDLED, blueprint, bundled_names, resolve, transformer_config
from harness.models.random_weights import checkpoint as random_weights


def changed(name, **values):
    checkpoint, config = blueprint(name)
    return change_settings(checkpoint, SettingsChange(**values), config).settings


def test_what_is_left_out_stays():
    flux, config = blueprint("flux-tiny")
    assert change_settings(flux, SettingsChange(), config) is flux
    assert changed("flux-tiny", steps=2) == replace(flux.settings, steps=2)
    assert changed("flux-tiny", width=24, height=40, seeds=2, batch=3) == replace(
        flux.settings, width=24, height=40, seeds=2, batch=3
    )


@pytest.mark.parametrize(("text", "size"), [("512", (512, 512)), ("768x512", (768, 512)), ("8x16384", (8, 16384))])
def test_a_size_is_read(text, size):
    assert read_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "512x", "x512", "512X512", "512,512", "0", "7", "99999", "-8", "\u0665"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(OptionError, match="takes pixels a side"):
        read_size(text)


@pytest.mark.parametrize(("name", "token"), [("flux.1-dev", 16), ("sd3.5-large", 16), ("auraflow-v0.2", 16)])
def test_a_size_is_a_multiple_of_a_token(name, token):
    assert changed(name, width=32 * token, height=token).width == 32 * token
    with pytest.raises(CheckpointError, match=f"multiples of {token} px, and 520 is none; the nearest are 512 and 528"):
        changed(name, width=520, height=512)


@pytest.mark.parametrize("name", bundled_names())
def test_the_vae_of_a_folder_says_how_large_a_token_is(name):
    config = json.loads((BUNDLED / name / "vae" / "config.json").read_text())
    halvings = len(config["block_out_channels"]) - 1
    assert vae_reduction(BUNDLED / name) == 2**halvings
    token = 2 * 2**halvings
    assert changed(name, width=3 * token, height=token).width == 3 * token
    with pytest.raises(CheckpointError, match=f"multiples of {token} px"):
        changed(name, width=token + 1, height=token)


@pytest.mark.parametrize(
    ("name", "most"), [("sd3-medium", 192 * 16), ("sd3.5-medium", 384 * 16), ("auraflow-v0.2", 1024)]
)
def test_a_size_beyond_the_table_of_positions_is_refused(name, most):
    assert changed(name, width=most, height=most).height == most
    with pytest.raises(CheckpointError, match=f"has positions for at most {most} px a side"):
        changed(name, width=most + 16, height=16)


def test_rotary_positions_have_no_end():
    assert changed("flux.1-dev", width=16384, height=16).width == 16384


def test_random_weights_take_other_sizes_too():
    architecture = random_weights.resolve("SD3.5-large", "random:small")
    small = change_settings(architecture, SettingsChange(width=64, height=64, batch=2), architecture.config)
    assert isinstance(small, random_weights.RandomCheckpoint)
    assert small.about.startswith("reduced size, 64 x 64 px, batch 2, ")


def test_a_config_is_that_of_the_folder():
    assert transformer_config(resolve("flux-tiny")) == blueprint("flux-tiny").config


@pytest.mark.parametrize(("own", "asked", "given"), [({}, None, False), ({"batch": 1}, None, True), ({}, 1, True)])
def test_whether_somebody_decided_on_a_batch(tmp_path, own, asked, given):
    """If nobody did, a GPU takes as many images as fit; a 1 that was asked for stays."""
    shutil.copytree(BUNDLED / "sd3-tiny", tmp_path / "mine")
    settings = json.loads((tmp_path / "mine" / "harness.json").read_text())
    del settings["batch"]
    (tmp_path / "mine" / "harness.json").write_text(json.dumps({**settings, **own}))
    checkpoint = resolve(str(tmp_path / "mine"))
    changed = change_settings(checkpoint, SettingsChange(batch=asked), transformer_config(checkpoint))
    assert (changed.settings.batch, changed.batch_given) == (1, given)
