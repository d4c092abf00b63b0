"""The socket of a connection, as aiohttp shows it to us."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Protocol

__all__ = ["ClientSocket", "close_by_reset", "give_up"]


class ClientSocket(Protocol):
    """What a connection needs of aiohttp's protocol object; all of it is public there."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The socket; ``None`` once it is lost."""

    @property
    def writing_paused(self) -> bool:
        """The transport's buffer is over its high-water mark."""


def close_by_reset(transport: asyncio.Transport) -> None:
    """Have the socket closed by an RST, which unlike a FIN cannot be taken for an end."""
    # To linger for zero seconds is to send an RST; Windows has shorts here.
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    held = transport.get_extra_info("socket")
    if held is not None:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def give_up(transport: asyncio.Transport) -> None:
    """Cut off a client that takes nothing, at once and with all that it was to take.

    After a FIN the kernel would go on offering it what it holds, for minutes.
    """
    if (
        transport.get_write_buffer_size()
    ):  # else it has been closed, and its number may be another's
        close_by_reset(transport)
    transport.abort()
