"""The types of arrays that pass between modules; a function's docstring says the shape."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]  # (N, 3, H, W), 0..255
Features = npt.NDArray[np.float32]  # (N, d), a vector an image
Values = npt.NDArray[np.float64]  # (N,), a number an image or pair of images
Array = npt.NDArray[np.float64]  # any shape
