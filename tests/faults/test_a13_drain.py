"""A13: a hub that is told to stop goes on serving until what runs has ended."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from hub.http.retry_times import AWAY_MS, LOST_MS
from tests.faults.process import Process
from tests.support.close_codes import close_code
from tests.support.patience import PATIENCE
from tests.support.raw_socket import RETRY_AFTER

LONG: Any = {"STREAMHUB_SERVER__DRAIN_SECONDS": "300"}
"""A drain that is not over before what runs is."""


@asynccontextmanager
async def following(hub: Process, stream: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with hub.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
        told = await talk(socket_, type="subscribe", stream=stream)
        assert told["type"] == "ok", told
        yield socket_


async def talk(socket_: aiohttp.ClientWebSocketResponse, **command: Any) -> Any:
    """Give a command; its answer."""
    await socket_.send_json({"id": "asked", **command})
    while True:
        told = await socket_.receive_json(timeout=PATIENCE)
        if told.get("id") == "asked":
            return told


async def test_while_it_drains_everything_is_answered_and_stop_stops(tmp_path: Path) -> None:
    async with Process(tmp_path, **LONG) as hub:
        await hub.start()
        await hub.create("notes")
        names = [await hub.ask(f"s{number}", "stall") for number in range(3)]
        async with following(hub, "s1") as before, hub.client.get("/v1/live/s0") as reader:
            readers = [asyncio.create_task(cut(reader))]
            hub.signal(signal.SIGTERM)
            await hub.draining()
            assert await hub.get("/livez") == (200, "ok\n")
            assert (await hub.get("/metrics"))[0] == 200
            # What is new is begun elsewhere.
            async with hub.client.post("/v1/generations", json={"prompt": "Hi"}) as refused:
                assert refused.status == 503
                assert (await refused.json())["error"]["code"] == "draining"
                assert refused.headers["Retry-After"] in RETRY_AFTER
                assert refused.headers["Connection"] == "close"
            assert (await talk(before, type="generate", prompt="Hi", stream="x"))[
                "code"
            ] == "draining"
            # What there is goes on.
            event = {"type": "message", "role": "user", "text": "over the socket"}
            assert (await talk(before, type="ping"))["type"] == "ok"
            assert (await talk(before, type="append", stream="notes", event=event))["type"] == "ok"
            assert await hub.append("notes", "over HTTP") == 204
            texts = [event["text"] for event in await hub.events("notes")]
            assert texts == ["over the socket", "over HTTP"]
            async with following(hub, "s2") as after, hub.client.get("/v1/live/s2") as late:
                assert late.status == 200
                readers.append(asyncio.create_task(cut(late)))
                # Stop stops, whoever says it, however.
                async with hub.client.delete(f"/v1/generations/{names[0]}") as stopped:
                    assert (await stopped.json())["state"] == "cancelled"
                async with hub.client.post("/api/chat/s2/stop") as stopped:
                    assert (await stopped.json())["state"] == "cancelled"
                told = await talk(after, type="cancel", generation=names[1])
                assert told["state"] == "cancelled"
                # Nothing runs any more, so it sends everybody off and leaves.
                for socket_ in (before, after):
                    kinds, close = await rest(socket_)
                    assert kinds[-1] == "draining"
                    assert close == 4000
                for text in await asyncio.gather(*readers):
                    assert '"type":"cancelled"' in text
                    assert "event: closed" not in text, "the stream goes on"
        assert await hub.ended() == 0
        assert "Traceback" not in hub.said
        await hub.start()
        texts = [event["text"] for event in await hub.events("notes")]
        assert texts == ["over the socket", "over HTTP"]
        for number in range(3):
            kinds = [event["type"] for event in await hub.events(f"s{number}")]
            assert kinds[-1] == "cancelled"
            assert kinds.count("cancelled") == 1


async def rest(socket_: aiohttp.ClientWebSocketResponse) -> tuple[list[str], int | None]:
    """The kinds of what still comes, and the code of the end."""
    kinds = []
    async with asyncio.timeout(PATIENCE):
        while (message := await socket_.receive()).type is aiohttp.WSMsgType.TEXT:
            kinds.append(message.json()["type"])
    return kinds, close_code(socket_, message)


async def cut(response: aiohttp.ClientResponse) -> str:
    """What comes until the connection ends in mid-body."""
    pieces: list[bytes] = []
    try:
        async with response, asyncio.timeout(PATIENCE):
            while piece := await response.content.readany():
                pieces.append(piece)
    except aiohttp.ClientError:
        return b"".join(pieces).decode()
    raise AssertionError("the body looks whole")


async def test_a_request_under_way_is_answered_to_its_end(tmp_path: Path) -> None:
    """Whatever it is: this one is no generation."""
    async with Process(tmp_path, **LONG, STREAMHUB_TUTORIAL__PACE="0.15") as hub:
        await hub.start()
        async with hub.client.get("/stream") as reply:
            first = await reply.content.readline()
            hub.signal(signal.SIGTERM)
            lines = (first + await reply.content.read()).decode().splitlines()
        assert lines == [f"line {number} of 5" for number in range(1, 6)]
        assert await hub.ended() == 0


async def test_a_drain_is_over_in_time(tmp_path: Path) -> None:
    """Readers and polls are no reasons to stay, and what does not end is interrupted."""
    async with Process(tmp_path, STREAMHUB_SERVER__DRAIN_SECONDS="0.3") as hub:
        await hub.start()
        await hub.create("notes")
        await hub.ask("s", "stall")
        async with hub.client.get("/v1/live/notes"):
            url = "/v1/stream/notes?offset=now&live=long-poll"
            poll = asyncio.create_task(hub.client.get(url).__aenter__())
            await hub.answers("/metrics", "streamhub_connections 1")
            hub.signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE):
                told = await poll
            assert told.status == 503
            assert told.headers["Retry-After"] in RETRY_AFTER
            assert (await told.json())["error"]["code"] == "draining"
            assert await hub.ended() == 0
        await hub.start()
        assert [event["type"] for event in await hub.events("s")][-1] == "interrupted"


async def test_without_anything_under_way_it_leaves_at_once_whoever_follows(
    tmp_path: Path,
) -> None:
    async with Process(tmp_path, **LONG) as hub:
        await hub.start()
        await hub.create("notes")
        async with hub.client.get("/v1/live/notes") as reader:
            hub.signal(signal.SIGTERM)
            await cut(reader)
        assert await hub.ended() == 0


# Signals


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async with Process(tmp_path, **LONG) as hub:
        await hub.start()
        await hub.create("notes")
        for number in (signal.SIGINT, signal.SIGTERM):
            assert await hub.append("notes", "kept") == 204
            await hub.ask("s", "stall")
            hub.signal(signal.SIGTERM)
            await hub.draining()
            hub.signal(number)
            assert await hub.ended() == -number, "killed by the signal, as its parent expects"
            assert "Traceback" not in hub.said
            await hub.start()
        assert [event["text"] for event in await hub.events("notes")] == ["kept"] * 2
        kinds = [event["type"] for event in await hub.events("s")]
        assert kinds[-1] == "interrupted"
        assert kinds.count("interrupted") == 2


async def test_a_terminal_that_closes_does_no_harm(tmp_path: Path) -> None:
    async with Process(tmp_path) as hub:
        await hub.start()
        hub.signal(signal.SIGHUP)
        await hub.says("SIGHUP")
        assert await hub.get("/readyz") == (200, "ok\n")
        hub.signal(signal.SIGTERM)
        assert await hub.ended() == 0


# Coming back


async def test_readers_are_sent_off_each_to_another_moment(tmp_path: Path) -> None:
    """Of every kind that there is a word for it."""
    paths = ["/v1/live/s?from=now", "/v1/stream/s?offset=now&live=sse"]
    async with Process(tmp_path) as hub:
        await hub.start()
        await hub.create("s")
        readers = [
            asyncio.create_task(cut(await hub.client.get(path)))
            for path in paths
            for _ in range(25)
        ]
        sockets = [await hub.client.ws_connect("/v1/ws", protocols=["hub.v1"]) for _ in range(25)]
        for socket_ in sockets:
            assert (await talk(socket_, type="ping"))["type"] == "ok"
        hub.signal(signal.SIGTERM)
        texts = await asyncio.gather(*readers)
        told = [re.findall(r"^retry: (\d+)$", text, re.MULTILINE) for text in texts]
        assert {len(numbers) for numbers in told} == {2}
        lost = {int(first) for first, _ in told}
        assert LOST_MS[0] <= min(lost) <= max(lost) <= LOST_MS[1]
        assert len(lost) > 25, "random numbers, of which some may be the same"
        away = [int(last) for _, last in told]
        waits = [(await socket_.receive_json(timeout=PATIENCE))["retry_ms"] for socket_ in sockets]
        for moments in (away, waits):
            assert AWAY_MS[0] <= min(moments) <= max(moments) <= AWAY_MS[1]
            assert len(set(moments)) == len(moments), "each another"
            assert max(moments) - min(moments) > (AWAY_MS[1] - AWAY_MS[0]) * 0.8, "over all of it"
        assert away != sorted(away)
        for socket_ in sockets:
            await socket_.close()
        assert await hub.ended() == 0
