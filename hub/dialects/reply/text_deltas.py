"""What a model says, as a dialect hears it: pieces of text, of reasoning, of a refusal.

Each of the three is one text, whose surrogate pairs may be cut between pieces, and what is
held back comes with the next piece or at the end. With ``think`` the reasoning that stands
in the text itself, between ``<think>`` and ``</think>``, is told apart from it.

A refusal is what the model says instead of an answer: it is given as text, marked by
``"refusal": true`` beside it.

Some servers send the whole once more after the pieces. Of that only what the pieces lacked is
given (`lacks`): the same is ignored, one that goes on is completed, and another is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from hub.dialects.reply.think_tags import CLOSING, Thinking
from hub.domain.events import Delta
from hub.domain.surrogates import Surrogates, whole

__all__ = ["CLOSING", "Said", "TextDeltas"]

REFUSAL: Final[Mapping[str, Any]] = {"refusal": True}


class Said:
    """One text in pieces: given out in whole characters, and remembered as a digest."""

    __slots__ = ("_digest", "_halves", "length", "pieces")

    def __init__(self) -> None:
        self._halves = Surrogates()
        self._digest = blake2b(digest_size=16)
        self.length = 0
        """Characters that were given out."""
        self.pieces = 0
        """How many there were that said something."""

    def join(self, piece: str) -> str:
        """What can be given out now that this piece has come."""
        if not piece:
            return ""
        self.pieces += 1
        text = self._halves.join(piece)
        self.length += len(text)
        self._digest.update(text.encode())
        return text

    def rest(self) -> str:
        """What is left at the end of the text."""
        return self._halves.rest()

    def lacks(self, text: str) -> str:
        """What the whole text adds to the pieces: nothing if it is another text than theirs."""
        text = whole(text)
        if len(text) <= self.length or not self._begins(text):
            return ""
        self._halves = Surrogates()  # a half that was held stands in the whole, too
        return text[self.length :]

    def repeats(self, text: str) -> bool:
        """Whether this is all that was said in several pieces, once more."""
        text = whole(text)
        return self.pieces > 1 and len(text) == self.length and self._begins(text)

    def _begins(self, text: str) -> bool:
        begun = blake2b(text[: self.length].encode(), digest_size=16)
        return begun.digest() == self._digest.digest()


class TextDeltas:
    """The deltas of one reply; none of them is empty."""

    __slots__ = ("_reasoning", "_refusal", "_text", "_thinking")

    def __init__(self, *, think: bool | str = False) -> None:
        self._text = Said()
        self._reasoning = Said()
        self._refusal = Said()
        self._thinking = Thinking(opened=think == CLOSING) if think else None

    @property
    def begun(self) -> bool:
        """Whether anything was said."""
        return bool(self._text.pieces or self._reasoning.pieces or self._refusal.pieces)

    @property
    def length(self) -> int:
        """Characters of text that were given out."""
        return self._text.length

    def say(self, piece: str) -> list[Delta]:
        """More of the text."""
        text = self._text.join(piece)
        if self._thinking is not None:
            return _told(*self._thinking.split(text))
        return [Delta(text=text)] if text else []

    def say_last(self, piece: str) -> list[Delta]:
        """The last piece of the text, unless it is all of it once more."""
        return [] if self._text.repeats(piece) else self.say(piece)

    def say_whole(self, text: str) -> list[Delta]:
        """All of the text: what the pieces of it lacked."""
        return self.say(self._text.lacks(text))

    def reason_whole(self, text: str) -> list[Delta]:
        """All of the reasoning: what the pieces of it lacked."""
        return self.reason(self._reasoning.lacks(text))

    def refuse_whole(self, text: str) -> list[Delta]:
        """All of the refusal: what the pieces of it lacked."""
        return self.refuse(self._refusal.lacks(text))

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
