"""The published npm client of the Durable Streams Protocol against the hub, unchanged."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.conftest import Running, StartHub
from tests.support import npm
from tests.support.patience import PATIENCE

MODES = ["sse", "long-poll"]


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    await asyncio.to_thread(npm.install)
    return await start_hub(streams={"long_poll_seconds": 0.3, "sse_rotate_seconds": 60.0})


def url(hub: Running, name: str) -> str:
    return str(hub.client.make_url(f"/v1/stream/{name}"))


class Client:
    """The client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
        if not line:
            assert self.process.stderr is not None
            raise AssertionError((await self.process.stderr.read()).decode())
        return json.loads(line)

    async def lines(self) -> list[Any]:
        """All that it still says; the last is its summary."""
        found = [await self.line()]
        while "piece" in found[-1]:
            found.append(await self.line())
        return found


@asynccontextmanager
async def client(action: str, at: str, **options: Any) -> AsyncIterator[Client]:
    process = await asyncio.create_subprocess_exec(
        *npm.command("client.js", action, at, json.dumps(options)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Client(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def told(action: str, at: str, **options: Any) -> list[Any]:
    async with client(action, at, **options) as running:
        return await running.lines()


async def post(hub: Running, name: str, body: bytes, **headers: str) -> str:
    headers.setdefault("Content-Type", "text/plain")
    answer = await hub.client.post(f"/v1/stream/{name}", data=body, headers=headers)
    assert answer.status == 204, await answer.text()
    return answer.headers["Stream-Next-Offset"]


async def put(hub: Running, name: str, content_type: str) -> None:
    answer = await hub.client.put(f"/v1/stream/{name}", headers={"Content-Type": content_type})
    assert answer.status == 201


async def test_what_it_writes_is_there_for_everybody(hub: Running) -> None:
    """Create and append; the messages are the events that `/v1/live` shows."""
    said = {"type": "message", "role": "user", "text": "hello"}
    await told("write", url(hub, "a/chat"), contentType="application/json", bodies=[
        json.dumps(said), json.dumps({"n": 1}),
    ])  # fmt: skip
    stream = await hub.hub.streams.open("a/chat")
    await told("close", url(hub, "a/chat"))
    assert stream.closed
    answer = await hub.client.get("/v1/live/a/chat?format=ndjson")
    lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [line for line in lines if line.get("type") not in ("position", "closed")] == [
        said,
        {"n": 1},
    ]


@pytest.mark.parametrize("live", MODES)
async def test_it_follows_live_and_sees_the_end(hub: Running, live: str) -> None:
    """What is appended while it follows arrives, in order, and so does the close."""
    await put(hub, "live", "application/json")
    await hub.client.post("/v1/stream/live", json=[{"n": 0}])
    async with client("read", url(hub, "live"), live=live, offset="-1", **{"as": "json"}) as c:
        first = await c.line()
        assert first["piece"] == [{"n": 0}]
        await hub.client.post("/v1/stream/live", json=[{"n": 1}, {"n": 2}])
        found = [*first["piece"]]
        while len(found) < 3:
            found += (await c.line())["piece"]
        await post(
            hub, "live", b'{"n":3}', **{"Content-Type": "application/json", "Stream-Closed": "true"}
        )
        rest = await c.lines()
    found += [item for line in rest if "piece" in line for item in line["piece"]]
    assert found == [{"n": number} for number in range(4)]
    assert rest[-1]["closed"] is True


@pytest.mark.parametrize("live", MODES)
async def test_it_resumes_from_its_offset(hub: Running, live: str) -> None:
    """Nothing twice and nothing missing between two readers that share an offset."""
    await put(hub, "resumed", "text/plain")
    await post(hub, "resumed", b"one ")
    first = await told("read", url(hub, "resumed"), live=live, offset="-1", until="one ")
    await post(hub, "resumed", b"two ", **{"Stream-Closed": "true"})
    rest = await told("read", url(hub, "resumed"), live=live, offset=first[-1]["offset"])
    assert "".join(line["piece"] for line in rest if "piece" in line) == "two "
    assert rest[-1]["closed"] is True


TEXT = (
    "  two spaces first\n\n three lines\n"
    "\n data: not a field\nevent: control\n\n\tend \r\nCRLF \r CR\n 中文 👩‍👩‍👧 é \x00 \u2028 ."
)


def lines_of(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@pytest.mark.parametrize("live", MODES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_text_is_lossless(hub: Running, live: str, size: int) -> None:
    """Leading spaces, line ends and characters cut anywhere arrive as they were written.

    Server-sent events divide text by lines, so there CR and CRLF arrive as LF.
    """
    await put(hub, "text", "text/plain; charset=utf-8")
    written = TEXT.encode()
    async with client("read", url(hub, "text"), live=live, offset="-1", **{"as": "bytes"}) as c:
        for start in range(0, len(written), size):
            await post(hub, "text", written[start : start + size])
        await post(hub, "text", b"", **{"Stream-Closed": "true"})
        lines = await c.lines()
    pieces = [base64.b64decode(line["piece"]) for line in lines if "piece" in line]
    if live == "sse":
        text = "".join(piece.decode() for piece in pieces)  # whole characters, each
        assert lines_of(text) == lines_of(TEXT)
    else:
        assert b"".join(pieces) == written


@pytest.mark.parametrize("live", MODES)
async def test_bytes_are_lossless(hub: Running, live: str) -> None:
    """What is no text goes over server-sent events too."""
    await put(hub, "bytes", "application/octet-stream")
    written = bytes(range(256)) * 9
    async with client("read", url(hub, "bytes"), live=live, offset="-1", **{"as": "bytes"}) as c:
        kind = {"Content-Type": "application/octet-stream"}
        for start in range(0, len(written), 1000):
            await post(hub, "bytes", written[start : start + 1000], **kind)
        await post(hub, "bytes", b"", **{"Stream-Closed": "true"})
        lines = await c.lines()
    assert b"".join(base64.b64decode(line["piece"]) for line in lines if "piece" in line) == written


async def test_its_response_is_rotated_and_it_goes_on(start_hub: StartHub) -> None:
    """The hub ends each response after a while; the client comes back and misses nothing."""
    await asyncio.to_thread(npm.install)
    hub = await start_hub(streams={"sse_rotate_seconds": 0.2})
    await put(hub, "rotated", "text/plain")
    async with client("read", url(hub, "rotated"), live="sse", offset="-1") as c:
        written = [f"{number} " for number in range(8)]
        for piece in written:
            await post(hub, "rotated", piece.encode())
            await asyncio.sleep(0.1)
        await post(hub, "rotated", b"end", **{"Stream-Closed": "true"})
        lines = await c.lines()
    assert "".join(line["piece"] for line in lines if "piece" in line) == "".join(written) + "end"


async def test_its_idempotent_producer_writes_each_message_once(hub: Running) -> None:
    """Batches in flight at once, every request sent twice: one effect, in order, then closed."""
    (summary,) = await told("produce", url(hub, "produced"), count=100)
    assert summary["errors"] == []
    answer = await hub.client.get("/v1/stream/produced")
    assert await answer.json() == [{"number": number} for number in range(101)]
    assert answer.headers["Stream-Closed"] == "true"
    assert summary["offset"] == answer.headers["Stream-Next-Offset"]
