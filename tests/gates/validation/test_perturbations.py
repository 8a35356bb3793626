"""What must not matter: each perturbation is read, comes to work, and moves images by next to nothing."""

from __future__ import annotations

import pytest

from harness.errors import OptionError
from harness.gates.validation.perturbations import Perturbation, before_torch, choose, read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("threads", r"unknown perturbation 'threads'; there are threads=a number from 1 to 9999, batch="),
        ("weather=1", "unknown perturbation 'weather=1'"),
        ("threads=0", "perturbation 'threads=0': threads is a number from 1 to 9999"),
        ("cpu=avx7", "cpu is avx2 or default"),
        ("sdpa=fast", "sdpa is math or flash"),
    ],
)
def test_what_is_not_known_is_said(text, message):
    with pytest.raises(OptionError, match=message):
        read(text)


def test_reading_and_printing_are_inverse():
    for text in ("threads=1", "batch=16", "sdpa=math", "cpu=avx2", "ulp=1", "compile=1"):
        assert str(read(text)) == text


def test_the_instruction_set_must_come_before_torch(monkeypatch):
    with pytest.raises(OptionError, match="must be set before torch is loaded"):
        before_torch((Perturbation("cpu", "avx2"),))


def test_the_most_different_perturbations_come_first():
    assert [str(p) for p in choose(3, cores=2, batch=64, capability="AVX512")] == ["cpu=avx2", "batch=16", "threads=1"]
    assert [str(p) for p in choose(2, cores=2, batch=1, capability="sm90")] == ["ulp=1", "sdpa=math"]
    with pytest.raises(OptionError, match=r"there are 1 to \d+ perturbations to calibrate under here, not 99"):
        choose(99, cores=2, batch=64, capability="AVX2")
