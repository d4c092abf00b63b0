"""The arguments of a tool call in pieces of JSON text, and where their value ends."""

from __future__ import annotations

import json
import re
from typing import Final

__all__ = ["Arguments"]

_MARK: Final = re.compile(r'[{}\[\]"]|\\(?:.|\Z)', re.DOTALL)
# What servers send for "no arguments", and the beginnings of that.
_NOTHING: Final = frozenset({"{}", "[]", '""', "null"})
_BEGINNINGS: Final = _NOTHING | {"", "{", "[", '"'}


class Arguments:
    """One JSON value in pieces; text that is not JSON, or is ``free`` to be any, has no end."""

    __slots__ = ("_depth", "_escaped", "_pieces", "_quoted", "begun", "whole")

    def __init__(self, *, free: bool = False) -> None:
        self._pieces: list[str] = []
        self._depth = -1 if free else 0
        self._quoted = False
        self._escaped = False
        self.begun = False
        """More than white space has come."""
        self.whole = False
        """The last character of the value has come."""

    @staticmethod
    def begins(text: str) -> bool:
        """Whether the text begins a value whose end can be recognized."""
        return text.lstrip()[:1] in ("{", "[", '"')

    @staticmethod
    def may_be_nothing(text: str) -> bool:
        """Whether the text means "no arguments", or may become that."""
        return len(text) < 100 and "".join(text.split()) in _BEGINNINGS

    @property
    def text(self) -> str:
        """All that has come."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def placeholder(self) -> bool:
        """Whether the value means "no arguments"."""
        return "".join(self.text.split()) in _NOTHING

    def add(self, text: str) -> str:
        """Add a piece; gives what follows the end of the value."""
        if self.whole:
            return text
        at = 0
        if not self.begun and (found := text.lstrip()):
            self.begun = True
            at = len(text) - len(found)
            if found == "null" and not self._depth:
                self._pieces.append(text)
                self.whole = True
                return ""
            if not self.begins(found):
                self._depth = -1
            elif found[0] == '"':
                self._quoted, at = True, at + 1
        end = self._end(text, at) if self.begun and self._depth >= 0 else 0
        self.whole = end > 0
        self._pieces.append(text[:end] if end else text)
        return text[end:] if end else ""

    def _end(self, text: str, at: int) -> int:
        """Where the value ends; 0 if it goes on."""
        if self._escaped and at < len(text):
            at += 1
            self._escaped = False
        for mark in _MARK.finditer(text, at):
            found = mark[0]
            if found[0] == "\\":
                self._escaped = len(found) == 1
            elif found == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += 1 if found in "{[" else -1
            if not self._quoted and self._depth <= 0 and found[0] != "\\":
                return mark.end()
        return 0

    def same(self, other: Arguments) -> bool:
        """Whether both are the same value, however they are written."""
        if not (self.whole and other.whole):
            return False
        if self.text.strip() == other.text.strip():
            return True
        if self.placeholder or other.placeholder:
            return self.placeholder and other.placeholder
        try:
            return bool(_read(self.text) == _read(other.text))
        except (ValueError, RecursionError):
            return False

    def begins_as(self, other: Arguments) -> bool:
        """Whether the other value begins with what has come of this one."""
        return "".join(other.text.split()).startswith("".join(self.text.split()))


def _read(text: str) -> object:
    # Numbers are compared as they are written: 1 is neither 1.0 nor true.
    return json.loads(text, parse_float=lambda n: ("float", n), parse_int=lambda n: ("int", n))
