"""The routes of `/api/chat`, over plain HTTP: what no chat library ever does, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientPayloadError, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from hub import Config, setup
from hub.domain.errors import GenerationNotFound
from hub.domain.events import Delta, Message, Started
from hub.domain.generation import Generation
from hub.domain.principal import LOCAL, Principal
from hub.protocols.aisdk.endpoint import StartIndex, _Views
from hub.streams.followed import FollowedStream
from hub.streams.frozen import FrozenStream
from hub.streams.stream import Stream
from tests.conftest import Running, StartHub
from tests.support.looked_at import looked_at
from tests.support.loopback_hub import eventually
from tests.support.scripted_upstream import Answer, Ending, Gate, Scripted, openai_sse, refusal

HI = {"id": "q1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}
HELLO = openai_sse("Hel", "lo")
HALF = openai_sse("Hel", reason=None, done=False)


class World:
    def __init__(self, hub: Running, upstream: Scripted) -> None:
        self.hub = hub
        self.upstream = upstream
        self.client = hub.client

    async def ask(self, chat: str = "c", **more: Any) -> Any:
        body = {"id": chat, "messages": [HI], "trigger": "submit-message", **more}
        return await self.client.post("/api/chat", json=body)

    async def address(self, chat: str = "c") -> str:
        """Where an answer is read as a Durable Stream; without waiting for it."""
        headers = {"Accept": "application/json"}
        body = {"id": chat, "messages": [HI]}
        answer = await self.client.post("/api/chat", json=body, headers=headers)
        assert answer.status == 201
        where: str = answer.headers["Location"]
        assert (await answer.json()) == {"streamUrl": where}
        return where

    async def events(self, chat: str = "c") -> list[Any]:
        return [event async for event in (await self.hub.hub.streams.open(chat)).events()]


@pytest.fixture
async def world(start_hub: StartHub) -> AsyncIterator[World]:
    async with Scripted() as upstream:
        yield World(await begun(start_hub, upstream), upstream)


async def begun(start_hub: StartHub, upstream: Scripted, **tables: Any) -> Running:
    table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
    named = {"upstreams": {"scripted": table}, "default_upstream": "scripted"}
    return await start_hub(**{"streams": {"long_poll_seconds": 0.2}, **named, **tables})


async def half_said(world: World) -> None:
    """Return when the first half of the answer stands in the stream."""
    stream = await world.hub.hub.streams.open("c")
    await eventually(lambda: stream.last and isinstance(stream.last.event, Delta))


def chunks(body: str) -> list[Any]:
    """Those of a body of server-sent events; ``[DONE]`` as it stands."""
    found = [line[6:] for line in body.splitlines() if line.startswith("data: ")]
    return [held if held == "[DONE]" else json.loads(held) for held in found]


def text_of(told: list[Any]) -> str:
    return "".join(c["delta"] for c in told if c != "[DONE]" and c["type"] == "text-delta")


async def test_the_headers_and_the_body_of_an_answer(world: World) -> None:
    world.upstream.answers(Answer(*HELLO))
    answer = await world.ask()
    assert answer.status == 200
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "no-transform" in answer.headers["Cache-Control"]
    assert answer.headers["Streamhub-Stream"] == "c"
    told = chunks(await answer.text())
    assert told[-1] == "[DONE]"
    assert told[0]["messageId"] == answer.headers["Streamhub-Generation"]
    assert text_of(told) == "Hello"


async def test_a_question_sent_twice_has_one_effect(world: World) -> None:
    """At once, later, and after its end: each time the same answer, all of it."""
    gate = Gate()
    world.upstream.answers(Answer(*HALF, gate, *openai_sse("lo")[1:]))
    first, second = await asyncio.gather(world.ask(), world.ask())
    third = await world.ask()
    gate.open()
    told = [chunks(await answer.text()) for answer in (first, second, third, await world.ask())]
    assert [text_of(one) for one in told] == ["Hello"] * 4
    assert len({one[0]["messageId"] for one in told}) == 1
    assert len(world.upstream.requests) == 1
    assert len([e for e in await world.events() if isinstance(e, Message)]) == 1


async def test_a_question_sent_again_after_a_restart(start_hub: StartHub, tmp_path: Path) -> None:
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    async with Scripted() as upstream:
        upstream.answers(Answer(*HELLO))
        before = World(await begun(start_hub, upstream, store=store), upstream)
        where = (answer := await before.ask()).headers["Location"]
        told = await answer.text()
        await before.client.close()
        after = World(await begun(start_hub, upstream, store=store), upstream)
        assert text_of(chunks(await (await after.ask()).text())) == text_of(chunks(told))
        read = await after.client.get(where)
        assert text_of(await read.json()) == "Hello"
        assert read.headers["Stream-Closed"] == "true"
    assert len(upstream.requests) == 1


async def test_an_answer_that_is_to_be_had_again_is_asked_for_once_if_it_is_named(
    world: World,
) -> None:
    world.upstream.answers(*(Answer(*HELLO) for _ in range(3)))
    again = {"trigger": "regenerate-message"}
    for more in ({**again, "messageId": "a1"}, {**again, "messageId": "a1"}, again, again):
        assert (await (await world.ask(**more)).text()).endswith("[DONE]\n\n")
    assert len(world.upstream.requests) == 3
    assert [e for e in await world.events() if isinstance(e, Message)] == []


async def test_who_leaves_leaves_the_answer_alone(world: World) -> None:
    gate = Gate()
    world.upstream.answers(Answer(*HALF, gate, *openai_sse("lo")[1:]))
    answer = await world.ask()
    await answer.content.readany()
    answer.close()
    resumed = await world.client.get("/api/chat/c/stream")
    gate.open()
    assert text_of(chunks(await resumed.text())) == "Hello"
    assert (await world.client.get("/api/chat/c/stream")).status == 204


async def test_a_cut_answer_says_so_and_has_no_end(world: World) -> None:
    world.upstream.answers(Answer(*HALF))
    answer = await world.ask()
    body = bytearray()

    async def read() -> None:
        async for piece in answer.content.iter_any():
            body.extend(piece)

    with pytest.raises(ClientPayloadError):
        await read()
    told = chunks(body.decode())
    assert told[-1]["type"] == "error"
    assert text_of(told) == "Hel"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"messages": [HI]}, 400),
        ({"id": "c", "messages": []}, 400),
        ({"id": "c", "messages": [{"role": "wizard"}]}, 400),
        ({"id": "../etc", "messages": [HI]}, 400),
        ({"id": "c", "messages": [HI], "trigger": "resume"}, 400),
        ({"id": "c", "messages": [HI], "model": "none/such"}, 404),
        ({"id": "c", "messages": [HI], "upstream": "nowhere"}, 404),
        ({"id": "c", "messages": [{**HI, "parts": []}]}, 200),
    ],
)
async def test_errors_are_sentences(world: World, body: Any, status: int) -> None:
    world.upstream.answers(Answer(*HELLO))
    answer = await world.client.post("/api/chat", json=body)
    assert answer.status == status
    if status != 200:
        assert answer.content_type == "text/plain"
        text = await answer.text()
        assert text
        assert not text.startswith("{")
        assert (await world.client.get("/v1/stream/c")).status == 404, "nothing was begun"


async def test_a_refusal_before_the_first_word_is_a_status(world: World) -> None:
    world.upstream.answers(refusal(429, "slow down"))
    answer = await world.ask()
    assert answer.status == 429
    assert "slow down" in await answer.text()


async def test_model_and_upstream_come_from_the_body_or_the_query(world: World) -> None:
    world.upstream.answers(*(Answer(*HELLO) for _ in range(3)))
    await (await world.ask("a", model="scripted/other")).text()
    await (await world.ask("b", upstream="scripted", model="third")).text()
    options = {"temperature": 0.5}
    body = {"id": "d", "messages": [HI], "options": options}
    await (await world.client.post("/api/chat?model=scripted", json=body)).text()
    sent = [request.json for request in world.upstream.requests]
    assert [request["model"] for request in sent] == ["other", "third", "m"]
    assert sent[2]["temperature"] == 0.5


async def test_a_chat_in_segments_under_a_prefix_of_another_application() -> None:
    """Every address that is told leads there."""
    async with Scripted() as upstream:
        gate = Gate()
        upstream.answers(Answer(*HALF, gate, *openai_sse("lo")[1:]))
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m", "retries": 0}
        named = {"upstreams": {"scripted": table}, "default_upstream": "scripted"}
        app = web.Application()
        prefix = "/our/api/chat"
        hub = setup(
            app, prefix=prefix, config=Config.model_validate({"store": {"url": "memory:"}, **named})
        )
        async with TestClient(TestServer(app)) as client:
            body = {"id": "team/one", "messages": [HI]}
            asked = await client.post(f"{prefix}/api/chat", json=body)
            address = URL(f"{prefix}/api/chat/team%2Fone/stream", encoded=True)
            resumed = await client.get(address)
            gate.open()
            for answer in (asked, resumed):
                assert text_of(chunks(await answer.text())) == "Hello"
                where = URL(answer.headers["Location"], encoded=True)
                assert text_of(await (await client.get(where)).json()) == "Hello"
            assert await hub.generations.running_in("team/one") is None


# As a Durable Stream


async def test_an_answer_is_read_from_every_offset(world: World) -> None:
    world.upstream.answers(Answer(*openai_sse(*"Hello")))
    where = await world.address()
    await world.hub.hub.generations.wait((await world.events())[1].generation)
    whole = await world.client.get(where)
    told = await whole.json()
    end = whole.headers["Stream-Next-Offset"]
    assert whole.headers["Stream-Closed"] == "true"
    assert text_of(told) == "Hello"
    first = (await world.hub.hub.streams.open("c")).position_at(0)
    for offset in range(9):
        at = f"{str(first).split('_')[0]}_{offset:016d}"
        rest = await world.client.get(where, params={"offset": at})
        follow = await world.client.get(where, params={"offset": at, "live": "sse"})
        events = (await follow.text()).split("\n\n")
        said = [json.loads(e.split("data:", 1)[1]) for e in events if e.startswith("event: data")]
        assert [c for part in said for c in part] == await rest.json()
        assert text_of(await rest.json()) == "Hello"[max(0, offset - 2) :]
        assert rest.headers["Stream-Next-Offset"] == end
        assert '"streamClosed":true' in events[-2]


async def test_an_answer_is_polled(world: World) -> None:
    gate = Gate()
    world.upstream.answers(Answer(*HALF, gate, *openai_sse("lo")[1:]))
    where = await world.address()
    await half_said(world)
    first = await world.client.get(where, params={"offset": "-1", "live": "long-poll"})
    assert text_of(await first.json()) == "Hel"
    at = {"offset": first.headers["Stream-Next-Offset"], "live": "long-poll"}
    empty = await world.client.get(where, params=at)
    assert empty.status == 204
    assert empty.headers["Stream-Next-Offset"] == at["offset"]
    assert "Stream-Closed" not in empty.headers
    # What others say there is no part of it, and moves the reader on all the same.
    said = {"type": "message", "role": "user", "text": "hey"}
    await world.client.post("/v1/stream/c", json=said)
    moved = await world.client.get(where, params=at)
    assert moved.status == 204
    assert moved.headers["Stream-Next-Offset"] > at["offset"]
    at["offset"] = moved.headers["Stream-Next-Offset"]
    waiting = asyncio.ensure_future(world.client.get(where, params=at))
    gate.open()
    told: list[Any] = []
    while True:
        answer = await waiting
        told += await answer.json() if answer.status == 200 else []
        if "Stream-Closed" in answer.headers:
            break
        at["offset"] = answer.headers["Stream-Next-Offset"]
        waiting = asyncio.ensure_future(world.client.get(where, params=at))
    assert text_of(told) == "lo"
    assert told[-1]["type"] == "finish"
    last = await world.client.get(
        where, params={**at, "offset": answer.headers["Stream-Next-Offset"]}
    )
    assert (last.status, last.headers["Stream-Closed"]) == (204, "true")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"live": "sse"}, 400),
        ({"live": "carrier-pigeon", "offset": "-1"}, 400),
        ({"offset": "tomorrow"}, 400),
        ({"offset": "0000000000000000_9999999999999999"}, 410),
    ],
)
async def test_what_cannot_be_read(world: World, query: dict[str, str], status: int) -> None:
    world.upstream.answers(Answer(*HELLO))
    answer = await world.ask()
    await answer.text()
    assert (await world.client.get(answer.headers["Location"], params=query)).status == status
    assert (await world.client.get("/api/chat/c", params=query)).status == status
    assert (await world.client.get("/api/chat/c/stream/gen_none")).status == 404
    assert (await world.client.get("/api/chat/none/stream/gen_none")).status == 404


async def test_what_is_no_longer_kept_is_said(start_hub: StartHub) -> None:
    async with Scripted() as upstream:
        upstream.answers(Answer(*openai_sse(*"a long answer")))
        hub = await begun(start_hub, upstream, streams={"max_records": 5})
        world = World(hub, upstream)
        where = await world.address()
        await hub.hub.generations.wait(where.rsplit("/", 1)[1])
        assert (await world.client.get(where)).status == 410
        assert (await world.ask()).status == 410, "half an answer would be taken for a whole one"


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("cut", [False, True])
async def test_who_reads_late_is_told_all_of_it_once(
    start_hub: StartHub, version: bytes, cut: bool
) -> None:
    """Frames that could not go out at once are made again, from the same records."""
    gate = Gate()
    pieces = [f"{number} " * 10_000 for number in range(300)]
    blocks = openai_sse(*pieces, reason=None if cut else "stop", done=not cut)
    async with Scripted() as upstream:
        upstream.answers(Answer(*blocks[:2], gate, *blocks[2:]))
        hub = await begun(start_hub, upstream, fanout={"write_buffer_bytes": 4096})
        body = json.dumps({"id": "c", "messages": [HI]}).encode()
        head = (
            b"POST /api/chat HTTP/%b\r\nHost: hub\r\nContent-Type: application/json\r\n" % version
        )
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.client.port, limit=1024)
        writer.write(head + length + body)
        await reader.readuntil(b"\r\n\r\n")
        gate.open()
        running = await hub.hub.generations.running_in("c")
        assert running is not None
        await hub.hub.generations.wait(running.id)
        behind = hub.hub.counts.catch_ups
        got = b""
        reset = False
        try:
            while piece := await reader.read(2**16):
                got += piece
        except ConnectionResetError:
            reset = True
        writer.transport.abort()
        assert hub.hub.counts.catch_ups > behind, "it was behind indeed"
        if version == b"1.1":
            got, whole = unchunked(got)
            assert whole is not cut, "a body that is cut has no end"
        else:
            assert reset is cut
        told = chunks(got.decode("utf-8", "replace"))
        if not (cut and reset):  # a reset may overtake what came before it
            assert text_of(told) == "".join(pieces)
            assert told[-1] == ({"type": "error"} | told[-1] if cut else "[DONE]")


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """The bytes in HTTP's chunks, and whether there is a last one."""
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        if not int(size, 16):
            return found, True
        found += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return found, False


