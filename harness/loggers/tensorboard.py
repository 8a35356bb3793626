"""TensorBoard: event files in the run's own folder, in ``tensorboard/``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from harness.markdown import markdown_table


class _Tensorboard:
    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder))
        self._settings: dict[str, str] = {}

    def log(self, figures: Mapping[str, float], settings: Mapping[str, str]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, 0)
        self._settings |= settings
        self._writer.flush()

    def finish(self, files: Sequence[Path]) -> None:
        self._writer.add_text("settings", "\n".join(markdown_table(("setting", "value"), self._settings.items())))
        for path in files:
            if path.suffix == ".md":  # TensorBoard keeps no files, and shows Markdown
                self._writer.add_text(path.stem, path.read_text(encoding="utf-8"))
        self._writer.close()


def open_run(run: str, folder: Path) -> _Tensorboard:  # noqa: ARG001 - every tracker's module has this
    """Event files of the run; a resumed one adds a file."""
    return _Tensorboard(folder / "tensorboard")
