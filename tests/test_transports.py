"""One contract for all transports: what following a stream means, whatever it goes over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from hub.events import Delta, Event, Finished, Message, Other
from hub.runs import Ask
from hub.stream import Stream
from tests.answers import Answer, Ending, Gate, openai_sse
from tests.loopback import Loopback, eventually, hub_on_loopback
from tests.parsing import ServerEvents, ServerSent
from tests.readers import DRIVERS, HTTP, JSON, NDJSON, SSE, Reader, Text, WebSocket
from tests.scripted import Scripted
from tests.wire import exchange


class World:
    """A running hub with one stream, and readers that are gone at the end of the test."""

    def __init__(self, running: Loopback, stream: Stream, driver: type[Reader]) -> None:
        self.running = running
        self.hub = running.hub
        self.stream = stream
        self.driver = driver

    def reader(self, stream: str | None = None, **options: Any) -> Reader:
        return self.running.reader(self.driver, stream or self.stream.name, **options)

    async def follow(self, start: str | None = "start", **options: Any) -> Reader:
        return await self.reader(**options).open(start)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.hub.append(self.stream, Delta("g", text=text))

    def append(self, *events: Event) -> None:
        for event in events:
            self.hub.append(self.stream, event)


MakeWorld = Callable[..., Any]


@pytest.fixture
async def make_world(driver: type[Reader]) -> AsyncIterator[MakeWorld]:
    async with AsyncExitStack() as stack:

        async def make(**tables: Any) -> World:
            running = await stack.enter_async_context(hub_on_loopback(**tables))
            return World(running, await running.hub.create("a/chat"), driver)

        yield make


@pytest.fixture
async def world(make_world: MakeWorld) -> World:
    made: World = await make_world()
    return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marked = metafunc.definition.iter_markers("parametrize")
    if "driver" in metafunc.fixturenames and not any("driver" in m.args[0] for m in marked):
        metafunc.parametrize("driver", DRIVERS, ids=[driver.name for driver in DRIVERS])


STORY: list[Event] = [
    Message("user", "Hi\n"),
    Delta("g", text="Hel"),
    Delta("g", text="lo \U0001f30a"),
    Other({"type": "cited", "of": [1, None, "\u2028"]}),
    Delta("g", text="\r\n\n\0", extra={"refusal": True}),
    Finished("g"),
]
TEXT = "Hello \U0001f30a\r\n\n\0"


def fold(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events with neighbouring deltas joined, as a catch-up may have done."""
    told: list[dict[str, Any]] = []
    for event in events:
        before = told[-1] if told else {}
        if {*event} == {*before} == {"type", "generation", "text"}:
            told[-1] = {**before, "text": before["text"] + event["text"]}
        else:
            told.append(event)
    return told


def heard(reader: Reader, stream: Stream, since: int = 0) -> bool:
    """The reader has got exactly what the stream holds, each record once, in order."""
    held = [json.loads(r.body) for r in stream.read(max(since, stream.head), 10**9).records]
    if not reader.resumes:
        return reader.text == "".join(e.get("text", "") for e in held if e["type"] == "delta")
    return fold(reader.events) == fold(held) and reader.position == str(stream.position)


async def settle() -> None:
    """Time for what should not come."""
    await asyncio.sleep(0.05)


# Where reading begins


async def test_from_the_start_comes_everything_once_in_order(world: World) -> None:
    world.append(*STORY)
    reader = await world.follow("start")
    await reader.until(lambda: heard(reader, world.stream))
    assert reader.text == TEXT
    await settle()
    assert heard(reader, world.stream)


async def test_from_now_comes_only_what_comes(world: World) -> None:
    world.say("old")
    reader = await world.follow("now")
    since = world.stream.tail
    world.append(*STORY)
    await reader.until(lambda: heard(reader, world.stream, since))


async def test_from_a_position_comes_what_is_there_and_after(world: World) -> None:
    world.append(*STORY)
    for since in range(world.stream.tail + 1):
        reader = await world.follow(str(world.stream.position_at(since)))
        await reader.until(lambda: heard(reader, world.stream, since))  # noqa: B023
        assert reader.resets == []


async def test_each_batch_of_live_records_comes_as_it_is_written(world: World) -> None:
    reader = await world.follow("start")
    for event in STORY:
        world.append(event)
        await reader.until(lambda: heard(reader, world.stream))
    if reader.resumes:
        assert reader.events == [json.loads(r.body) for r in world.stream.read(0, 10**9).records]


