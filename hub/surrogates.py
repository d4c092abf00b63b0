"""Surrogate pairs that a server cut in two: put together again, or made harmless.

Servers that cut their text by UTF-16 units (JavaScript, Java, C#) send an emoji as
``"abc\\ud83d"`` in one piece and ``"\\ude00xyz"`` in the next. Each half alone cannot be
encoded as UTF-8, so the first is carried over to the next piece of the same text. A half
that never finds its other becomes U+FFFD, as in Unicode 3.9, "Substitution of Maximal
Subparts".
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Surrogates", "after", "units", "whole", "without_halves"]

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# Half a surrogate pair in JSON text, escaped or as three bytes.
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\xed[\xa0-\xbf][\x80-\xbf]")


def without_halves(text: bytes) -> bytes:
    """JSON text with a space for every half of a pair, for parsers that take no lone ones."""
    return _HALF.sub(rb"\\u0020", text)


def whole(text: str) -> str:
    """The text with halves that stand side by side joined and lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # UTF-16 is where two halves side by side are one character.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Surrogates:
    """Joins the pieces of one text; every piece it gives out encodes as UTF-8."""

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def join(self, piece: str) -> str:
        """What can be given out now that this piece has come."""
        if not self._high:
            try:
                piece.encode()  # nearly always: there is nothing to do
            except UnicodeEncodeError:
                pass
            else:
                return piece
        held = self._high + piece
        if "\ud800" <= held[-1:] <= "\udbff":
            self._high, held = held[-1], held[:-1]
        else:
            self._high = ""
        return whole(held)

    def rest(self) -> str:
        """What is left at the end of the text: nothing, or U+FFFD for half a pair."""
        left = REPLACEMENT if self._high else ""
        self._high = ""
        return left


def units(text: str) -> int:
    """The length in UTF-16, in which a pair has the same whether it came cut or not."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def after(text: str, count: int) -> str:
    """What follows the first ``count`` units of a text."""
    if not count:
        return text
    if units(text) <= count:
        return ""
    rest = text.encode("utf-16-le", "surrogatepass")[2 * count :]
    return rest.decode("utf-16-le", "surrogatepass")
