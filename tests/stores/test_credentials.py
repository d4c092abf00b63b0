"""One contract, kept by every store: what lets somebody in is there when that was acknowledged."""

from __future__ import annotations

import asyncio
import math
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Protocol

import apsw
import orjson
import pytest

from hub.domain.errors import Conflict, HubError, LimitExceeded, StoreError
from hub.domain.stream_settings import StreamSettings
from hub.stores import KEEP_ENDED_SECONDS, Created, Credential, Credentials, Label
from hub.stores.coordinator.client import CoordinatorEngine
from hub.stores.coordinator.credentials import CoordinatorCredentials
from hub.stores.coordinator.server import Coordinator
from hub.stores.memory import MemoryStore
from hub.stores.redis.credentials import RedisCredentials
from hub.stores.redis.engine import RedisEngine
from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.credentials import CredentialTable
from hub.stores.sqlite.inspect import Inspector
from hub.stores.sqlite.maintenance import Maintenance
from hub.stores.sqlite.sequenced import SequencedSQLiteStore
from tests.faults.full_disk import FullDisk
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer

NOW = 2_000_000_000.0


def key(id_: str, **fields: object) -> Credential:
    return replace(Credential("key", id_, id_.encode() * 4, created=NOW), **fields)  # type: ignore[arg-type]  # any of its fields


FULL = key(
    "full",
    name='a "name" \U0001f600',
    user="alice",
    tenant="acme",
    grants='[{"can":["read"],"match":"**"}]',
    expires=NOW + 0.25,
    revoked=NOW + 0.5,
)


class Holds(Protocol):
    """What has credentials."""

    @property
    def credentials(self) -> Credentials: ...


class Redis:
    """A server of its own, and a connection to it."""

    def __init__(self, folder: Path) -> None:
        self._server = RedisServer(folder)
        self.credentials = RedisCredentials(lambda: self._engine)

    async def start(self) -> None:
        await self._server.start()
        self._engine = RedisEngine(f"redis://127.0.0.1:{self._server.port}")
        await self._engine.open()

    async def stop(self) -> None:
        await self._engine.close()
        await self._server.stop()


