"""Every wrong option is one line and exit code 4."""

from __future__ import annotations

import pytest

from tests.helpers.projects import run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dit-checkpoint=flux-tinny"], "*checkpoint 'flux-tinny' is neither *(did you mean 'flux-tiny'?)*"),
        (["--dit-steps=0"], "*--dit-steps takes a whole number from 1, not '0'*"),
        (["--dit-steps=10001"], "*--dit-steps takes at most 10,000, not 10001*"),
        (["--dit-size=big"], "*--dit-size takes pixels a side (512), or WIDTHxHEIGHT (768x512), *, not 'big'*"),
        (["--dit-size=41"], "*'flux-tiny' makes images whose sides are multiples of 8 px, and 41 is none; *40 and 48*"),
        (["--dit-control-seeds=1"], "*--dit-control-seeds takes a whole number from 2, not '1'*"),
        (["--dit-control-seeds=2", "--dit-seeds=3"], "*can't run on 3 seeds: *on 2 (*or --dit-control-seeds), *"),
        (["--dit-batch=-1"], "*--dit-batch takes a whole number from 1, not '-1'*"),
        (["--dit-dtype=bf8"], "*--dit-dtype takes float32, bfloat16, float16, not 'bf8'*"),
        (["--dit-strategy=skp"], "*unknown strategy 'skp' (did you mean 'skip'?); there are skip, *"),
        (["--dit-stratgy=skip"], "*no option --dit-stratgy (did you mean '--dit-strategy'?); pytest --help shows *"),
        (["--dit-stack=singel"], "*has no stack 'singel' (did you mean 'single'?); it has double*"),
        (["--dit-range=midle"], "*unknown range 'midle' (did you mean 'middle'?) for stack*"),
        (["--dit-baseline-update=mising"], "*takes missing, changed, all, not 'mising' (did you mean 'missing'?)*"),
        (["--dit-stack=tripel"], "*has no stack 'tripel'; it has double (5 blocks), single (10 blocks)*"),
        (["--dit-range=centre"], "*unknown range 'centre'*"),
        (["--dit-stack=double", "--dit-range=3-9"], "*range '3-9' for stack 'double' doesn't fit its 5 blocks (0-4)*"),
        (["--dit-range=2", "--dit-strategy=reverse"], "*'reverse' changes nothing on range 2, which has one block*"),
        (["--dit-plan=double: 0-7"], "*plan '0-7' over stack 'double' of 5 blocks (0-4): block 7 is out of range*"),
        (["--dit-plan=double: 0 (1|2"], "*a '(' that is never closed at column 3*"),
        (["--dit-plan=0-3"], "*names no stack*"),
        (["--dit-baseline-update=some"], "*takes missing, changed, all, not 'some'*"),
        (["--dit-quick", "--dit-baseline-update=all"], "*--dit-quick never updates anything*"),
        (["--dit-run-id=../x"], "*--dit-run-id '../x'*"),
        (["--dit-rounds=two"], "*--dit-rounds takes a whole number from 4, not 'two'*"),
        (["--dit-rounds=99999999999999999999"], "*--dit-rounds takes a whole number from 4, not '999*"),
        (["--dit-threads=99999999"], "*--dit-threads takes at most 1,024, not 99999999*"),
        (["--dit-threads=\u0663"], "*--dit-threads takes a whole number from 1, not *"),
        (["--dit-perturb=threads=" + "9" * 200], "*perturbation 'threads=999*: threads is a number from 1 to 9999*"),
        (["--dit-judge=" + "x" * 5000], "*--dit-judge is 5000 characters long: 'xxx*"),
        (["--dit-judge=--"], "*--dit-judge needs a value*"),
        (["--dit-plan=double: (0)x999999999"], "*a number of 9 digits, of at most 6*"),
        (
            ["--dit-plan=double: 0 4", "--dit-strategy=skip"],
            "*--dit-plan runs that plan alone, *",
        ),
        (["--dit-plan=double: 0 4", "--dit-quick"], "*--dit-plan runs that plan alone, whatever --dit-quick says*"),
        (
            ["--dit-plan=double: 0 4", "--dit-range-source=groups"],
            "*--dit-plan runs that plan alone, whatever --dit-range-source says*",
        ),
        (["--dit-calibrate=99"], "*--dit-calibrate takes at most 20, not 99*"),
        (["--dit-calibrate=20", "-k", "skip"], "*there are 1 to * perturbations to calibrate under here, not 20*"),
        (["--forked", "-k", "skip"], "*--forked: torch's threads don't survive a fork*"),
        (["--dit-judge=nowhere", "-k", "skip"], "*judge 'nowhere' is neither a folder nor one of open_clip's names*"),
        (["--dit-device=meta"], "*device 'meta' can't be used here*"),
        (["--dit-device=gpu"], "*device 'gpu' can't be used here*"),
        (["--dit-prompts=none.txt"], "*can't read the prompt file *none.txt*"),
        (["--dit-prompts=empty.txt"], "*empty.txt holds no prompt*"),
        (["--dit-prompts=latin.txt"], "*latin.txt is not UTF-8 (byte 1)*"),
        (["--dit-prompts=twice.txt"], "*has a prompt twice*"),
        (["--dit-prompts=long.txt"], "*prompt 1 has * tokens, text_encoder_2 takes 20*"),
        (["--dit-reports=file"], "*can't write the journal *: *"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else "",
)
def test_wrong_input_is_one_line_and_exit_4(project, arguments, message):
    (project.path / "empty.txt").write_text("# nothing\n\n")
    (project.path / "latin.txt").write_bytes("für\n".encode("latin-1"))
    (project.path / "twice.txt").write_text("a\na\n")
    (project.path / "long.txt").write_text("red " * 40 + "\n")
    (project.path / "file").write_text("")
    # As pytest-forked adds it.
    project.makeconftest("def pytest_addoption(parser):\n    parser.addoption('--forked', action='store_true')\n")
    result = run(project, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: " + message])
    text = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in text
    assert len([line for line in result.errlines if line.strip()]) == 1
    assert not (project.path / "reports").exists()


def test_a_case_that_is_not_there_and_a_word_of_k_are_answered_with_the_nearest(project):
    (file,) = project.path.glob("test_*.py")
    result = run(project, f"{file.name}::test_ablation[flux-tiny-double-L01-03-skp]")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "*there is no case 'flux-tiny-double-L01-03-skp' (did you mean 'flux-tiny-double-L01-03-skip'?)"
    result.stderr.fnmatch_lines(["ERROR: not found: *", said])
    result = run(project, "-k", "doubel")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    said = "dit: -k 'doubel' selects no case: in no test's name is 'doubel' (did you mean 'double'?)"
    assert said in result.outlines
