"""The command that measures a case again."""

from __future__ import annotations

from dataclasses import replace

from harness.ablation.case import BY_HAND
from harness.ablation.guidance import GuidancePass
from harness.report.html.command import command
from tests.helpers.runs import control, variant

CASE = variant("L01-03", "skip", 1.0, plan="0 4")


def test_it_names_stack_range_and_strategy():
    assert command(CASE) == (
        "pytest 'cases/test_m.py::test_ablation[m-s-L01-03-skip]' --dit-stack=s --dit-range=1-3 --dit-strategy=skip"
    )
    assert command(replace(CASE, place="L07")).endswith("--dit-stack=s --dit-range=7 --dit-strategy=skip")


def test_a_window_a_pass_and_a_plan_by_hand_are_named():
    windowed = replace(CASE, window=(0, 1), guidance_pass=GuidancePass.UNCONDITIONAL)
    assert command(windowed).endswith("--dit-steps-window=0-1 --dit-pass=uncond")
    by_hand = replace(CASE, words=(BY_HAND,), place="", strategy="plan-1")
    assert command(by_hand).endswith("'--dit-plan=s: 0 4'")


def test_the_control_is_its_test_and_a_sweep_without_tests_has_none():
    assert command(control()) == "pytest t.py::test_control"
    assert command(replace(CASE, nodeid="")) == ""


def test_what_a_shell_would_obey_is_quoted():
    hostile = replace(CASE, nodeid="x; rm -rf ~ $(id) 'y'\n", strategy="`id`")
    text = command(hostile)
    assert "\n" not in text
    assert "'--dit-strategy=`id`'" in text
