"""Tolerances: the last that matches wins, and wrong ones are named."""

from __future__ import annotations

import pytest

from harness.errors import BaselineError
from harness.gates.tolerances import (
    DEFAULTS,
    Tolerance,
    applying,
    gates_of,
    load_tolerances,
    tolerance_for,
    tolerances_of,
)

CASE = "flux-tiny-double-L01-skip"


def test_the_last_matching_tolerance_wins():
    several = [
        Tolerance("*", "harm", 1, 0, "a"),
        Tolerance("flux-*", "harm", 2, 0, "b"),
        Tolerance("sd3-*", "harm", 3, 0, "c"),
    ]
    found = tolerance_for(several, CASE, "harm")
    assert found is not None
    assert found.source == "b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[tolerance]", "can't be read"),
        ("[tolerances]\nx = 1", "only \\[\\[tolerance\\]\\] tables"),
        ('[[tolerance]]\npattern = "*"\n', "entry 1 is wrong: metric is missing"),
        (
            '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolut = 1\n',
            r"entry 1 is wrong: absolut is unknown \(did you mean 'absolute'\?\); the fields are pattern",
        ),
        (
            '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = -1\n',
            "absolute is -1, not a number from 0 upwards",
        ),
        ('[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = nan\n', "absolute is nan, not a finite number"),
        ('[[tolerance]]\npattern = 3\nmetric = "harm"\n', "pattern is 3, not a text"),
        (
            '[[tolerance]]\npattern = "*"\nmetric = "fid_ration"\nabsolute = 1\n',
            "entry 1 is wrong: no baseline holds 'fid_ration', so it gates nothing; there are clip_delta, harm, ",
        ),
        ('[[tolerance]]\npattern = "*"\nmetric = "pixel_drift"\n', "no baseline holds 'pixel_drift'"),
        ("tolerance = [1]\n", "entry 1 is wrong: it is 1, not an object"),
    ],
)
def test_wrong_tolerances_are_named(tmp_path, text, message):
    path = tmp_path / "tolerances.toml"
    path.write_text(text)
    with pytest.raises(BaselineError, match=message):
        load_tolerances(path)


def test_patterns_may_name_a_dtype_and_a_device(tmp_path):
    path = tmp_path / "tolerances.toml"
    entry = '[[tolerance]]\npattern = "*"\nmetric = "harm"\nabsolute = {}\n{}\n'
    rest = ("", 'dtype = "bfloat16"', 'dtype = "bfloat16"\ndevice = "nvidia-*"')
    path.write_text("".join(entry.format(size, text) for size, text in enumerate(rest, start=1)))
    tolerances = load_tolerances(path)

    def limit(dtype, device):
        return tolerance_for(applying(tolerances, dtype=dtype, device=device), CASE, "harm").limit(0.0)

    assert limit("float32", "cpu") == limit("float32", "nvidia-h200") == 1
    assert limit("bfloat16", "cpu") == 2
    assert limit("bfloat16", "nvidia-h200") == 3


def test_a_folder_without_a_file_has_the_tolerances_of_the_harness(tmp_path):
    shipped = tolerances_of(tmp_path)
    assert [t.metric for t in shipped] == [t.metric for t in load_tolerances(DEFAULTS)]
    assert {t.file for t in shipped} == {"the harness's tolerances.toml"}
    (tmp_path / "tolerances.toml").write_text('[[tolerance]]\npattern = "*"\nmetric = "psnr"\nabsolute = 1\n')
    (own,) = tolerances_of(tmp_path)  # its own file's alone
    assert (own.metric, own.file) == ("psnr", "tolerances.toml")


def test_gates_are_the_figures_that_an_entry_names():
    tolerances = [Tolerance("flux-*", m, 0, 0, "t") for m in ("collapsed", "psnr", "harm", "lpips.drift")]
    names = ("psnr", "harm", "collapsed", "fid_ratio", "lpips.drift")
    assert gates_of(tolerances, CASE, names) == ("harm", "psnr", "collapsed", "lpips.drift")
    assert gates_of(tolerances, "sd3-tiny-joint-L01-skip", names) == ()


ENTRY = "[[tolerance]]\npattern = '*'\nmetric = 'harm'\nabsolute = 0.1\n"


def test_a_mark_of_an_editor_at_the_start_is_no_content(tmp_path):
    (tmp_path / "t.toml").write_bytes(("\ufeff" + ENTRY).encode())
    (tolerance,) = load_tolerances(tmp_path / "t.toml")
    assert (tolerance.metric, tolerance.absolute) == ("harm", 0.1)


@pytest.mark.parametrize(
    "text",
    ["a=" + "[" * 50_000, ENTRY.replace("0.1", "9" * 5000), ENTRY.replace("0.1", "inf"), "a.b." * 5_000 + "c=1", "\0"],
    ids=["lists", "digits", "infinite", "dots", "nul"],
)
def test_what_no_reader_of_toml_takes_is_one_line(tmp_path, text):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(BaselineError, match=r"^tolerances .*t\.toml"):
        load_tolerances(tmp_path / "t.toml")
