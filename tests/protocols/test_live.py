"""What only HTTP has: formats, keep-alive, HTTP/1.0; and completions, which stream themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from hub.domain.events import Delta
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.numbered_records import STORY
from tests.support.raw_socket import exchange
from tests.support.reader import Reader
from tests.support.reference_parsers import ServerEvents, ServerSent
from tests.support.scripted_upstream import Scripted
from tests.support.transport_readers import DRIVERS, HTTP, JSON, NDJSON, SSE, Text
from tests.support.upstream_answers import Answer, Ending, Gate, openai_sse

# What only HTTP has


@pytest.mark.parametrize("kind", [SSE, NDJSON, JSON, Text], ids=lambda kind: kind.name)
async def test_a_response_keeps_streaming_on_its_way(kind: type[Reader]) -> None:
    async with hub_on_loopback() as running:
        stream, _ = await running.hub.streams.create("chat")
        reader = await running.follow(kind, "chat")
        assert reader.headers["cache-control"] == "no-store, no-transform"
        assert reader.headers["x-accel-buffering"] == "no"
        assert reader.headers["x-content-type-options"] == "nosniff"
        kinds = {
            "sse": "text/event-stream; charset=utf-8",
            "ndjson": "application/x-ndjson; charset=utf-8",
            "json": "application/json",
            "text": "text/plain; charset=utf-8",
        }
        assert reader.headers["content-type"] == kinds[reader.name]
        assert reader.headers["stream-next-offset"] == str(stream.position)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/event-stream"),
        ("*/*", "text/event-stream"),
        ("text/event-stream", "text/event-stream"),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/json", "application/json"),
        ("TEXT/PLAIN", "text/plain"),
        ("text/html, application/x-ndjson;q=0.5, text/plain;q=0.9", "text/plain"),
        ("application/json;q=0.1, application/x-ndjson", "application/x-ndjson"),
        ("application/json;q=x", "application/json"),
    ],
)
async def test_the_format_is_what_the_client_accepts(accept: str, kind: str) -> None:
    async with hub_on_loopback() as running:
        stream, _ = await running.hub.streams.create("chat")
        stream.close()
        answer = await exchange(
            running.port,
            f"GET /v1/live/chat?from=now HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode(),
        )
        assert f"Content-Type: {kind}".encode() in answer.partition(b"\r\n\r\n")[0]


async def test_a_format_that_there_is_not_is_an_error() -> None:
    async with hub_on_loopback() as running:
        await running.hub.streams.create("chat")
        answer = await exchange(
            running.port, b"GET /v1/live/chat?format=xml HTTP/1.0\r\nAccept: */*\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.0 400 ")
        assert b'"code":"bad_format"' in answer


@pytest.mark.parametrize("form", ["sse", "ndjson", "json", "text"])
async def test_after_a_stream_that_closed_the_connection_serves_the_next_request(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written raw ends exactly where the body does."""
    # All else is the same for every reader.
    monkeypatch.setattr("hub.protocols.live.lost", lambda: 1000)
    async with hub_on_loopback() as running:
        stream, _ = await running.hub.streams.create("chat")
        for event in STORY:
            running.hub.streams.append(stream, event)
        stream.close()
        live = f"GET /v1/live/chat?format={form}&from=start HTTP/1.1\r\nHost: hub\r\n\r\n".encode()
        last = b"GET /livez HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
        answers = await exchange(running.port, live, live, last)
        first, _, rest = answers.partition(b"\r\n0\r\n\r\n")
        second, _, third = rest.partition(b"\r\n0\r\n\r\n")
        assert first.count(b"HTTP/1.1 200") == second.count(b"HTTP/1.1 200") == 1
        assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]
        assert third.startswith(b"HTTP/1.1 200 OK")
        assert third.endswith(b"\r\n\r\nok\n")


OLD_LIVE = b"GET /v1/live/chat?format=text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
OLD_COMPLETION = (
    b"POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Content-Type: application/json\r\nContent-Length: 82\r\n\r\n"
    b'{"model":"demo","stream":true,"messages":[{"role":"user","content":"echo Hello"}]}'
)


@pytest.mark.parametrize("request_", [OLD_LIVE, OLD_COMPLETION], ids=["live", "completion"])
async def test_before_http_1_1_there_are_no_chunks_and_the_connection_ends_with_the_body(
    request_: bytes,
) -> None:
    async with hub_on_loopback() as running:
        stream, _ = await running.hub.streams.create("chat")
        running.hub.streams.append(stream, Delta("g", text="Hello"))
        stream.close()
        answer = await exchange(running.port, request_)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b"Hello" or body.endswith(b"data: [DONE]\n\n")
        assert b"chunked" not in head.lower()
        assert b"connection: keep-alive" not in head.lower()


