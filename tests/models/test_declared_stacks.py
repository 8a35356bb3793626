"""Stacks of a model of one's own: by its loop, or declared. docs/own-model.md is run as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from harness.errors import SurgeryError
from harness.models import declared_stacks as registry
from harness.models.declared_stacks import declare_stack
from harness.surgery.block_contract import BlockContract, contract
from harness.surgery.trace import check_trace, traced
from harness.surgery.verify import prove_listed
from harness.surgery.view import AblationView, ablate

PAGE = Path(__file__).parents[2] / "docs" / "own-model.md"


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(registry, "_declared", {})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's blocks of Python define, run as one file: the source of a forward is read from it."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path_factory.mktemp("page") / "own_model.py"
    file.write_text("\n".join(blocks))
    names = {"__name__": "own_model"}
    exec(compile(file.read_text(), str(file), "exec"), names)
    return names


def test_the_page_is_short_and_its_plans_change_the_output(page):
    (dit,) = re.findall(r"^(class Block.*?)\n\nmodel = ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    written = [line for line in dit.splitlines() if line.strip()]
    assert len(written) <= 22  # two classes, and nothing of diffusers
    assert "diffusers" not in dit
    with torch.no_grad():
        whole = page["model"](page["latents"], page["time"])
    assert not torch.equal(whole, page["without"])
    assert not torch.equal(page["changed"], page["without"])


def test_a_model_from_scratch_under_plans(page):
    """A skip is bitwise a shorter list, and what ran is the plan."""
    model, latents, time = page["model"], page["latents"], page["time"]
    assert contract(model, "blocks") == BlockContract(("tokens",), single=True)
    for text in ("0 2-5", "5-0", "0 1 1 2-5", "0 (1|2) 3-5"):
        view = AblationView(model, text)
        with torch.no_grad(), view, traced(model) as ran:
            out = model(latents, time)
        assert check_trace(ran, view.plan, "blocks") == 1
        with torch.no_grad():
            batch = {"latents": latents, "time": time}
            assert prove_listed(model, batch, view.plan, "blocks", out) == ("(" not in text)


class Hidden(nn.Module):
    """A forward whose loop hides what a block returns."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(3, 3) for _ in range(4))

    def forward(self, x):
        held = {"x": x}
        for part in self.parts:
            held.update(x=part(held["x"]))
        return held["x"]


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = Hidden()

    def forward(self, x):
        return self.body(x)


def test_what_no_source_shows_is_refused_with_the_declaration_to_write():
    wanted = r'has no loop that calls them one after another; .*declare_stack\(Hidden, \'parts\', outputs=\("x",\)'
    with pytest.raises(SurgeryError, match=wanted), ablate(Hidden(), "0 2-3"):
        pass


@pytest.mark.parametrize(("model", "path"), [(Hidden, "parts"), (Nested, "body.parts")])
def test_a_declared_stack_runs_under_a_plan(model, path):
    declare_stack(model, path, ("input",), single=True)
    torch.manual_seed(0)
    transformer, x = model().eval(), torch.randn(2, 3)
    blocks = list(transformer.get_submodule(path))
    with torch.no_grad():
        with ablate(transformer, f"{path}: 3 0 2"):
            moved = transformer(x)
        assert torch.equal(moved, blocks[2](blocks[0](blocks[3](x))))
    assert list(transformer.get_submodule(path)) == blocks


@pytest.mark.parametrize(("outputs", "single"), [((), False), (("a", "a"), False), (("a", "b"), True)])
def test_a_declaration_that_cannot_be_is_refused(outputs, single):
    with pytest.raises(SurgeryError, match=r"Hidden.parts: a block has one output or more, each named once"):
        declare_stack(Hidden, "parts", outputs, single=single)


def test_a_declared_path_that_is_not_there_is_named():
    declare_stack(Hidden, "other.parts", ("x",), single=True)
    with pytest.raises(SurgeryError, match=r"Hidden has no 'other.parts'"), ablate(Hidden(), "other.parts: 0"):
        pass
