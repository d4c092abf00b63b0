"""Find the line number of each key in a TOML text, for error messages.

``tomllib`` does not report where values are, so this walks over the same text again and records
keys. It requires valid TOML (parse it with ``tomllib`` first). So it only has to know where things
end, and not whether they are valid: a string ends at its own kind of quote, a bare value at a
comma, a bracket, a comment or the end of the line. It follows TOML v1.0.0, sections Keys, String,
Table, Inline Table and Array of Tables; line breaks inside inline tables (v1.1.0) work, too.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

__all__ = ["Key", "key_lines"]

# The path to a value: names of tables and keys, and array indices from 0.
Key = tuple[str | int, ...]

_BLANK: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE: Final = re.compile(r"[ \t]*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE: Final = re.compile(r"[^,\]}#\n]*")
# Multi-line strings come first, because they start like the others. One may end with two quotes of
# its own before the closing three, hence up to five.
_STRING: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'", re.DOTALL
)


def key_lines(text: str) -> dict[Key, int]:
    """The line, from 1, of each key, table header and array element of a valid TOML text.

    A table without a header has the line of the first key that implies it.
    """
    return _Walk(text).document()


class _Walk:
    """One pass over the text; ``at`` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.counted = 0  # how far line breaks have been counted
        self.lines: dict[Key, int] = {}
        self.elements: dict[Key, int] = {}  # of each array of tables, so far

    def document(self) -> dict[Key, int]:
        table: Key = ()
        self._skip(_BLANK)
        while self.at < len(self.text):
            if self.text.startswith("[[", self.at):
                table = self._array_header()
            elif self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self.lines

    def _header(self) -> Key:
        self.at += 1
        line, name = self._line(), self._name()
        self.at += 1
        table = self._note((), name, line)
        self.lines[table] = line
        return table

    def _array_header(self) -> Key:
        self.at += 2
        line, name = self._line(), self._name()
        self.at += 2
        array = self._note((), name[:-1], line) + name[-1:]
        place = self.elements.get(array, 0)
        self.elements[array] = place + 1
        self.lines.setdefault(array, line)
        self.lines[(*array, place)] = line
        return (*array, place)

    def _pair(self, table: Key) -> None:
        key = self._note(table, self._name(), self._line())
        self.at += 1  # the equals sign, where _name stopped
        self._skip(_SPACE)
        self._value(key)

    def _value(self, key: Key) -> None:
        start = self.text[self.at]
        if start == "[":
            self._array(key)
        elif start == "{":
            self._inline_table(key)
        elif start in "\"'":
            self._take(_STRING)
        else:
            self._take(_BARE_VALUE)

    def _array(self, key: Key) -> None:
        place = 0
        while self._more("]"):
            self.lines[(*key, place)] = self._line()
            self._value((*key, place))
            place += 1

    def _inline_table(self, key: Key) -> None:
        while self._more("}"):
            self._pair(key)

    def _more(self, end: str) -> bool:
        """Skip the opening bracket or the comma between two elements; false at the end."""
        self._skip(_BLANK)
        if self.text[self.at] in "[{,":
            self.at += 1
        self._skip(_BLANK)
        if self.text[self.at] != end:
            return True
        self.at += 1
        return False

    def _name(self) -> tuple[str, ...]:
        """Read a dotted key and the space after it."""
        parts: list[str] = []
        while True:
            self._skip(_SPACE)
            quoted = self.text[self.at] in "\"'"
            part = self._take(_STRING if quoted else _BARE_KEY)
            parts.append(tomllib.loads(f"is = {part}")["is"] if quoted else part)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def _note(self, table: Key, name: tuple[str, ...], line: int) -> Key:
        """Record every step of a dotted key; a step into an array means its last table."""
        key = table
        for part in name:
            key = (*key, part)
            self.lines.setdefault(key, line)
            if key in self.elements:
                key = (*key, self.elements[key] - 1)
        return key

    def _line(self) -> int:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None, "the text is not valid TOML"  # noqa: S101
        self.at = found.end()
        return found[0]