async def test_a_reader_is_sent_off_in_time_and_comes_back(start_hub: StartHub) -> None:
    async with Scripted() as upstream:
        gate = Gate()
        upstream.answers(Answer(*HALF, gate, *openai_sse("lo")[1:]))
        hub = await begun(start_hub, upstream, streams={"sse_rotate_seconds": 0.5})
        world = World(hub, upstream)
        where = await world.address()
        await half_said(world)
        first = await (await world.client.get(where, params={"offset": "-1", "live": "sse"})).text()
        assert "streamClosed" not in first
        offset = json.loads(first.rsplit("data:", 1)[1])["streamNextOffset"]
        gate.open()
        await hub.hub.generations.wait((await world.events())[1].generation)
        rest = await (
            await world.client.get(where, params={"offset": offset, "live": "sse"})
        ).text()
        assert "Hel" not in rest
        assert '"lo"' in rest
        assert '"streamClosed":true' in rest


# A conversation for TanStack AI


async def test_a_conversation_that_has_not_begun_is_empty(world: World) -> None:
    now = await world.client.get("/api/chat/c", params={"offset": "-1"})
    assert await now.json() == []
    at = {"offset": now.headers["Stream-Next-Offset"]}
    poll = await world.client.get("/api/chat/c", params={**at, "live": "long-poll"})
    assert (poll.status, poll.headers["Stream-Next-Offset"]) == (204, at["offset"])
    follow = await world.client.get("/api/chat/c", params={**at, "live": "sse"})
    assert (await follow.content.readuntil(b"\n\n")).startswith(b"retry: ")
    first = await follow.content.readuntil(b"\n\n")
    assert b'"upToDate":true' in first
    world.upstream.answers(Answer(*HELLO))
    sent = await world.client.post("/api/chat/c", json={"messages": [HI]})
    assert sent.status == 202
    assert await sent.read() == b""
    body: bytes = b""
    while b"RUN_FINISHED" not in body:
        body += await follow.content.readany()
    assert b'"messageId":"q1"' in body
    later = await world.client.get("/api/chat/c", params=at)
    assert [c["type"] for c in await later.json()][-1] == "RUN_FINISHED"
    assert "Stream-Closed" not in later.headers
    follow.close()


