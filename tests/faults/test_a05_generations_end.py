"""A5: every generation has an end, wherever its events are: expiry, removal, forks, imports."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
from aiohttp import ClientSession

from hub.dialects.demo.reader import Demo
from hub.domain.errors import StreamClosed
from hub.domain.events import Event, Failed, Finished
from hub.domain.stream_settings import StreamSettings
from hub.framing import Chunk
from hub.generations.runs import Runs
from hub.streams.stream import Stream
from tests.cli.stored_streams import keep as keep_streams
from tests.cli.stored_streams import stream
from tests.support.fake_connection import turn
from tests.support.fake_runs import Keep, Runner
from tests.support.fake_upstream import END, FakeUpstream, said
from tests.support.loopback_hub import Loopback, eventually, hub_on_loopback
from tests.support.numbered_records import browser, scripted
from tests.support.patience import PATIENCE
from tests.support.processes import COMMAND, environ
from tests.support.scripted_upstream import Answer, Ending, Gate, Scripted, openai_sse
from tests.support.transport_readers import DRIVERS, Reader, Text, WebSocket

ENDS = ("finished", "failed", "cancelled", "interrupted")
WORDS = [*"abcdefgh"]
PART = Answer(*openai_sse(*WORDS)[:4], Ending.HANG)
ASKED = {"role": "user", "content": "Hi"}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    return {"url": {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/hub.db"}[request.param]}


async def asked(client: ClientSession, **fields: Any) -> dict[str, Any]:
    async with client.post("/v1/generations", json=fields) as reply:
        assert reply.status == 201, await reply.text()
        told: dict[str, Any] = await reply.json()
        return told


async def shown(client: ClientSession, generation: str) -> dict[str, Any]:
    async with client.get(f"/v1/generations/{generation}") as reply:
        assert reply.status == 200, await reply.text()
        told: dict[str, Any] = await reply.json()
        return told


async def read(client: ClientSession, name: str) -> list[dict[str, Any]]:
    async with client.get(f"/v1/stream/{name}") as reply:
        assert reply.status == 200, await reply.text()
        told: list[dict[str, Any]] = await reply.json()
        return told


async def put(client: ClientSession, name: str, body: Any = None, **headers: str) -> int:
    headers = {"Content-Type": "application/json", **headers}
    data = b"" if body is None else json.dumps(body).encode()
    async with client.put(f"/v1/stream/{name}", data=data, headers=headers) as reply:
        return reply.status


def stories(events: list[dict[str, Any]]) -> dict[str, list[str]]:
    """What is told of each generation."""
    told: dict[str, list[str]] = {}
    for event in events:
        if event.get("generation"):
            told.setdefault(event["generation"], []).append(event["type"])
    return told


def check(events: list[dict[str, Any]]) -> None:
    """One end each, always last."""
    for generation, kinds in stories(events).items():
        assert [kind for kind in kinds if kind in ENDS] == kinds[-1:], (generation, kinds)


# Streams that go


async def gone(running: Loopback, client: ClientSession, how: str, name: str) -> None:
    if how == "deleted":
        async with client.delete(f"/v1/stream/{name}") as reply:
            assert reply.status == 204
    else:
        # Its time is over now, however long it took to come here.
        (await running.hub.streams.open(name)).expires = time.time()
    async with asyncio.timeout(PATIENCE):
        while running.hub.generations.active:
            if how == "expired, as somebody finds":
                async with client.get(f"/v1/stream/{name}") as reply:
                    await reply.read()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize(
    "how", ["expired, as somebody finds", "expired, as the hub finds", "deleted"]
)
async def test_what_goes_during_an_answer_takes_the_answer_with_it(
    store: dict[str, str], how: str, forked: bool
) -> None:
    end = "cancelled" if how == "deleted" else "interrupted"
    async with (
        Scripted() as upstream,
        hub_on_loopback(store=store, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(PART)
        at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        assert await put(client, "chat", **{"Stream-Expires-At": at}) == 201
        generation = await asked(client, stream="chat", prompt="Hi")
        readers: list[Reader] = [await running.follow(driver, "chat") for driver in DRIVERS]
        for reader in readers:
            await reader.until(partial(_has_text, reader))
        if forked:
            await running.hub.streams.fork("fork", "chat", settings=StreamSettings(""))
        await gone(running, client, how, "chat")
        for reader in readers:
            await reader.until(partial(_is_over, reader))
            if not isinstance(reader, Text):
                check(reader.events)
                assert reader.events[-1]["type"] == end, reader.name
        await (await upstream.request()).left()
        told = await shown(client, generation["id"])
        assert told["state"] == end
        assert told["usage"]["estimated"]


async def test_an_answer_whose_stream_the_store_rejects_has_an_end(tmp_path: Path) -> None:
    """The stream is loaded again as the file has it, with the beginning of the answer."""
    path = tmp_path / "hub.db"
    async with (
        Scripted() as upstream,
        hub_on_loopback(store={"url": f"sqlite:{path}"}, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        gate = Gate()
        upstream.answers(
            Answer(*openai_sse(*WORDS)[:4], gate, *openai_sse(*WORDS)[4:7], Ending.HANG)
        )
        generation = await asked(client, stream="chat", prompt="Hi")
        held = await words(running)
        await held.committed()
        # Somebody meddles with the file: the hub's next record there has no place.
        database = apsw.Connection(str(path))
        database.set_busy_timeout(5000)
        meddled = (
            "INSERT INTO records SELECT id, ?, CAST('{}' AS BLOB) FROM streams WHERE name = 'chat'"
        )
        database.execute(meddled, (held.end,))
        database.close()
        gate.open()
        await (await upstream.request()).left()
        assert (await shown(client, generation["id"]))["state"] == "interrupted"
        runs = running.hub._backend.runs
        assert isinstance(runs, Runs)
        await eventually(lambda: not runs._mending)
        await running.hub.streams.committed()
        events = await read(client, "chat")
        check(events)
        assert events[-1]["type"] == "interrupted"
        assert (await client.get(f"/v1/generations/{generation['id']}")).status == 200


@pytest.mark.parametrize("fields", [{"prompt": "Hi"}, {"prompt": None, "messages": (ASKED,)}])
async def test_a_stream_that_goes_at_any_step_of_an_answer_has_one_end(
    keep: Keep, fields: dict[str, Any]
) -> None:
    """Also before it has begun, and in the turn of the loop in which it is complete."""
    ends = set()
    for steps in range(60):
        fake_upstream = FakeUpstream([said("Hel"), said("lo"), END])
        desk = keep(Runner(fake_upstream))
        name = f"chat-{steps}"
        held, _ = await desk.streams.create(name)
        asking = asyncio.ensure_future(desk.ask(stream=name, **fields))
        await turn(steps)
        held.close()
        try:
            generation = await asking
        except StreamClosed:
            assert held.end == 0
            ends.add("refused")
        else:
            await desk.runs.wait(generation.id)
            assert await desk.told(generation)
            ends.add(generation.state.value)
        assert not held.in_use
        await eventually(partial(_is_left, fake_upstream))
    assert ends == {"refused", "interrupted", "finished"}


class Unwritable(Demo):
    """Ends with what JSON cannot hold."""

    def events(self, chunk: Chunk) -> Iterable[Event]:
        for event in super().events(chunk):
            more = {"n": 1 << 70}
            yield replace(event, extra=more) if isinstance(event, Finished) else event


async def test_an_end_that_cannot_be_written_is_another_end(keep: Keep) -> None:
    desk = keep(Runner(FakeUpstream([said("Hel"), END], dialect=Unwritable)))
    generation = await desk.ask()
    await desk.runs.wait(generation.id)
    await desk.told(generation)
    assert isinstance(generation.terminal, Failed)
    assert generation.terminal.code == "upstream_malformed"


# Forks


async def words(running: Loopback) -> Stream:
    """The conversation, once three words of its answer have come."""
    held = await running.hub.streams.open("chat")
    await eventually(lambda: held.last is not None and b'"c"' in held.last.body)
    return held


async def answered(client: ClientSession, running: Loopback, upstream: Scripted) -> None:
    """A conversation of two answers, and a word of somebody else in each."""
    for _ in range(2):
        gate = Gate()
        steps = openai_sse(*WORDS, usage={"prompt_tokens": 5, "completion_tokens": 9})
        upstream.answers(Answer(*steps[:4], gate, *steps[4:]))
        generation = await asked(client, stream="chat", prompt="Hi")
        await words(running)
        async with client.post("/v1/stream/chat", json={"type": "note", "text": "meanwhile"}):
            pass
        gate.open()
        await running.hub.generations.wait(generation["id"])


async def test_a_fork_ends_the_answer_in_whose_middle_it_begins(store: dict[str, str]) -> None:
    """At every place of a conversation, and the same after a restart."""
    told: dict[str, list[dict[str, Any]]] = {}
    async with (
        Scripted() as upstream,
        hub_on_loopback(store=store, streams={"warm_bytes": 100}, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        await answered(client, running, upstream)
        whole = await read(client, "chat")
        held = await running.hub.streams.open("chat")
        for offset in range(len(whole) + 1):
            name = f"fork-{offset}"
            outcome = await running.hub.streams.fork(name, "chat", held.position_at(offset))
            assert not outcome.duplicate
            fork = await running.hub.streams.open(name)
            await fork.committed()
            told[name] = await read(client, name)
            assert told[name][:offset] == whole[:offset]
            ends = told[name][offset:]
            check(told[name])
            assert [end["type"] for end in ends] in ([], ["interrupted"])
            for end in ends:
                mine = [e for e in whole[:offset] if e.get("generation") == end["generation"]]
                said = sum(event["type"] == "delta" for event in mine)
                assert end["usage"]["completion_tokens"] == said
                assert end["usage"]["prompt_tokens"] > 0
                assert end["usage"]["estimated"]
            # Asked for again, it is the same one.
            again = await running.hub.streams.fork(name, "chat", held.position_at(offset))
            assert await running.hub.streams.open(name) is fork
            assert again.duplicate
            # A fork of a fork has nothing more to end.
            await running.hub.streams.fork(f"{name}-again", name)
            assert await read(client, f"{name}-again") == told[name]
        assert sum(len(events) > len(whole[:at]) for at, events in enumerate(told.values()))
    if store["url"] == "memory:":
        return
    async with hub_on_loopback(store=store) as running, browser(running) as client:
        for name, events in told.items():
            assert await read(client, name) == events


@pytest.mark.parametrize("by", ["websocket", "put", "put with records"])
async def test_a_fork_of_what_is_being_answered_has_an_end(store: dict[str, str], by: str) -> None:
    note = {"type": "note"}
    async with (
        Scripted() as upstream,
        hub_on_loopback(store=store, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(PART)
        generation = await asked(client, stream="chat", prompt="Hi")
        held = await words(running)
        before = await read(client, "chat")
        if by == "websocket":
            socket = running.reader(WebSocket, "chat")
            await socket.open("start")
            reply = await socket.ask(type="fork", stream="fork", source="chat")
            assert reply["type"] == "ok"
        for status in () if by == "websocket" else (201, 200):
            body = [note] if by == "put with records" else None
            headers = {"Stream-Forked-From": "/v1/stream/chat"}
            headers["Stream-Fork-Offset"] = str(held.position)
            assert await put(client, "fork", body, **headers) == status
        events = await read(client, "fork")
        check(events)
        assert events[: len(before)] == before
        assert events[len(before)]["type"] == "interrupted"
        assert events[len(before) + 1 :] == ([note] if by == "put with records" else [])
        assert (await shown(client, generation["id"]))["state"] == "streaming"
        # It goes on there, and in the fork another answer is given.
        upstream.answers(Answer(*openai_sse("Other")))
        other = await asked(client, stream="fork", prompt="And?")
        await running.hub.generations.wait(other["id"])
        check(await read(client, "fork"))


async def test_others_words_do_not_hide_an_open_answer() -> None:
    """Neither many records behind its last event, nor an answer of somebody else."""
    foreign = [{"type": "started", "generation": "theirs"}, {"type": "finished", "reason": "stop"}]
    foreign[1]["generation"] = "theirs"
    async with (
        Scripted() as upstream,
        hub_on_loopback(**scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(PART)
        generation = await asked(client, stream="chat", prompt="Hi")
        await words(running)
        notes = [{"type": "note", "n": n} for n in range(1500)]
        async with client.post("/v1/stream/chat", json=notes + foreign) as reply:
            assert reply.status == 204
        await running.hub.streams.fork("fork", "chat")
        events = await read(client, "fork")
        check(events)
        assert events[-1]["generation"] == generation["id"]


async def test_a_fork_of_a_producers_own_answer_has_an_end() -> None:
    async with hub_on_loopback() as running, browser(running) as client:
        events = [{"type": "started", "generation": "mine"}]
        events += [{"type": "delta", "generation": "mine", "text": t} for t in WORDS]
        assert await put(client, "chat", events) == 201
        await running.hub.streams.fork("fork", "chat")
        told = await read(client, "fork")
        assert told[:-1] == events
        assert told[-1]["type"] == "interrupted"
        assert told[-1]["usage"] == {"completion_tokens": len(WORDS), "estimated": True}
        assert await read(client, "chat") == events, "its producer may go on there"


async def test_after_a_kill_a_fork_and_its_source_have_their_ends(tmp_path: Path) -> None:
    """The fork's own is kept together with the fork itself."""
    url = f"sqlite:{tmp_path}/hub.db"
    copy = tmp_path / "killed.db"
    async with (
        Scripted() as upstream,
        hub_on_loopback(store={"url": url}, **scripted(upstream)) as running,
        browser(running) as client,
    ):
        upstream.answers(PART)
        await asked(client, stream="chat", prompt="Hi")
        await words(running)
        await running.hub.streams.fork("fork", "chat")
        await running.hub.streams.committed()
        for end in ("", "-wal"):  # as the disk is when the process dies now
            shutil.copy(f"{tmp_path}/hub.db{end}", f"{copy}{end}")
    async with (
        hub_on_loopback(store={"url": f"sqlite:{copy}"}) as running,
        browser(running) as client,
    ):
        await running.hub.streams.committed()
        for name in ("chat", "fork"):
            events = await read(client, name)
            check(events)
            assert events[-1]["type"] == "interrupted"
            assert events[-1]["usage"]["prompt_tokens"] == 1


