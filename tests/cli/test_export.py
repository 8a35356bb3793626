"""``python -m harness export``."""

from __future__ import annotations

import json
import re

import diffusers
import pytest
import torch
from diffusers import FluxTransformer2DModel

from harness import load, sweep
from harness.cli.main import main
from harness.models.checkpoints.resolve import BUNDLED
from tests.helpers.models import ablated


def test_the_command(tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["export", "--checkpoint", "flux-tiny", "--plan", "double: 0-1 3-4", "--plan", "single: 0-7 9"]
    assert main([*arguments, str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"wrote {out}: FluxTransformer2DModel with 4 of 5 double blocks, 9 of 10 single blocks;")
    assert lines[1].startswith("read back: ")
    assert "names, shapes and bytes as in flux-tiny" in lines[1]
    whole = FluxTransformer2DModel.from_pretrained(BUNDLED / "flux-tiny" / "transformer")
    part = FluxTransformer2DModel.from_pretrained(out)
    assert (len(part.transformer_blocks), len(part.single_transformer_blocks)) == (4, 9)
    generator = torch.Generator().manual_seed(3)
    config = whole.config
    arguments_ = {
        "hidden_states": torch.randn(1, 16, config.in_channels, generator=generator),
        "encoder_hidden_states": torch.randn(1, 4, config.joint_attention_dim, generator=generator),
        "pooled_projections": torch.randn(1, config.pooled_projection_dim, generator=generator),
        "timestep": torch.tensor([0.5]),
        "guidance": torch.tensor([1.0]) if config.guidance_embeds else None,
        "img_ids": torch.cat([torch.zeros(16, 1), torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0))], dim=1),
        "txt_ids": torch.zeros(4, 3),
        "return_dict": False,
    }
    with torch.inference_mode():
        got = part(**arguments_)[0]
    assert torch.equal(got, ablated(whole, ["double: 0-1 3-4", "single: 0-7 9"], arguments_))
    assert json.loads((out / "ablation.json").read_text())["checkpoint"] == "flux-tiny"
    assert main([*arguments, str(out)]) == 4
    assert capsys.readouterr().err == (f"error: {out} is not empty; name a folder that isn't there yet, or empty it\n")


def test_the_line_that_says_how_to_use_it_works(tmp_path, capsys):
    """Also for a bundled checkpoint whose autoencoder is stored in another one's folder."""
    assert main(["export", "--checkpoint", "auraflow-tiny", "--plan", "double: 0 2-5", str(tmp_path / "out")]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("use: ")]
    code = line.removeprefix("use: ").replace("torch_dtype=...", "torch_dtype=torch.float32")
    names = {"torch": torch, **{name: getattr(diffusers, name) for name in re.findall(r"(\w+)\.from_pretrained", code)}}
    pipeline = eval(code, names)
    assert len(pipeline.transformer.joint_transformer_blocks) == 5
    assert torch.equal(pipeline.vae.decoder.conv_in.weight, load("flux-tiny").vae.decoder.conv_in.weight)


@pytest.mark.parametrize(
    ("checkpoint", "plan", "message"),
    [
        ("flux-tinny", "double: 0", "error: checkpoint 'flux-tinny'"),
        ("flux-tiny", "double: 0-9", "error: plan '0-9' over stack 'double' of 5 blocks (0-4): block 9 is out of"),
        ("flux-tiny", "double: 0 (1|2) 3", "error: plan '0 (1|2) 3' over stack 'double' can't be saved: '(1|2)'"),
        ("flux-tiny", "triple: 0", "error: FluxTransformer2DModel: there is no stack 'triple'; it has double, single"),
    ],
)
def test_the_commands_errors_are_one_line(checkpoint, plan, message, tmp_path, capsys):
    assert main(["export", "--checkpoint", checkpoint, "--plan", plan, str(tmp_path / "out")]) == 4
    written = capsys.readouterr().err
    assert written.startswith(message)
    assert written.count("\n") == 1


def test_the_card_quotes_the_harm_that_a_run_measured(tmp_path, capsys, lab):
    run = tmp_path / "run"
    (record,) = sweep(lab, plans="double: 0-1 3-4", folder=run)
    arguments = ["export", "--checkpoint", "flux-tiny", "--plan", "transformer_blocks: 0-1 3-4"]
    assert main([*arguments, "--run", str(run), str(tmp_path / "out")]) == 0
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| double | `0 1 3 4` | {record.measurement.summary['harm']:.2f} [" in card
    assert "], 8 prompts |" in card
    assert "# base_model: ORG/NAME" in card
    assert f"model card: {tmp_path / 'out' / 'README.md'}\n" in capsys.readouterr().out
    assert main([*arguments, "--run", str(tmp_path / "nothing"), str(tmp_path / "other")]) == 4
    assert "no journal in" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
