"""Clients that are npm packages, each told by a script beside this file.

The packages are pinned in ``tests/package-lock.json`` and installed at their first use. A
script is given JSON and says lines of JSON. `script` runs it in a process that all scripts of this
run of pytest share (``host.mjs``), `process` in one of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from tests.support.patience import PATIENCE
from web.node import find_node, install

__all__ = ["Process", "Script", "process", "script", "told"]

HERE: Final = Path(__file__).parent
LINE: Final = 2**24
"""The longest line that a script may say, in bytes."""


class Script:
    """One script that runs in the process of all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def write(self, line: Any) -> None:
        """Give it a line of input."""
        self._writer.write(json.dumps(line).encode() + b"\n")

    async def line(self) -> Any:
        """The next that it says.

        Raises:
            AssertionError: it has failed or ended, or says nothing.
        """
        found = await asyncio.wait_for(self.next(), PATIENCE)
        assert found is not None, "it has ended"
        return found["said"]

    async def lines(self) -> list[Any]:
        """All that it still says."""
        found = []
        while (line := await asyncio.wait_for(self.next(), PATIENCE)) is not None:
            found.append(line["said"])
        return found

    async def next(self) -> dict[str, Any] | None:
        """The next that it says, as ``said``, however long that takes; None once it has ended.

        Raises:
            AssertionError: it has failed.
        """
        line = await self._reader.readline()
        if not line:
            assert _host is not None
            assert _host.runs, _host.log()
            return None
        found: dict[str, Any] = json.loads(line)
        assert "failed" not in found, found["failed"]
        return found


class _Host:
    """The process of all scripts; it stays until pytest ends."""

    def __init__(self) -> None:
        install(HERE.parent)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        self._process = subprocess.Popen(
            [*find_node().node, str(HERE / "host.mjs")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        atexit.register(self.end)
        assert self._process.stdout is not None
        port = self._process.stdout.readline()
        assert port, self.log()
        self.port = int(port)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


_host: _Host | None = None


@asynccontextmanager
async def script(name: str, given: Any = None) -> AsyncIterator[Script]:
    """Run a script; in the end its requests are aborted, and its connections closed."""
    global _host  # noqa: PLW0603  # the one of this process
    if _host is None or not _host.runs:
        _host = await asyncio.wait_for(asyncio.to_thread(_Host), PATIENCE)
    reader, writer = await asyncio.open_connection("127.0.0.1", _host.port, limit=LINE)
    try:
        running = Script(reader, writer)
        running.write({"script": name, "given": given})
        yield running
    finally:
        # Once it has closed the connection, it has no other one either.
        writer.write_eof()
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), PATIENCE)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def told(name: str, given: Any) -> list[Any]:
    """All that a script says."""
    async with script(name, given) as running:
        return await running.lines()


class Process:
    """One script that runs in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> Any:
        """The next that it says.

        Raises:
            AssertionError: it has ended.
        """
        found = await self._next()
        if found is None:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode())
        return found

    async def lines(self) -> list[Any]:
        """All that it still says."""
        found = []
        while (line := await self._next()) is not None:
            found.append(line)
        if await self._process.wait():
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode())
        return found

    async def _next(self) -> Any:
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
        return json.loads(line) if line else None


@asynccontextmanager
async def process(name: str, given: Any) -> AsyncIterator[Process]:
    """Run a script by itself; it is killed in the end."""
    await asyncio.to_thread(install, HERE.parent)
    process = await asyncio.create_subprocess_exec(
        *find_node().node,
        str(HERE / name),
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
