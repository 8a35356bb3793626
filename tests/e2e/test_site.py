"""The documentation as a site: it builds without a warning, every page is in its navigation, and it fetches nothing."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
OTHERS = {"overview.md", "contributing.md", "changelog.md"}  # pages of the repository's root, by docs/site_hooks.py


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whose slugify is a Python object."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def settings():
    return yaml.load((ROOT / "mkdocs.yml").read_text(), _Loader)


def pages(entry):
    if isinstance(entry, str):
        return [entry]
    return [page for each in (entry.values() if isinstance(entry, dict) else entry) for page in pages(each)]


def test_every_page_is_in_the_navigation_once():
    listed = pages(settings()["nav"])
    assert sorted(listed) == sorted({path.name for path in (ROOT / "docs").glob("*.md")} | OTHERS)


def test_it_is_built_strictly_in_ci_and_by_nox():
    assert settings()["strict"] is True
    assert settings()["theme"]["font"] is False
    assert "mkdocs build --quiet --strict" in (ROOT / ".ci" / "run").read_text()
    assert "def docs(session" in (ROOT / "noxfile.py").read_text()


class _Fetched(HTMLParser):
    """What a browser fetches for a page: scripts, styles, images, frames; links are only followed by people."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.addresses.append(values.get("src"))
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.addresses.append(values.get("href"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    assert importlib.util.find_spec("material"), "mkdocs-material is one of the packages of the extras docs and dev"
    folder = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_it_fetches_nothing_from_another_place(site):
    for path in site.glob("*.html"):
        parser = _Fetched()
        parser.feed(path.read_text())
        there = [address for address in parser.addresses if address]
        assert there
        for address in there:
            assert not re.match(r"(https?:)?//", address), f"{path.name} fetches {address}"
            if path.name != "404.html":
                assert (site / address.partition("?")[0]).exists(), f"{path.name}: {address}"
    for path in (site / "assets" / "stylesheets").glob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//", path.read_text()), path.name


def test_the_pages_of_the_root_lead_into_the_site(site):
    text = (site / "overview.html").read_text()
    assert 'href="gpu.html#how-much-is-that"' in text
    assert 'href="contributing.html"' in (site / "index.html").read_text()
    assert (site / "schemas" / "journal.json").exists()
    assert not list(site.rglob("*.safetensors"))
    assert (site / "search" / "search_index.js").exists()
