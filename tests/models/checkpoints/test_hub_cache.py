"""The hub's cache: half a download and a missing checkpoint, each with the command that fixes it."""

from __future__ import annotations

import shutil

import pytest

from harness.errors import CheckpointError
from harness.models.checkpoints import hub_cache
from harness.models.checkpoints.resolve import BUNDLED, resolve
from tests.helpers import hubs


def message(name, **options):
    with pytest.raises(CheckpointError) as caught:
        resolve(name, **options)
    return str(caught.value)


def test_a_missing_checkpoint_names_the_command_that_downloads_it(cache):
    assert message("FLUX.1-dev") == (
        f"checkpoint 'FLUX.1-dev' (black-forest-labs/FLUX.1-dev) is no folder here and not in the hub cache {cache}; "
        f"download it (34 GB): {hub_cache.download('black-forest-labs/FLUX.1-dev')} "
        "(whether it is gated is not known: HF_HUB_OFFLINE is set)"
    )
    assert message("someone/flux-small").startswith(
        f"checkpoint 'someone/flux-small' is no folder here and not in the hub cache {cache}; "
        "download it: hf download someone/flux-small "
    )


@pytest.mark.parametrize("left_out", ["model_index.json", "transformer/config.json"])
def test_a_download_that_has_only_begun_is_half_a_download(cache, left_out):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny", leave_out=(left_out,))
    command = hub_cache.download("someone/flux-small")
    assert message("someone/flux-small") == (
        f"someone/flux-small is half-downloaded: {left_out} is not there; finish it: {command}"
    )
    with (snapshot.parent.parent / "blobs" / "0a1b.incomplete").open("wb") as stream:
        stream.truncate(300_000_000)
    assert f"{left_out} is not there, 300.0 MB of a file are; finish it: {command}" in message("someone/flux-small")
    shutil.rmtree(snapshot)
    assert "half-downloaded: model_index.json is not there" in message("someone/flux-small")
    shutil.rmtree(snapshot.parent.parent)
    assert "no folder here and not in the hub cache" in message("someone/flux-small")


@pytest.mark.parametrize("commit", ["../../elsewhere", "", "not hex"])
def test_a_ref_leads_to_a_snapshot_or_nowhere(cache, commit):
    snapshot = hubs.put(cache, "someone/flux-small", BUNDLED / "flux-tiny")
    (snapshot.parent.parent / "refs" / "main").write_text(commit)
    assert "half-downloaded" in message("someone/flux-small")


def test_the_command_is_that_of_the_hub_library_that_is_installed():
    assert hub_cache.download("a/b", version="2.4.0") == (
        'hf download a/b --include "*.json" --include "*/*" --exclude "*fp16*" --exclude "*.py"'
    )
    assert hub_cache.download("a/b", version="0.36.0") == (
        'hf download a/b --include "*.json" "*/*" --exclude "*fp16*" "*.py"'
    )
    assert (
        hub_cache.download("a/b", hub_cache.LORA_FILES, "0.30.2")
        == 'huggingface-cli download a/b --include "*.safetensors"'
    )


def test_a_revision_is_a_branch_a_tag_or_a_commit(cache):
    hub_id, other = "someone/flux-small", "f" * 40
    snapshot = hubs.put(cache, hub_id, BUNDLED / "flux-tiny")
    repository = snapshot.parent.parent
    assert message(hub_id, revision="v2") == (
        f"checkpoint '{hub_id}': revision 'v2' is not in the hub cache {cache}; download it: "
        f"{hub_cache.download(hub_id, revision='v2')}"
    )
    assert hub_cache.download(hub_id, revision="v2").startswith(f"hf download {hub_id} --revision v2 --include ")
    shutil.copytree(snapshot, snapshot.with_name(other), symlinks=True)
    (repository / "refs" / "refs" / "pr").mkdir(parents=True)
    (repository / "refs" / "v2").write_text(other)
    (repository / "refs" / "refs" / "pr" / "3").write_text(other)
    for revision in ("v2", "refs/pr/3", other):
        assert resolve(hub_id, revision=revision).folder == snapshot.with_name(other)
    for revision in (None, "main", hubs.COMMIT):
        assert resolve(hub_id, revision=revision).folder == snapshot
    for wrong in ("../../elsewhere", "refs/pr", "f" * 39, "", "a b"):
        assert f"revision {wrong!r} is not in the hub cache" in message(hub_id, revision=wrong)


def test_what_a_revision_lacks_is_downloaded_of_that_revision(cache):
    hub_id, other = "someone/flux-small", "f" * 40
    snapshot = hubs.put(cache, hub_id, BUNDLED / "flux-tiny")
    shutil.copytree(snapshot, snapshot.with_name(other), symlinks=True)
    checkpoint = resolve(hub_id, revision=other)
    assert checkpoint.again == f"download it again: {hub_cache.download(hub_id, revision=other)}"
    assert resolve(hub_id).again == f"download it again: {hub_cache.download(hub_id)}"
    (snapshot.with_name(other) / "transformer" / "config.json").unlink()
    assert message(hub_id, revision=other).endswith(f"finish it: {hub_cache.download(hub_id, revision=other)}")
    assert resolve(hub_id).folder == snapshot


def test_only_hub_ids_have_revisions():
    for name in ("flux-tiny", str(BUNDLED / "flux-tiny")):
        assert "is on this disk, and only hub ids have a revision ('main')" in message(name, revision="main")
