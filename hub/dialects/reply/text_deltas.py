"""The deltas of one reply: its text, its reasoning and its refusal.

Each of the three arrives in pieces, which may cut surrogate pairs; half a pair is held back until
the next piece or the end. With ``think``, reasoning that stands in the text itself, between
``<think>`` and ``</think>``, is told apart from it.

A refusal is what the model says instead of an answer. It is given as text, with
``"refusal": true`` beside it.

Some servers repeat the whole text after its pieces. Only what the pieces lacked is given then
(`TextPieces.lacks`): the same text adds nothing, a longer one adds its end, and a different one is
ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final, Literal

from hub.dialects.reply.think_tags import CLOSING, Thinking
from hub.domain.events import Delta
from hub.domain.surrogates import Surrogates, whole

__all__ = ["CLOSING", "Kind", "TextDeltas", "TextPieces"]

Kind = Literal["text", "reasoning", "refusal"]

REFUSAL: Final[Mapping[str, Any]] = {"refusal": True}


class TextPieces:
    """One text in pieces: given out in whole characters, and remembered as a digest."""

    def __init__(self) -> None:
        self._halves = Surrogates()
        self._digest = blake2b(digest_size=16)
        self.length = 0
        """Characters given out."""
        self.pieces = 0
        """Pieces that were not empty."""

    def join(self, piece: str) -> str:
        """Add a piece; gives the text that is complete now."""
        if not piece:
            return ""
        self.pieces += 1
        text = self._halves.join(piece)
        self.length += len(text)
        self._digest.update(text.encode())
        return text

    def rest(self) -> str:
        """The text still held back, at the end."""
        return self._halves.rest()

    def lacks(self, text: str) -> str:
        """What the whole text adds to the pieces; nothing if it does not begin with them."""
        text = whole(text)
        if len(text) <= self.length or not self._begins(text):
            return ""
        self._halves = Surrogates()  # the whole text holds the other half, too
        return text[self.length :]

    def repeats(self, text: str) -> bool:
        """Whether this repeats all that came in several pieces."""
        text = whole(text)
        return self.pieces > 1 and len(text) == self.length and self._begins(text)

    def _begins(self, text: str) -> bool:
        begun = blake2b(text[: self.length].encode(), digest_size=16)
        return begun.digest() == self._digest.digest()


class TextDeltas:
    """The deltas of one reply; none of them is empty."""

    def __init__(self, *, think: bool | str = False) -> None:
        self._text = TextPieces()
        self._reasoning = TextPieces()
        self._refusal = TextPieces()
        self._thinking = Thinking(opened=think == CLOSING) if think else None

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return bool(self._text.pieces or self._reasoning.pieces or self._refusal.pieces)

    @property
    def length(self) -> int:
        """Characters of text given out."""
        return self._text.length

    def say(self, piece: str) -> list[Delta]:
        """More of the text."""
        text = self._text.join(piece)
        if self._thinking is not None:
            return _deltas(*self._thinking.split(text))
        return [Delta(text=text)] if text else []

    def reason(self, piece: str) -> list[Delta]:
        """More of the reasoning."""
        return _deltas(self._reasoning.join(piece), "")

    def refuse(self, piece: str) -> list[Delta]:
        """More of a refusal."""
        text = self._refusal.join(piece)
        return [Delta(text=text, extra=REFUSAL)] if text else []

    def add(self, kind: Kind, piece: str) -> list[Delta]:
        """More of a text of this kind."""
        if kind == "text":
            return self.say(piece)
        return self.reason(piece) if kind == "reasoning" else self.refuse(piece)

    def add_last(self, kind: Kind, piece: str) -> list[Delta]:
        """The last piece, in which some servers repeat all of the text."""
        return [] if kind == "text" and self._text.repeats(piece) else self.add(kind, piece)

    def add_whole(self, kind: Kind, text: str) -> list[Delta]:
        """A whole text: what its pieces lacked."""
        texts = {"text": self._text, "reasoning": self._reasoning, "refusal": self._refusal}
        return self.add(kind, texts[kind].lacks(text))

    def rest(self) -> list[Delta]:
        """What was held back, at the end of the reply."""
        found = _deltas(self._reasoning.rest(), "")
        left = self._text.rest()
        if self._thinking is None:
            found += _deltas("", left)
        else:
            found += _deltas(*self._thinking.split(left)) + _deltas(*self._thinking.rest())
        if text := self._refusal.rest():
            found.append(Delta(text=text, extra=REFUSAL))
        return found


def _deltas(reasoning: str, text: str) -> list[Delta]:
    found = Delta(reasoning=reasoning), Delta(text=text)
    return [delta for delta in found if delta.reasoning or delta.text]
