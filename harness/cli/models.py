"""What can be ablated in diffusers' transformers: stacks, how blocks are called, and which strategies are exact.

MODEL is a class of diffusers (FluxTransformer2DModel), or the folder of a transformer or of a pipeline with one;
without it, all classes of the installed diffusers are surveyed, which takes a minute. Each class is built small, with
random weights, and every stack is tried out: no download, no GPU. docs/models.md is this survey.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import diffusers

from harness.errors import HarnessError
from harness.files import parse_json, write_atomically
from harness.report import models_page
from harness.spelling import did_you_mean
from harness.survey.classes import transformer_classes
from harness.survey.survey import survey


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a class of diffusers, or a folder; none for all")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table of all classes into this page")


def run(arguments: argparse.Namespace) -> None:
    """Survey one class or all. Raises HarnessError for a name that is none, and a page that can't take the table."""
    known = transformer_classes()
    if arguments.page is not None and (arguments.model is not None or not arguments.page.is_file()):
        raise HarnessError(f"--page {arguments.page}: write all classes (no MODEL) into a page that is there")
    names = list(known) if arguments.model is None else [_class_name(arguments.model, list(known))]
    surveys = [survey(known[name]) for name in names]
    if arguments.page is not None:
        try:
            page = models_page.put_survey(arguments.page.read_text(encoding="utf-8"), surveys, diffusers.__version__)
        except ValueError as error:
            raise HarnessError(f"--page {arguments.page}: {error}") from None
        write_atomically(arguments.page, page)
    elif arguments.json:
        print(json.dumps([dataclasses.asdict(found) for found in surveys], indent=2))
    else:
        print("\n".join(models_page.described(found) for found in surveys))


def _class_name(model: str, known: list[str]) -> str:
    folder = Path(model)
    name = _of_folder(folder) if folder.is_dir() else model
    if name not in known:
        raise HarnessError(
            f"diffusers {diffusers.__version__} has no transformer class {name!r}{did_you_mean(name, known)} "
            "(python -m harness models, without a name, shows all)"
        )
    return name


def _of_folder(folder: Path) -> str:
    for file in (folder / "transformer" / "config.json", folder / "config.json"):
        if file.is_file():
            try:
                config = parse_json(file.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise HarnessError(f"{file}: {error}; save the transformer again with save_pretrained") from None
            name = config.get("_class_name") if isinstance(config, dict) else None
            if not isinstance(name, str):
                raise HarnessError(f"{file} names no class (_class_name); save it again with save_pretrained")
            return name
    raise HarnessError(f"{folder} has no config.json and no transformer/config.json; give the folder of a transformer")
