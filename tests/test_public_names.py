"""The public names: what ``harness`` hands out, what docs/api.md lists, and what the examples import."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import types
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import findings

ROOT = Path(harness.__file__).parent.parent
API = ROOT / "docs" / "api.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CASES = sorted((ROOT / "cases").glob("*.py"))


def listed() -> dict[str, str]:
    """The names in docs/api.md with their signatures: rows of tables that begin with code, "findings." left on."""
    rows = re.findall(r"^\| `([\w.]+)((?:\(.*?\))?)` \| .+ \|$", API.read_text(), re.MULTILINE)
    names = [name for name, _ in rows]
    assert len(set(names)) == len(names)
    return dict(rows)


def signature(thing: Any) -> str:
    """How docs/api.md writes a call: the parameters with their defaults, without types; "" for what isn't called."""
    if not callable(thing) or inspect.isabstract(thing):
        return ""
    if isinstance(thing, type) and issubclass(thing, (enum.Enum, Exception)):
        return ""
    parameters = []
    for parameter in inspect.signature(thing).parameters.values():
        default = parameter.default
        unreadable = inspect.isroutine(default) or "factory" in repr(default)
        shown = _Shown("...") if unreadable else default
        parameters.append(parameter.replace(annotation=inspect.Parameter.empty, default=shown))
    return str(inspect.Signature(parameters))


class _Shown:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def public(module: types.ModuleType) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def test_dir_shows_the_public_names_and_no_others():
    assert public(harness) == set(harness.__all__) - {"__version__"}
    assert public(findings) == set(findings.__all__)


@pytest.mark.parametrize("module", [harness, findings], ids=lambda module: module.__name__)
def test_every_public_name_resolves_to_what_type_checkers_see(module):
    tree = ast.parse(Path(module.__file__).read_text())
    (block,) = (n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    typed = {}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom)
        for alias in statement.names:
            typed[alias.asname or alias.name] = (statement.module, alias.name)
    assert set(typed) == set(module.__all__) - {"__version__"}
    for name, (home, attribute) in typed.items():
        there = __import__(home, fromlist=[attribute])
        assert getattr(module, name) is getattr(there, attribute), name


def test_the_page_lists_every_name_with_its_signature():
    things = {name: getattr(harness, name) for name in harness.__all__}
    things |= {f"findings.{name}": getattr(findings, name) for name in findings.__all__}
    assert listed() == {name: signature(thing) for name, thing in things.items()}


def test_every_public_name_says_what_it_is():
    called = [getattr(harness, name) for name in harness.__all__ if callable(getattr(harness, name))]
    called += [getattr(findings, name) for name in findings.__all__ if callable(getattr(findings, name))]
    for thing in called:
        assert len(inspect.getdoc(thing) or "") > 25, thing


def imports_below_the_package(code: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            found += [node.module or ""]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.startswith("harness.")]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_examples_compile_and_import_from_the_package_alone(page):
    for code in blocks(page):
        compile(code, page.name, "exec")
        assert imports_below_the_package(code) == []


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_cases_import_from_the_package_alone(path):
    assert imports_below_the_package(path.read_text()) == []


def test_there_are_examples_to_look_at():
    assert sum(len(blocks(page)) for page in PAGES) >= 7
    assert len(CASES) == 11
    assert imports_below_the_package("import harness.api\nfrom harness.lab import lab\nfrom harness import Lab\n") == [
        "harness.api",
        "harness.lab",
    ]


def test_pages_name_files_that_are_there():
    """Paths into the repository; those with a word in capitals are patterns, as baselines/CHECKPOINT/findings.json."""
    for page in PAGES:
        for path in set(re.findall(r"(?<![\w/])((?:harness|cases|docs|baselines)/[\w./-]*\w)", page.read_text())):
            assert re.search(r"[A-Z]{3}", path) or (ROOT / path).exists(), f"{page.name}: {path}"
