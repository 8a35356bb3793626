"""Whether weights fit: the arithmetic on numbers, on headers of files, and on control groups."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import CheckpointError
from harness.models import loading, memory
from harness.models.checkpoints.resolve import BUNDLED, resolve
from harness.models.memory import SIZES, Part, Room
from harness.models.spec import OFFLOADS

GB = 10**9
# FLUX.1-schnell, in billions of numbers; the largest layers are T5's vocabulary and the modulation of a block.
FLUX = {
    "transformer": Part(11_900_000_000, 0, 56_640_000, 0),
    "text_encoder_2": Part(4_760_000_000, 0, 131_600_000, 0),
    "text_encoder": Part(123_000_000, 0, 38_000_000, 0),
    "vae": Part(84_000_000, 0, 2_400_000, 0),
}


def room(device, main, where="cuda:0"):
    return Room(where, int(device * GB), int(main * GB))


def test_what_is_counted():
    assert memory.needed(FLUX, "bfloat16", "none") == 2 * (11_900 + 4_760 + 123 + 84) * 10**6
    assert memory.needed(FLUX, "bfloat16", "model") == 2 * 11_900_000_000
    assert memory.needed(FLUX, "bfloat16", "group") == 2 * 131_600_000
    assert memory.needed(FLUX, "float32", "model") == 4 * 11_900_000_000
    assert memory.needed({"a": Part(10, 7, 4, 3)}, "float16", "none") == 27
    assert memory.needed({"a": Part(10, 7, 4, 3)}, "float16", "group") == 11
    assert memory.needed({}, "float16", "model") == 0


def test_what_fits_is_not_refused():
    assert memory.refusal("x", FLUX, "bfloat16", "none", room(33.8, 64)) == ""
    assert memory.refusal("x", FLUX, "bfloat16", "model", room(24, 64)) == ""
    assert memory.refusal("x", FLUX, "bfloat16", "group", room(0.3, 64)) == ""


def test_a_refusal_holds_the_arithmetic_and_the_mends():
    assert memory.refusal("flux.1-schnell", FLUX, "bfloat16", "none", room(25.2, 64)) == (
        "checkpoint 'flux.1-schnell' doesn't fit: its weights alone need 33.7 GB in bfloat16: transformer 23.8 + "
        "text_encoder_2 9.5 + text_encoder 0.2 + vae 0.2; 25.2 GB are free on cuda:0; try "
        "--dit-offload=model (largest part 23.8 GB), or --dit-offload=group (largest layer 0.3 GB)"
    )


def test_only_mends_that_would_fit_are_offered():
    def said(*args):
        return memory.refusal("x", FLUX, *args).split("; ")[-1]

    assert said("bfloat16", "none", room(15.2, 64)) == "try --dit-offload=group (largest layer 0.3 GB)"
    assert said("bfloat16", "model", room(15.2, 64)) == "try --dit-offload=group (largest layer 0.3 GB)"
    assert said("float32", "none", room(40, 80)) == (
        "try --dit-offload=group (largest layer 0.5 GB), or --dit-dtype=bfloat16 (33.7 GB)"
    )
    # Half the size alone is not enough, and neither is offloading alone: main memory is too small for float32.
    assert said("float32", "none", room(25, 40)) == (
        "try --dit-offload=model --dit-dtype=bfloat16 (largest part 23.8 GB), "
        "or --dit-offload=group --dit-dtype=bfloat16 (largest layer 0.3 GB)"
    )
    assert said("bfloat16", "none", room(15, 20)) == "no dtype or offload makes it fit: use a larger machine"
    assert said("bfloat16", "group", room(0.1, 64)) == "no dtype or offload makes it fit: use a larger machine"


def test_main_memory_counts_on_the_way_to_the_device():
    assert memory.refusal("x", FLUX, "bfloat16", "none", room(80, 20)) == (
        "checkpoint 'x' doesn't fit: its weights alone need 33.7 GB of main memory in bfloat16 while it is loaded: "
        "transformer 23.8 + text_encoder_2 9.5 + text_encoder 0.2 + vae 0.2; 20.0 GB are free; "
        "no dtype or offload makes it fit: use a larger machine"
    )


def test_on_a_cpu_there_is_nothing_to_offload_to():
    said = memory.refusal("x", FLUX, "float32", "none", room(40, 40, "cpu"))
    assert said.endswith("67.5 GB in float32: " + said.split("float32: ")[1])
    assert said.endswith("; 40.0 GB are free on cpu; try --dit-dtype=bfloat16 (33.7 GB)")


def test_every_mend_that_is_offered_fits():
    offered = 0
    for dtype, offload, device, main in product(SIZES, OFFLOADS, (0.2, 0.4, 20, 30, 40, 70), (20, 40, 70)):
        free = room(device, main)
        for fix in memory.remedies(FLUX, dtype, offload, free):
            words = dict(word.removeprefix("--dit-").split("=") for word in fix.split(" (")[0].split())
            assert words
            assert memory.fits(FLUX, words.get("dtype", dtype), words.get("offload", offload), free)
            offered += 1
    assert offered > 50


def test_sizes_come_from_the_headers(tmp_path):
    weights = {
        "a.weight": torch.zeros(6, 4, dtype=torch.bfloat16),
        "a.bias": torch.zeros(6),
        "b.weight": torch.zeros(5, 5, dtype=torch.float16),
        "b.index": torch.zeros(3, dtype=torch.int64),
        "scale": torch.zeros(()),
    }
    save_file(weights, str(tmp_path / "one.safetensors"))
    save_file({"c.weight": torch.zeros(7)}, str(tmp_path / "two.safetensors"))
    found = memory.part([tmp_path / "one.safetensors", tmp_path / "two.safetensors"])
    assert found == Part(floats=24 + 6 + 25 + 1 + 7, others=24, layer_floats=25, layer_others=24)
    assert memory.part([]) == Part(0, 0, 0, 0)


def test_the_sizes_of_a_checkpoint_are_those_of_its_modules():
    checkpoint = resolve("flux-tiny")
    pipeline = loading.load(checkpoint, torch.device("cpu"))
    found = memory.parts(checkpoint)
    assert list(found) == ["transformer", "vae", "text_encoder_2", "text_encoder"]
    for name, part in found.items():
        module = getattr(pipeline, name)
        assert part.size("float32") == sum(p.numel() * 4 for p in module.parameters())
        layers = [sum(p.numel() * 4 for p in m.parameters(recurse=False)) for m in module.modules()]
        assert part.layer("float32") == max(layers)


def enormous(tmp_path):
    """flux-tiny with a transformer of 12 TB: a valid header, and a file of that length that holds nothing."""
    folder = tmp_path / "enormous"
    shutil.copytree(BUNDLED / "flux-tiny", folder)
    numbers = 3 * 10**12
    end = 4 * numbers
    blocks = [
        *(f"transformer_blocks.{i}.x" for i in range(5)),
        *(f"single_transformer_blocks.{i}.x" for i in range(10)),
    ]
    header = json.dumps(
        {"proj.weight": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, end]}}
        | {name: {"dtype": "F32", "shape": [0], "data_offsets": [end, end]} for name in blocks}
    )
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    try:
        with path.open("wb") as stream:
            stream.write(len(header).to_bytes(8, "little") + header.encode())
            stream.truncate(8 + len(header) + 4 * numbers)
    except OSError as error:
        pytest.skip(f"no sparse file of that size here: {error}")
    return folder


def test_a_model_that_can_not_fit_is_refused_before_it_is_read(tmp_path):
    checkpoint = resolve(str(enormous(tmp_path)))
    with pytest.raises(CheckpointError) as caught:
        loading.load(checkpoint, torch.device("cpu"))
    said = str(caught.value)
    assert said.startswith("checkpoint 'enormous' doesn't fit: its weights alone need 12000.0 GB in float32: ")
    assert "transformer 12000.0 + vae 0.0 + " in said
    assert said.endswith(" GB are free on cpu; no dtype or offload makes it fit: use a larger machine")


def group(folder: Path, **values: int | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("_in_bytes", "@").replace("_", ".").replace("@", "_in_bytes")).write_text(f"{value}\n")


def own(tmp_path, text):
    (tmp_path / "cgroup").write_text(text)
    return tmp_path / "cgroup"


def test_the_tightest_control_group_decides(tmp_path):
    root = tmp_path / "fs"
    group(root / "a", memory_max=1000, memory_current=400, memory_stat="anon 300\ninactive_file 50")
    group(root / "a" / "b", memory_max=5000, memory_current=400, memory_stat="anon 300")
    mine = own(tmp_path, "0::/a/b\n")
    assert memory.cgroup_free(root, mine) == 650
    (root / "a" / "memory.max").write_text("max\n")
    assert memory.cgroup_free(root, mine) == 4600
    (root / "a" / "b" / "memory.current").write_text("6000\n")
    assert memory.cgroup_free(root, mine) == 0


def test_the_first_version_of_control_groups(tmp_path):
    root = tmp_path / "fs"
    base = root / "memory"
    group(base, memory_limit_in_bytes=2000, memory_usage_in_bytes=500, memory_stat="total_inactive_file 100")
    mine = own(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/docker/abc\n0::/\n")
    assert memory.cgroup_free(root, mine) == 1600
    group(base, memory_limit_in_bytes=2**63 - 4096)
    assert memory.cgroup_free(root, mine) is None


def test_no_control_groups_are_no_limit(tmp_path):
    assert memory.cgroup_free(tmp_path, tmp_path / "none") is None
    assert memory.cgroup_free(tmp_path, own(tmp_path, "0::/\n")) is None


def test_what_is_free_here_is_a_plausible_number():
    found = memory.room(torch.device("cpu"))
    assert found.where == "cpu"
    assert 10**7 < found.main == found.device < 2**50
