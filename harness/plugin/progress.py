"""How far a run is: one line from time to time."""

from __future__ import annotations

from harness.report.text import duration

_INTERVAL = 10.0  # seconds between two lines


class Progress:
    """Counts the tests of a run that are done."""

    def __init__(self) -> None:
        self.done = 0
        self._began = self._last_line = 0.0

    def after_test(self, total: int, now: float) -> str | None:
        """Count one more test of ``total``; the line to print, None where the last one is too recent.

        ``now`` is in seconds, on any clock. The time that is left is estimated from the tests after the first, which
        also measures the control.
        """
        self.done += 1
        if self.done == 1:
            self._began = self._last_line = now
        left = total - self.done
        if now - self._last_line < _INTERVAL or left <= 0:
            return None
        self._last_line = now
        seconds = (now - self._began) / (self.done - 1) * left
        return f"{self.done} of {total} tests, about {duration(seconds)} left"
