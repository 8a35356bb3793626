"""``python -m harness convert``: tensors out of a pickle, bitwise, and nothing of it run."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import load_file

from harness.cli.convert import convert
from harness.cli.main import main
from harness.errors import HarnessError


def test_tensors_are_bitwise_the_same(tmp_path, capsys):
    shared = torch.arange(12.0).reshape(3, 4)
    state = {
        "a": shared,
        "b": shared[1:],
        "c.half": torch.randn(5).half(),
        "d": shared.T,
        "note": "text",
        "e": torch.tensor(3),
    }
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "x.pth")
    out = tmp_path / "new" / "x.safetensors"
    assert main(["convert", str(tmp_path / "x.pth"), str(out)]) == 0
    assert capsys.readouterr().out == f"wrote {out} (5 tensors)\n"
    found = load_file(out)
    assert set(found) == {"a", "b", "c.half", "d", "e"}
    assert all(torch.equal(found[k], state[k]) and found[k].dtype == state[k].dtype for k in found)
    assert [path.name for path in out.parent.iterdir()] == ["x.safetensors"]


class Payload:
    def __reduce__(self):
        return os.system, ("touch run-by-the-file",)


def test_code_in_a_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1), "b": Payload()}, tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload()))
    for name in ("bad.pth", "plain.pth"):
        with pytest.raises(
            HarnessError, match=f"{name} holds more than weights, or is damaged .* nothing of it was run"
        ):
            convert(tmp_path / name, tmp_path / "out.safetensors")
    assert not (tmp_path / "run-by-the-file").exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("none.pth", "out.safetensors", "none.pth is not there; give a file of weights"),
        ("x.pth", "out.pth", "out.pth does not end in .safetensors"),
        ("x.pth", "there.safetensors", "there.safetensors is already there; move it away"),
        ("list.pth", "out.safetensors", "list.pth holds no state dict, which maps names to tensors"),
        ("cut.pth", "out.safetensors", "cut.pth holds more than weights, or is damaged"),
        ("script.pth", "out.safetensors", "script.pth holds more than weights, or is damaged"),
        ("x.pth", "there.safetensors/out.safetensors", "can't write .*out.safetensors: "),
    ],
)
def test_wrong_input_is_one_line_and_exit_4(tmp_path, capsys, source, target, message):
    torch.save({"a": torch.zeros(2)}, tmp_path / "x.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "x.pth").read_bytes()[:100])
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "script.pth")
    (tmp_path / "there.safetensors").write_text("mine")
    assert main(["convert", str(tmp_path / source), str(tmp_path / target)]) == 4
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    with pytest.raises(HarnessError, match=message):
        convert(tmp_path / source, tmp_path / target)
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    assert not (tmp_path / "out.safetensors").exists()
