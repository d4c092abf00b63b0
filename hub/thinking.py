"""Reasoning written into the text itself: ``<think>…</think>`` before the answer.

The tag counts only where models put it, at the very start (white space may precede it):
further on it is something that the answer talks about, and an answer that mentions the
tag must not disappear into the reasoning.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

__all__ = ["Thinking"]

OPEN: Final = "<think>"
CLOSE: Final = "</think>"
# White space in front of the tag is held back until the tag is seen; this much at most.
LEADING: Final = 256


class _Stage(Enum):
    BEFORE = auto()
    INSIDE = auto()
    AFTER = auto()


class Thinking:
    """Splits the text of one reply; the same for any cutting of it into pieces."""

    __slots__ = ("_held", "_stage")

    def __init__(self) -> None:
        self._stage = _Stage.BEFORE
        self._held = ""

    def split(self, piece: str) -> tuple[str, str]:
        """The reasoning and the text that can be given out after this piece."""
        if self._stage is _Stage.AFTER:
            return "", piece
        self._held += piece
        if self._stage is _Stage.BEFORE:
            return self._begin()
        return self._look_for_the_end()

    def rest(self) -> tuple[str, str]:
        """The reasoning and the text that were held back, at the end of the reply."""
        left, self._held = self._held, ""
        return (left, "") if self._stage is _Stage.INSIDE else ("", left)

    def _begin(self) -> tuple[str, str]:
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._stage = _Stage.INSIDE
            self._held = start[len(OPEN) :]
            return self._look_for_the_end()
        if OPEN.startswith(start) and len(self._held) <= LEADING:
            return "", ""
        self._stage = _Stage.AFTER
        return self.rest()

    def _look_for_the_end(self) -> tuple[str, str]:
        reasoning, tag, text = self._held.partition(CLOSE)
        if tag:
            self._stage = _Stage.AFTER
            self._held = ""
            return reasoning, text
        kept = _beginning_of_tag(reasoning)
        given = reasoning[: len(reasoning) - kept]
        self._held = reasoning[len(given) :]
        return given, ""


def _beginning_of_tag(text: str) -> int:
    """How many characters at the end of the text may be the first of the closing tag."""
    longest = min(len(text), len(CLOSE) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(CLOSE[:n])), 0)