# Copies


def test_an_import_ends_what_its_export_leaves_open(tmp_path: Path) -> None:
    """Also what an older hub left without an end, and does not say so."""
    own = "gen_" + "0" * 32
    usage = {"prompt_tokens": 7, "estimated": True}
    records: list[dict[str, Any]] = [
        {"type": "started", "generation": own, "usage": usage},
        *[{"type": "delta", "generation": own, "text": "a"}] * 3,
        {"type": "started", "generation": "theirs"},
        {"type": "started", "generation": "ended"},
        {"type": "cancelled", "generation": "ended"},
    ]
    file = tmp_path / "data" / "streamhub.db"
    keep_streams(*stream("a", *(json.dumps(one).encode() for one in records)), path=file)
    exported = streams(tmp_path, "export", "a")
    streams(tmp_path, "import", "-", "--as", "copy", given=exported)
    lines = streams(tmp_path, "export", "copy", "--raw").split(b"\n")[:-1]
    events = list(map(json.loads, lines))
    check(events)
    assert events[: len(records)] == records
    ends = {event["generation"]: event for event in events[len(records) :]}
    assert sorted(ends) == [own, "theirs"]
    assert ends[own]["type"] == "interrupted"
    assert ends[own]["usage"] == {**usage, "completion_tokens": 3}
    asyncio.run(_is_known(file, own, events))


async def _is_known(file: Path, own: str, events: list[dict[str, Any]]) -> None:
    """A hub that opens the copy knows of the generation, and has nothing to add."""
    async with (
        hub_on_loopback(store={"url": f"sqlite:{file}"}) as running,
        browser(running) as client,
    ):
        assert (await shown(client, own))["state"] == "interrupted"
        assert await read(client, "copy") == events


def streams(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    return subprocess.run(
        [*COMMAND, "streams", *arguments],
        cwd=folder,
        input=given,
        capture_output=True,
        env=environ(),
        timeout=PATIENCE,
        check=True,
    ).stdout


def _has_text(reader: Reader) -> bool:
    return bool(reader.text)


def _is_over(reader: Reader) -> bool:
    return reader.closed or bool(reader.end)


def _is_left(upstream: FakeUpstream) -> bool:
    return not upstream.open_now
