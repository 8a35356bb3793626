"""What contributors are told: the files that the pages name exist, and the hooks run pinned tools."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent.parent
PACKAGE = ROOT / "harness"
DISTRIBUTIONS = {"lint-imports": "import-linter"}  # where a command isn't called like its package

FOLDERS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


def paths(page: str) -> set[str]:
    """The paths into the package that a page names in code, without the ``harness/`` before them."""
    code = re.findall(r"`([\w./]+)`", (ROOT / page).read_text())
    folders = "|".join(FOLDERS)
    return {path for path in code if re.fullmatch(rf"(?:{folders})/[\w./]*", path)}


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md"])
def test_pages_name_modules_that_are_there(page):
    named = paths(page)
    assert len(named) > 10
    assert [path for path in sorted(named) if not (PACKAGE / path).exists()] == []


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_pages_name_tests_that_are_there(page):
    for path in re.findall(r"(?<![\w/])(tests/[\w./]*\w)", (ROOT / page).read_text()):
        assert (ROOT / path).exists(), path


def test_the_architecture_describes_every_folder_and_every_floor():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert sorted(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == FOLDERS
    floors = re.search(r"```\n(__main__\n.*?)```", text, re.DOTALL)
    contract = re.search(r"^layers = \[\n(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL | re.MULTILINE)
    assert floors is not None
    assert contract is not None
    assert floors[1].split("\n")[:-1] == re.findall(r'"(.+)"', contract[1])


def test_hooks_run_tools_that_constraints_pin_and_fetch_nothing():
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    entries = re.findall(r"entry: (\S+)", text)
    assert len(entries) == text.count("- id:") == text.count("language: system")
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    for command in (*entries, "pre-commit"):
        assert DISTRIBUTIONS.get(command, command) in pinned


def test_every_page_is_on_the_map_and_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        prose = re.sub(r"^```.*?^```|`[^`\n]+`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", prose):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
    on_the_map = set(re.findall(r"\]\(([\w.-]+\.md)", (ROOT / "docs" / "README.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= on_the_map


def test_links_to_headings_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text()):
            if "://" in target:
                continue
            text = (page.parent / target if target else page).read_text()
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{page.name}: {target}#{anchor}"
