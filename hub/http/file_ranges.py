"""Serve a file in ranges as RFC 9110 section 14 specifies, unlike aiohttp's `FileResponse`.

That one takes an empty suffix for the whole file, ignores an ``If-Range`` with an entity tag,
accepts any later date in it, and refuses ranges that should be ignored. A request for several
ranges gets the whole file, as section 14.2 allows, and so does ``HEAD``, for which ranges have no
meaning.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any, Final, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from hub.http.client_socket import close_by_reset

__all__ = ["RangedFile"]

PIECE: Final = 64 * 1024

_RANGES: Final = re.compile(r"\s*bytes\s*=(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"([0-9]*)-([0-9]*)")
MOST_DIGITS: Final = 18
"""No file is that long, and Python refuses to convert numbers of thousands of digits."""

WHOLE: Final = slice(None, None, 1)


class RangedFile(web.FileResponse):
    """A file, or the requested range of it.

    A client that does not read `PIECE` bytes within ``patience`` seconds is disconnected.
    """

    def __init__(
        self, path: Path, found: os.stat_result, headers: dict[str, str], *, patience: float
    ) -> None:
        super().__init__(path, headers=headers)
        self._found = found
        self._patience = patience

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        asked = _Asked(request, self._found, self._patience)
        return await super().prepare(cast("web.BaseRequest", asked))


class _InPieces:
    """The part of an event loop that `FileResponse` uses, sending a file in pieces.

    One call for a whole file would not show progress.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience

    async def sendfile(
        self, transport: asyncio.Transport, file: IO[bytes], offset: int, count: int
    ) -> None:
        """Send a part of a file, or disconnect a client that does not read."""
        loop = asyncio.get_running_loop()
        for start in range(offset, offset + count, PIECE):
            timer = loop.call_later(self._patience, _disconnect, transport)
            try:
                await loop.sendfile(transport, file, start, min(PIECE, offset + count - start))
            finally:
                timer.cancel()


def _disconnect(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        close_by_reset(transport)
        transport.abort()


class _Asked:
    """A request with its ranges read correctly, whose response is sent in pieces."""

    if_range: Final = None

    def __init__(self, request: web.BaseRequest, found: os.stat_result, patience: float) -> None:
        self._loop = _InPieces(patience)
        self._request = request
        self._found = found

    @property
    def http_range(self) -> slice:
        """The requested range, or `WHOLE`.

        Raises:
            ValueError: the range is malformed or empty.
        """
        headers = self._request.headers
        given = headers.getall("Range", [])
        if self._request.method != "GET" or len(given) != 1:
            return WHOLE
        asked = _RANGES.fullmatch(given[0])
        if asked is None or not _is_current(headers.get("If-Range"), self._found):
            return WHOLE  # also for units other than bytes
        texts = [text for one in asked[1].split(",") if (text := one.strip(" \t"))]
        ranges = [_parse(text) for text in texts]
        if not ranges:
            raise ValueError("there is no range")
        return ranges[0] if len(ranges) == 1 else WHOLE

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def _is_current(condition: str | None, found: os.stat_result) -> bool:
    """Whether an ``If-Range`` names the current file (RFC 9110 section 13.1.5)."""
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
    try:
        given = parsedate_to_datetime(condition)
    except ValueError:
        return False
    # Rounded as in Last-Modified.
    return given.astimezone(UTC) == datetime.fromtimestamp(math.ceil(found.st_mtime), UTC)


def _parse(text: str) -> slice:
    """Parse one range.

    Raises:
        ValueError: it is malformed or empty.
    """
    form = _RANGE.fullmatch(text)
    if form is None or not (form[1] or form[2]):
        raise ValueError("not a range")
    first, last = (_number(digits) for digits in form.groups())
    if first is None:
        if not last:
            raise ValueError("the range is empty")
        return slice(-last, None, 1)
    if last is None:
        return slice(first, None, 1)
    if last < first:
        raise ValueError("the range ends before it starts")
    return slice(first, last + 1, 1)


def _number(digits: str) -> int | None:
    if len(digits.lstrip("0")) > MOST_DIGITS:
        return 10**MOST_DIGITS
    return int(digits) if digits else None
