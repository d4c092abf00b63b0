"""JSON values without line ends: one after another, after 0x1E, or in an array.

Two parts share the work. A scanner finds *where* a value ends: it only follows strings and
brackets, and cuts the value out of the original bytes. ijson decides *whether* it is JSON,
and whether what is between the values (brackets, commas, nothing) is valid.

ijson does not do the cutting, because values that it builds do not survive being written
again (its C parser turns half of a surrogate pair into ``?``), and because that parser reads
an unfinished string from its start at every call: a string of 4 MB in reads of 1.4 KB
took 3.4 s. So it is given whole values only, which is linear however the bytes were split.

Deep nesting costs a counter here, but recursion in whatever reads the value next. So more
than `MAX_DEPTH` levels are an error, and so are numbers of more than `MAX_DIGITS` digits,
which Python refuses to convert (``sys.set_int_max_str_digits``).
"""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from typing import Any, Final

import ijson

from hub.domain.surrogates import without_halves
from hub.framing.chunk import DEFAULT_LIMIT, Chunk, Cutter, malformed, too_large, truncated

__all__ = [
    "MAX_DEPTH",
    "MAX_DIGITS",
    "ConcatenatedJSON",
    "JSONArray",
    "JSONSeq",
    "has_long_number",
]

MAX_DEPTH: Final = 256
MAX_DIGITS: Final = 1000

_RECORD_SEPARATOR: Final = b"\x1e"
_OPENING: Final = b"{["
_QUOTE, _BACKSLASH, _COMMA, _OPEN, _CLOSE = b'"\\,[]'
_BARE_END: Final = re.compile(rb'[\x00-\x20,:"{}\[\]]')
# All of these also match nothing. They are possessive (*+), so they never backtrack: linear,
# and without a stack.
_SPACE: Final = re.compile(rb"[ \t\r\n\x1e]*+")
_IN_STRING: Final = re.compile(rb'[^"\\]*+(?:\\[\x00-\xff][^"\\]*+)*+')
_NO_BRACKET: Final = re.compile(rb'[^"{}\[\]]*+(?:"%s"[^"{}\[\]]*+)*+' % _IN_STRING.pattern)
_STRING: Final = re.compile(b'"%s"' % _IN_STRING.pattern)
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG: Final = b"0" * (MAX_DIGITS + 1)


def has_long_number(text: bytes) -> bool:
    """Whether there is a run of more than `MAX_DIGITS` digits, also within a string.

    Translated and found, because a regular expression takes ten times as long, and a body may have
    20 MB.
    """
    return len(text) > MAX_DIGITS and _LONG in text.translate(_ZEROS)


class _Discard(deque[Any]):
    """A target for ijson's events that keeps none."""

    send = deque.append


class _Grammar:
    """Checks with ijson that bytes continue valid JSON."""

    def __init__(self) -> None:
        # Without use_float: with it, integers over 64 bits would be an error.
        self._parser = ijson.basic_parse_coro(_Discard(maxlen=0), multiple_values=True)

    def __del__(self) -> None:
        # Without a C parser, the Python one would complain on stderr when it is discarded in
        # the middle of a value.
        with suppress(ijson.JSONError):
            self._parser.close()

    def check(self, text: bytes) -> None:
        if has_long_number(text) and has_long_number(_STRING.sub(b"", text)):
            raise malformed(f"it has a number of more than {MAX_DIGITS} digits")
        try:
            self._parser.send(without_halves(text))
        except (ijson.JSONError, ValueError, ArithmeticError):
            raise malformed("it is not valid JSON") from None


class ConcatenatedJSON(Cutter):
    """JSON values one after another, with white space, 0x1E or nothing between them.

    A value is given as soon as its last byte has arrived; a number, ``true``, ``false`` or
    ``null`` with the byte that follows it.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit)
        self._grammar = _Grammar()
        # If `_inside` a value, this begins with it.
        self._buffer = bytearray()
        self._inside = False
        self._scanned = 0
        self._depth = 0
        self._quoted = False

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        buffer = self._buffer
        buffer += data
        while self._inside or self._begin():
            end = self._end_of_bare() if self._is_bare() else self._end_of_nested()
            if not end:
                break
            self._give(end, chunks)
        if len(buffer) > self._limit:
            raise too_large(self._limit)

    def _finish(self, chunks: list[Chunk]) -> None:
        if not self._inside:
            return
        if not self._is_bare():
            raise truncated("in the middle of a JSON value")
        self._give(len(self._buffer), chunks)

    def _begin(self) -> bool:
        """Advance to the start of the next value; false if there is none yet."""
        buffer = self._buffer
        while True:
            del buffer[: _past(_SPACE, buffer, 0)]
            if not buffer:
                return False
            if not self._is_separator(buffer[0]):
                break
            self._grammar.check(bytes(buffer[:1]))
            del buffer[:1]
        self._inside = True
        self._quoted = buffer[0] == _QUOTE
        self._depth = 1 if buffer[0] in _OPENING else 0
        self._scanned = 0 if self._is_bare() else 1
        return True

    def _is_separator(self, byte: int) -> bool:
        """Whether this byte, where a value may begin, belongs to no value."""
        return False

    def _is_bare(self) -> bool:
        """Whether the value is a number, ``true``, ``false`` or ``null``."""
        return self._buffer[0] != _QUOTE and self._buffer[0] not in _OPENING

    def _end_of_bare(self) -> int:
        """The offset at which the value ends; 0 if that is not known yet."""
        end = _BARE_END.search(self._buffer, self._scanned)
        self._scanned = len(self._buffer)
        # A byte that cannot begin a value counts as one, for the grammar to refuse.
        return max(end.start(), 1) if end else 0

    def _end_of_nested(self) -> int:
        """The offset at which the value ends; 0 if that is not known yet."""
        buffer, at, depth = self._buffer, self._scanned, self._depth
        size = len(buffer)
        while True:
            at = _past(_IN_STRING if self._quoted else _NO_BRACKET, buffer, at)
            if at == size or buffer[at] == _BACKSLASH:
                break
            mark = buffer[at]
            at += 1
            if mark == _QUOTE:
                # Outside strings, this is the quote of one that is not complete.
                self._quoted = not self._quoted
            elif mark in _OPENING:
                depth += 1
                # Beyond the limit the value is too large, however deep. So the error does not
                # depend on how much of the value one read brought.
                if depth > MAX_DEPTH and at <= self._limit:
                    raise malformed(f"it nests JSON more than {MAX_DEPTH} levels deep")
            else:
                depth -= 1
            if not depth and not self._quoted:
                return at
        self._scanned, self._depth = at, depth
        return 0

    def _give(self, end: int, chunks: list[Chunk]) -> None:
        if end > self._limit:
            raise too_large(self._limit)
        value = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._inside = False
        self._grammar.check(value + b" ")  # the space terminates a number
        chunks.append(Chunk(value))


class JSONSeq(ConcatenatedJSON):
    """JSON text sequences, with 0x1E before and LF after each text (RFC 7464).

    A text that was cut off is an error: its value is incomplete, or is a number, ``true``,
    ``false`` or ``null`` without white space after it (section 2.4). The RFC lets a parser
    skip it, but that would leave a hole in the answer.
    """

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        text, *others = data.split(_RECORD_SEPARATOR)
        super()._read(text, chunks)
        for text in others:
            self._finish(chunks)
            super()._read(text, chunks)

    def _finish(self, chunks: list[Chunk]) -> None:
        if self._inside:
            raise truncated("in the middle of a JSON text")


class JSONArray(ConcatenatedJSON):
    """A body that is one JSON array; its elements are the chunks."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit)
        self._opened = False
        self._closed = False

    def _is_separator(self, byte: int) -> bool:
        if not self._opened:
            if byte != _OPEN:
                raise malformed("it is not a JSON array")
            self._opened = True
            return True
        if self._closed:
            raise malformed("something follows its JSON array")
        self._closed = byte == _CLOSE
        return self._closed or byte == _COMMA

    def _finish(self, chunks: list[Chunk]) -> None:
        if not self._closed:
            raise truncated('before the "]" of its JSON array')


def _past(pattern: re.Pattern[bytes], text: bytearray, start: int) -> int:
    """The end of the longest match at ``start``."""
    match = pattern.match(text, start)
    return match.end() if match else start
