"""Files of earlier versions are opened, with all that is in them (``tests/fixtures``)."""

from __future__ import annotations

import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest
from aiohttp import ClientSession

from hub.domain.errors import StoreError
from hub.stores import Credential
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.bodies import INLINE_BYTES
from hub.stores.sqlite.inspect import Inspector
from hub.stores.sqlite.maintenance import Maintenance
from hub.stores.sqlite.schema import VERSION
from tests.support.loopback_hub import hub_on_loopback
from tests.support.numbered_records import browser

FIXTURES = Path(__file__).parents[1] / "fixtures"
ENDS = ("finished", "failed", "cancelled", "interrupted")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A copy of the file that the first version left, killed at work."""
    return Path(shutil.copy(FIXTURES / "store_v1.db", tmp_path / "hub.db"))


def version(file: Path) -> int:
    database = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(database.pragma("user_version"))
    finally:
        database.close()


def records(file: Path) -> dict[str, list[bytes]]:
    """What each stream has of its own, as the tables say."""
    database = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    rows: list[Any] = database.execute(
        "SELECT name, body FROM streams s LEFT JOIN records r ON r.stream = s.id"
        " ORDER BY s.id, offset"
    ).fetchall()
    apart: dict[int, bytes] = {}
    if database.table_exists("main", "bodies"):
        large: Any = database.execute("SELECT id, body FROM bodies").fetchall()
        apart.update(large)
    database.close()
    found: dict[str, list[bytes]] = {}
    for name, body in rows:
        whole = apart.pop(body) if isinstance(body, int) else body
        found.setdefault(name, []).extend(() if whole is None else (whole,))
    assert not apart, "each body is one record's"
    return found


async def read(client: ClientSession, name: str) -> list[dict[str, Any]]:
    async with client.get(f"/v1/stream/{name}") as reply:
        assert reply.status == 200, await reply.text()
        told: list[dict[str, Any]] = await reply.json()
        return told


async def test_everything_of_version_1_is_there(file: Path) -> None:
    before = records(file)
    async with hub_on_loopback(store={"url": f"sqlite:{file}"}) as running:
        await running.hub.streams.committed()
        async with browser(running) as client:
            chat = await read(client, "chat")
            assert [event["type"] for event in chat].count("finished") == 2
            assert chat[0]["author"] == "Ada"
            assert await read(client, "chat-fork") == chat
            assert (await read(client, "chat-middle"))[:3] == chat[:3]
            assert await read(client, "closed") == [{"n": 1}, {"n": 1.5}]
            assert await read(client, "orphan") == [{"n": 1}, {"n": 2}]
            async with client.get("/v1/stream/source") as reply:
                assert reply.status == 410
            async with client.head("/v1/stream/closed") as reply:
                assert reply.headers["Stream-Closed"] == "true"
            async with client.head("/v1/stream/dated") as reply:
                assert reply.headers["Stream-TTL"] == "2000000000"
            await _the_producer_goes_on(client)
            await _the_keys_are_known(client, chat)
            # Generations are known that had ended before, and nobody writes for them.
            for event in chat:
                if event["type"] == "finished":
                    async with client.get(f"/v1/generations/{event['generation']}") as reply:
                        told = await reply.json()
                    assert (told["state"], told["usage"]) == ("finished", event["usage"])
                    assert told["stream"] == "chat"
                    forged = {"type": "delta", "generation": event["generation"], "text": "x"}
                    async with client.post("/v1/stream/chat", json=forged) as reply:
                        assert (await reply.json())["error"]["code"] == "generation_owned"
    after = records(file)
    assert {name: after[name][: len(held)] for name, held in before.items()} == before


async def test_streams_of_version_4_have_no_owner(tmp_path: Path) -> None:
    file = Path(shutil.copy(FIXTURES / "store_v4.db", tmp_path / "hub.db"))
    assert version(file) == 4
    before = records(file)
    async with hub_on_loopback(store={"url": f"sqlite:{file}"}) as running:
        await running.hub.streams.committed()
        listed, _ = await running.hub.streams.listed("", "", 100)
        assert {one.stream.name for one in listed} >= {"chat", "chat-fork", "closed", "orphan"}
        assert {one.stream.owner for one in listed} == {None}
        assert (await running.hub.streams.open("chat")).settings.owner is None
    assert (version(file), version(file.with_name("hub.db.v4"))) == (VERSION, 4)
    after = records(file)
    assert {name: after[name][: len(held)] for name, held in before.items()} == before


async def _the_producer_goes_on(client: ClientSession) -> None:
    async with client.get("/v1/stream/bytes") as reply:
        assert await reply.read() == b"raw \x00\xffmoremore"
    for number, status in ((1, 204), (2, 200)):
        headers = {"Producer-Id": "p", "Producer-Epoch": "2", "Producer-Seq": str(number)}
        headers["Content-Type"] = "application/octet-stream"
        async with client.post("/v1/stream/bytes", data=b"!", headers=headers) as reply:
            assert reply.status == status


async def _the_keys_are_known(client: ClientSession, chat: list[dict[str, Any]]) -> None:
    asked = {"stream": "chat", "prompt": "Hello", "options": {"max_tokens": 6}, "author": "Ada"}
    async with client.post("/v1/generations", json={**asked, "key": "key-of-the-first"}) as reply:
        assert reply.status == 201, await reply.text()
        assert (await reply.json())["id"] == chat[1]["generation"]
    asked = {"stream": "running", "prompt": "Hello", "upstream": "slow"}
    async with client.post("/v1/generations", json={**asked, "key": "key-of-the-running"}) as reply:
        assert reply.status == 201, await reply.text()
        assert (await reply.json())["state"] == "interrupted"


async def test_every_answer_in_it_gets_its_end_once(file: Path) -> None:
    """Also in forks that began in the middle of one, which the first version left so."""
    told: list[dict[str, list[dict[str, Any]]]] = []
    for _ in range(2):
        async with hub_on_loopback(store={"url": f"sqlite:{file}"}) as running:
            await running.hub.streams.committed()
            listed, _ = await running.hub.streams.listed("", "", 100)
            kinds = {one.stream.name: one.stream.content_type for one in listed}
            async with browser(running) as client:
                names = [name for name, kind in kinds.items() if kind == "application/json"]
                told.append({name: await read(client, name) for name in names})
    assert told[0] == told[1]
    interrupted = set()
    for name, events in told[0].items():
        stories: dict[str, list[str]] = {}
        for event in events:
            stories.setdefault(event.get("generation", ""), []).append(event.get("type", ""))
        stories.pop("", None)
        for story in stories.values():
            assert [kind for kind in story if kind in ENDS] == story[-1:], name
        if events and events[-1].get("type") == "interrupted":
            interrupted.add("alone" if name.startswith("gen_") else name)
            assert events[-1]["usage"]["completion_tokens"] > 0
    assert interrupted == {"alone", "running", "running-fork", "running-fork-fork", "chat-middle"}


async def test_the_file_is_copied_before(file: Path) -> None:
    before = records(file)
    store = SQLiteStore(file)
    await store.start()
    await store.stop()
    copy = file.with_name("hub.db.v1")
    assert (version(file), version(copy)) == (VERSION, 1)
    assert records(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [one.name for one in file.parent.glob("hub.db.v*")] == [copy.name], "and no more"
    # It is done once, and one of before is replaced.
    copy.write_bytes(b"")
    store = SQLiteStore(file)
    await store.start()
    await store.stop()
    assert copy.read_bytes() == b""


def test_the_command_line_brings_it_up_to_date_too(file: Path) -> None:
    with pytest.raises(StoreError, match="older streamhub"):
        Inspector(file)
    with Maintenance(file):
        pass
    assert version(file.with_name("hub.db.v1")) == 1
    with Inspector(file) as catalogue:
        assert len(catalogue.find("running").running) == 1


def test_without_space_for_the_copy_the_file_stays_as_it_is(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr("hub.stores.sqlite.schema._kept", full)
    with pytest.raises(StoreError) as refused:
        Maintenance(file)
    assert refused.value.code == "store_full"
    monkeypatch.undo()
    assert version(file) == 1
    assert records(file) == records_of(before, file.with_name("before.db"))
    with Maintenance(file):
        pass
    assert version(file) == VERSION


def records_of(content: bytes, beside: Path) -> dict[str, list[bytes]]:
    beside.write_bytes(content)
    return records(beside)


async def test_a_file_without_credentials_gets_a_table_for_them(tmp_path: Path) -> None:
    """Version 4 had none."""
    file = Path(shutil.copy(FIXTURES / "store_v4.db", tmp_path / "hub.db"))
    before = records(file)
    store = SQLiteStore(file)
    await store.start()
    assert await store.credentials.listed("key", "", 10) == []
    await store.credentials.add(Credential("key", "a", b"hash"))
    await store.stop()
    copy = file.with_name("hub.db.v4")
    assert (version(file), version(copy)) == (VERSION, 4)
    assert records(file) == records(copy) == before
    with Inspector(file) as inspector:
        assert inspector.list_credentials("key") == [Credential("key", "a", b"hash")]


# Large records, which an older file has beside the keys


def enlarged(name: str, to: Path) -> Path:
    """A copy of a fixture with records of many sizes in it, also in a stream of before."""
    file = Path(shutil.copy(FIXTURES / name, to / "hub.db"))
    database = apsw.Connection(str(file))
    database.execute("INSERT INTO streams (name, content_type) VALUES ('large', 'text/plain')")
    for stream in ("large", "bytes"):
        database.executemany(
            "INSERT INTO records SELECT id, 1000 + ?, ? FROM streams WHERE name = ?",
            [(at, b"%d" % at * size, stream) for at, size in enumerate(SIZES)],
        )
    database.close()
    return file


SIZES = (1, INLINE_BYTES, INLINE_BYTES + 1, 100, 1000, 5000, 0, 300_000, 20, 90_000)
OLD = ("store_v1.db", "store_v4.db", "store_v11.db")


@pytest.mark.parametrize("name", OLD)
async def test_large_records_are_moved(tmp_path: Path, name: str) -> None:
    file = enlarged(name, tmp_path)
    found = version(file)
    before = records(file)
    assert before["large"] == [b"%d" % at * size for at, size in enumerate(SIZES)]
    store = SQLiteStore(file)
    await store.start()
    read = await store.read("large", 1000, 10_000_000)
    assert [(one.offset, one.body) for one in read] == list(enumerate(before["large"], 1000))
    await store.stop()
    assert records(file) == records(file.with_name(f"hub.db.v{found}")) == before
    database = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
    longest = database.execute(
        "SELECT max(length(body)) FROM records WHERE typeof(body) = 'blob'"
    ).get
    assert longest == INLINE_BYTES
    assert database.execute("PRAGMA integrity_check").get == "ok"
    database.close()


@pytest.mark.parametrize("steps", [1, 4, 7, 13])
def test_a_move_that_is_killed_is_done_again(tmp_path: Path, steps: int) -> None:
    """Statements of the last migration are let through, then the process dies."""
    file = enlarged("store_v11.db", tmp_path)
    before = records(file)
    program = f"""
