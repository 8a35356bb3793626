"""What is installed beside a version of diffusers."""

from __future__ import annotations

import pytest

from harness.cli.version_pins import (
    LABELS,
    NEWEST,
    OLDEST,
    constraint_lines,
    distinct_names,
    git_reference,
    label_of,
    named_versions,
    package,
    pins,
    releases_asked_for,
    short_name,
)


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


@pytest.mark.parametrize(
    ("label", "specifiers"),
    [
        ("transformers==4.56.2", {"huggingface_hub": "", "tokenizers": "", "transformers": "==4.56.2"}),
        ("torch==newest", {"torchvision": "", "torch": ""}),
        ("accelerate==1.10.0", {"accelerate": "==1.10.0"}),
        ("Open-CLIP-torch==3.2.0", {"open_clip_torch": "==3.2.0"}),
        ("torch==2.9.1, torchvision==0.24.1", {"torch": "==2.9.1", "torchvision": "==0.24.1"}),
        (
            "diffusers==0.35.2,transformers==5.23.0",
            {"transformers": "==5.23.0", "huggingface_hub": "", "tokenizers": "", "diffusers": "==0.35.2"},
        ),
    ],
)
def test_any_package_with_its_release(label, specifiers):
    assert pins(label) == specifiers


def test_a_release_of_diffusers_alone_has_its_usual_companions_however_it_is_written():
    assert pins("diffusers==0.34.0") == pins("0.34.0")


@pytest.mark.parametrize("label", ["transformers=4.56.2", "==4.56.2", "transformers==", "a==1,b", "a b==1", "./a==1/x"])
def test_what_is_no_package_with_its_release(label):
    assert named_versions(label) == {}
    assert pins(label) is None


def test_what_the_registry_is_asked_for():
    assert releases_asked_for("0.34.0") == {"diffusers": "0.34.0"}
    assert releases_asked_for("transformers==4.56.2,torch==newest") == {"transformers": "4.56.2"}
    assert [releases_asked_for(label) for label in ("newest", "main", "some/folder")] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("version", "package", "label"),
    [
        ("4.56.2", "transformers", "transformers==4.56.2"),
        ("2.9", "torch", "torch==2.9"),
        ("5.0.0rc1", "transformers", "transformers==5.0.0rc1"),
        ("newest", "accelerate", "accelerate==newest"),
        ("pinned", "transformers", "pinned"),
        ("0.35.2", "diffusers", "0.35.2"),
        ("newest", "diffusers", "newest"),
        ("torch==2.9.1", "transformers", "torch==2.9.1"),
        ("main", "transformers", "main"),
    ],
)
def test_a_version_of_another_package(version, package, label):
    assert label_of(version, package) == label


@pytest.mark.parametrize(
    ("label", "reference", "name"),
    [
        ("main", ("git+https://github.com/huggingface/diffusers", "main"), "main"),
        ("git+https://a.b/c/diffusers@v0.42", ("git+https://a.b/c/diffusers", "v0.42"), "diffusers-v0.42"),
        ("git+https://a.b/c/diffusers.git", ("git+https://a.b/c/diffusers.git", "HEAD"), "diffusers-HEAD"),
        ("git+ssh://git@a.b/c/diffusers", ("git+ssh://git@a.b/c/diffusers", "HEAD"), "diffusers-HEAD"),
        ("git+file:///x/d@some/branch", ("git+file:///x/d", "some/branch"), "d-some-branch"),
        ("transformers==4.56.2", None, "transformers-4.56.2"),
        ("torch==2.9.1,torchvision==0.24.1", None, "torch-2.9.1-torchvision-0.24.1"),
        ("0.35.2", None, "0.35.2"),
        ("some/checkout", None, "checkout"),
    ],
)
def test_git_references_and_short_names(label, reference, name):
    assert git_reference(label) == reference
    assert short_name(label) == name


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["0.33.1", "newest"], ["0.33.1", "newest"]),
        (["/x/main/diffusers", "/x/pr/diffusers"], ["main-diffusers", "pr-diffusers"]),
        (["/x/a/src/diffusers", "/x/b/src/diffusers", "/x/c"], ["a-src-diffusers", "b-src-diffusers", "c"]),
        (["/x/main/", "main"], ["x-main", "main"]),
        (["git+file:///x/diffusers@v1", "/x/diffusers-v1"], ["diffusers-v1", "x-diffusers-v1"]),
        (["/x/a/diffusers", "/x/a/./diffusers"], ["x-a-diffusers", "x-a-diffusers"]),
        (["0.33.1", "0.33.1"], ["0.33.1", "0.33.1"]),
    ],
)
def test_folders_of_one_name_are_told_apart(labels, names):
    assert distinct_names(labels) == names
