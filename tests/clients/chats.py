"""Chats of the AI SDK and TanStack AI in a process of their own (``chats.mjs``)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.patience import PATIENCE
from web import node

__all__ = ["Chat", "Chats", "chats"]

FOLDER: Final = Path(__file__).parent
PACKAGES: Final = FOLDER.parent
LINE: Final = 2**24


class Chats:
    """The process: each command goes out with a number, which its reply repeats."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._count = 0
        self._gone: AssertionError | None = None
        self._reading = asyncio.create_task(self._read())

    async def ask(self, do: str, **options: Any) -> Any:
        if self._gone is not None:
            raise self._gone
        self._count += 1
        reply = self._replies[self._count] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        line = json.dumps({"number": self._count, "do": do, **options})
        self._process.stdin.write(line.encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            told = await reply
        assert "error" not in told, told["error"]
        return told["told"]

    async def open(self, name: str, **options: Any) -> Chat:
        """A chat as a page has it; of that name in the process, whatever its id is."""
        await self.ask("open", name=name, **options)
        return Chat(self, name)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            told = json.loads(line)
            self._replies.pop(told["number"]).set_result(told)
        assert self._process.stderr is not None
        self._gone = AssertionError((await self._process.stderr.read()).decode())
        for reply in self._replies.values():
            reply.set_exception(self._gone)

    async def end(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()


class Chat:
    """One chat in that process."""

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
    """The process, with the packages it needs."""
    await asyncio.to_thread(node.install, PACKAGES)
    process = await asyncio.create_subprocess_exec(
        *node.find_node().node,
        str(FOLDER / "chats.mjs"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE,
    )
    held = Chats(process)
    try:
        yield held
    finally:
        await held.end()
