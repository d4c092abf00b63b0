"""Reasoning that goes back to its provider whole and where it stood, though nothing is signed.

Mistral has it as ``thinking`` parts among those of the text, Ollama as ``thinking`` of the message.
Both recommend to send it with the conversation, and their templates leave out what is too old.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from hub.domain.events import Delta
from hub.domain.provider_fields import MOST, Details

__all__ = ["THINKING", "Thoughts"]

THINKING: Final = "thinking"
"""The format of these details, which is the name of the field."""


class Thoughts:
    """Collects the reasoning of one reply."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[str]] = {}
        """The reasoning by the characters of text before it."""
        self._length = 0

    def add(self, deltas: Iterable[Delta], before: int = 0) -> None:
        """Take reasoning as it was given out, after so many characters of text."""
        for delta in deltas:
            self._pieces.setdefault(before, []).append(delta.reasoning)
            self._length += len(delta.reasoning)

    def deltas(self) -> list[Delta]:
        """The details at the end of the reply; none if there is too much reasoning to keep."""
        if self._length > MOST:
            return []
        details = Details(THINKING)
        wholes = ((before, "".join(pieces)) for before, pieces in self._pieces.items())
        return [details.of("text", before, text=text) for before, text in wholes if text]
