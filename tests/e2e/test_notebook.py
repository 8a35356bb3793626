"""docs/notebook.ipynb runs from its first cell to its last, and shows what it has stored."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness

NOTEBOOK = Path(harness.__file__).parent.parent / "docs" / "notebook.ipynb"


def kinds(cell):
    """What a cell shows: the formats of its outputs. A warning of a library is none."""
    outputs = [output for output in cell.get("outputs", []) if output["output_type"] != "stream"]
    return [sorted(output.get("data", {output["output_type"]: ""})) for output in outputs]


def test_the_stored_outputs_are_those_of_a_whole_run_without_an_error():
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = [kind for cell in cells for kind in kinds(cell)]
    assert ["image/png", "text/plain"] in shown
    assert ["text/html", "text/plain"] in shown
    assert not any("error" in kind for kind in shown)
    assert "/tmp/" not in NOTEBOOK.read_text()


@pytest.mark.nightly
def test_every_cell_runs_and_shows_what_is_stored(tmp_path, monkeypatch):
    """The kinds of output; its figures are compared where the bundled models are tested, and times differ."""
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(NOTEBOOK.parents[1]))
    notebook = nbformat.read(NOTEBOOK, 4)
    before = [kinds(cell) for cell in notebook.cells]
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    assert [kinds(cell) for cell in notebook.cells] == before
