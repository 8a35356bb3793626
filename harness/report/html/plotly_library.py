"""plotly.js as pages carry it: gzipped inside the page, 2.0 MB rather than 4.8, so that nothing is fetched."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from typing import NamedTuple


class PlotlyLibrary(NamedTuple):
    """``packed`` is the script, gzipped, in base64; ``policy`` its source expression in a page's policy."""

    packed: str
    policy: str


@cache
def plotly_library() -> PlotlyLibrary:
    """The plotly.js that the installed plotly brings; the same text in every call and every process."""
    # Here: loading plotly takes time, and most commands draw nothing.
    from plotly.offline import get_plotlyjs

    script = get_plotlyjs().replace("\r\n", "\n").encode()
    return PlotlyLibrary(base64.b64encode(gzip.compress(script, 6, mtime=0)).decode(), script_policy(script.decode()))


def script_policy(script: str) -> str:
    """What lets a page run exactly this script: ``'sha256-...'``."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
