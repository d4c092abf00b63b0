"""A sentinel that names whatever a test wants, and may be wrong, silent or gone."""

from __future__ import annotations

import asyncio
from typing import Self

from tests.support.connections import Connections

__all__ = ["FakeSentinel"]


class FakeSentinel:
    """Names the server of a port of this machine, in its epoch; none: it knows no such primary."""

    def __init__(self, port: int | None, epoch: int = 0) -> None:
        self._named = port
        self._epoch = epoch
        self.asked = 0
        self.silent = False
        self.port = 0
        self._connections = Connections(self._serve)

    def name(self, port: int, epoch: int) -> None:
        """From now on, name another one."""
        self._named, self._epoch = port, epoch

    async def __aenter__(self) -> Self:
        self.port = self._connections.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connections.stop()
        await self._connections.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int((await reader.readline())[1:])
                words.append((await reader.readexactly(length + 2))[:-2].decode())
            if not self.silent:
                writer.write(self._answer(words))

    def _answer(self, words: list[str]) -> bytes:
        if words[0] != "SENTINEL":
            return b"+OK\r\n"  # a greeting
        self.asked += 1
        if self._named is None:
            return b"-ERR No such master with that name\r\n"
        if words[1] == "MASTER":
            return _array("name", words[2], "config-epoch", str(self._epoch))
        return _array("127.0.0.1", str(self._named))


def _array(*words: str) -> bytes:
    parts = (f"${len(word)}\r\n{word}\r\n" for word in words)
    return f"*{len(words)}\r\n{''.join(parts)}".encode()
