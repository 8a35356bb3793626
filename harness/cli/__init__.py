"""The commands of ``python -m harness`` (or ``dit-harness``), one module each.

A command is a line in the table of :mod:`harness.cli.main` (name, module, help) and a module with

- a docstring, which ``python -m harness NAME --help`` shows above the options;
- ``add_arguments(parser: argparse.ArgumentParser) -> None``, which adds its options;
- ``run(arguments: argparse.Namespace) -> int | None``, which does it; the exit code, None for 0. What a user can cause
  is a HarnessError, which becomes one line on stderr and exit code 4.

A command's module is imported when the command is chosen, so its imports stand at the top of its file. Options that
several commands have are in :mod:`harness.cli.common`.
"""
