"""What a metric is: one of four kinds of function on images, with a name, an id and the hash of its weights.

Images are uint8 arrays (N, 3, H, W). A lab makes the columns of the table from a metric's kind alone, so a metric of
another package needs nothing but one of these classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from harness.results.arrays import Features, Images, Values


class Metric(ABC):
    """Base of the four kinds.

    ``name`` begins the names of its columns, ``id`` says which model it is, and ``weights`` are twelve hex digits of
    the sha256 of that model's files; all three enter the fingerprint.
    """

    name: str
    id: str
    weights: str


class Embedder(Metric):
    """Images to vectors: gives FID@N against its null, and drift as 1 - cosine."""

    @abstractmethod
    def __call__(self, images: Images) -> Features:
        """(N, d) float32; equal images must give equal vectors."""


class PairDistance(Metric):
    """A distance of two images, pair by pair: gives drift."""

    @abstractmethod
    def __call__(self, a: Images, b: Images) -> Values:
        """(N,), 0 for equal images."""


class TextScorer(Metric):
    """How well an image suits its text, higher is better: gives a paired difference in the metric's own unit."""

    @abstractmethod
    def __call__(self, images: Images, texts: Sequence[str]) -> Values:
        """(N,), for N images and their N texts."""


class Grader(Metric):
    """Several grades of an image against its text, each in 0..1, higher is better: gives the paired loss of each.

    ``grades`` are their names, in the order of the columns.
    """

    grades: tuple[str, ...]

    @abstractmethod
    def __call__(self, images: Images, texts: Sequence[str]) -> Mapping[str, Values]:
        """Every one of ``grades`` as (N,) values, for N images and their N texts."""
