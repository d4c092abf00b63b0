"""Take what clients send apart in turns, so that none of them has the event loop for itself.

What that costs does not depend on the bytes alone: in chunks of one byte, or in WebSocket fragments
of none, they cost a hundred times as much as in one piece, and nobody has to be known to send
them. And libuv gives up to eight megabytes of one connection before it looks at another. So bytes
are parsed a slice at a time. A connection whose slices take long waits for its next one with all
others like it, and together they get a small part of each turn of the loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

__all__ = ["OWN_SECONDS", "SLICE", "Turns", "Unparsed"]

SLICE: Final = 4096
"""Bytes that are parsed at a time."""

OWN_SECONDS: Final = 0.000_2
"""What a connection gets at once; a usual slice takes a twentieth of this."""

SHARED_SECONDS: Final = 0.001
"""What all that need more get of a turn of the loop, together."""


class Unparsed(Protocol):
    """What a connection has sent and is not parsed."""

    def parse(self) -> None:
        """Parse a slice of it, and `Turns.wait` if there is more that can be parsed now."""


class Turns:
    """Connections that need long, each of which gets a slice in turn.

    ``clock`` counts seconds in which this thread was busy: it is not a slice's fault if the machine
    does something else meanwhile.
    """

    def __init__(self, *, clock: Callable[[], float] = time.thread_time) -> None:
        self._clock = clock
        self._waiting: dict[Unparsed, None] = {}
        """The one that waits for longest first."""
        self._due = False

    def timed(self, parse: Callable[[], object]) -> float:
        """Parse a slice; returns how many seconds that took."""
        began = self._clock()
        parse()
        return self._clock() - began

    def wait(self, one: Unparsed) -> None:
        """Let something be parsed in later turns of the loop; also a second time."""
        self._waiting[one] = None
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._due = False
        end = self._clock() + SHARED_SECONDS
        try:
            while self._waiting:
                one = next(iter(self._waiting))
                del self._waiting[one]
                one.parse()  # the next slice waits behind the others
                if self._clock() >= end:
                    break
        finally:
            self._go_on()
