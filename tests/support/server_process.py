"""A server in a process of its own, which a test may freeze and start again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence

from tests.support.forked import Forked

__all__ = ["LastingProcess", "Process", "ServerProcess"]


class LastingProcess:
    """A process of no event loop: it may outlive the test that starts it."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(words, env=environment)

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, and wait for that."""
        self._process.kill()
        self._process.wait()

    async def wait(self) -> int:
        return await asyncio.to_thread(self._process.wait)


Process = asyncio.subprocess.Process | Forked | LastingProcess


class ServerProcess:
    """What is the same for all servers: see `tests.support.shared_servers.SharedServer`."""

    _process: Process | None = None

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
