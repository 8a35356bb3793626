"""Where the name of a checkpoint leads, and what is said of one that leads nowhere."""

from __future__ import annotations

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.location import locate
from harness.models.checkpoints.pipeline_folder import BUNDLED
from harness.models.checkpoints.published import PUBLISHED
from tests.helpers import hubs


def message(name):
    with pytest.raises(CheckpointError) as caught:
        locate(name)
    return str(caught.value)


def folder(path):
    path.mkdir(parents=True)
    return path


def test_a_folder_goes_before_a_hub_id(cache, tmp_path, monkeypatch):
    hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    monkeypatch.chdir(tmp_path)
    mine = folder(tmp_path / "someone" / "flux-small")
    assert locate("someone/flux-small").folder.resolve() == mine


def test_what_is_nothing_at_all_names_what_there_is(cache, tmp_path):
    said = message("nothing-like-it")
    assert said.startswith("checkpoint 'nothing-like-it' is neither a bundled checkpoint nor a folder, ")
    assert "flux-tiny" in said
    assert all(name in said for name in PUBLISHED)
    (tmp_path / "file").write_text("")
    assert "is a file, not a folder" in message(str(tmp_path / "file"))
    assert "neither a bundled checkpoint" in message("../mine")
    assert "neither a bundled checkpoint" in message("one/two/three")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("flux-tyni", "flux-tiny"),
        ("flux-tinny", "flux-tiny"),
        ("./flux-tyni", "flux-tiny"),
        ("flux.1dev", "flux.1-dev"),
        ("FLUX.1-schnel", "flux.1-schnell"),
        ("sd35-large", "sd3.5-large"),
    ],
)
def test_a_name_with_a_typo_is_answered_by_the_nearest_one(cache, name, meant):
    said = message(name)
    assert said.endswith(f" (did you mean {meant!r}?); python -m harness list shows all names")


def test_a_hub_id_with_a_typo_is_answered_by_the_nearest_one(cache, monkeypatch):
    monkeypatch.setattr(hub_cache, "_ask", lambda *_: hub_cache._HubAnswer("absent", ""))
    near = "check the spelling of 'black-forest-labs/FLUX.1-dve' (did you mean 'black-forest-labs/FLUX.1-dev'?)"
    assert near in message("black-forest-labs/FLUX.1-dve")
    assert "did you mean" not in message("somebody/else")


def test_a_folder_that_is_called_like_a_bundled_one_does_not_get_its_baselines(tmp_path, monkeypatch):
    mine = folder(tmp_path / "flux-tiny")
    assert locate(str(mine)).name == "flux-tiny-folder"
    monkeypatch.chdir(tmp_path)
    assert locate("./flux-tiny").name == "flux-tiny-folder"
    assert locate(str(BUNDLED / "flux-tiny")).name == locate("flux-tiny").name == "flux-tiny"
