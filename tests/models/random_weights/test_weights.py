"""Random weights: the real architecture without a download, no block a no-op, and nothing said of quality."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys

import diffusers
import pytest
import torch

from harness.ablation.plan import parse
from harness.ablation.ranges import Span
from harness.ablation.strategies import ALL_STRATEGIES, choose
from harness.errors import CaseError, CheckpointError, SurgeryError
from harness.lab.random_lab import RandomLab
from harness.models.checkpoints.published import PUBLISHED
from harness.models.checkpoints.resolve import FAMILIES, Settings
from harness.models.memory import Room
from harness.models.random_weights import checkpoint as randomised
from harness.models.random_weights.inputs import arguments
from harness.models.random_weights.weights import build, outline, refusal
from harness.models.sampler import Sampler
from harness.models.spec import FLUX
from harness.surgery.verify import prove_identity, prove_listed
from harness.surgery.view import BlockView
from harness.tiny import auraflow, flux, render, sd3, vae
from tests.helpers.models import SPECS

CPU = torch.device("cpu")
# One of each family, and both halves of what differs inside them: guidance, dual attention, norms; in every dtype.
MODELS = {"flux.1-dev": "bfloat16", "sd3-medium": "float16", "sd3.5-medium": "bfloat16", "auraflow-v0.2": "float32"}


def least(name, dtype="float32", **changes):
    """A model's reduced size, on as few tokens as there can be."""
    made = randomised.resolve(name, "random:small", dtype=dtype)
    settings = dataclasses.replace(made.settings, **{"height": 32, "width": 32, "batch": 2} | changes)
    return dataclasses.replace(made, settings=settings)


