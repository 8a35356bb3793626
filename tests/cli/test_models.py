"""``python -m harness models``: one class, a folder, a page, and what is wrong with a name."""

from __future__ import annotations

import json

import pytest

from harness.cli import models
from harness.cli.main import main
from harness.models.checkpoints.resolve import resolve
from harness.results.model_survey import ModelSurvey, StackSurvey


def test_a_class_by_its_name_and_by_its_folder(capsys):
    assert main(["models", "FluxTransformer2DModel"]) == 0
    shown = capsys.readouterr().out
    assert "transformer_blocks: blocks of FluxTransformerBlock" in shown
    assert "a block returns (encoder_hidden_states, hidden_states)" in shown
    assert "bitwise: identity, skip, reverse, parallel, restored" in shown
    assert main(["models", str(resolve("flux-tiny").folder)]) == 0
    assert capsys.readouterr().out == shown


@pytest.fixture
def two(monkeypatch):
    """Two classes, whose survey is made up."""
    stack = StackSurvey("blocks", "Block", "x", checks={"identity": ""})
    monkeypatch.setattr(models, "transformer_classes", lambda: {"One": int, "Two": str})
    monkeypatch.setattr(models, "survey", lambda model: ModelSurvey(model.__name__, (stack,)))


def test_all_classes_as_json_and_into_a_page(two, tmp_path, capsys):
    assert main(["models", "--json"]) == 0
    assert [found["name"] for found in json.loads(capsys.readouterr().out)] == ["int", "str"]
    page = tmp_path / "page.md"
    page.write_text("<!-- survey of diffusers 0 -->\n<!-- end of the survey -->\n")
    assert main(["models", "--page", str(page)]) == 0
    assert "| `int` | `blocks` | `x` | - | identity | - |" in page.read_text()


@pytest.mark.parametrize(
    ("files", "argument", "message"),
    [
        ({}, "FluxTransformer2DModell", "has no transformer class 'FluxTransformer2DModell' (did you mean 'Flux"),
        ({}, ".", "has no config.json and no transformer/config.json"),
        ({"config.json": "{"}, ".", "config.json: Expecting property name"),
        ({"config.json": "[1]"}, ".", "names no class"),
        ({"transformer/config.json": '{"_class_name": "UNet2DModel"}'}, ".", "no transformer class 'UNet2DModel'"),
    ],
)
def test_what_is_no_class_is_named(files, argument, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert main(["models", argument]) == 4
    assert message in capsys.readouterr().err


def test_a_page_that_cannot_take_the_table_is_left(two, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("mine")
    for arguments in (["--page", str(page)], ["--page", str(tmp_path / "none.md")], ["One", "--page", str(page)]):
        assert main(["models", *arguments]) == 4
        assert "--page" in capsys.readouterr().err
    assert page.read_text() == "mine"
