"""Clients that are npm packages, each told by a script beside this file, in a process of its own.

The packages are pinned in ``tests/package-lock.json`` and installed at their first use. A
script is given JSON and answers with lines of JSON.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.patience import PATIENCE
from web.node import find_node, install

__all__ = ["Script", "script", "told"]

HERE: Final = Path(__file__).parent


class Script:
    """One script that runs."""

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
async def script(name: str, given: Any) -> AsyncIterator[Script]:
    """Run a script; it is killed in the end."""
    await asyncio.to_thread(install, HERE.parent)
    process = await asyncio.create_subprocess_exec(
        *find_node().node,
        str(HERE / name),
        json.dumps(given),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield Script(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def told(name: str, given: Any) -> list[Any]:
    """All that a script says."""
    async with script(name, given) as running:
        return await running.lines()