async def test_history_turns_into_live_without_a_seam(world: World) -> None:
    done = False

    async def talk() -> None:
        for number in range(120):
            world.say(f"<{number}>")
            await asyncio.sleep(0.0005)
        nonlocal done
        done = True

    talking = asyncio.create_task(talk())
    readers = []
    while not done:
        readers.append(await world.follow("start"))
        await asyncio.sleep(0.02)
    await talking
    assert len(readers) > 2
    for reader in readers:
        await reader.until(lambda: heard(reader, world.stream))  # noqa: B023


# Going away and coming back


async def test_coming_back_goes_on_at_the_position(world: World) -> None:
    reader = await world.follow("start")
    for number in range(20):
        world.say(f"<{number}>", f"<{number}+>")
        if number % 4 == 1:
            await reader.until(lambda: heard(reader, world.stream))
        if number % 4 == 2:
            reader.drop()
        if number % 4 == 3:
            await reader.open()
    await reader.until(lambda: heard(reader, world.stream))
    assert reader.resets == []


async def test_who_has_gone_is_noticed_and_in_nobodys_way(world: World) -> None:
    gone = await world.follow("start")
    stays = await world.follow("start")
    gone.drop()
    world.append(*STORY)
    await stays.until(lambda: heard(stays, world.stream))
    await eventually(lambda: len(world.hub.connections) == 1, within=3)
    assert len(world.stream.fanout) == 1


# The end of a stream


async def test_the_end_of_a_stream_is_told_and_ends_the_response(world: World) -> None:
    reader = await world.follow("start")
    world.append(*STORY)
    world.stream.close()
    await reader.until(lambda: reader.end or reader.closed)
    if isinstance(reader, HTTP):
        await reader.until(lambda: reader.end)
        assert reader.end == "whole"
    assert reader.text == TEXT
    assert reader.closed == (not isinstance(reader, Text))
    assert heard(reader, world.stream)


async def test_a_closed_stream_is_read_like_any_other(world: World) -> None:
    world.append(*STORY)
    world.stream.close()
    reader = await world.follow("start")
    await reader.until(lambda: reader.end or reader.closed)
    assert reader.text == TEXT
    assert heard(reader, world.stream)


async def test_who_has_read_all_of_a_closed_stream_is_told_that_this_was_it(world: World) -> None:
    world.append(*STORY)
    world.stream.close()
    reader = await world.follow("start")
    await reader.until(lambda: reader.end or reader.closed)
    before = list(reader.events)
    reader.drop()
    reader.closed = False
    await reader.open(None if reader.resumes else str(world.stream.position))
    if isinstance(reader, SSE):
        assert reader.status == 204, "after anything else an EventSource comes back for ever"
    else:
        await reader.until(lambda: reader.end or reader.closed)
    assert reader.events == before


# Resets


async def test_who_comes_back_too_late_is_reset_to_the_oldest_kept(make_world: MakeWorld) -> None:
    world: World = await make_world(streams={"max_records": 5})
    world.say(*(f"<{number}>" for number in range(20)))
    reader = await world.follow(str(world.stream.position._replace(offset=3)))
    if isinstance(reader, Text):
        assert (reader.status, reader.error["code"]) == (410, "gone")
        return
    await reader.until(lambda: heard(reader, world.stream))
    head = str(world.stream.position_at(15))
    assert reader.resets == [
        {
            "type": "reset",
            "position": head,
            "reason": "trimmed",
            **({"stream": "a/chat"} if isinstance(reader, WebSocket) else {}),
        }
    ]


async def test_who_has_read_what_is_not_written_is_reset(world: World) -> None:
    world.say("one", "two")
    reader = await world.follow(str(world.stream.position._replace(offset=99)))
    if isinstance(reader, Text):
        assert (reader.status, reader.error["code"]) == (410, "gone")
        return
    await reader.until(lambda: heard(reader, world.stream))
    assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


async def test_a_stream_of_the_same_name_is_not_taken_for_the_old_one(world: World) -> None:
    world.say("one", "two")
    reader = await world.follow("start")
    await reader.until(lambda: heard(reader, world.stream))
    reader.drop()
    world.hub._streams._forget(world.stream.name)
    again = await world.hub.create(world.stream.name)
    world.hub.append(again, Delta("h", text="other"))
    reader.forget()
    await reader.open()
    await reader.until(lambda: heard(reader, again))
    if reader.resumes:
        assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


