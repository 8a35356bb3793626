"""``--push-to-hub``, by the real huggingface_hub against a small hub on this machine."""

from __future__ import annotations

import argparse

import pytest
import yaml

from harness.cli import hub_upload
from harness.cli.main import main
from harness.errors import ExportError
from tests.helpers import hubs

EXPORT = ["export", "--checkpoint", "flux-tiny", "--plan", "double: 0-1 3-4"]


def asked(hub_id=None, *, private=False):
    return argparse.Namespace(push_to_hub=hub_id, private=private)


@pytest.fixture
def hub(monkeypatch):
    """What a hub that knows the token ``write`` was sent, and what it is to refuse."""
    with hubs.receive("write") as received:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", received.address)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_TOKEN", "write")
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield received


def test_an_exported_model_is_uploaded_with_its_card(hub, tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*EXPORT, "--push-to-hub", "me/mine", "--private", str(out)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"pushed to {hub.address}/me/mine"
    assert hub.created == [{"name": "mine", "organization": "me", "private": True}]
    assert {name: data for name, data in hub.files.items() if name != ".gitattributes"} == {
        path.name: path.read_bytes() for path in out.iterdir()
    }
    card = hub.files["README.md"].decode()
    assert yaml.safe_load(card.split("---")[1])["library_name"] == "diffusers"


def test_what_is_of_this_disk_alone_stays_here(hub, tmp_path):
    for name in ("README.md", "harness.json", "healing/state.json", "transformer/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}")
    hub_upload.push(tmp_path, "me/healed", private=False)
    assert set(hub.files) - {".gitattributes"} == {"README.md", "transformer/config.json"}
    assert hub.created[0]["private"] is False


@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "there is no token on this machine; run `hf auth login`, or set HF_TOKEN"),
        ("wrong", "the hub answers 401"),
    ],
)
def test_a_token_that_is_missing_or_wrong_is_said_before_the_model_is_loaded(
    hub, token, said, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    out = tmp_path / "out"
    assert main([*EXPORT, "--push-to-hub", "me/mine", str(out)]) == 4
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()
    assert not hub.created


def test_a_hub_that_refuses_the_upload_leaves_the_model_on_disk(hub, tmp_path, capsys):
    hub.refuses_commits = True
    out = tmp_path / "out"
    assert main([*EXPORT, "--push-to-hub", "me/mine", str(out)]) == 4
    error = capsys.readouterr().err
    assert "the hub answers 403" in error
    assert f"{out} is saved: `hf upload me/mine {out}` uploads it" in error
    assert (out / "config.json").exists()


def test_what_is_no_id_offline_or_nothing_to_upload(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ExportError, match="'mine' is no hub id; write it like org/name"):
        hub_upload.check(asked("mine"))
    with pytest.raises(ExportError, match="--private is of --push-to-hub"):
        hub_upload.check(asked(private=True))
    assert hub_upload.check(asked()) is None
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "write")
    with pytest.raises(ExportError, match=r"the hub at http://127\.0\.0\.1:9 can't be used"):
        hub_upload.check(asked("me/mine"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ExportError, match="HF_HUB_OFFLINE is set"):
        hub_upload.check(asked("me/mine"))
    assert main([*EXPORT, "--for", "diffusers", "--push-to-hub", "me/mine"]) == 4
    assert "uploads a model that is saved" in capsys.readouterr().err


def test_healing_takes_it_too(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    arguments = ["heal", "--checkpoint", "flux-tiny", "--plan", "double: 0 2-4", "--push-to-hub", "me/mine"]
    assert main([*arguments, str(tmp_path / "out")]) == 4
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
