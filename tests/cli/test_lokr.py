"""``python -m harness lokr``: from a profile or from records."""

from __future__ import annotations

import gzip
import json

import pytest
from peft import LoraConfig

from harness.analysis import profile as profiles
from harness.analysis.lokr.angle_records import AngleRecord
from harness.analysis.lokr.weighting import lycoris, maps, weigh
from harness.cli.main import main
from harness.models.checkpoints.resolve import resolve
from harness.models.spec import FLUX
from tests.helpers.angles import write
from tests.helpers.lokr import IMAGE, TEXT, agreement, profile


def test_the_command_from_a_profile(tmp_path, capsys):
    lengths = dict(resolve("flux-tiny").stacks)
    doubles, total = lengths["double"], sum(lengths.values())
    made = profile("flux-tiny", lengths, lengths)
    profiles.write(made, tmp_path / "p.safetensors")
    out = tmp_path / "out" / "lycoris.json"
    code = main(["lokr", "--profile", str(tmp_path / "p.safetensors"), "--checkpoint", "flux-tiny", "--out", str(out)])
    printed = capsys.readouterr().out
    assert code == 0, printed
    found = weigh(*maps(made, ["double", "single"]))
    config = json.loads(out.read_text())
    assert config == lycoris(FLUX, lengths, found.factors)
    assert config["apply_preset"]["target_module"] == ["FluxTransformerBlock", "FluxSingleTransformerBlock"]
    rows = [line.split() for line in printed.splitlines()]
    table = {int(row[0]): row for row in rows if row and row[0].isdigit()}
    assert len(table) == total
    assert table[doubles + 1][1] == "single_transformer_blocks.1"
    assert [int(table[i][5]) for i in range(total)] == list(found.factors)
    assert {i for i, row in table.items() if row[-1] == "critical"} == set(found.critical)


def numbers(line):
    return [int(word.replace(",", "")) for word in line.replace(";", " ").split() if word.replace(",", "").isdigit()]


def test_the_command_says_what_it_trains_and_where_the_file_goes(tmp_path, capsys):
    records, out, ranks = tmp_path / "angular.jsonl", tmp_path / "lycoris.json", tmp_path / "peft.json"
    write(records, [AngleRecord(500.0, tuple(TEXT), tuple(IMAGE))])
    arguments = ["lokr", "--records", str(records), "--checkpoint", "sd3.5-large", "--out", str(out)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    (trained,) = (line for line in lines if line.startswith("the LoKr trains "))
    rows = [line.split() for line in lines if line.split() and line.split()[0].isdigit()]
    by_block = [int(row[7].replace(",", "")) for row in rows]
    lokr, whole = numbers(trained)
    assert sum(by_block) == lokr
    assert whole > 8_000_000_000
    assert min(by_block) < max(by_block) / 10  # a factor of 1 is a full matrix
    assert f"wrote {out}; for SimpleTuner: --lora_type=lycoris --lycoris_config={out}" in lines
    assert main([*arguments, "--peft", str(ranks), "--as-published"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("with --as-published, LyCORIS gives block N's layers block N - 1's") for line in lines)
    config = LoraConfig(**json.loads(ranks.read_text()))
    (said,) = (line for line in lines if line.startswith(f"wrote {ranks}: a LoRA of "))
    assert numbers(said.split(":", 1)[1])[0] == len(config.target_modules) == len(config.rank_pattern)
    assert config.rank_pattern["transformer_blocks.35.ff.net.0.proj"] == 1946  # critical: 9728 x 2432 / (9728 + 2432)
    assert abs(numbers(said.split(":", 1)[1])[3] / lokr - 1) < 0.01
    assert main([*arguments, "--peft", str(ranks), "--rank", "64"]) == 0
    config = LoraConfig(**json.loads(ranks.read_text()))
    assert config.rank_pattern["transformer_blocks.35.ff.net.0.proj"] == 64
    assert config.rank_pattern["transformer_blocks.35.attn.to_q"] == 32
    assert config.alpha_pattern == config.rank_pattern
    capsys.readouterr()
    assert main([*arguments, "--rank", "64"]) == 4
    assert "--rank is of --peft" in capsys.readouterr().err


def test_the_command_from_records(tmp_path, capsys):
    records = tmp_path / "angular.jsonl"
    write(records, [AngleRecord(timestep, tuple(TEXT), tuple(IMAGE)) for timestep in (50.0, 450.0, 950.0)])
    out = tmp_path / "lycoris.json"
    arguments = ["lokr", "--records", str(records), "--checkpoint", "sd3.5-large", "--out", str(out)]
    assert main([*arguments, "--critical", "0,31,35", "--as-published"]) == 0
    assert "as the block before" in capsys.readouterr().out
    rules = json.loads(out.read_text())["apply_preset"]["name_algo_map"]
    assert len(rules) == 4 * 38
    assert agreement([rules[f"transformer_blocks.{n}.ff*"]["factor"] for n in range(38)])[1] == 37
    packed = tmp_path / "angular.jsonl.gz"
    packed.write_bytes(gzip.compress(records.read_bytes()))
    before = out.read_text()
    assert main([*arguments[:2], str(packed), *arguments[3:], "--critical", "0,31,35", "--as-published"]) == 0
    assert out.read_text() == before
    assert main([*arguments, "--critical", ""]) == 0
    rules = json.loads(out.read_text())["apply_preset"]["name_algo_map"]
    assert len(rules) == 4 * 38 + 2
    assert rules["transformer_blocks.31.ff*"]["factor"] > 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "sd3.5-medium"], "38 image angles a line, sd3.5-medium has 24 blocks (24 joint)"),
        (["--checkpoint", "sd3.5-large", "--critical", "40"], "critical block 40 is none of the 38 blocks"),
        (["--checkpoint", "nothing"], "'nothing' is neither"),
        (["--checkpoint", "sd3.5-large", "--last"], "--last is of --profile"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, capsys, arguments, said):
    records = tmp_path / "angular.jsonl"
    write(records, [AngleRecord(500.0, tuple(TEXT), tuple(IMAGE))])
    out = tmp_path / "lycoris.json"
    assert main(["lokr", "--records", str(records), "--out", str(out), *arguments]) == 4
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_number_of_bins_out_of_bounds_is_an_error_of_usage(tmp_path, capsys):
    arguments = ["lokr", "--records", "angular.jsonl", "--out", str(tmp_path / "l.json"), "--checkpoint", "sd3.5-large"]
    with pytest.raises(SystemExit, match="2"):
        main([*arguments, "--bins", "0"])
    assert "argument --bins: '0' is no whole number from 1 to 10000" in capsys.readouterr().err


def test_a_profile_of_another_model(tmp_path, capsys):
    length = resolve("sd3-tiny").stacks["joint"]
    profiles.write(profile("sd3-tiny", {"joint": length}, {"joint": length - 1}), tmp_path / "p.safetensors")
    arguments = ["lokr", "--profile", str(tmp_path / "p.safetensors"), "--out", str(tmp_path / "out.json")]
    assert main([*arguments, "--checkpoint", "flux-tiny"]) == 4
    assert f"is of sd3-tiny with {length} joint, flux-tiny has " in capsys.readouterr().err
    assert main([*arguments, "--checkpoint", "sd3-tiny"]) == 0
    with pytest.raises(SystemExit):
        main([*arguments, "--checkpoint", "sd3-tiny", "--critical", "a"])
