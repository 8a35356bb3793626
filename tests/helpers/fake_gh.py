"""A ``gh`` for workflows that are executed here: the few calls that they make, on a GitHub that is a JSON file.

An option that the call doesn't have in GitHub's own gh is an error, so that a slip in a workflow shows.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

EMPTY = {"issues": [], "labels": [], "pulls": []}


def write_command(file: Path) -> None:
    """An executable ``gh``."""
    file.write_text(f'#!/bin/sh\nexec {sys.executable} -S {Path(__file__).resolve()} "$@"\n')
    file.chmod(0o755)


def state(path: Path) -> dict[str, list]:
    """What GitHub has; ``GH_STATE`` names the file."""
    return json.loads(path.read_text()) if path.exists() else json.loads(json.dumps(EMPTY))


def main(words: list[str]) -> int:
    place = Path(os.environ["GH_STATE"])
    assert os.environ["GH_TOKEN"]
    github = state(place)
    what, action, *rest = words
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for option in OPTIONS[what, action]:
        parser.add_argument(option, action="store_true" if option == "--force" else "store", default=None)
    if action in ("edit", "comment", "close") or what == "label":
        parser.add_argument("subject")
    given = parser.parse_args(rest)
    if (what, action) == ("issue", "list"):
        fits = [i for i in github["issues"] if i["state"] == given.state and given.label in i["labels"]]
        assert given.json == "number"
        assert given.jq == ".[0].number // empty"
        print(*[issue["number"] for issue in fits][:1])
    elif (what, action) == ("issue", "create"):
        assert given.label in github["labels"], "gh refuses a label that isn't there"
        body = Path(given.body_file).read_text()
        number = len(github["issues"]) + 1
        issue = {"number": number, "title": given.title, "body": body, "labels": [given.label]}
        github["issues"].append(issue | {"state": "open", "comments": []})
    elif what == "issue":
        (issue,) = [i for i in github["issues"] if str(i["number"]) == given.subject]
        if action == "edit":
            issue["body"] = Path(given.body_file).read_text()
        else:
            issue["comments"].append(given.body if action == "comment" else given.comment)
            issue["state"] = "closed" if action == "close" else issue["state"]
    elif what == "label":
        github["labels"].append(given.subject)
    else:
        github["pulls"].append({"base": given.base, "head": given.head, "title": given.title, "body": given.body})
    place.write_text(json.dumps(github))
    return 0


OPTIONS = {
    ("issue", "list"): ("--label", "--state", "--limit", "--json", "--jq"),
    ("issue", "create"): ("--title", "--label", "--body-file"),
    ("issue", "edit"): ("--body-file",),
    ("issue", "comment"): ("--body",),
    ("issue", "close"): ("--comment",),
    ("label", "create"): ("--force", "--color", "--description"),
    ("pr", "create"): ("--base", "--head", "--title", "--body"),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
