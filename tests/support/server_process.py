"""A server in a process of its own, which a test may freeze and start again."""

from __future__ import annotations

import asyncio
import signal

from tests.support.forked import Forked

__all__ = ["ServerProcess"]


class ServerProcess:
    """What is the same for all servers: see `tests.support.shared_servers.SharedServer`."""

    _process: asyncio.subprocess.Process | Forked | None = None

    async def start(self) -> None:
        raise NotImplementedError

    async def kill(self) -> None:
        """End it as a crash would; what it acknowledged is kept."""
        await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            await (process.ended() if isinstance(process, Forked) else process.wait())

    async def restart(self) -> None:
        """Kill it and start it again with what it kept."""
        await self.kill()
        await self.start()

    def freeze(self) -> None:
        """Let it do nothing until `thaw`; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        self._process.send_signal(number)
