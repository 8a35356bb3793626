"""What the site needs beside docs/: the pages of the repository's root, and links between both that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

# Page of the root -> its name in the site, where docs/README.md is the first page.
ROOT_PAGES = {"README.md": "overview.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Any, config: Any) -> Any:
    """Add the root's pages."""
    root = Path(config.config_file_path).parent
    for name, page in ROOT_PAGES.items():
        text = _links_of_the_root((root / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links to ``../CONTRIBUTING.md`` lead to that page of the site."""
    if page.file.src_uri in ROOT_PAGES.values():
        return markdown
    for name, of_site in ROOT_PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({of_site}")
    return markdown


def _links_of_the_root(text: str) -> str:
    """The text of a page of the root with the links that it has in docs/; a file that is no page stays a name."""
    text = re.sub(r"\]\(docs/", "](", text)
    for name, page in ROOT_PAGES.items():
        text = text.replace(f"]({name}", f"]({page}")
    return re.sub(r"\[([^\]]+)\]\((?:CITATION\.cff|LICENSE)\)", r"`\1`", text)
