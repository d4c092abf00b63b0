"""What the tests of the dialer share: a request, its outcomes, and the two kinds of loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvloop

from hub.domain.errors import UpstreamError
from hub.upstreams.http_client import Dialer
from hub.upstreams.http_request import Request
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Answer, Ending, Scripted

__all__ = ["BREAKS", "KEY", "LOOPS", "failure", "nobody", "on", "promptly", "read", "request"]

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PROMPTLY: Final = 0.1  # seconds: promise P9
TRIES: Final = 10
KEY: Final = "4f8a2b61c9d0e7f3"  # of no known form, so that no pattern masks it


def request(
    url: str, *, connect: float = PATIENCE, stall: float = PATIENCE, name: str = "local"
) -> Request:
    headers = {"Authorization": f"Bearer {KEY}"}
    return Request(name, url, headers, b'{"a":1}', connect, stall, secrets=(KEY,))


async def read(dialer: Dialer, asked: Request) -> list[bytes]:
    async with dialer.open(asked) as body:
        return [piece async for piece in body]


async def failure(
    dialer: Dialer, asked: Request, pieces: list[bytes] | None = None
) -> UpstreamError:
    """The error of a reply, and in ``pieces`` what came before it."""
    came = [] if pieces is None else pieces
    try:
        async with asyncio.timeout(PATIENCE), dialer.open(asked) as body:
            async for piece in body:
                came.append(piece)
    except UpstreamError as raised:
        error = raised
    else:
        raise AssertionError(f"the reply is whole: {came}")
    assert error.message.startswith(f'upstream "{asked.name}" ')
    assert KEY not in error.message
    assert asked.url not in error.message
    assert error.__cause__ is None
    return error


def on(loop: str, scenario: Callable[[Scripted, Dialer], Awaitable[None]]) -> None:
    """Run a scenario on one kind of loop: they differ in how a socket ends."""

    async def played() -> None:
        made = Dialer()
        async with Scripted() as server:
            try:
                await scenario(server, made)
            finally:
                await made.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(played())


@contextmanager
def nobody() -> Iterator[str]:
    """An address where nobody listens, nor can begin to meanwhile: its port is taken."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


async def promptly(attempt: Callable[[], Awaitable[float]]) -> None:
    """P9, in the seconds that an attempt took from leaving until the upstream saw it.

    What waits for something takes too long every time. A machine that was busy with something
    else is not so each time: so the first attempt that is prompt is enough.
    """
    took: list[float] = []
    while not took or min(took) >= PROMPTLY:
        assert len(took) < TRIES, took
        took.append(await attempt())


BREAKS: Final[dict[str, tuple[Answer, str]]] = {
    "closed between chunks": (Answer(b"Hel", b"lo", Ending.CLOSE), "upstream_truncated"),
    "reset between chunks": (Answer(b"Hel", b"lo", Ending.RESET), "upstream_reset"),
    "closed before the length": (
        Answer(b"Hel", b"lo!!", framing="length").stop(5, Ending.CLOSE),
        "upstream_truncated",
    ),
    "reset before the length": (
        Answer(b"Hel", b"lo!!", framing="length").stop(5, Ending.RESET),
        "upstream_reset",
    ),
    "closed in compression": (
        Answer(b"Hel", b"lo", Ending.CLOSE, coding="gzip"),
        "upstream_truncated",
    ),
    "reset in compression": (Answer(b"Hel", b"lo", Ending.RESET, coding="gzip"), "upstream_reset"),
    "no size of a chunk": (
        Answer(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"3\r\nHel\r\n2\r\nlo\r\n",
            b"what?\r\n",
            framing="raw",
        ),
        "upstream_malformed",
    ),
}
