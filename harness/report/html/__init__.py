"""HTML pages that open from disk: the report of a run, and the shell that other pages are made in."""