async def test_errors_of_the_tanstack_routes_are_a_string_in_json(world: World) -> None:
    world.upstream.answers(refusal(500, "out of order"))
    bodies: list[Any] = [{"messages": []}, {"messages": [HI]}]
    bodies.append({"messages": [HI], "model": "no/such"})
    for body in bodies:
        answer = await world.client.post("/api/chat/c", json=body)
        assert answer.status >= 400
        assert isinstance((await answer.json())["error"], str)


async def test_a_stream_that_holds_no_events_is_no_chat(world: World) -> None:
    await world.client.put("/v1/stream/c", headers={"Content-Type": "text/plain"})
    assert (await world.ask()).status == 409
    assert (await world.client.get("/api/chat/c")).status == 409
    assert (await world.client.post("/api/chat/c", json={"messages": [HI]})).status == 409


async def test_stop_while_nothing_has_been_said(world: World) -> None:
    """The question waits for its first word; stopping it answers that, too."""
    world.upstream.answers(Answer(Ending.HANG))
    asking = asyncio.ensure_future(world.ask())
    await world.upstream.request()
    stopped = await world.client.post("/api/chat/c/stop")
    assert stopped.status == 200
    told = chunks(await (await asking).text())
    assert [chunk if chunk == "[DONE]" else chunk["type"] for chunk in told] == [
        "start",
        "start-step",
        "abort",
        "[DONE]",
    ]


