"""Escape Unicode line separators in JSON, for readers that end lines at them.

Server-sent events and NDJSON end lines with LF or CR. Python's ``str.splitlines``, and readers
built on it, also split at U+2028, U+2029 and U+0085, which JSON allows unescaped inside a string
(RFC 8259 section 7). Escaped, they are the same string to every JSON parser.
"""

from __future__ import annotations

from typing import Final

__all__ = ["escape_line_separators"]

_NEXT_LINE: Final = "\u0085".encode()
_LINE: Final = "\u2028".encode()
_PARAGRAPH: Final = "\u2029".encode()
# The first bytes of the three. In CJK text they occur only in punctuation.
_BEFORE_NEXT_LINE: Final = _NEXT_LINE[:1]
_BEFORE_LINE: Final = _LINE[:1]


def escape_line_separators(frame: bytes) -> bytes:
    """A frame of JSON texts, with those three characters as ``\\u`` escapes.

    This runs once for every frame, and searching is what it costs. So it searches first for
    what most frames lack, and with ``find``, which takes half the time of ``in``.
    """
    if frame.isascii():
        return frame
    if frame.find(_BEFORE_LINE) >= 0:
        if frame.find(_LINE) >= 0:
            frame = frame.replace(_LINE, b"\\u2028")
        if frame.find(_PARAGRAPH) >= 0:
            frame = frame.replace(_PARAGRAPH, b"\\u2029")
    if frame.find(_BEFORE_NEXT_LINE) >= 0 and frame.find(_NEXT_LINE) >= 0:
        frame = frame.replace(_NEXT_LINE, b"\\u0085")
    return frame
