"""A port of one's own, from before a server listens there until after its last end.

To ask the system for a free port, let go of it and have a server take it later is a race with
every other program of the machine, all the more while the server is down between two starts.
So the port stays taken: a second socket may listen where one that does not listen is bound, if
both say ``SO_REUSEADDR``, and nobody else is given the port meanwhile.
"""

from __future__ import annotations

import socket

__all__ = ["Port"]


class Port:
    """``number`` is refused to whoever connects, unless a server of this test listens there."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._held.bind(("127.0.0.1", 0))
        self.number: int = self._held.getsockname()[1]

    def release(self) -> None:
        """Let others have it."""
        self._held.close()
