"""What is installed beside a version of diffusers."""

from __future__ import annotations

import pytest

from harness.cli.version_pins import LABELS, NEWEST, OLDEST, constraint_lines, package, pins


@pytest.mark.parametrize("label", LABELS)
def test_labels_are_as_the_table_has_them(label):
    assert pins(label) == LABELS[label]
    assert set(LABELS[label]) <= set(OLDEST)


@pytest.mark.parametrize(
    ("label", "beside"),
    [("0.34.0", OLDEST), ("0.40.9", OLDEST), ("0.41.0", NEWEST), ("0.101.2", NEWEST), ("1.0.0", NEWEST)],
)
def test_a_release_gets_the_oldest_companions_or_the_newest(label, beside):
    assert pins(label) == {**beside, "diffusers": f"=={label}"}


@pytest.mark.parametrize("label", ["", "0.33", "latest", "v0.33.1", "0.33.1.dev0", "../diffusers", "NEWEST"])
def test_anything_else_has_none(label):
    assert pins(label) is None


def test_constraints_of_the_packages_in_question_are_replaced():
    lines = ["numpy==2.4.6", "huggingface-hub==2.4.0", "", "tokenizers==0.23.3", "# why", "Diffusers==0.42.1 # pinned"]
    assert constraint_lines(lines, OLDEST) == ["numpy==2.4.6", "# why", *(n + s for n, s in OLDEST.items())]
    assert constraint_lines(lines, NEWEST) == ["numpy==2.4.6", "# why"]
    assert constraint_lines(lines, {}) == [line for line in lines if line]


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("open-clip-torch>=3.3", "open_clip_torch"),
        ("Torch (>=2.6)", "torch"),
        ("peft>=0.15; extra == 'lora'", "peft"),
        ("rich", "rich"),
        ("accelerate[x] ~= 1.0", "accelerate"),
        ("pkg; python_version<'4'", "pkg"),
    ],
)
def test_the_package_of_a_requirement(requirement, name):
    assert package(requirement) == name
