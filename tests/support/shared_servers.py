"""The servers of engines that several hubs write through, and what tests ask of any of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import pytest

from hub.domain.errors import HubError
from hub.stores.shared import Notice, SharedEngine, Written, join

__all__ = ["SETTLE", "Engines", "Opening", "SharedServer", "at", "code_of", "hear", "kept"]

SETTLE: Final = 0.2
"""Seconds in which engines of the contract settle."""


class Engines(Protocol):
    """What hubs connect to."""

    def engine(self, **settings: Any) -> SharedEngine:
        """A hub's connection to it, not open yet."""


class SharedServer(Engines, Protocol):
    """A server that a test may break; what it acknowledged is kept in a folder of its own."""

    async def start(self) -> None:
        """Start it with what it kept; returns once it answers."""

    async def kill(self) -> None:
        """End it as a crash would; what it acknowledged is kept."""

    async def restart(self) -> None:
        """Kill it and start it again with what it kept."""

    async def restart_empty(self) -> None:
        """Kill it and start it again without what it kept."""

    def freeze(self) -> None:
        """Let it do nothing until `thaw`; its connections stay open."""

    def thaw(self) -> None: ...

    async def stop(self) -> None:
        """End it for good."""


Opening = Callable[..., Awaitable[SharedEngine]]
"""Opens another connection, with settings of the engine."""


async def kept(engine: SharedEngine, stream: str, offset: int = 0) -> list[bytes]:
    """The records from an offset to the tail, or to the first gap."""
    found: list[bytes] = []
    while more := join(await engine.read(stream, offset, 64), offset):
        found += more
        offset += len(more)
    return found


async def hear(engine: SharedEngine, stream: str) -> list[Notice]:
    """The notices of a stream from now on."""
    heard: list[Notice] = []

    def take(notice: Notice | None) -> None:
        assert notice is not None
        heard.append(notice)

    await engine.subscribe(stream, take)
    return heard


def at(written: Written) -> tuple[int, bool, bool]:
    return written.tail, written.closed, written.duplicate


async def code_of(deed: Awaitable[object]) -> str:
    with pytest.raises(HubError) as refused:
        await deed
    return refused.value.code
