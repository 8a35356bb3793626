"""The SD3.5-Large study's figure, decoded to one value for each timestep bin and block."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

_MAPS = json.loads((Path(__file__).parent.parent / "data" / "study_maps.json").read_text(encoding="utf-8"))
IMAGE, TEXT = (np.array(_MAPS[name]) for name in ("image", "text"))  # (10, 38) and (10, 37)
READING = 0.0015  # of a mean over bins, as a standard deviation: it is read to about +-.003