class Coordinated:
    """A coordinator of its own, and a connection to it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._path = folder / "socket"
        self._coordinator = Coordinator(SequencedSQLiteStore(folder / "hub.db"), self._path)
        self.credentials = CoordinatorCredentials(lambda: self._engine)

    async def start(self) -> None:
        await self._coordinator.start()
        self._engine = CoordinatorEngine(self._path)
        await self._engine.open()

    async def stop(self) -> None:
        await self._engine.close()
        await self._coordinator.stop()


@pytest.fixture(
    params=["memory", "sqlite", "coordinator", pytest.param("redis", marks=pytest.mark.process)]
)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Holds]:
    kinds: dict[str, Callable[[], MemoryStore | SQLiteStore | Redis | Coordinated]] = {
        "memory": MemoryStore,
        "sqlite": lambda: SQLiteStore(tmp_path / "hub.db"),
        "coordinator": lambda: Coordinated(tmp_path / "coordinator"),
        "redis": lambda: Redis(tmp_path / "redis"),
    }
    opened = kinds[request.param]()
    await opened.start()
    yield opened
    await opened.stop()


@pytest.fixture
def most(monkeypatch: pytest.MonkeyPatch) -> int:
    """Only a few are kept of each kind."""
    for module in ("memory", "redis.credentials", "sqlite.credentials"):
        monkeypatch.setattr(f"hub.stores.{module}.CREDENTIALS", 3)
    return 3


async def ids(store: Holds, kind: str = "key") -> list[str]:
    return [one.id for one in await store.credentials.listed(kind, "", 100)]


async def test_what_is_added_is_found_as_it_was(store: Holds) -> None:
    for one in (FULL, key("empty"), key("bytes", hash=bytes(range(32)))):
        await store.credentials.add(one)
        assert await store.credentials.find("key", one.id) == one
    assert await store.credentials.find("key", "other") is None


async def test_kinds_have_ids_of_their_own(store: Holds) -> None:
    await store.credentials.add(key("a"))
    assert await store.credentials.find("link", "a") is None
    assert await store.credentials.revoke("link", "a", NOW) is None
    link = replace(key("a"), kind="link", user="bob")
    await store.credentials.add(link)
    assert await store.credentials.find("link", "a") == link
    assert await store.credentials.find("key", "a") == key("a")
    assert await ids(store, "link") == ["a"]


async def test_an_id_is_taken_once_also_by_one_that_has_ended(store: Holds) -> None:
    await store.credentials.add(key("a", user="alice"))
    await store.credentials.revoke("key", "a", NOW)
    with pytest.raises(Conflict) as refused:
        await store.credentials.add(key("a", user="mallory"))
    assert refused.value.code == "credential_exists"
    found = await store.credentials.find("key", "a")
    assert found is not None
    assert (found.user, found.revoked) == ("alice", NOW)


async def test_they_are_listed_by_id_in_pages(store: Holds) -> None:
    for id_ in ("c", "a", "b", "d"):
        await store.credentials.add(key(id_))
    assert await ids(store) == ["a", "b", "c", "d"]
    page = await store.credentials.listed("key", "a", 2)
    assert page == [key("b"), key("c")]
    assert await store.credentials.listed("key", "d", 2) == []


async def test_a_revocation_is_seen_at_once_and_keeps_its_first_time(store: Holds) -> None:
    await store.credentials.add(key("a"))
    revoked = key("a", revoked=NOW + 1)
    assert await store.credentials.revoke("key", "a", NOW + 1) == revoked
    assert await store.credentials.find("key", "a") == revoked
    assert await store.credentials.revoke("key", "a", NOW + 2) == revoked
    assert await store.credentials.revoke("key", "b", NOW) is None


async def test_those_that_ended_long_ago_are_removed(store: Holds) -> None:
    await store.credentials.add(key("expired", expires=NOW))
    await store.credentials.add(key("revoked"))
    await store.credentials.revoke("key", "revoked", NOW + 1)
    await store.credentials.add(key("lasting", expires=NOW * 2))
    await store.credentials.add(replace(key("link", expires=NOW), kind="link"))
    await store.credentials.add(key("b", created=NOW + KEEP_ENDED_SECONDS - 1))
    assert await ids(store) == ["b", "expired", "lasting", "revoked"]
    await store.credentials.add(key("c", created=NOW + KEEP_ENDED_SECONDS))
    assert await ids(store) == ["b", "c", "lasting", "revoked"]
    await store.credentials.add(key("d", created=NOW + KEEP_ENDED_SECONDS + 1))
    assert await ids(store) == ["b", "c", "d", "lasting"]
    assert await ids(store, "link") == ["link"]


async def test_there_are_only_so_many_of_a_kind(store: Holds, most: int) -> None:
    for number in range(most):
        await store.credentials.add(key(str(number)))
    with pytest.raises(LimitExceeded) as refused:
        await store.credentials.add(key("more"))
    assert refused.value.code == "too_many_credentials"
    assert await ids(store) == ["0", "1", "2"]
    await store.credentials.add(replace(key("0"), kind="link"))


async def test_the_one_that_ended_first_makes_room(store: Holds, most: int) -> None:
    await store.credentials.add(key("expired", expires=NOW + 2))
    await store.credentials.add(key("revoked", expires=NOW + 9))
    await store.credentials.revoke("key", "revoked", NOW + 1)
    await store.credentials.add(key("lasting", expires=NOW + 4))
    await store.credentials.add(key("x", created=NOW + 3))
    assert await ids(store) == ["expired", "lasting", "x"]
    await store.credentials.add(key("y", created=NOW + 3))
    assert await ids(store) == ["lasting", "x", "y"]
    with pytest.raises(LimitExceeded):
        await store.credentials.add(key("z", created=NOW + 3))


def labelled(id_: str, stream: str, by: str | None = None, **fields: object) -> Credential:
    grants = {"stream": stream, "epoch": 1} | ({} if by is None else {"by": by})
    return key(id_, grants=orjson.dumps(grants).decode(), **fields)


async def found(store: Holds, label: Label, after: str = "", limit: int = 100) -> list[str]:
    rows = await store.credentials.held("key", label, after, limit, NOW)
    for row in rows:
        assert await store.credentials.find("key", row.id) == row
    return [row.id for row in rows]


async def test_they_are_found_by_label(store: Holds) -> None:
    for one in (
        labelled("c", "chat/1", "ann"),
        labelled("a", "chat/1", 'a"nn'),
        labelled("b", "chat/2", "ann", user="ann"),
        labelled("d", "chat/1"),
        key("list", grants='["stream"]', user="ann"),
        key("text", grants="no JSON", user="stream"),
        key("none"),
        key("numbers", grants='{"stream": 1, "by": 2}'),
        replace(labelled("c", "chat/1", "ann", user="ann"), kind="link"),
    ):
        await store.credentials.add(one)
    stream, ann = Label("stream", "chat/1"), Label("maker", "ann")
    assert await found(store, stream) == ["a", "c", "d"]
    assert await found(store, stream, "a", 1) == ["c"]
    assert await found(store, stream, "d") == []
    assert await found(store, ann) == ["b", "c"]
    assert await found(store, Label("maker", 'a"nn')) == ["a"]
    assert await found(store, Label("maker", "")) == ["d"]
    assert await found(store, Label("user", "ann")) == ["b", "list"]
    assert await found(store, Label("stream", "chat/3")) == []
    assert await store.credentials.count("key", stream, NOW) == 3
    assert await store.credentials.count("link", stream, NOW) == 1
    assert await store.credentials.count("link", Label("maker", "bob"), NOW) == 0


async def test_what_has_ended_is_found_by_no_label(store: Holds) -> None:
    label = Label("stream", "s")
    await store.credentials.add(labelled("expired", "s", expires=NOW))
    await store.credentials.add(labelled("lasting", "s", expires=NOW + 0.5))
    await store.credentials.add(labelled("revoked", "s"))
    assert await found(store, label) == ["lasting", "revoked"]
    await store.credentials.revoke("key", "revoked", NOW)
    assert await found(store, label) == ["lasting"]
    assert await store.credentials.count("key", label, NOW) == 1
    assert await store.credentials.count("key", label, NOW + 0.5) == 0
    await store.credentials.add(labelled("new", "s", created=NOW + 2 * KEEP_ENDED_SECONDS))
    assert await ids(store) == ["new"]
    assert await found(store, label) == ["new"]


async def test_of_many_at_once_none_is_lost(store: Holds) -> None:
    wanted = [f"{number:03}" for number in range(100)]
    await asyncio.gather(*(store.credentials.add(key(id_)) for id_ in wanted))
    assert await ids(store) == wanted


async def test_one_of_many_with_the_same_id_wins(store: Holds) -> None:
    done = await asyncio.gather(
        *(store.credentials.add(key("a", user=str(number))) for number in range(20)),
        return_exceptions=True,
    )
    assert sum(result is None for result in done) == 1
    assert sum(isinstance(result, Conflict) for result in done) == 19


def test_it_ends_when_it_is_revoked_or_expires() -> None:
    assert key("a").ended == math.inf
    assert key("a", expires=NOW).ended == NOW
    assert key("a", revoked=NOW, expires=NOW + 1).ended == NOW
    assert key("a", revoked=NOW + 1, expires=NOW).ended == NOW


# In a file


async def test_the_table_has_a_column_for_each_field_and_no_other(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    await store.stop()
    with closing(apsw.Connection(str(tmp_path / "hub.db"))) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(credentials)")]
    assert columns == [field.name for field in fields(Credential)]


async def test_a_file_finds_them_by_an_index(tmp_path: Path) -> None:
    """By the plan that SQLite makes: the work is that of the answer, not of the file."""
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    await store.stop()
    with closing(apsw.Connection(str(store.path))) as database:
        plans: list[str] = []

        def explain(cursor: apsw.Cursor, statement: str, bindings: Any) -> bool:
            if statement.startswith("SELECT"):
                asked = cursor.connection.cursor()
                asked.exec_trace = None
                asked.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)
                plans.append(" ".join(row[-1] for row in asked))
            return True

        table = CredentialTable(database)
        with database:
            for number in range(100):
                table.add(labelled(str(number), f"s{number}", f"u{number}", user=f"u{number}"))
        database.exec_trace = explain
        for label in (Label("stream", "s1"), Label("maker", "u1"), Label("user", "u1")):
            assert [row.id for row in table.held("key", label, "", 10, NOW)] == ["1"]
            assert table.count("key", label, NOW) == 1
    assert len(plans) == 6
    for plan in plans:
        assert "INDEX credentials_of_" in plan
        assert "(kind=? AND user=?" in plan or "(kind=? AND <expr>=?" in plan
        assert "TEMP B-TREE" not in plan


async def test_a_file_of_before_gets_its_indexes(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    await store.credentials.add(labelled("a", "s", "ann"))
    await store.stop()
    with closing(apsw.Connection(str(store.path))) as database:
        for index in ("user", "stream", "maker"):
            database.execute(f"DROP INDEX credentials_of_{index}")
        # These came later.
        database.execute("DROP TABLE counted; DROP TABLE claims; DROP TABLE bodies")
        database.pragma("user_version", 9)
    store = SQLiteStore(store.path)
    await store.start()
    for label in (Label("stream", "s"), Label("maker", "ann")):
        assert await found(store, label) == ["a"]
    await store.stop()


async def test_a_file_returns_them_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    store = SQLiteStore(path)
    await store.start()
    await store.credentials.add(FULL)
    await store.stop()
    for call in (
        store.credentials.add(key("late")),
        store.credentials.revoke("key", "full", NOW),
        store.credentials.find("key", "full"),
    ):
        with pytest.raises((StoreError, RuntimeError)):
            await call
    with Inspector(path) as inspector:
        assert inspector.list_credentials("key") == [FULL]
        assert inspector.find_credential("key", "full") == FULL
    with Maintenance(path) as maintenance:
        maintenance.add_credential(key("b"))
        with pytest.raises(Conflict):
            maintenance.add_credential(key("b"))
        assert maintenance.revoke_credential("key", "b", NOW) == key("b", revoked=NOW)
    store = SQLiteStore(path)
    await store.start()
    assert await ids(store) == ["b", "full"]
    await store.stop()


KILLED = """
import asyncio, os, signal, sys
from hub.stores.redis.credentials import RedisCredentials
from hub.stores.redis.engine import RedisEngine
from hub.stores.sqlite import SQLiteStore
from tests.stores.test_credentials import key

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.start()
    await store.credentials.add(key("a"))
    await store.credentials.add(key("b"))
    await store.credentials.revoke("key", "b", 5.0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "hub.db"
    ran = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=PATIENCE)
    assert ran.returncode == -signal.SIGKILL
    with Inspector(path) as inspector:
        assert inspector.list_credentials("key") == [key("a"), key("b", revoked=5.0)]