async def test_a_reset_that_leads_to_the_end_of_a_closed_stream_is_told_too(world: World) -> None:
    world.say("one", "two")
    reader = await world.follow("start")
    await reader.until(lambda: heard(reader, world.stream))
    reader.drop()
    world.hub._streams._forget(world.stream.name)
    again = await world.hub.create(world.stream.name)
    again.close()
    await reader.open()
    await reader.until(lambda: reader.end or reader.closed)
    if reader.resumes:
        assert [reset["reason"] for reset in reader.resets] == ["unwritten"]


# Signs of life


async def test_beats_come(make_world: MakeWorld, driver: type[Reader]) -> None:
    world: World = await make_world(server={"beat_seconds": 0.05, "ws_beat_seconds": 0.05})
    reader = await world.follow("start")
    if isinstance(reader, Text):
        await asyncio.sleep(0.2)
        assert reader.text == "", "whatever was sent would be text"
        return
    await reader.until(lambda: reader.beats >= 3, within=5)
    world.append(*STORY)
    await reader.until(lambda: heard(reader, world.stream))
    del driver


# What is refused


@pytest.mark.parametrize(
    ("stream", "start", "status", "code"),
    [
        ("nobody", "start", 404, "stream_not_found"),
        ("a/chat", "tomorrow", 400, "bad_position"),
        ("a/chat", "0_0", 400, "bad_position"),
        ("a/chat", "+" * 33, 400, "bad_position"),
        (".hidden", "start", 400, "bad_name"),
        ("x" * 201, "start", 400, "bad_name"),
    ],
)
async def test_what_cannot_be_followed_is_one_clear_error(
    world: World, stream: str, start: str, status: int, code: str
) -> None:
    reader = await world.reader(stream).open(start)
    assert reader.error["code"] == code
    assert reader.error["message"]
    if isinstance(reader, HTTP):
        assert reader.status == status
    else:
        assert not reader.end, "one mistake does not end the connection"


async def test_only_so_many_connections(make_world: MakeWorld) -> None:
    world: World = await make_world(limits={"connections": 2})
    readers = [await world.follow("start") for _ in range(2)]
    refused = await world.follow("start")
    assert (refused.status, refused.error["code"]) == (429, "limit_exceeded")
    assert world.hub.counts.refusals == 1
    readers[0].drop()
    await eventually(lambda: len(world.hub.connections) == 1, within=3)
    again = await world.follow("start")
    world.append(*STORY)
    await again.until(lambda: heard(again, world.stream))


async def test_a_hub_that_shuts_down_takes_nobody_in(world: World) -> None:
    world.hub.draining = True
    refused = await world.follow("start")
    assert (refused.status, refused.error["code"]) == (503, "draining")
    assert "retry-after" in refused.headers


# Slow readers


async def test_who_never_reads_is_cut(make_world: MakeWorld) -> None:
    world: World = await make_world(fanout={"slow_client_timeout": 0.2})
    slow = await world.follow("start", kernel_buffer=4096)
    stays = await world.follow("start")
    slow.pause()
    for _ in range(40):
        world.say("x" * 50_000)
        await asyncio.sleep(0)
    await stays.until(lambda: heard(stays, world.stream))
    await eventually(lambda: world.hub.counts.evictions, within=3)
    await eventually(lambda: len(world.hub.connections) == 1, within=3)
    slow.resume()
    await slow.until(lambda: slow.end)
    assert slow.end == "cut" or slow.name == "text/1.0", "it must not look like the end"
    assert world.hub.counts.evictions == 1


async def test_who_never_reads_the_end_of_a_closed_stream_is_cut_too(
    make_world: MakeWorld,
) -> None:
    """Its response is written, but as long as it takes no more it is a connection."""
    world: World = await make_world(fanout={"slow_client_timeout": 0.2})
    slow = world.reader(kernel_buffer=4096)
    world.say("x" * 200_000)
    world.stream.close()
    await slow.open("start")
    slow.pause()
    await settle()
    assert len(world.hub.connections) == 1
    await eventually(lambda: world.hub.counts.evictions, within=3)
    slow.resume()
    await slow.until(lambda: slow.end)


# One-off generations


async def test_the_end_of_a_reply_ends_a_response_well(world: World) -> None:
    generation = await world.hub.generate(Ask("echo Hello"))
    reader = await world.reader(generation.stream).open("start")
    await reader.until(lambda: reader.end or reader.closed)
    assert reader.text == "Hello"
    if isinstance(reader, HTTP):
        await reader.until(lambda: reader.end == "whole")