@pytest.fixture(scope="module")
def labs():
    return {name: RandomLab(least(name, dtype), device=CPU) for name, dtype in MODELS.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_reduced_size_has_the_blocks_of_the_real_model(name):
    small, full = (randomised.resolve(name, kind) for kind in ("random:small", "random"))
    assert small.stacks == full.stacks == PUBLISHED[name].stacks
    assert (small.name, full.name) == (f"{name}-random-small", f"{name}-random")
    assert dict(full.config) == dict(PUBLISHED[name].config)
    kept = ("patch_size", "in_channels", "guidance_embeds", "dual_attention_layers", "qk_norm")
    assert {k: small.config.get(k) for k in kept} == {k: full.config.get(k) for k in kept}
    # The table of positions, a quarter of a billion numbers in one case, is computed; the weights need no memory.
    positions = {"pos_embed_max_size": 16} if "pos_embed_max_size" in full.config else {}
    real, made = (outline(dataclasses.replace(c, config={**c.config, **positions})) for c in (full, small))
    for stack in full.family.stacks:
        pairs = list(zip(getattr(real, stack.attribute), getattr(made, stack.attribute), strict=True))
        assert len(pairs) == full.stacks[stack.name]
        for a, b in pairs:
            assert [n for n, _ in a.named_modules()] == [n for n, _ in b.named_modules()]
            assert getattr(a, "context_pre_only", None) == getattr(b, "context_pre_only", None)
    assert sum(p.numel() for p in made.parameters()) < 1e7
    assert sum(p.numel() for p in real.parameters()) > 1e9


def test_reducing_makes_nothing_larger_and_keeps_rotary_axes_even():
    tiny = randomised.resolve("flux-tiny", "random").config
    small = randomised.reduced(tiny, FLUX.width_keys)
    assert all(small[k] <= v for k, v in tiny.items() if isinstance(v, int) and not isinstance(v, bool))
    for axes, whole in (((16, 56, 56), 128), ((2, 2, 60), 64), (tiny["axes_dims_rope"], tiny["attention_head_dim"])):
        config = randomised.reduced({**tiny, "axes_dims_rope": axes, "attention_head_dim": whole}, FLUX.width_keys)
        assert sum(config["axes_dims_rope"]) == config["attention_head_dim"]
        assert all(axis > 0 and axis % 2 == 0 for axis in config["axes_dims_rope"])
    with pytest.raises(CheckpointError, match="gives no num_attention_heads and attention_head_dim; save"):
        randomised.reduced({"num_layers": 3}, FLUX.width_keys, "x")


@pytest.mark.parametrize("name", MODELS)
def test_every_block_matters_and_nothing_overflows(labs, name):
    lab = labs[name]
    blocks = 0
    for stack, length in lab.checkpoint.stacks.items():
        for index in range(length):
            measured, seen = lab.run(choose("skip").plan(length, Span(index, index)), stack)
            assert measured.summary["same_as_listed"] == 1  # bitwise a model without the block
            assert 0.01 < min(measured.values["output_drift"]) < 2
            assert len(seen.images) == 0
            blocks += 1
    assert blocks == sum(PUBLISHED[name].stacks.values())
    assert 0.1 < lab.control_measurement().summary["output_rms"] < 10


@pytest.mark.parametrize("name", MODELS)
def test_what_the_blocks_add_up_to_stays_small(labs, name):
    """So that it does at full size, too: what is added grows with the root of the number of blocks."""
    lab = labs[name]
    sizes = []

    def note(_module, _arguments, output):
        image = output if torch.is_tensor(output) else output[1]
        sizes.append(float(image.float().pow(2).mean().sqrt()))

    for stack in lab.checkpoint.family.stacks:
        for block in getattr(lab.transformer, stack.attribute):
            block.register_forward_hook(note)
    forward = lab.timed_forward()
    with torch.inference_mode():
        lab.transformer(**forward.arguments)
    assert len(sizes) == sum(lab.checkpoint.stacks.values())
    assert max(sizes) < sizes[0] * math.sqrt(len(sizes))


@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
@pytest.mark.parametrize("name", MODELS)
def test_every_strategy_takes_hold(labs, name, strategy):
    lab = labs[name]
    stack, length = list(lab.checkpoint.stacks.items())[-1]
    plan = choose(strategy).plan(length, Span(length - 4, length - 1))  # with SD3's last block, which gives no text
    measured, _ = lab.run(plan, stack)
    textless = lab.checkpoint.family.name == "sd3" and length - 1 in list(plan.blocks())[:-1]
    grouped = any(not isinstance(step, int) for step in plan.steps)
    assert measured.summary["same_as_listed"] == (not grouped and not textless)


def test_an_ablation_that_changes_nothing_is_an_error(labs, monkeypatch):
    lab = labs["auraflow-v0.2"]
    plan = parse("0-30", length=32)
    monkeypatch.setattr(lab, "control", lab.run(plan, "single")[1].tensor)
    with pytest.raises(SurgeryError, match="the plan '0-30' changes nothing: it was not applied"):
        lab.run(plan, "single")


def test_one_forward_has_no_window_of_steps(labs):
    with pytest.raises(CaseError, match=r"random weights run one forward, .* leave out the window 0-1"):
        labs["flux.1-dev"].run(parse("0-3 5-18"), "double", (0, 1))


def test_an_output_that_is_not_finite_is_an_error(monkeypatch):
    lab = RandomLab(least("auraflow-v0.2"), device=CPU)
    healthy = lab.control
    lab.check_identity("single")
    lab.transformer.single_transformer_blocks[3].ff.out_projection.weight[0, 0] = float("nan")
    plan = parse("0-3 3 5-31", length=32)
    with pytest.raises(SurgeryError, match="stack 'single' under the plan '0-3 3 5-31': the output is not finite"):
        lab.run(plan, "single")
    del lab.control
    for broken in (lab.control_measurement, lambda: lab.run(plan, "single")):
        with pytest.raises(SurgeryError, match="the un-ablated model: the output is not finite"):
            broken()
    assert torch.isfinite(healthy).all()


def test_the_proofs_can_fail(labs, monkeypatch):
    lab = labs["auraflow-v0.2"]
    plan, forward = parse("0-30", length=32), lab.timed_forward()
    with pytest.raises(SurgeryError, match="the output differs from that of a model with just these blocks by"):
        prove_listed(lab.transformer, forward.arguments, plan, "single", lab.control)
    assert len(lab.transformer.single_transformer_blocks) == 32  # also after the error
    monkeypatch.setattr(BlockView, "__iter__", lambda self: iter([*self._slots[1:], self._slots[0]]))
    with pytest.raises(SurgeryError, match="the identity behind slots differs from the model by"):
        prove_identity(lab.transformer, forward.arguments, "single")


def test_weights_are_seeded_and_where_they_should_be():
    checkpoint = least("sd3.5-medium", "bfloat16")
    first, again, other = (build(checkpoint, CPU, torch.bfloat16, seed) for seed in (0, 0, 1))
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert a.dtype == torch.bfloat16
        assert not a.is_meta
        assert not a.requires_grad
        assert torch.equal(a, b)
        assert not torch.equal(a, c), name
        assert a.float().std() > 0.01, name  # no gate shut, no norm of ones
    plain = diffusers.SD3Transformer2DModel.from_config(dict(checkpoint.config))
    assert torch.equal(first.pos_embed.pos_embed, plain.pos_embed.pos_embed.bfloat16())
    assert first.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_there_is_no_second_copy():
    code = (
        "import dataclasses, resource, torch\n"
        "from harness.models.random_weights.checkpoint import resolve\n"
        "from harness.models.random_weights.weights import build\n"
        "made = resolve('flux.1-schnell', 'random:small', dtype='float32')\n"
        "build(made, torch.device('cpu'), torch.float32)\n"
        "config = {**made.config, 'num_attention_heads': 12}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model = build(dataclasses.replace(made, config=config), torch.device('cpu'), torch.float32)\n"
        "after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print((after - before) * 1024, sum(p.numel() * 4 for p in model.parameters()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown, weights = map(int, done.stdout.split())
    assert weights > 5e8
    assert grown < 1.2 * weights


@pytest.mark.parametrize("name", ["flux", "sd3", "auraflow"])
def test_inputs_are_what_the_pipeline_passes(name, tmp_path):
    """Shapes, dtypes and the scale of time, against the pipeline's own call of its transformer."""
    torch.manual_seed(0)
    module = {"flux": flux, "sd3": sd3, "auraflow": auraflow}[name]
    pipeline = module.build_pipeline(tmp_path, vae.build().eval())
    pipeline.transformer.save_config(tmp_path / "own" / "transformer")
    pipeline.vae.save_config(tmp_path / "own" / "vae")
    checkpoint = randomised.resolve(str(tmp_path / "own"), "random", dtype="float32")
    settings = Settings(height=render.SIDE, width=render.SIDE, max_sequence_length=20, batch=2)
    checkpoint = dataclasses.replace(checkpoint, settings=settings)
    given = Sampler(pipeline, SPECS[name], settings, batch=2).forward_arguments(["red", "blue"])
    made = arguments(checkpoint, CPU, torch.float32)
    assert set(made) == {key for key, value in given.items() if torch.is_tensor(value) or value is False}
    for key, value in made.items():
        if torch.is_tensor(value):
            assert value.shape == given[key].shape, key
            assert value.dtype == given[key].dtype, key
    for key in ("img_ids", "txt_ids"):
        assert key not in made or torch.equal(made[key], given[key])
    scale = float(given["timestep"].max())  # the first step is all noise
    assert scale == (1000 if name == "sd3" else 1)
    assert 0 < made["timestep"].min() < made["timestep"].max() < scale


def test_full_size_runs_on_the_tokens_of_the_checkpoints_resolution():
    tokens = {"flux.1-schnell": (4096, 256), "flux.1-dev": (4096, 512)}
    for name, (image, text) in tokens.items():
        checkpoint = randomised.resolve(name, "random")
        made = arguments(checkpoint, CPU, torch.bfloat16)
        assert made["hidden_states"].shape == (1, image, 64)
        assert made["encoder_hidden_states"].shape == (1, text, 4096)
        assert ("guidance" in made) == (name == "flux.1-dev")
    made = arguments(randomised.resolve("sd3.5-large", "random"), CPU, torch.bfloat16)
    assert made["hidden_states"].shape == (1, 16, 128, 128)
    assert made["encoder_hidden_states"].shape == (1, 77 + 256, 4096)
    made = arguments(randomised.resolve("auraflow-v0.2", "random"), CPU, torch.float16)
    assert made["hidden_states"].shape == (1, 4, 128, 128)
    assert randomised.resolve("flux.1-schnell", "random:small").settings.batch == 8


def test_an_image_larger_than_the_models_positions_is_refused():
    with pytest.raises(CheckpointError, match="64 x 64 positions, an image of 2048 x 1024 px takes 128 x 64; give"):
        arguments(least("auraflow-v0.2", height=2048, width=1024), CPU, torch.float32)


def test_what_does_not_fit_is_refused_with_the_arithmetic():
    wide, small = (randomised.resolve("flux.1-schnell", kind, dtype="float32") for kind in ("random", "random:small"))
    parameters = 11_900_000_000
    assert refusal(wide, parameters, Room("cuda:0", int(48e9), 0)) == ""
    assert refusal(wide, parameters, Room("cuda:0", int(24e9), 0)) == (
        "checkpoint 'flux.1-schnell-random' doesn't fit: 11.90 billion parameters x 4 bytes (float32) are 47.6 GB, "
        "24.0 GB are free on cuda:0; try --dit-dtype=bfloat16 (23.8 GB), or --dit-weights=random:small"
    )
    assert refusal(wide, parameters, Room("cpu", int(8e9), 0)).endswith("on cpu; try --dit-weights=random:small")
    assert refusal(small, 5_000_000, Room("cpu", 1000, 0)).endswith("on cpu; use a larger machine")


@pytest.mark.parametrize("damage", [{"attention_head_dim": -8}, {"num_attention_heads": "many"}])
def test_a_config_that_builds_no_model_is_named(damage):
    made = randomised.resolve("flux-tiny", "random")
    broken = dataclasses.replace(made, config={**made.config, **damage})
    with pytest.raises(CheckpointError, match="no FluxTransformer2DModel can be built from its transformer's config"):
        RandomLab(broken, device=CPU).control_measurement()


def test_every_family_can_be_made():
    assert {PUBLISHED[name].family for name in MODELS} == set(FAMILIES.values())
