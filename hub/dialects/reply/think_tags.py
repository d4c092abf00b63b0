"""Reasoning written into the text itself: ``<think>…</think>`` before the answer.

The tag counts only where models put it, at the very start (white space may precede it):
further on it is something that the answer talks about, and an answer that mentions the
tag must not disappear into the reasoning. Right after its end it counts once more, because
Bedrock's OpenAI endpoint wraps each streamed piece of reasoning in a pair of its own.

Some templates end the prompt with the opening tag, so that only the closing one comes: all
before it is reasoning.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

__all__ = ["CLOSING", "Thinking"]

CLOSING: Final = "closing"
"""The value of the option ``think`` for servers whose prompt has the opening tag."""

# What the tag is called: by most models; by Gemini's and by Bedrock's OpenAI endpoint.
TAGS: Final = {
    "<think>": "</think>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
}
# White space in front of the tag is held back until the tag is seen; this much at most.
LEADING: Final = 256


class _Stage(Enum):
    BEFORE = auto()
    INSIDE = auto()
    BETWEEN = auto()
    AFTER = auto()


class Thinking:
    """Splits the text of one reply; the same for any cutting of it into pieces.

    ``opened`` if the tag stands in the prompt. It may still come once more.
    """

    __slots__ = ("_close", "_held", "_open", "_opened", "_stage")

    def __init__(self, *, opened: bool = False) -> None:
        self._stage = _Stage.BEFORE
        self._opened = opened
        self._held = self._open = self._close = ""

    def split(self, piece: str) -> tuple[str, str]:
        """The reasoning and the text that can be given out after this piece."""
        if self._stage is _Stage.AFTER:
            return "", piece
        self._held += piece
        reasoning = ""
        while self._opens():
            reasoning += self._thought()
            if self._stage is _Stage.INSIDE:
                return reasoning, ""
        return reasoning, self._answer()

    def rest(self) -> tuple[str, str]:
        """The reasoning and the text that were held back, at the end of the reply."""
        left, self._held = self._held, ""
        before = self._stage is _Stage.BEFORE and self._opened and bool(left.strip())
        return (left, "") if before or self._stage is _Stage.INSIDE else ("", left)

    def _answer(self) -> str:
        """What is held of the answer, once it is known to be that."""
        return self.rest()[1] if self._stage is _Stage.AFTER else ""

    def _opens(self) -> bool:
        """Whether what is held is reasoning; false too while that cannot be known."""
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

    def _thought(self) -> str:
        """The reasoning up to the closing tag, or all but what may be the beginning of one."""
        reasoning, tag, after = self._held.partition(self._close)
        if tag:
            self._stage, self._held = _Stage.BETWEEN, after
            return reasoning
        kept = _beginning_of_tag(reasoning, self._close)
        given = reasoning[: len(reasoning) - kept]
        self._held = reasoning[len(given) :]
        return given


def _beginning_of_tag(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the first of the closing tag."""
    longest = min(len(text), len(tag) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(tag[:n])), 0)
