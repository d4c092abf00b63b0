"""Chats of the AI SDK and TanStack AI, by ``chats.mjs``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.clients.node import Script, script
from tests.support.patience import PATIENCE

__all__ = ["Chat", "Chats", "chats"]


class Chats:
    """The script: each command goes out with a number, which its reply repeats."""

    def __init__(self, running: Script) -> None:
        self._script = running
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._gone: AssertionError | None = None
        self._reading = asyncio.create_task(self._read())

    async def ask(self, do: str, **options: Any) -> Any:
        if self._gone is not None:
            raise self._gone
        self._count += 1
        reply = self._replies[self._count] = asyncio.get_running_loop().create_future()
        self._script.write({"number": self._count, "do": do, **options})
        async with asyncio.timeout(PATIENCE):
            told = await reply
        assert "error" not in told, told["error"]
        return told["told"]

    async def open(self, name: str, **options: Any) -> Chat:
        """A chat as a page has it; of that name in the script, whatever its id is."""
        await self.ask("open", name=name, **options)
        return Chat(self, name)

    async def _read(self) -> None:
        try:
            while (line := await self._script.next()) is not None:
                told = line["said"]
                self._replies.pop(told["number"]).set_result(told)
            self._gone = AssertionError("the script has ended")
        except AssertionError as error:
            self._gone = error
        for reply in self._replies.values():
            reply.set_exception(self._gone)

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])


class Chat:
    """One chat in that script."""

    def __init__(self, chats: Chats, name: str) -> None:
        self._chats = chats
        self.name = name

    async def call(self, method: str, *given: Any) -> None:
        """Have it begin something; what comes of it is for `until`."""
        await self._chats.ask("call", name=self.name, method=method, given=given)

    async def send(self, text: str, **options: Any) -> None:
        await self.call("send", {"text": text}, options)

    async def until(self, **wanted: Any) -> dict[str, Any]:
        """What it shows, once that is so."""
        state: dict[str, Any] = await self._chats.ask("until", name=self.name, **wanted)
        return state

    async def state(self) -> dict[str, Any]:
        state: dict[str, Any] = await self._chats.ask("state", name=self.name)
        return state


@asynccontextmanager
async def chats() -> AsyncIterator[Chats]:
    """The script that has them."""
    async with script("chats.mjs") as running:
        held = Chats(running)
        try:
            yield held
        finally:
            await held.end()
