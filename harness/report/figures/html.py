"""One HTML page for all figures, complete in itself: plotly.js and every number are in it, and nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Sequence
from functools import cache
from itertools import groupby

from harness.report.figures.html_traces import interactive
from harness.report.figures.sheet import Sheet

# The browser is told to fetch nothing, whatever plotly.js may ask for (it knows addresses of map tiles).
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = """
:root { color-scheme: light; }
body { background: #fff; color: #1a1a1a; font: 15px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif;
       max-width: 920px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 18px; margin-top: 40px; border-bottom: 1px solid #c9c9c9; }
h3 { font-size: 15px; margin: 28px 0 2px; }
figure { margin: 0; overflow-x: auto; } p { color: #5f5f5f; font-size: 13px; margin: 0 0 6px; }
nav { font-size: 13px; columns: 2; } nav ul { margin: 0; padding-left: 18px; } a { color: #0072b2; }
.failed { color: #b00020; }
"""
_SCRIPT = """
(async () => {
  try {
    const bytes = Uint8Array.from(atob(document.getElementById("plotly").textContent), c => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const library = document.createElement("script");
    library.textContent = await new Response(stream).text();
    document.head.append(library);
    for (const part of document.querySelectorAll("script[type='application/json']")) {
      const spec = JSON.parse(part.textContent);
      await Plotly.newPlot(part.previousElementSibling, spec.data, spec.layout, spec.config);
    }
  } catch (error) {
    const said = document.createElement("p");
    said.className = "failed";
    said.textContent = "The figures could not be drawn (" + error + "); they need a browser of 2023 or later.";
    document.querySelector("h1").after(said);
  }
})();
"""


def page(title: str, sheets: Sequence[Sheet]) -> str:
    """The page's text: sheets under their sections, in their order. The same text for the same sheets.

    plotly.js is there once, gzipped: 2.0 MB rather than 4.8. The browser unpacks it.
    """
    sections = [(name, list(group)) for name, group in groupby(sheets, key=lambda sheet: sheet.section)]
    links = "".join(f'<li><a href="#{_text(s.name)}">{_text(s.title)}</a></li>' for s in sheets)
    body = "".join(f"<h2>{_text(name)}</h2>\n" + "".join(map(_figure, group)) for name, group in sections)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{_text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_text(title)}</h1>\n"
        f"<noscript>The figures are drawn by a script; the PNG files beside this page need none.</noscript>\n"
        f"<nav><ul>{links}</ul></nav>\n{body}"
        f'<script type="text/plain" id="plotly">{_library()}</script>\n<script>{_SCRIPT}</script>\n</body>\n</html>\n'
    )


def _figure(sheet: Sheet) -> str:
    # In a script nothing but "</" and "<!--" ends the text: no "<" is left in the JSON.
    spec = json.dumps(interactive(sheet), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<h3 id="{_text(sheet.name)}">{_text(sheet.title)}</h3>\n<p>{_text(sheet.caption)}</p>\n'
        f'<figure><div></div><script type="application/json">{spec}</script></figure>\n'
    )


def _text(words: str) -> str:
    return html.escape(words, quote=True)


@cache
def _library() -> str:
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()
