"""Turns of the event loop, for work that is done in slices.

A walk over a long stream whose records are in memory never waits for anything, so it would keep the
loop from everybody else. After each slice it waits for its next turn. Only one walk has a turn in a
round of the loop: if every walk gave way by itself, then all of them would have one in each round,
and a hundred slow requests of one client would make each round a hundred slices long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakKeyDictionary

__all__ = ["next_turn"]


class _Turns:
    """The turns of one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    def add(self, turn: asyncio.Future[None]) -> None:
        self._waiting.append(turn)
        if len(self._waiting) == 1:
            self._schedule()

    def _schedule(self) -> None:
        # The loop is not kept: it would never be forgotten.
        asyncio.get_running_loop().call_soon(self._give)

    def _give(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        if self._waiting:
            self._schedule()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, _Turns] = WeakKeyDictionary()


async def next_turn() -> None:
    """Wait until the loop has served everybody else, and it is the turn of this walk."""
    loop = asyncio.get_running_loop()
    if loop not in _turns:
        _turns[loop] = _Turns()
    turn: asyncio.Future[None] = loop.create_future()
    _turns[loop].add(turn)
    await turn
