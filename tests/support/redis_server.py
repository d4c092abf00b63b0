"""Redis and Valkey servers of a test's own, which it may kill, freeze, empty and promote.

``redis-server`` or ``valkey-server`` of the machine is used, if it is new enough. Otherwise
Debian's package is unpacked into a folder of the virtual environment, at the first use: nothing is
installed and no service starts.

Each server has a port and a folder of its own. It appends to a file with each command that it
acknowledges, so that a killed one comes back with all of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from hub.stores.redis.engine import RedisEngine
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.server_process import Process, ServerProcess

__all__ = ["KINDS", "Program", "RedisServer", "ask", "installed"]

OLDEST: Final = 7
"""The oldest major version of Redis that has what the hub needs; every Valkey has it."""

PACKAGES: Final = (
    "redis-server",
    "redis-tools",
    "libatomic1",
    "libjemalloc2",
    "liblua5.1-0",
    "liblzf1",
    "lua-bitop",
    "lua-cjson",
)
UNPACKED: Final = Path(sys.prefix) / "redis"

KINDS: Final = ("redis", *(["valkey"] if shutil.which("valkey-server") else []))
"""What there is to test with; Redis can be had nearly everywhere."""

MISSING: Final = (
    "these tests need Redis 7 or newer: put redis-server on the PATH "
    "(on Debian they unpack the package themselves)"
)


class Program:
    """A server's file, and the environment that it needs."""

    def __init__(self, path: str | Path, **environment: str) -> None:
        self.path = str(path)
        self.environment = {**os.environ, **environment}

    @property
    def usable(self) -> bool:
        """Whether it runs, and is new enough."""
        try:
            done = subprocess.run(
                [self.path, "--version"], env=self.environment, capture_output=True, text=True
            )
        except OSError:
            return False
        version = re.search(r"v=(\d+)\.", done.stdout)
        return version is not None and int(version[1]) >= OLDEST


@cache
def installed(kind: str) -> Program:
    """The server of a kind.

    A test that needs one fails where it could be had, or where it is run by CI; elsewhere it is
    skipped.
    """
    found = _found(kind)
    if found is None and kind == "redis" and shutil.which("apt-get"):
        _unpack()
        found = _found(kind)
    if found is not None:
        return found
    if os.environ.get("CI") or shutil.which("apt-get"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


def _found(kind: str) -> Program | None:
    on_path = shutil.which(f"{kind}-server")
    programs = [] if on_path is None else [Program(on_path)]
    if kind == "redis":
        libraries = ":".join(map(str, sorted((UNPACKED / "usr" / "lib").glob("*-linux-*"))))
        unpacked = UNPACKED / "usr" / "bin" / "redis-server"
        programs.append(Program(unpacked, LD_LIBRARY_PATH=libraries))
    return next((program for program in programs if program.usable), None)


def _unpack() -> None:
    """Download Debian's packages and unpack them; whatever fails, `_found` finds nothing."""
    UNPACKED.mkdir(exist_ok=True)
    with (UNPACKED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _found("redis") is not None:
            return  # another process has done it meanwhile
        # As root apt would download as another user, who may not write into our folder.
        download = ["apt-get", "-o", "APT::Sandbox::User=root", "download", *PACKAGES]
        if not _done(download):
            _done(["apt-get", "update"])
            _done(download)
        for package in UNPACKED.glob("*.deb"):
            _done(["dpkg-deb", "-x", str(package), str(UNPACKED)])


def _done(command: list[str]) -> bool:
    return not subprocess.run(command, cwd=UNPACKED, capture_output=True).returncode


async def ask(port: int, *words: str) -> bytes:
    """Send one command over a connection of its own; the first bytes of the reply."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(" ".join(words).encode() + b"\r\n")
        return await reader.read(65536)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class RedisServer(ServerProcess):
    """A server that keeps what it has in a folder; `start` it first and `stop` it in the end."""

    def __init__(self, folder: Path, kind: str = "redis") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._kind = kind
        self._port = Port()

    @property
    def port(self) -> int:
        return self._port.number

    @property
    def url(self) -> str:
        """For ``store.url``."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self._folder / "redis.sock"

    async def start(self, **settings: str) -> None:
        """Start it with what it kept; returns once it answers.

        ``settings`` are those of its configuration file, with ``_`` for ``-``.
        """
        program = await asyncio.to_thread(installed, self._kind)
        given = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "unixsocket": str(self.socket),
            "dir": str(self._folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
            "logfile": str(self._folder / "log"),
            **{name.replace("_", "-"): value for name, value in settings.items()},
        }
        words = [word for name, value in given.items() for word in (f"--{name}", value)]
        self._process = await self._spawn(program, words)
        async with asyncio.timeout(PATIENCE):
            while await self._ping() != b"+PONG\r\n":
                assert self._process.returncode is None, (self._folder / "log").read_text("utf-8")
                await asyncio.sleep(0.01)

    async def _spawn(self, program: Program, words: Sequence[str]) -> Process:
        return await asyncio.create_subprocess_exec(program.path, *words, env=program.environment)

    def engine(self, **settings: Any) -> RedisEngine:
        """A hub's connection to it, not open yet."""
        return RedisEngine(self.url, **settings)

    async def ask(self, *words: str) -> bytes:
        """Send one command over a connection of its own; the first bytes of the reply."""
        return await ask(self.port, *words)

    async def _ping(self) -> bytes:
        try:
            return await self.ask("PING")
        except OSError:
            return b""

    async def restart_empty(self) -> None:
        """Kill it and start it again without what it kept."""
        await self.kill()
        self.forget()
        await self.start()

    def forget(self) -> None:
        """Remove what it kept; it does not run."""
        for kept in self._folder.glob("appendonly*"):
            shutil.rmtree(kept)

    def cut(self, chance: random.Random) -> None:
        """Cut some bytes off the end of what it kept; it does not run."""
        file = max((self._folder / "appendonlydir").glob("*.aof"), key=os.path.getmtime)
        size = file.stat().st_size
        os.truncate(file, max(0, size - chance.randrange(1, 5000)))

    async def stop(self) -> None:
        """End it, and let others have its port."""
        await self.kill()
        self._port.release()