import os, signal, sys
from pathlib import Path
import apsw
from hub.stores.sqlite.database import open_read_write
from hub.stores.sqlite.schema import migrate

def die(_, statement, __):
    global left
    left -= statement.startswith(("INSERT INTO bodies", "UPDATE records"))
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return True

left = {steps}
database = open_read_write(Path(sys.argv[1]))
# Its changes are in the file's log already when it dies, not only in memory.
database.pragma("cache_size", 1)
database.exec_trace = die
migrate(database, sys.argv[1])
"""
    killed = subprocess.run([sys.executable, "-c", program, file], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert version(file) == 11
    assert records(file) == records(file.with_name("hub.db.v11")) == before
    with Maintenance(file):
        pass
    assert version(file) == VERSION
    assert records(file) == before


def test_prompts_that_wait_are_kept(tmp_path: Path) -> None:
    file = Path(shutil.copy(FIXTURES / "store_v11.db", tmp_path / "hub.db"))
    prompts = "SELECT stream, place, generation, body FROM prompts ORDER BY stream, place"
    with apsw.Connection(str(file)) as database:
        database.executemany(
            "INSERT INTO prompts VALUES (?, ?, ?, ?)",
            [(s, at, f"gen_{s}_{at}", b"x" * 9**at) for s in (2, 1) for at in (5, 1, 0)],
        )
        before = database.execute(prompts).fetchall()
    assert len(before) == 6
    with Maintenance(file):
        pass
    with apsw.Connection(str(file)) as database:
        assert database.execute(prompts).fetchall() == before
        with pytest.raises(apsw.ConstraintError):
            database.execute("INSERT INTO prompts VALUES (1, 5, 'gen_new', x'')")
        with pytest.raises(apsw.ConstraintError):
            database.execute("INSERT INTO prompts VALUES (9, 9, 'gen_1_5', x'')")
