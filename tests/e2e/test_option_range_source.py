"""``--dit-range-source=groups`` as a user meets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.analysis import layer_groups
from harness.analysis.layer_groups import Groups, StackGroups
from tests.helpers.projects import listed, records, run


def store(project, **stacks):
    """Groups of flux-tiny: by stack, its length and where groups begin; none begins where there is no structure."""
    made = {
        name: StackGroups(length, starts or (0,), structure=bool(starts), p=0.01 if starts else 0.7)
        for name, (length, starts) in stacks.items()
    }
    layer_groups.write(project.path / "baselines" / "flux-tiny" / layer_groups.FILE, Groups("flux-tiny", made))


RANGES = """
import pytest
from harness import Ask

pytestmark = pytest.mark.dit(
    "flux-tiny", Ask(("single",), ("first", "middle", "last", "middle-lower", "middle-upper", "2-3"), ("skip",))
)


def test_ablation(ablation):
    ablation.check(ablation.measure())
"""


def test_measured_groups_replace_the_fractions_when_asked_for(project):
    project.makepyfile(test_mine=RANGES)
    fractions = [f"single-L{place}-skip" for place in ("00-01", "02-03", "02-04", "02-07", "05-07", "08-09")]
    store(project, single=(10, (0, 1, 4, 8)), double=(5, None))
    assert sorted(listed(project)[0]) == sorted(listed(project, "--dit-range-source=depth")[0]) == fractions
    found, _ = listed(project, "--dit-range-source=groups")
    # first is 0, middle everything between the first group and the last: 1-7, in halves 1-4 and 5-7.
    assert sorted(found) == [f"single-L{place}-skip" for place in ("00", "01-04", "01-07", "02-03", "05-07", "08-09")]
    words = {"first": "00", "middle": "01-07", "last": "08-09", "middle-lower": "01-04"}
    for word, place in words.items():
        assert listed(project, "--dit-range-source=groups", "-k", f"{word} and L{place}")[0] == [
            f"single-L{place}-skip"
        ]


def test_the_header_says_that_ranges_are_measured(project):
    store(project, double=(5, (0, 2, 4)))
    result = run(project, "--dit-range-source=groups", "-k", "skip")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["dit: first, middle and last of flux-tiny are measured groups, from baselines?flux-tiny?*"]
    )
    assert set(records(project)) == {"flux-tiny-double-L02-03-skip"}
    run(project, "-k", "skip").stdout.no_fnmatch_line("*measured groups*")


def test_a_stack_without_groups_is_only_missed_where_it_is_asked_for(project):
    store(project, double=(5, (0, 2, 4)), single=(10, None))
    assert listed(project, "--dit-range-source=groups")[0][0].startswith("double-L02-03-")
    assert listed(project, "--dit-range-source=groups", "--dit-stack=single", "--dit-range=2-3,each")[0]
    result = run(project, "--dit-range-source=groups", "--dit-stack=single")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: stack 'single' of flux-tiny has no block structure *"])


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "*groups.json can't be read: *"), ('{"schema": 9}', "*groups.json*it has schema 9*")],
    ids=["broken", "schema"],
)
def test_a_broken_file_of_groups_is_one_line(project, text, message):
    store(project, double=(5, (0, 2, 4)))
    (project.path / "baselines" / "flux-tiny" / layer_groups.FILE).write_text(text)
    result = run(project, "--dit-range-source=groups")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_groups_of_other_blocks_are_refused(project):
    store(project, double=(19, (0, 2, 17)))
    result = run(project, "--dit-range-source=groups")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *cut a stack 'double' of 19 blocks, this one has 5; *"])


def test_two_groups_have_no_middle(project):
    store(project, single=(10, (0, 3)))
    project.makepyfile(test_mine=RANGES)
    assert listed(project, "--dit-range-source=groups")[0] == [f"single-L{p}-skip" for p in ("00-02", "02-03", "03-09")]


def test_collecting_with_both_options_loads_nothing_heavy(project):
    store(project, double=(5, (0, 2, 4)))
    code = (
        "import sys, pytest\n"
        "options = ['--dit-range-source=groups', '--dit-steps-window=0-1']\n"
        "assert pytest.main(['--co', '-q', '-p', 'no:randomly', *options]) == 0\n"
        "print(sorted({'torch', 'diffusers', 'scipy', 'pandas', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr
