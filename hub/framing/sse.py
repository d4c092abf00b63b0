"""Server-sent events (WHATWG HTML, section 9.2.6 "Interpreting an event stream").

A block of lines, ended by a blank one, is an event; its ``data:`` lines, joined by LF, are
the chunk. This follows the standard, except where LLM servers differ:

* a block without a name whose data is empty gives no chunk;
* ``error: {…}``, a field of old llama.cpp, is a chunk of its own, named ``error``;
* so is a JSON object with an ``error`` between the blocks, on lines without ``data:``, as
  Google's servers send it. Without it, the reply would only look cut off;
* at the end of the body the standard drops an unfinished block. Some servers leave out
  the last blank line, or even the last LF, so the block is used if it is certainly complete:
  its data is JSON, or ``[DONE]``.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Final

import orjson

from hub.framing.chunk import DEFAULT_LIMIT, Chunk, too_large
from hub.framing.lines import LineCutter

__all__ = ["SSE"]

_NEW: Final = tuple.__new__
_DATA: Final = b"data: "
_END: Final = b"\n\n"
_DONE: Final = b"[DONE]"
_LONGEST_BARE: Final = 65_536
"""Bytes of an object without ``data:``. Anything longer is not an error message."""


class SSE(LineCutter):
    """An event stream with any mix of LF, CRLF and CR.

    Comments and unknown fields are ignored. The limit applies to an event's data and to each
    line.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit, besides=len(_DATA))
        self._after_cr = False
        # The block so far: its data lines, their size with an LF each, and its name.
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        # The lines of an object without ``data:``.
        self._bare = b""

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        # `in` would be slower: it first tries to take its operand for a number.
        if self._after_cr or data.find(b"\r") >= 0:
            data = self._with_lf(data)
        whole = self._whole_lines(data)
        if not self._plain_blocks(whole, chunks):
            self._lines(whole, chunks)
        self._check_unfinished()

    def _with_lf(self, data: bytes) -> bytes:
        """The bytes with every line end as LF.

        A CR ends its line at once, and an LF right after it is dropped.
        """
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _plain_blocks(self, whole: bytes, chunks: list[Chunk]) -> bool:
        """A fast path for whole blocks of one data line each: nearly all there are."""
        if (
            self._data
            or self._event
            or self._bare
            or len(whole) > self._limit
            or not whole.startswith(_DATA)
            or not whole.endswith(_END)
        ):
            return False
        events = whole[len(_DATA) : -len(_END)].split(_END + _DATA)
        if whole.count(b"\n") != len(_END) * len(events):
            return False
        # `Chunk(data)` would call a Python function that does the same.
        chunks += [_NEW(Chunk, (data, "")) for data in events if data]
        return True

    def _lines(self, whole: bytes, chunks: list[Chunk]) -> None:
        lines = whole.split(b"\n")
        lines.pop()  # nothing follows the last LF
        for line in lines:
            if line.startswith(_DATA):
                self._bare = b""
                self._add(line[len(_DATA) :])
            elif line:
                self._field(line, chunks)
            else:
                self._end_block(chunks)

    def _field(self, line: bytes, chunks: list[Chunk]) -> None:
        if len(line) > self._longest:
            raise too_large(self._limit)
        name, value = _split_field(line)
        if self._takes_bare(line, chunks):
            return
        if name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"error":
            self._end_block(chunks)
            self._event = "error"
            self._add(value)

    def _takes_bare(self, line: bytes, chunks: list[Chunk]) -> bool:
        """Whether a line belongs to an object without ``data:``, which may be an error."""
        if self._data or not (self._bare or line.startswith(b"{")):
            return False
        self._bare += line + b"\n"
        if len(self._bare) > _LONGEST_BARE:
            self._bare = b""
        # An indented brace ends an inner object: only the last is worth parsing.
        elif line.endswith(b"}") and (line == b"}" or self._bare.count(b"\n") == 1):
            text, self._bare = self._bare.rstrip(b"\n"), b""
            with suppress(orjson.JSONDecodeError):
                if "error" in orjson.loads(text):
                    chunks.append(Chunk(text, "error"))
        return True

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size - 1 > self._limit:
            raise too_large(self._limit)
        self._data.append(value)

    def _end_block(self, chunks: list[Chunk]) -> None:
        self._bare = b""
        data = b"\n".join(self._data)
        if data or (self._data and self._event):
            chunks.append(Chunk(data, self._event))
        self._data.clear()
        self._size = 0
        self._event = ""

    def _finish(self, chunks: list[Chunk]) -> None:
        line = bytes(self._unfinished)
        self._takes_bare(line, chunks)
        name, value = _split_field(line)
        if name in (b"data", b"error") and self._completes(name, value):
            self._field(line, chunks)
        if _is_complete(b"\n".join(self._data)):
            self._end_block(chunks)

    def _completes(self, name: bytes, value: bytes) -> bool:
        """Whether a line without a line end is certainly complete.

        ``12`` may have lost ``34``; what ends in its own bracket or quote has lost nothing
        (RFC 7464, section 2.4, has the same rule).
        """
        before = self._data if name == b"data" else []
        data = b"\n".join([*before, value])
        return data.rstrip().endswith((b"}", b"]", b'"')) and _is_complete(data)


def _split_field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _is_complete(data: bytes) -> bool:
    if data == _DONE:
        return True
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            json.loads(data.decode())  # which also takes half of a surrogate pair
        except (ValueError, RecursionError):
            return False
    return True