async def test_a_full_disk_refuses_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk(monkeypatch, full=False)
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    await store.credentials.add(key("a"))

    def full(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("hub.stores.sqlite.credentials.CredentialTable.add", full)
        with pytest.raises(StoreError) as refused:
            await store.credentials.add(key("b"))
        assert refused.value.code == "store_full"
    # While the changes of streams wait for space, it is refused at once.
    disk.fill()
    store.note(Created("s", StreamSettings(), ((0, 0),)))
    async with asyncio.timeout(PATIENCE):
        while store.trouble is None:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
    with pytest.raises(StoreError) as refused:
        await store.credentials.revoke("key", "a", NOW)
    assert refused.value.code == "store_full"
    assert await ids(store) == ["a"]
    disk.make_space()
    await store.synced()
    await store.credentials.add(key("b"))
    assert await ids(store) == ["a", "b"]
    await store.stop()


async def test_a_write_that_is_not_begun_in_time_is_not_done_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    with apsw.Connection(str(store.path)) as other:  # holds the writer up
        other.execute("CREATE TABLE held (a)")
        first = asyncio.create_task(store.credentials.add(key("a")))
        await asyncio.sleep(0.05)
        monkeypatch.setattr("hub.stores.sqlite.store.PATIENCE_SECONDS", 0.05)
        with pytest.raises(StoreError) as refused:
            await store.credentials.add(key("b"))
        assert refused.value.code == "store_slow", refused.value.message
    other.close()
    await first
    assert await ids(store) == ["a"]
    await store.stop()


async def test_a_store_that_stops_tells_those_who_wait(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    adding = [asyncio.create_task(store.credentials.add(key(str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await store.stop()
    done = await asyncio.wait_for(asyncio.gather(*adding, return_exceptions=True), PATIENCE)
    assert all(result is None or isinstance(result, HubError) for result in done)
    with Inspector(store.path) as inspector:
        assert len(inspector.list_credentials("key")) == sum(result is None for result in done)


async def test_a_store_that_stops_on_a_full_disk_leaves_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow_and_full(*_: object) -> None:
        begun.set()
        go_on.wait(PATIENCE)
        raise apsw.FullError("database or disk is full")

    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    monkeypatch.setattr("hub.stores.sqlite.store.Writer.write", slow_and_full)
    store.note(Created("s", StreamSettings(), ((0, 0),)))
    await asyncio.to_thread(begun.wait, PATIENCE)
    waiting = asyncio.create_task(store.credentials.add(key("waits")))
    await asyncio.sleep(0)
    monkeypatch.setattr("hub.stores.sqlite.store.PATIENCE_SECONDS", 0.05)
    with pytest.raises(StoreError):
        await store.credentials.add(key("has given up"))
    stopping = asyncio.create_task(store.stop())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    with pytest.raises(StoreError, match="not open"):
        await asyncio.wait_for(waiting, PATIENCE)
    assert "the writer thread has failed" not in caplog.text
    with Inspector(store.path) as inspector:
        assert inspector.list_credentials("key") == []
