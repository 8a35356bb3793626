"""The commands of ``python -m harness`` (or ``dit-harness``), one module each.

A command is a line in the table of :mod:`harness.cli.main` (name, module, help) and a module with

- a docstring, which ``python -m harness NAME --help`` shows above the options;
- ``add_arguments(parser: argparse.ArgumentParser) -> None``, which adds its options;
- ``run(arguments: argparse.Namespace) -> int | None``, which does it; the exit code, None for 0. What a user can cause
  is a HarnessError, which becomes one line on stderr and exit code 4;
- ``same_goes_on(arguments: argparse.Namespace) -> bool``, where the command keeps what it has done so far: whether the
  same command line goes on when it was stopped by Ctrl-C or SIGTERM. One that goes on by another command line raises
  :class:`harness.cli.common.Stopped`.

A command's module is imported when the command is chosen, so its imports stand at the top of its file. Options that
several commands have are in :mod:`harness.cli.common`.
"""
