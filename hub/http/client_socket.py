"""The socket of a connection, as aiohttp exposes it."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Protocol

__all__ = ["ClientSocket", "close_by_reset", "give_up"]


class ClientSocket(Protocol):
    """The public part of aiohttp's protocol object that a connection needs."""

    @property
    def transport(self) -> asyncio.Transport | None:
        """The transport; ``None`` once the connection is lost."""

    @property
    def writing_paused(self) -> bool:
        """Whether the transport's buffer is over its high-water mark."""


def close_by_reset(transport: asyncio.Transport) -> None:
    """Make closing send an RST, which unlike a FIN cannot be mistaken for a complete response."""
    # Lingering for zero seconds sends an RST. On Windows the fields are shorts.
    linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
    connected = transport.get_extra_info("socket")
    if connected is not None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def give_up(transport: asyncio.Transport) -> None:
    """Disconnect a client that reads nothing, and discard what is buffered for it.

    After a FIN the kernel would keep retrying its own buffer for minutes.
    """
    # With an empty buffer the socket may be closed, and its number used by another.
    if transport.get_write_buffer_size():
        close_by_reset(transport)
    transport.abort()
