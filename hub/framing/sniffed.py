"""Detect bodies that are not what was announced: HTML, a JSON object, another framing.

No two of these begin alike, so the first bytes decide which framing reads the body, from its
beginning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain
from typing import Final

from hub.domain.errors import FramingError
from hub.framing.chunk import BOM, DEFAULT_LIMIT, Chunk, Framing, Refused, too_large
from hub.framing.lines import NDJSON
from hub.framing.sse import SSE
from hub.framing.text import Text
from hub.framing.values import ConcatenatedJSON, JSONArray, JSONSeq

__all__ = ["Sniffed"]

_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_SSE_FIELDS: Final = (b":", b"data:", b"event:", b"id:", b"retry:", b"error:")
_LOOKED_AT: Final = max(map(len, _SSE_FIELDS))


class Sniffed:
    """The expected framing, unless the body begins like another.

    ==========================  =====================================  ====================
    first bytes, after space    if this was expected                   is read as
    ==========================  =====================================  ====================
    ``<``                       any                                    an error,
                                                                       ``upstream_html``
    0x1E                        any                                    `JSONSeq`
    ``{``                       `SSE`, `JSONArray`                     `ConcatenatedJSON`
    ``{`` alone on its line     `NDJSON`                               `ConcatenatedJSON`
    ``[``                       `SSE`, `NDJSON`                        `JSONArray`
    ``data:`` or another field  any but `SSE`                          `SSE`
    anything else               any                                    the one expected
    ==========================  =====================================  ====================

    `Text` may begin with anything, so it is never replaced. ``expected`` must be unused.
    """

    def __init__(self, expected: Framing, limit: int = DEFAULT_LIMIT) -> None:
        self._expected = expected
        self._limit = limit
        self._chosen: Framing | None = expected if isinstance(expected, Text) else None
        # All bytes before the choice; up to `_start` they are space or a byte order mark.
        self._buffer = bytearray()
        self._start = 0

    @property
    def chosen(self) -> Framing | None:
        """The framing that reads the body; None until the first bytes have decided it."""
        return self._chosen

    def feed(self, data: bytes) -> Iterable[Chunk]:
        if self._chosen is None:
            self._buffer += data
            self._chosen = self._detect()
            if self._chosen is None:
                return ()
            data = bytes(self._buffer)
            self._buffer.clear()
        return self._chosen.feed(data)

    def flush(self) -> Iterable[Chunk]:
        if self._chosen is not None:
            return self._chosen.flush()
        self._chosen = self._expected
        return chain(self._chosen.feed(bytes(self._buffer)), self._chosen.flush())

    def _detect(self) -> Framing | None:
        """The framing to use; None if more bytes are needed."""
        if not self._start and self._buffer.startswith(BOM):
            self._start = len(BOM)
        space = _SPACE.match(self._buffer, self._start)
        self._start = space.end() if space else self._start
        if self._start > self._limit:
            return Refused(too_large(self._limit))
        if not self._start and BOM.startswith(self._buffer):
            return None
        return self._choose(bytes(self._buffer[self._start : self._start + _LOOKED_AT]))

    def _choose(self, opening: bytes) -> Framing | None:
        expected, limit = self._expected, self._limit
        match opening[:1]:
            case b"":
                return None
            case b"<":
                return Refused(
                    FramingError(
                        "the upstream replied with an HTML page: check its url",
                        code="upstream_html",
                    )
                )
            case b"\x1e":
                return JSONSeq(limit)
            case b"{" if isinstance(expected, SSE | JSONArray):
                return ConcatenatedJSON(limit)
            case b"{" if isinstance(expected, NDJSON):
                return self._lines_or_one_object(opening[1:])
            case b"[" if isinstance(expected, SSE | NDJSON):
                return JSONArray(limit)
        if isinstance(expected, SSE):
            return expected
        if opening.startswith(_SSE_FIELDS):
            return SSE(limit)
        begun = any(field.startswith(opening) for field in _SSE_FIELDS)
        return None if begun else expected

    def _lines_or_one_object(self, after_brace: bytes) -> Framing | None:
        """Error objects are often indented; no line of NDJSON is a lone brace."""
        rest = after_brace.lstrip(b" \t\r")
        if not rest and len(after_brace) < _LOOKED_AT - 1:
            return None
        return ConcatenatedJSON(self._limit) if rest.startswith(b"\n") else self._expected
