"""A terminal's screen: what is to be seen of text with the control sequences that pytest and rich write."""

from __future__ import annotations

import re

_PART = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r\n|[\r\n])|([^\x1b\r\n]+)")


class Screen:
    """Lines of text and a cursor; as high as need be."""

    def __init__(self):
        self.lines = [""]
        self.row = self.column = 0
        self.cursor_hidden = False

    def feed(self, text):
        """Write some text; raises AssertionError for a sequence that is not known here."""
        for values, name, newline, plain in _PART.findall(text):
            if name:
                self._control(values, name)
            elif newline:
                self.column = 0
                if "\n" in newline:  # a terminal takes a line feed as both
                    self.row += 1
                    self.lines += [""] * (self.row + 1 - len(self.lines))
            else:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + len(plain) :]
                self.column += len(plain)
        return self

    def _control(self, values, name):
        count = int(values) if values.isdigit() else 1
        if name == "A":
            self.row = max(0, self.row - count)
        elif name == "G":
            self.column = count - 1
        elif (name, values) == ("K", "2"):
            self.lines[self.row] = ""
        elif values == "?25" and name in "lh":
            self.cursor_hidden = name == "l"
        else:
            assert name == "m", (values, name)

    @property
    def text(self):
        """What is to be seen."""
        return "\n".join(line.rstrip() for line in self.lines).rstrip()
