"""Real harms of many prompts, as a population that simulations draw runs from: writes ``real_harms.safetensors``.

Samples the control and every case of ``cases/test_flux.py`` on prompts that no baseline has, with the bundled judge. It
takes about half an hour on one core, from the repository's root:

    python -m tests.simulations.population
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from harness.ablation.grid import Ask, expand
from harness.ablation.strategies import ALL_STRATEGIES, PAINTER_STRATEGIES
from harness.lab.lab import Lab
from harness.lab.observation import to_bytes
from harness.models.sampler import Samples
from harness.tiny.train import prompts

HARMS = Path(__file__).parent / "real_harms.safetensors"
CHECKPOINT, STACKS = "flux-tiny", ("double", "single")
# As in cases/test_flux.py.
ASKS = (
    Ask(STACKS, ("each",), ("skip",)),
    Ask(STACKS, ("middle",), ALL_STRATEGIES),
    Ask(STACKS, ("first", "last", "middle-lower", "middle-upper"), PAINTER_STRATEGIES),
)
PROMPTS, SEEDS, DRAWN_WITH = 512, 8, 77_007


def scores_of(lab: Lab, samples: Samples) -> npt.NDArray[np.float64]:
    """(N,) scores of the images of the lab's prompts."""
    images, _ = to_bytes(samples.images)
    return lab.judge.score(lab.judge.embed_images(images), lab.prompts).astype(np.float64)


def main(out: Path) -> None:
    """Measure, and write after every case: ``harm`` (V, P) as float16 and the control's ``score`` (P, S), in points."""
    lab = Lab(CHECKPOINT, prompts=prompts(PROMPTS, DRAWN_WITH))
    control = np.stack([scores_of(lab, lab.sampler.sample(lab.prompts, seed)) for seed in range(SEEDS)], axis=1)
    cases = expand(CHECKPOINT, lab.checkpoint.stacks, ASKS)
    harms: dict[str, npt.NDArray[np.float64]] = {}
    began = time.monotonic()
    for case in cases:
        harms[case.id] = control[:, 0] - scores_of(lab, lab.sample(case.plan, case.stack))
        tensors = {"harm": np.stack(list(harms.values())).astype(np.float16), "score": control.astype(np.float32)}
        save_file(tensors, out, metadata={"cases": "\n".join(harms)})
        print(f"{len(harms)}/{len(cases)} {case.id} {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HARMS)