async def test_no_request_looks_at_what_one_before_it_has_seen(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither for an answer that is not there, nor for the message that one is a part of."""
    world.upstream.answers(Answer(*HELLO))
    where = await world.address()
    await (await world.client.get(where)).read()
    looked = looked_at(StartIndex, monkeypatch)
    for _ in range(2):
        assert (await world.client.get("/api/chat/c/stream/gen_none")).status == 404
        assert (await world.client.get(f"{where}?whole=true")).status == 200
    assert looked == sorted(set(looked))
    assert len(looked) == (await world.hub.hub.streams.open("c")).tail


async def test_a_message_begins_with_its_first_part_that_is_kept() -> None:
    stream = Stream("s")
    for name, message in (("a", None), ("b", "a"), ("other", None), ("c", "a"), ("d", "a")):
        extra = {} if message is None else {"message": message}
        stream.append(Started(name, "demo", "m", extra=extra))

    views = _Views(Absent())  # type: ignore[arg-type]  # only this is needed of a hub

    async def begin(name: str, *, whole: bool, of: FollowedStream = stream) -> int:
        return (await views.find(of, name, LOCAL, whole=whole)).begin

    for name, part, whole in (("a", 0, 0), ("c", 3, 0), ("other", 2, 2), ("d", 4, 0)):
        assert await begin(name, whole=False) == part
        assert await begin(name, whole=True) == whole
    with pytest.raises(GenerationNotFound):
        await begin("d", whole=True, of=FrozenStream(stream, 4))
    assert await begin("c", whole=True, of=FrozenStream(stream, 4)) == 0
    stream.trim(3)
    assert await begin("d", whole=True) == 3
    for _ in range(2):
        with pytest.raises(GenerationNotFound):
            await begin("a", whole=False)


class Absent:
    """A hub that knows no generations."""

    @property
    def generations(self) -> Absent:
        return self

    async def find(self, name: str, *, by: Principal) -> Generation:
        raise GenerationNotFound(name)
