"""Options in pytest's configuration file."""

from __future__ import annotations

import pytest

from harness.gates.rigour import Rigour
from harness.models.checkpoints.changed_settings import SettingsChange
from harness.plugin.option_values import WITHOUT_KEY
from harness.plugin.options import from_config
from tests.helpers.projects import listed, run


def options(pytester, text, *arguments):
    """What the plugin makes of a configuration file and a command line."""
    pytester.makeini(f"[pytest]\n{text}\n")
    return from_config(pytester.parseconfig(*arguments))


def test_every_option_of_more_than_one_run_has_a_key(pytester):
    config = pytester.parseconfig()
    names = [name.removeprefix("dit_") for name in vars(config.option) if name.startswith("dit_")]
    assert len(names) > 30
    for name in names:
        if name in WITHOUT_KEY:
            with pytest.raises(ValueError, match=f"unknown configuration value: '?dit_{name}"):
                config.getini(f"dit_{name}")
        else:
            assert config.getini(f"dit_{name}") in (None, False, [])


def test_the_file_is_read_and_the_command_line_goes_first(pytester):
    text = """
dit_dtype = bf16
dit_steps = 7
dit_size = 64x32
dit_seeds = 2
dit_control_seeds = 3
dit_batch = 4
dit_strict = true
dit_quick = yes
dit_stack = double
dit_strategy =
    skip
    reverse, swap
"""
    found = options(pytester, text)
    assert found.dtype == "bfloat16"
    assert found.settings == SettingsChange(steps=7, width=64, height=32, seeds=3, batch=4)
    assert (found.seeds, found.rigour, found.quick) == (2, Rigour.STRICT, True)
    assert (found.stacks, found.strategies) == (("double",), ("skip", "reverse", "swap"))
    assert found.typed == ()
    found = options(pytester, text, "--dit-steps=2", "--dit-strategy=parallel", "-o", "dit_quick=false")
    assert (found.settings.steps, found.strategies, found.quick) == (2, ("parallel",), False)
    assert found.typed == ("--dit-steps", "--dit-strategy")


def test_what_is_typed_makes_its_opposite_in_the_file_void(pytester):
    grid = "dit_quick = true\ndit_stack = double\ndit_unjudged = ok\ndit_prompts = p.txt\ndit_seeds = 2"
    found = options(pytester, grid, "--dit-plan=double: 0 4", "--dit-strict")
    assert (found.plans, found.stacks, found.quick, found.rigour) == (("double: 0 4",), (), False, Rigour.STRICT)
    found = options(pytester, grid, "--dit-weights=random:small")
    assert (found.prompts, found.seeds, found.weights) == (None, 1, "random:small")
    found = options(pytester, "dit_plan = double: 0 4", "--dit-strategy=skip")
    assert (found.plans, found.strategies) == ((), ("skip",))
    with pytest.raises(
        pytest.UsageError, match=r"--dit-quick says; leave out one \(dit_plan and dit_quick in tox.ini\)"
    ):
        options(pytester, "dit_plan = double: 0 4\ndit_quick = true")


def test_paths_of_the_file_begin_where_it_is(pytester, monkeypatch):
    for name in ("prompts.txt", "models/mine/x", "judges/j/x", "dino/x"):
        (pytester.path / name).parent.mkdir(parents=True, exist_ok=True)
        (pytester.path / name).write_text("a\n")
    (pytester.path / "inside").mkdir()
    text = """
dit_prompts = prompts.txt
dit_reports = out
dit_checkpoint = models/mine
dit_judge = ./judges/j
dit_metric =
    dinov2=dino/x
    lpips
"""
    pytester.makeini(f"[pytest]\n{text}\n")
    monkeypatch.chdir(pytester.path / "inside")
    found = from_config(pytester.parseconfig())
    here = pytester.path
    assert (found.prompts, found.reports) == (here / "prompts.txt", here / "out")
    assert (found.checkpoint, found.judge) == (str(here / "models/mine"), str(here / "judges/j"))
    assert found.metrics == (f"dinov2={here / 'dino/x'}", "lpips")
    monkeypatch.chdir(pytester.path)
    (pytester.path / "flux-tiny").mkdir()
    assert options(pytester, "dit_checkpoint = flux-tiny").checkpoint == "flux-tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dit_seeds = two", "--dit-seeds takes a whole number from 1, not 'two' (dit_seeds in tox.ini)"),
        ("dit_size = 1x1", "--dit-size takes pixels a side *, not '1x1' (dit_size in tox.ini)"),
        ("dit_dtype = half", "--dit-dtype takes float32, bfloat16, float16, not 'half' (dit_dtype in tox.ini)"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(project, text, message):
    project.makeini(f"[pytest]\n{text}\n")
    result = run(project, "--co")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_run_takes_them(project):
    project.makeini("[pytest]\ndit_strategy = skip\ndit_range = 1-2\n")
    assert listed(project)[0] == ["double-L01-02-skip", "single-L01-02-skip"]
    assert listed(project, "--dit-range=2")[0] == ["double-L02-skip", "single-L02-skip"]
