"""Commands as processes of their own, and what a hub has to say for comparison."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NamedTuple

import orjson

from hub.client import Hub
from hub.client.following import hear
from tests.support.connections import Connections
from tests.support.patience import PATIENCE

COMMAND = [sys.executable, "-m", "hub"]


def environ(**more: str) -> dict[str, str]:
    kept = {name: held for name, held in os.environ.items() if not name.startswith("STREAMHUB_")}
    return {**kept, "TERM": "xterm-256color", **more}


def run(*arguments: str, given: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *arguments],
        input=given,
        capture_output=True,
        env=environ(**more),
        timeout=PATIENCE,
    )


async def started(*arguments: str, url: str) -> Any:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        "--url",
        url,
        env=environ(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def on_a_terminal(*arguments: str) -> str:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=follower, stderr=follower, stdin=follower, env=environ()
    ) as running:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 65536):
                shown += piece
        except OSError:  # how Linux says that the other side was closed
            pass
        os.close(leader)
    assert running.returncode == 0
    return shown.decode()


class Said(NamedTuple):
    """How a command that ran in this process exited, and what it wrote."""

    code: object
    out: str
    err: str


Command = Callable[..., Said]


async def read_to_end(url: str, stream: str, *, ends: int = 1) -> list[dict[str, Any]]:
    """The events of a stream up to this terminal one."""
    held: list[dict[str, Any]] = []
    async with Hub(url) as hub, aclosing(hear(hub.wire, stream, "start")) as all_heard:
        async for heard in all_heard:
            held.append(orjson.loads(heard.body))
            ends -= held[-1]["type"] in ("finished", "failed", "cancelled")
            if not ends:
                return held
    raise AssertionError("the stream closed")


def read(url: str, stream: str, *, ends: int = 1) -> list[dict[str, Any]]:
    return asyncio.run(asyncio.wait_for(read_to_end(url, stream, ends=ends), PATIENCE))


@asynccontextmanager
async def cutting(url: str, *, after: list[int]) -> AsyncIterator[str]:
    """A proxy before the hub; its connections break after so many bytes, the last one never."""
    port = int(url.rpartition(":")[2])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hub_reader, hub_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            hub_writer.write(await reader.readuntil(b"\r\n\r\n"))
            left = after.pop(0) if after else sys.maxsize
            while left and (piece := await hub_reader.read(min(left, 65536))):
                writer.write(piece)
                await writer.drain()
                left -= len(piece)
        finally:
            hub_writer.transport.abort()

    connections = Connections(serve)
    try:
        yield f"http://127.0.0.1:{connections.listen()}"
    finally:
        connections.stop()
        await connections.cut()
