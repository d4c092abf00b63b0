"""Reads standard input without blocking the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from threading import Thread
from typing import Final

__all__ = ["STANDARD_INPUT", "read_pieces"]

SIZE: Final = 65_536
STANDARD_INPUT: Final = 0


async def read_pieces() -> AsyncIterator[bytes]:
    """The bytes of each read, until the end.

    Raises:
        OSError: standard input cannot be read.
    """
    while piece := await _read():
        yield piece


async def _read() -> bytes:
    # Each read has its own thread: a read of a terminal cannot be cancelled, and an executor would
    # wait for it before the command can end. A thread that is left behind holds no lock and ends
    # with the process.
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()

    def settle(piece: bytes, error: OSError | None) -> None:
        if arrived.done():
            return
        if error is None:
            arrived.set_result(piece)
        else:
            arrived.set_exception(error)

    def read() -> None:
        piece, failed = b"", None
        try:
            piece = os.read(STANDARD_INPUT, SIZE)
        except OSError as error:
            failed = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, piece, failed)

    Thread(target=read, daemon=True).start()
    return await arrived
