"""Reasoning written into the text itself: ``<think>…</think>`` before the answer.

The tag counts only where models put it: at the very start, or after white space. Further on the
answer may be talking about the tag, and must not disappear into the reasoning. Directly after a
closing tag it counts once more: Bedrock's OpenAI endpoint wraps each streamed piece of reasoning in
a pair of its own.

With some templates the prompt ends with the opening tag, so only the closing one comes: everything
before it is reasoning. The option ``think`` of a dialect is true for the first kind and
``"closing"`` for the second.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

__all__ = ["CLOSING", "Thinking"]

CLOSING: Final = "closing"
"""The value of the option ``think`` for servers whose prompt has the opening tag."""

# Most models; Gemini's and Bedrock's OpenAI endpoints.
TAGS: Final = {"<think>": "</think>", "<thought>": "</thought>", "<reasoning>": "</reasoning>"}
# Characters of white space that are held back while the tag may still come.
LEADING: Final = 256


class _Stage(Enum):
    BEFORE = auto()
    INSIDE = auto()
    BETWEEN = auto()
    AFTER = auto()


class Thinking:
    """Splits the text of one reply, whatever the pieces it comes in.

    ``opened`` means that the opening tag stands in the prompt; it may still be repeated.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self._stage = _Stage.BEFORE
        self._opened = opened
        self._held = self._open = self._close = ""

    def split(self, piece: str) -> tuple[str, str]:
        """Add a piece; gives the reasoning and the text that are certain now."""
        if self._stage is _Stage.AFTER:
            return "", piece
        self._held += piece
        reasoning = ""
        while self._opens():
            reasoning += self._take_reasoning()
            if self._stage is _Stage.INSIDE:
                return reasoning, ""
        return reasoning, self._answer()

    def rest(self) -> tuple[str, str]:
        """The reasoning and the text still held back, at the end of the reply."""
        left, self._held = self._held, ""
        before = self._stage is _Stage.BEFORE and self._opened and bool(left.strip())
        return (left, "") if before or self._stage is _Stage.INSIDE else ("", left)

    def _answer(self) -> str:
        """The held text, once it is certain to be the answer."""
        return self.rest()[1] if self._stage is _Stage.AFTER else ""

    def _opens(self) -> bool:
        """Whether the held text is reasoning; false too while that is not certain."""
        if self._stage is _Stage.INSIDE:
            return True
        first = self._stage is _Stage.BEFORE
        start = self._held.lstrip() if first else self._held
        tags = TAGS if first else (self._open,)
        for tag in tags:
            if start.startswith(tag):
                self._stage, self._open, self._close = _Stage.INSIDE, tag, TAGS[tag]
                self._held = start[len(tag) :]
                return True
        if len(self._held) > LEADING or not any(tag.startswith(start) for tag in tags):
            if first and self._opened:
                self._stage, (self._open, self._close) = _Stage.INSIDE, next(iter(TAGS.items()))
                return True
            self._stage = _Stage.AFTER
        return False

    def _take_reasoning(self) -> str:
        """The reasoning up to the closing tag, or up to what may be the beginning of that tag."""
        reasoning, tag, after = self._held.partition(self._close)
        if tag:
            self._stage, self._held = _Stage.BETWEEN, after
            return reasoning
        longest = min(len(reasoning), len(self._close) - 1)
        lengths = (n for n in range(longest, 0, -1) if reasoning.endswith(self._close[:n]))
        end = len(reasoning) - next(lengths, 0)
        self._held = reasoning[end:]
        return reasoning[:end]
