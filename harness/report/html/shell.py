"""The shell of every HTML page: jinja2 templates with everything escaped, a strict policy, and the page's data as JSON.

A page is one file. Its policy lets it run the scripts that it is made with, by their hashes, and no other, and lets it
fetch nothing but pictures from its own place: whatever stands in a prompt, a name or an error stays a text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from harness.report.html.plotly_library import plotly_library, script_policy
from harness.report.ranking_data import finite

_PACKAGE = "harness.report.html"


def fragment(template: str, **context: Any) -> str:
    """A part of a page from a template, every text in ``context`` escaped: what a notebook shows of an object."""
    return _templates().get_template(template).render(**context)


def render(
    template: str,
    *,
    title: str,
    data: Any = None,
    css: Sequence[str] = (),
    scripts: Sequence[str] = (),
    plotly: bool = False,
    **context: Any,
) -> str:
    """A page's text from a template that extends ``base.html.j2``; the same text for the same arguments.

    ``data`` is plain JSON data, which the scripts find as ``page.data``; numbers that are not finite become null.
    ``css`` and ``scripts`` name files in ``static/``, which follow ``base.css`` and ``base.js``; the scripts are one
    program, in this order. ``plotly`` puts plotly.js into the page for ``page.chart()``. ``context`` goes to the
    template.
    """
    program = '"use strict";\n' + "\n".join(map(_static, ("base.js", *scripts)))
    library = plotly_library() if plotly else None
    allowed = " ".join([script_policy(program), *([library.policy] if library else [])])
    return (
        _templates()
        .get_template(template)
        .render(
            title=title,
            # A browser takes a page from disk for its own origin or for none: file: lets pictures beside it be seen.
            policy=Markup(  # noqa: S704 - no text of anybody's
                f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
                "img-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'"
            ),
            css=Markup("\n".join(map(_static, ("base.css", *css)))),  # noqa: S704 - files of this package
            scripts=[Markup(program)],  # noqa: S704
            data=None if data is None else _json(data),
            plotly=library.packed if library else "",
            **context,
        )
    )


def _json(data: Any) -> Markup:
    """JSON for a script element, which only ``</`` and ``<!--`` could end: no ``<`` is left in it."""
    text = json.dumps(finite(data), allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


@cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@cache
def _static(name: str) -> str:
    # Through jinja's loader, so that a package in an archive works, too.
    loader = jinja2.PackageLoader(_PACKAGE, "static")
    return loader.get_source(_templates(), name)[0].replace("\r\n", "\n")
