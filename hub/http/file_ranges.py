"""A file in ranges, as RFC 9110 section 14 has it, which aiohttp's `FileResponse` is not quite.

That takes the length of a suffix of nothing for the whole file, an ``If-Range`` with an entity tag
for none, any later date for the same, and refuses what should be ignored. Several ranges at once
are answered with the whole file, as section 14.2 allows; and so is a `HEAD`, for which ranges have
no meaning.
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
"""No file has so many bytes; Python converts no number of some thousands of digits."""

WHOLE: Final = slice(None, None, 1)


class RangedFile(web.FileResponse):
    """A file, or the one range of it that is asked for.

    A client that does not take `PIECE` bytes in ``patience`` seconds is cut off.
    """

    def __init__(
        self, path: Path, found: os.stat_result, headers: dict[str, str], *, patience: float
    ) -> None:
        super().__init__(path, headers=headers)
        self._found = found
        self._patience = patience

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send it."""
        return await super().prepare(
            cast("web.BaseRequest", _Asked(request, self._found, self._patience))
        )


class _InPieces:
    """What `FileResponse` needs of an event loop: one call for a whole file shows no progress."""

    def __init__(self, patience: float) -> None:
        self._patience = patience

    async def sendfile(
        self, transport: asyncio.Transport, file: IO[bytes], offset: int, count: int
    ) -> None:
        """Send a part of a file, or cut off a client that takes nothing."""
        loop = asyncio.get_running_loop()
        for start in range(offset, offset + count, PIECE):
            late = loop.call_later(self._patience, _cut_off, transport)
            try:
                await loop.sendfile(transport, file, start, min(PIECE, offset + count - start))
            finally:
                late.cancel()


def _cut_off(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        close_by_reset(transport)
        transport.abort()


class _Asked:
    """A request, but for what it says of ranges, and the pace at which it is answered."""

    if_range: Final = None

    def __init__(self, request: web.BaseRequest, found: os.stat_result, patience: float) -> None:
        self._loop = _InPieces(patience)
        self._request = request
        self._found = found

    @property
    def http_range(self) -> slice:
        """The one range that is asked for.

        Raises:
            ValueError: none that can be given.
        """
        given = self._request.headers.getall("Range", [])
        if self._request.method != "GET" or len(given) != 1 or not _is_meant(*self._about()):
            return WHOLE
        asked = _RANGES.fullmatch(given[0])
        if asked is None:
            return WHOLE  # in a unit that is not known here
        ranges = [one.strip(" \t") for one in asked[1].split(",")]
        ranges = [one for one in ranges if one]
        found = [_one(each) for each in ranges]
        if not found:
            raise ValueError("there is no range")
        return found[0] if len(found) == 1 else WHOLE

    def _about(self) -> tuple[str | None, os.stat_result]:
        return self._request.headers.get("If-Range"), self._found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def _is_meant(condition: str | None, found: os.stat_result) -> bool:
    """Whether the file is the one that a part of is held already (RFC 9110 section 13.1.5)."""
    if condition is None:
        return True
    if condition.startswith(('"', "W/")):
        return condition == f'"{found.st_mtime_ns:x}-{found.st_size:x}"'
    try:
        given = parsedate_to_datetime(condition)
    except ValueError:
        return False
    # As it stands in Last-Modified.
    return given.astimezone(UTC) == datetime.fromtimestamp(math.ceil(found.st_mtime), UTC)


def _one(text: str) -> slice:
    """One range, its end not in it.

    Raises:
        ValueError: it is none, or of nothing.
    """
    form = _RANGE.fullmatch(text)
    if form is None or not (form[1] or form[2]):
        raise ValueError("this is no range")
    first, last = (_number(digits) for digits in form.groups())
    if first is None:
        if not last:
            raise ValueError("the last 0 bytes are none")
        return slice(-last, None, 1)
    if last is None:
        return slice(first, None, 1)
    if last < first:
        raise ValueError("it ends before it begins")
    return slice(first, last + 1, 1)


def _number(digits: str) -> int | None:
    if len(digits.lstrip("0")) > MOST_DIGITS:
        return 10**MOST_DIGITS
    return int(digits) if digits else None
