"""A real hub in a process of its own, which can be stopped, killed and started again."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from hub.config import Config
from hub.server.serve import serve
from tests.browser.line import Line
from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.ports import Port

__all__ = ["HubProcess"]


def serve_config() -> None:
    """What runs in the process: the hub of a configuration in JSON."""
    config = Config.model_validate_json(sys.argv[1])
    asyncio.run(serve(config, announce=lambda where: print(where, flush=True)))  # noqa: T201


class HubProcess:
    """A hub on a port of its own, the same each time, whose streams are in a file.

    ``line`` leads to it and can be cut: give its URL to a ground. ``tables`` are those of
    config.toml; a test may change them while the hub is down.
    """

    def __init__(self, folder: Path, **tables: Any) -> None:
        self._held = Port()
        self.port = self._held.number
        self.url = f"http://127.0.0.1:{self.port}"
        self.line = Line(self.port)
        self.log = folder / "hub.log"
        self._said = folder / "hub.said"
        self.tables: dict[str, Any] = {
            "store": {"url": f"sqlite:{folder / 'hub.db'}"},
            "upstreams": {"demo": {"dialect": "demo", "options": {"pace": 200}}},
            **tables,
            "server": {"drain_seconds": 0.5, **tables.get("server", {}), "port": self.port},
        }
        self._process: Forked | None = None

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it; it listens when this returns."""
        assert not self.runs
        if not self.line.url:
            self.line.mend()
        with self.log.open("ab") as log, self._said.open("wb") as said:
            self._process = Forked(
                f"{__name__}:serve_config",
                json.dumps(self.tables),
                output=said.fileno(),
                errors=log.fileno(),
            )
        async with asyncio.timeout(PATIENCE):
            while not (url := self._said.read_text("utf-8")).endswith("\n"):
                assert self.runs, self.log.read_text("utf-8")
                await asyncio.sleep(0.01)
        assert url.strip() == self.url, self.log.read_text("utf-8")

    async def stop(self) -> None:
        """Tell it to stop, and wait until it has."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """Kill it in the middle of whatever it does."""
        await self._end(signal.SIGKILL)

    async def restart(self, *, kill: bool = False) -> None:
        """Stop or kill it and start it again, at the same address and with the same file."""
        await (self.kill() if kill else self.stop())
        await self.start()

    async def end(self) -> None:
        """Leave nothing of it."""
        await self.line.end()
        await self.kill()
        self._held.release()

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            await self._process.ended()
