"""Server-sent events (WHATWG HTML, section 9.2.6 "Interpreting an event stream").

A block of lines, ended by a blank one, is an event; its ``data:`` lines, joined by LF, are
the chunk. Read as the standard says, except where LLM servers differ:

* a block whose data is empty and that has no name says nothing, and gives no chunk;
* ``error: {…}``, a field of old llama.cpp, is a chunk of its own, named ``error``, and so is
  an object with an ``error`` that stands bare between the blocks (`hub.framing.bare`);
* at the end of the body the standard drops an unfinished block. Some servers leave out
  the last blank line, or even the last LF, so the block is used if it is surely whole:
  its data is JSON, or ``[DONE]``.
"""

from __future__ import annotations

import json
from typing import Final

import orjson

from hub.framing.bare import Bare
from hub.framing.chunk import DEFAULT_LIMIT, Chunk, too_large
from hub.framing.lines import LineCutter

__all__ = ["SSE"]

_NEW: Final = tuple.__new__
_DATA: Final = b"data: "
_END: Final = b"\n\n"
_DONE: Final = b"[DONE]"


class SSE(LineCutter):
    """An event stream: LF, CRLF or CR, in any mixture; comments and unknown fields ignored.

    The limit holds for an event's data and for each line, whatever is in it.
    """

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        super().__init__(limit, besides=len(_DATA))
        self._after_cr = False
        # The block so far: its data lines, their bytes with an LF each, and its name.
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._bare = Bare()

    def _read(self, data: bytes, chunks: list[Chunk]) -> None:
        # To look with `in` would cost more: it first takes what it looks for to be a number.
        if self._after_cr or data.find(b"\r") >= 0:
            data = self._with_lf(data)
        whole = self._whole_lines(data)
        if not self._plain_blocks(whole, chunks):
            self._lines(whole, chunks)
        self._check_unfinished()

    def _with_lf(self, data: bytes) -> bytes:
        """Every line end as LF. A CR ends its line at once; an LF right after it is dropped."""
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _plain_blocks(self, whole: bytes, chunks: list[Chunk]) -> bool:
        """The short way for whole blocks of one data line each, nearly all there is."""
        if (
            self._data
            or self._event
            or self._bare.open
            or len(whole) > self._limit
            or not whole.startswith(_DATA)
            or not whole.endswith(_END)
        ):
            return False
        found = whole[len(_DATA) : -len(_END)].split(_END + _DATA)
        if whole.count(b"\n") != len(_END) * len(found):
            return False
        # Not Chunk(data), which is a call of a Python function that does this.
        chunks += [_NEW(Chunk, (data, "")) for data in found if data]
        return True

    def _lines(self, whole: bytes, chunks: list[Chunk]) -> None:
        lines = whole.split(b"\n")
        lines.pop()  # what follows the last LF: nothing
        for line in lines:
            if line.startswith(_DATA):
                self._bare.drop()
                self._add(line[len(_DATA) :])
            elif line:
                self._field(line, chunks)
            else:
                self._close(chunks)

    def _field(self, line: bytes, chunks: list[Chunk]) -> None:
        if len(line) > self._longest:
            raise too_large(self._limit)
        name, value = _parted(line)
        if not self._data and self._bare.takes(line):
            self._complain(self._bare.take(line), chunks)
        elif name == b"data":
            self._add(value)
        elif name == b"event":
            self._event = value.decode(errors="replace")
        elif name == b"error":
            self._close(chunks)
            self._event = "error"
            self._add(value)

    def _complain(self, found: bytes | None, chunks: list[Chunk]) -> None:
        if found is not None:
            chunks.append(Chunk(found, "error"))

    def _add(self, value: bytes) -> None:
        self._size += len(value) + 1
        if self._size - 1 > self._limit:
            raise too_large(self._limit)
        self._data.append(value)

    def _close(self, chunks: list[Chunk]) -> None:
        """The block ends here."""
        self._bare.drop()
        data = b"\n".join(self._data)
        if data or (self._data and self._event):
            chunks.append(Chunk(data, self._event))
        self._data.clear()
        self._size = 0
        self._event = ""

    def _finish(self, chunks: list[Chunk]) -> None:
        if not self._data and self._bare.takes(bytes(self._unfinished)):
            self._complain(self._bare.take(bytes(self._unfinished)), chunks)
        name, value = _parted(bytes(self._unfinished))
        if name in (b"data", b"error") and self._completes(name, value):
            self._field(bytes(self._unfinished), chunks)
        if _is_whole(b"\n".join(self._data)):
            self._close(chunks)

    def _completes(self, name: bytes, value: bytes) -> bool:
        """Whether a line without its line end is surely all that was to come.

        ``12`` may have lost its ``34``; what ends in its own bracket or quote has not
        (RFC 7464, section 2.4, has the same rule).
        """
        before = self._data if name == b"data" else []
        data = b"\n".join([*before, value])
        return data.rstrip().endswith((b"}", b"]", b'"')) and _is_whole(data)


def _parted(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _is_whole(data: bytes) -> bool:
    return data == _DONE or _is_json(data)


def _is_json(data: bytes) -> bool:
    """Whether it parses; ``json`` also takes the halves of a split surrogate pair."""
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            json.loads(data.decode())
        except (ValueError, RecursionError):
            return False
    return True
