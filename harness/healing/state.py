"""An unfinished healing on disk: weights and optimiser as safetensors, everything else as JSON.

``state.json`` names the weights file that belongs to it and is replaced last, so that a process which is killed at any
moment leaves a state that can be gone on from. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.files import parse_json, replacing, write_atomically

_FILE = "state.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Progress:
    """How far a healing is: the steps that are done, and the loss of each (total, output, features)."""

    step: int = 0
    losses: tuple[tuple[float, float, float], ...] = ()


class State:
    """The folder of a healing. ``settings`` are what must be the same for it to go on, as plain JSON values."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self._settings = cast("dict[str, Any]", json.loads(json.dumps(settings)))

    def begin(self) -> None:
        """Write the settings; nothing is trained yet. Raises HarnessError where the folder can't be written."""
        self._write(Progress(), "")

    def check(self) -> None:
        """Raise HarnessError where what is in the folder is of other settings, or can't be read."""
        check_settings(self.folder, read_state(self.folder)["settings"], self._settings)

    def save(
        self, progress: Progress, parameters: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer
    ) -> None:
        """Keep weights and optimiser after a step. Raises HarnessError where they can't be written."""
        tensors: dict[str, Tensor] = {}
        for name, parameter in parameters.items():
            state = optimiser.state[parameter]
            tensors[f"value.{name}"] = parameter.detach()
            tensors[f"first.{name}"] = state["exp_avg"]
            tensors[f"second.{name}"] = state["exp_avg_sq"]
        path = self.folder / f"state-{progress.step:08d}.safetensors"
        with replacing(path) as temporary:
            save_file({name: tensor.to("cpu").contiguous() for name, tensor in tensors.items()}, temporary)
        self._write(progress, path.name)
        for old in self.folder.glob("state-*.safetensors"):
            if old != path:
                old.unlink(missing_ok=True)

    def restore(self, parameters: Mapping[str, nn.Parameter], optimiser: torch.optim.Optimizer) -> Progress:
        """Put what was kept into weights and optimiser; the progress, which is none where nothing was trained.

        Raises HarnessError where the state is of other settings, or damaged.
        """
        stored = read_state(self.folder)
        check_settings(self.folder, stored["settings"], self._settings)
        progress = Progress(int(stored["step"]), tuple((row[0], row[1], row[2]) for row in stored["losses"]))
        if not stored["weights"]:
            return progress
        path = self.folder / str(stored["weights"])
        try:
            tensors = load_file(path)
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(tensors[f"value.{name}"])
                    optimiser.state[parameter] = {
                        "step": torch.tensor(float(progress.step)),
                        "exp_avg": tensors[f"first.{name}"].to(parameter),
                        "exp_avg_sq": tensors[f"second.{name}"].to(parameter),
                    }
        except (OSError, SafetensorError, KeyError, RuntimeError) as error:
            raise HarnessError(f"{path} can't be gone on from ({error}); remove {self.folder} to start anew") from None
        return progress

    def _write(self, progress: Progress, weights: str) -> None:
        facts = {
            "schema": _SCHEMA,
            "step": progress.step,
            "weights": weights,
            "settings": self._settings,
            "losses": [[round(value, 8) for value in row] for row in progress.losses],
        }
        write_atomically(self.folder / _FILE, json.dumps(facts, indent=1) + "\n")


def is_begun(folder: Path) -> bool:
    """Whether there is a state in a folder."""
    return (folder / _FILE).is_file()


def read_state(folder: Path) -> dict[str, Any]:
    """What state.json holds. Raises HarnessError where it is not one of this version."""
    path = folder / _FILE
    try:
        stored = parse_json(path.read_text(encoding="utf-8"))
        whole = isinstance(stored, dict) and stored.get("schema") == _SCHEMA
        if not whole or not {"step", "weights", "settings", "losses"} <= stored.keys():
            raise ValueError("it is of another version, or incomplete")
    except (OSError, ValueError) as error:
        raise HarnessError(f"{path} can't be read ({error}); remove {folder} to start anew") from None
    return cast("dict[str, Any]", stored)


def check_settings(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise HarnessError naming the first setting that is another one than the state in ``folder`` was begun with."""
    plain = json.loads(json.dumps(wanted))
    for name in sorted({*stored, *plain}):
        if stored.get(name) != plain.get(name):
            raise HarnessError(
                f"the healing in {folder.parent} was begun with {name} {stored.get(name)!r}, and this is "
                f"{plain.get(name)!r}; give the same settings to go on, or name another folder"
            )
