"""A coordinator in a process of its own, which a test may kill, freeze and empty."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

from hub.stores.coordinator.client import CoordinatorEngine
from hub.stores.coordinator.server import Coordinator
from hub.stores.sqlite.sequenced import SequencedSQLiteStore
from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.server_process import ServerProcess

__all__ = ["CoordinatorServer", "serve"]


class CoordinatorServer(ServerProcess):
    """Keeps what it has in a folder; `start` it first and `stop` it in the end."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._copy: dict[str, bytes] | None = None

    @property
    def path(self) -> Path:
        """Its socket."""
        return self._folder / "hub.db.coordinator"

    @property
    def file(self) -> Path:
        """Its SQLite file."""
        return self._folder / "hub.db"

    def engine(self, **settings: Any) -> CoordinatorEngine:
        """A hub's connection to it, not open yet."""
        return CoordinatorEngine(self.path, **settings)

    async def start(self) -> None:
        """Start it with what it kept; returns once it answers."""
        ready = self._folder / "ready"
        with ready.open("wb") as said:
            self._process = Forked(
                f"{__name__}:serve", str(self.file), str(self.path), output=said.fileno(), errors=2
            )
        async with asyncio.timeout(PATIENCE):
            while ready.read_bytes() != b"ready\n":
                assert self._process.poll() is None
                await asyncio.sleep(0.005)

    async def leave(self) -> None:
        """End it as a stop would."""
        await self._end(signal.SIGTERM)

    async def restart_empty(self) -> None:
        """Kill it and start it again without what it kept."""
        await self.kill()
        for kept in self._folder.glob("hub.db*"):
            kept.unlink()
        self._copy = None
        await self.start()

    def cut(self, chance: random.Random) -> None:
        """Cut some bytes off the end of what it kept last, as a power failure may; it is killed."""
        log = self.file.with_name("hub.db-wal")
        if log.exists():
            os.truncate(log, max(0, log.stat().st_size - chance.randrange(1, 50_000)))

    def put_back(self) -> None:
        """Put an older copy of the file back, if there is one; this is the next. It is killed."""
        present = {
            file.name: file.read_bytes()
            for file in self._folder.glob("hub.db*")
            if not file.is_socket()
        }
        if self._copy is not None:
            for name in present:
                (self._folder / name).unlink()
            for name, content in self._copy.items():
                (self._folder / name).write_bytes(content)
        self._copy = present

    async def stop(self) -> None:
        """End it for good."""
        await self.kill()


def serve() -> None:
    """What runs in the process: a coordinator on a file, at a socket."""
    asyncio.run(_serve(*sys.argv[1:]))


async def _serve(file: str, path: str) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    coordinator = Coordinator(SequencedSQLiteStore(file), Path(path))
    await coordinator.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()
    await coordinator.stop()