@pytest.mark.parametrize(
    "path", ["/v1/stream/chat?offset=-1&live=sse", "/stream_json_data", "/sse"]
)
async def test_before_http_1_1_the_end_of_any_other_stream_is_that_of_its_connection(
    path: str,
) -> None:
    async with hub_on_loopback(tutorial={"pace": 0.0001}) as running:
        stream, _ = await running.hub.streams.create("chat")
        running.hub.streams.append(stream, Delta("g", text="Hello"))
        stream.close()
        asked = f"GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".encode()
        head, _, body = (await exchange(running.port, asked)).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200")
        assert body


# The OpenAI-compatible API follows in the same way what it has begun itself


class Completion(HTTP):
    """`POST /v1/chat/completions` with ``stream``; ``stream`` here is the prompt."""

    name = "completion"
    resumes = False

    def _request(self, start: str) -> bytes:
        asked = {
            "model": "one",
            "messages": [{"role": "user", "content": self.stream}],
            "stream": True,
        }
        body = json.dumps(asked).encode()
        head = (
            f"POST /v1/chat/completions HTTP/{self.version}\r\nHost: hub\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def _make_parser(self) -> ServerEvents:
        return ServerEvents()

    def _told(self, told: ServerSent) -> None:
        if told.data == "[DONE]":
            self.closed = True
            return
        held = json.loads(told.data)
        if "error" in held:
            self.error = held["error"]
            return
        assert not self.closed
        self.events.append(held)
        self._add("".join(one["delta"].get("content", "") for one in held["choices"]))


class OldCompletion(Completion):
    name = "completion/1.0"
    version = "1.0"


completions = pytest.mark.parametrize("kind", [Completion, OldCompletion])
WORDS = ["Hel", "lo ", "wörld \U0001f30a", "."]


@asynccontextmanager
async def asked(*answers: Answer, stall: float = 60.0) -> AsyncIterator[Loopback]:
    async with Scripted() as upstream:
        upstream.answers(*answers)
        table = {"dialect": "openai-chat", "url": upstream.url, "stall_timeout": stall}
        tables = {"upstreams": {"one": table}, "default_upstream": "one"}
        async with hub_on_loopback(**tables) as running:
            yield running


@completions
async def test_a_completion_comes_once_in_order_and_ends_well(kind: type[Completion]) -> None:
    async with asked(Answer(*openai_sse(*WORDS))) as running:
        reader = await running.follow(kind, "Hi")
        await reader.until(lambda: reader.end)
        assert reader.text == "".join(WORDS)
        assert reader.closed
        assert reader.end == "whole"


@completions
@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET, Ending.HANG])
async def test_a_completion_that_broke_off_never_looks_whole(
    kind: type[Completion], ending: Ending
) -> None:
    stall = 3.0 if ending is Ending.HANG else 60.0
    async with asked(Answer(*openai_sse(*WORDS)[:3], ending), stall=stall) as running:
        reader = await running.follow(kind, "Hi")
        await reader.until(lambda: reader.end)
        assert reader.text == "Hello "
        assert not reader.closed
        assert reader.error["code"].startswith("upstream_")
        assert reader.end == "cut"


async def test_others_follow_a_completion_and_whoever_asked_may_go() -> None:
    gate, blocks = Gate(), openai_sse(*WORDS)
    async with asked(Answer(*blocks[:3], gate, *blocks[3:])) as running:
        reader = await running.follow(Completion, "Hi")
        name = reader.headers["streamhub-stream"]
        others = [await running.follow(driver, name) for driver in DRIVERS]
        await reader.until(lambda: reader.text == "Hello ")
        reader.drop()
        await eventually(lambda: len(running.hub.connections) == len(others))
        gate.open()
        for other in others:
            await other.until(lambda: other.text == "".join(WORDS))  # noqa: B023
            await other.until(lambda: other.end == "whole" or other.closed)  # noqa: B023


async def test_who_never_reads_its_completion_is_cut() -> None:
    many = Answer(*openai_sse(*["x" * 20_000] * 40))
    async with asked(many) as running:
        reader = await running.follow(Completion, "Hi", kernel_buffer=4096)
        reader.pause()
        (connection,) = running.hub.connections
        await eventually(lambda: not running.hub.generations.active)
        now = asyncio.get_running_loop().time()
        connection.tick(now)
        connection.tick(now + 31)
        assert running.hub.counts.evictions == 1
        reader.resume()
        await reader.until(lambda: reader.end)
        assert reader.end == "cut"
        assert not reader.closed