@pytest.mark.parametrize("prompt", ["fail", "cut"])
async def test_a_reply_that_broke_off_never_looks_whole_as_text(world: World, prompt: str) -> None:
    generation = await world.hub.generate(Ask(prompt))
    reader = await world.reader(generation.stream).open("start")
    await reader.until(lambda: reader.end or reader.closed)
    if isinstance(reader, Text):
        assert reader.end == "cut"
        late = await world.reader(generation.stream).open("start")
        await late.until(lambda: late.end)
        assert late.end == "cut"
    else:
        assert reader.events[-1]["type"] == "failed"
        assert reader.closed


# What only HTTP has


@pytest.mark.parametrize("driver", [SSE, NDJSON, JSON, Text], ids=lambda driver: driver.name)
async def test_a_response_keeps_streaming_on_its_way(world: World) -> None:
    reader = await world.follow("start")
    assert reader.headers["cache-control"] == "no-store, no-transform"
    assert reader.headers["x-accel-buffering"] == "no"
    assert reader.headers["x-content-type-options"] == "nosniff"
    kinds = {
        "sse": "text/event-stream",
        "ndjson": "application/x-ndjson",
        "json": "application/json",
        "text": "text/plain; charset=utf-8",
    }
    assert reader.headers["content-type"] == kinds[reader.name]
    assert reader.headers["stream-next-offset"] == str(world.stream.position)


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
        stream = await running.hub.create("chat")
        stream.close()
        answer = await exchange(
            running.port,
            f"GET /v1/live/chat?from=now HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode(),
        )
        assert f"Content-Type: {kind}".encode() in answer.partition(b"\r\n\r\n")[0]


async def test_a_format_that_there_is_not_is_an_error() -> None:
    async with hub_on_loopback() as running:
        await running.hub.create("chat")
        answer = await exchange(
            running.port, b"GET /v1/live/chat?format=xml HTTP/1.0\r\nAccept: */*\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.0 400 ")
        assert b'"code":"bad_format"' in answer


@pytest.mark.parametrize("form", ["sse", "ndjson", "json", "text"])
async def test_after_a_stream_that_closed_the_connection_serves_the_next_request(form: str) -> None:
    """What is written raw ends exactly where the body does."""
    async with hub_on_loopback() as running:
        stream = await running.hub.create("chat")
        for event in STORY:
            running.hub.append(stream, event)
        stream.close()
        live = f"GET /v1/live/chat?format={form}&from=start HTTP/1.1\r\nHost: hub\r\n\r\n".encode()
        last = b"GET /livez HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n"
        answers = await exchange(running.port, live, live, last)
        first, _, rest = answers.partition(b"0\r\n\r\n")
        second, _, third = rest.partition(b"0\r\n\r\n")
        assert first.count(b"HTTP/1.1 200") == second.count(b"HTTP/1.1 200") == 1
        assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]
        assert third.startswith(b"HTTP/1.1 200 OK")
        assert third.endswith(b"\r\n\r\nok\n")


OLD_LIVE = b"GET /v1/live/chat?format=text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
OLD_COMPLETION = (
    b"POST /v1/chat/completions HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Content-Type: application/json\r\nContent-Length: 81\r\n\r\n"
    b'{"model":"demo","stream":true,"messages":[{"role":"user","content":"echo Hello"}]}'
)


@pytest.mark.parametrize("request_", [OLD_LIVE, OLD_COMPLETION], ids=["live", "completion"])
async def test_before_http_1_1_there_are_no_chunks_and_the_connection_ends_with_the_body(
    request_: bytes,
) -> None:
    async with hub_on_loopback() as running:
        stream = await running.hub.create("chat")
        running.hub.append(stream, Delta("g", text="Hello"))
        stream.close()
        answer = await exchange(running.port, request_)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b"Hello" or body.endswith(b"data: [DONE]\n\n")
        assert b"chunked" not in head.lower()
        assert b"connection: keep-alive" not in head.lower()


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
async def asked(*answers: Answer) -> AsyncIterator[Loopback]:
    async with Scripted() as upstream:
        upstream.answers(*answers)
        table = {"dialect": "openai-chat", "url": upstream.url, "stall_timeout": 0.3}
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
    async with asked(Answer(*openai_sse(*WORDS)[:3], ending)) as running:
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
        await eventually(lambda: len(running.hub.connections) == len(others), within=3)
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
        await eventually(lambda: not running.hub.generating)
        now = asyncio.get_running_loop().time()
        connection.look_after(now)
        connection.look_after(now + 31)
        assert running.hub.counts.evictions == 1
        reader.resume()
        await reader.until(lambda: reader.end)
        assert reader.end == "cut"
        assert not reader.closed
