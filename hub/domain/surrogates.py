"""Join surrogate pairs that a server cut in two, or replace lone surrogates.

Servers that cut their text into UTF-16 units (JavaScript, Java, C#) send an emoji as
``"abc\\ud83d"`` in one piece and ``"\\ude00xyz"`` in the next. Each half alone cannot be encoded as
UTF-8, so the first is carried over to the next piece of the same text. A half without its
counterpart becomes U+FFFD, as in Unicode 3.9, "Substitution of Maximal Subparts".

Servers that cut their text into bytes leave part of a character at the end of one JSON string and
the rest at the start of the next. Until the character is complete, such bytes are held in the form
of Python's ``surrogateescape``, 0x9F as U+DC9F.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["Surrogates", "after", "units", "whole", "with_cut_bytes", "without_halves"]

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# Half a surrogate pair in JSON text, escaped or as three bytes.
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\xed[\xa0-\xbf][\x80-\xbf]")


# Part of a UTF-8 character at the start or the end of a JSON string.
_CUT: Final = re.compile(
    rb'(?<=")[\x80-\xbf]{1,3}'
    rb'|(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2})(?=")'
)
# Bytes held in a text, as opposed to the second half of a pair.
_BYTES: Final = re.compile("(?<![\ud800-\udbff])[\udc80-\udcff]+")
_LEFT: Final = re.compile(
    "(?:[\udcc2-\udcdf]|[\udce0-\udcef][\udc80-\udcbf]?|[\udcf0-\udcf4][\udc80-\udcbf]{0,2})\\Z"
)


def with_cut_bytes(text: bytes) -> bytes:
    """JSON text in which the parts of characters at the ends of strings are escaped."""
    return _CUT.sub(lambda cut: b"".join(b"\\udc%02x" % byte for byte in cut[0]), text)


def _character(match: re.Match[str]) -> str:
    return match[0].encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def without_halves(text: bytes) -> bytes:
    """JSON text with spaces for surrogates, for parsers that refuse lone ones."""
    return _HALF.sub(rb"\\u0020", text)


def whole(text: str) -> str:
    """The text with adjacent halves joined and lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # In UTF-16 two adjacent halves are one character.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Surrogates:
    """Joins the pieces of one text; every piece that it returns can be encoded as UTF-8."""

    __slots__ = ("_high",)

    def __init__(self) -> None:
        self._high = ""

    def join(self, piece: str) -> str:
        """Add a piece, and return the text that is complete."""
        if not self._high:
            try:
                piece.encode()  # nearly always succeeds
            except UnicodeEncodeError:
                pass
            else:
                return piece
        text = self._high + piece
        left = _LEFT.search(text, max(0, len(text) - 3))
        if "\ud800" <= text[-1:] <= "\udbff":
            end = len(text) - 1
        elif left is not None and not "\ud800" <= text[left.start() - 1 : left.start()] <= "\udbff":
            end = left.start()
        else:
            end = len(text)
        text, self._high = text[:end], text[end:]
        return whole(_BYTES.sub(_character, text))

    def rest(self) -> str:
        """The rest at the end of the text: empty, or U+FFFD for half a pair."""
        left = REPLACEMENT if self._high else ""
        self._high = ""
        return left


def units(text: str) -> int:
    """The length in UTF-16, in which a pair counts the same whether it was cut or not."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def after(text: str, count: int) -> str:
    """The text without its first ``count`` UTF-16 units."""
    if not count:
        return text
    if units(text) <= count:
        return ""
    rest = text.encode("utf-16-le", "surrogatepass")[2 * count :]
    return rest.decode("utf-16-le", "surrogatepass")
