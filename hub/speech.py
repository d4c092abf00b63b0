"""What a model says, as a dialect hears it: pieces of text, of reasoning, of a refusal.

Each of the three is one text, whose surrogate pairs may be cut between pieces, and what is
held back comes with the next piece or at the end. With ``think`` the reasoning that stands
in the text itself, between ``<think>`` and ``</think>``, is told apart from it.

A refusal is what the model says instead of an answer: it is given as text, marked by
``"refusal": true`` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.events import Delta
from hub.surrogates import Surrogates
from hub.thinking import Thinking

__all__ = ["Speech"]

REFUSAL: Final[Mapping[str, Any]] = {"refusal": True}


class Speech:
    """The deltas of one reply; none of them is empty."""

    __slots__ = ("_reasoning", "_refusal", "_text", "_thinking")

    def __init__(self, *, think: bool = False) -> None:
        self._text = Surrogates()
        self._reasoning = Surrogates()
        self._refusal = Surrogates()
        self._thinking = Thinking() if think else None

    def say(self, piece: str) -> list[Delta]:
        """More of the text."""
        text = self._text.join(piece)
        if self._thinking is not None:
            return _told(*self._thinking.split(text))
        return [Delta(text=text)] if text else []

    def reason(self, piece: str) -> list[Delta]:
        """More of the reasoning."""
        return _told(self._reasoning.join(piece), "")

    def refuse(self, piece: str) -> list[Delta]:
        """More of a refusal."""
        text = self._refusal.join(piece)
        return [Delta(text=text, extra=REFUSAL)] if text else []

    def rest(self) -> list[Delta]:
        """What was held back, at the end of the reply."""
        found = _told(self._reasoning.rest(), "")
        left = self._text.rest()
        if self._thinking is None:
            found += _told("", left)
        else:
            found += _told(*self._thinking.split(left)) + _told(*self._thinking.rest())
        if text := self._refusal.rest():
            found.append(Delta(text=text, extra=REFUSAL))
        return found


def _told(reasoning: str, text: str) -> list[Delta]:
    said = Delta(reasoning=reasoning), Delta(text=text)
    return [delta for delta in said if delta.reasoning or delta.text]
