"""Large bodies in the SQLite store: what is beside them costs what it does without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.generation_request import GenerationRequest
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.records import Position, Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import Appended, Change, Created, QueueSet, Removed, Trimmed
from hub.stores.sqlite.bodies import INLINE_BYTES
from hub.stores.sqlite.database import open_read_write
from hub.stores.sqlite.reader import Reader
from hub.stores.sqlite.schema import migrate
from hub.stores.sqlite.writer import SWEPT_BYTES, Writer

BYTES: Final = StreamSettings("application/octet-stream")
LARGE: Final = 200_000
STREAMS: Final = 64
FAR: Final = 2**62
"""An offset, and an id, that takes as many bytes as one can."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hub.db"


@pytest.fixture
def database(path: Path) -> Iterator[apsw.Connection]:
    database = opened(str(path))
    yield database
    database.close()


def opened(path: str) -> apsw.Connection:
    database = open_read_write(Path(path), "normal")
    # Pages beyond a row are counted only if they are read from the log.
    database.pragma("wal_autocheckpoint", 0)
    migrate(database, path)
    return database


def created(stream: str) -> Created:
    return Created(stream, BYTES, ((0, 0),))


def appended(stream: str, at: int, body: bytes) -> Appended:
    return Appended(stream, Record(at, body, None))


def pages(database: apsw.Connection) -> int:
    """The pages that a connection has looked at since it was last asked."""
    counters = (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS)
    return sum(database.status(counter, True)[0] for counter in counters)


def overflowing(database: apsw.Connection) -> dict[str, int]:
    """How many pages of each table are beyond the one that a row begins in."""
    rows: Any = database.execute(
        "SELECT name, count(*) FROM dbstat WHERE pagetype = 'overflow' GROUP BY name"
    ).fetchall()
    return dict(rows)


def orphans(database: apsw.Connection) -> tuple[set[int], set[int]]:
    """The bodies that no record has, and those that are missing."""
    kept: Any = database.execute("SELECT id FROM bodies").fetchall()
    had: Any = database.execute("SELECT body FROM records WHERE typeof(body) = 'integer'")
    ids, named = {id_ for (id_,) in kept}, [id_ for (id_,) in had]
    assert len(named) == len(set(named)), "two records have one body"
    return ids - set(named), set(named) - ids


# What is beside them


def cost_beside(database: apsw.Connection, path: Path, size: int) -> tuple[int, int]:
    """The pages that small appends and reads look at when there are other records, of a size."""
    writer = Writer(database)
    for number in range(STREAMS):
        writer.write([created(f"theirs{number}"), created(f"ours{number}")])
        writer.write([appended(f"theirs{number}", at, b"x" * size) for at in range(4)])
        writer.write([appended(f"ours{number}", 0, b"small")])
    pages(database)
    for number in range(STREAMS):
        writer.write([appended(f"ours{number}", 1, b"small")])
    written = pages(database)
    reader = Reader(path)
    pages(reader._database)
    for number in range(STREAMS):
        found = reader.read(f"ours{number}", 0, 1000)
        assert found is not None
        assert [record.body for record in found] == [b"small"] * 2
        assert reader.load(f"ours{number}") is not None
    read = pages(reader._database)
    reader.close()
    return written, read


def test_small_records_beside_large_ones_cost_a_few_pages(
    database: apsw.Connection, path: Path, tmp_path: Path
) -> None:
    beside_small = opened(str(tmp_path / "small.db"))
    usual = cost_beside(beside_small, tmp_path / "small.db", 100)
    beside_small.close()
    for found, expected in zip(cost_beside(database, path, LARGE), usual, strict=True):
        assert found < 2 * expected


@pytest.mark.parametrize("size", [INLINE_BYTES, INLINE_BYTES + 1, 4000, 5000])
def test_no_row_with_a_key_goes_beyond_its_page(database: apsw.Connection, size: int) -> None:
    writer = Writer(database)
    database.execute("INSERT INTO sqlite_sequence VALUES ('streams', ?)", (FAR,))
    writer.write([created("s"), *(appended("s", FAR + at, b"x" * size) for at in range(50))])
    assert int(database.pragma("page_size")) == 4096
    assert overflowing(database).keys() <= {"bodies"}
    kept = database.execute("SELECT count(*) FROM bodies").get
    assert kept == (50 if size > INLINE_BYTES else 0)


def test_streams_beside_large_prompts_cost_a_few_pages(
    database: apsw.Connection, path: Path
) -> None:
    writer = Writer(database)
    for number in range(STREAMS):
        request = GenerationRequest("x" * LARGE, stream=f"s{number}", when_busy="queue")
        queue = tuple(
            QueuedPrompt(f"gen_{number}_{at}", request, Position(1, at), "2026-01-01T00:00:00.000Z")
            for at in range(4)
        )
        writer.write([created(f"s{number}"), QueueSet(f"s{number}", queue, held=False)])
        writer.write([created(f"t{number}")])
    reader = Reader(path)
    pages(reader._database)
    for number in range(STREAMS):
        assert reader.load(f"t{number}") is not None
    assert pages(reader._database) < 30 * STREAMS
    reader.close()


# Their end


def test_large_records_are_deleted_with_their_bodies_a_few_at_a_time(
    database: apsw.Connection,
) -> None:
    writer = Writer(database)
    writer.write([created("s"), *(appended("s", at, b"x" * LARGE) for at in range(40))])
    writer.write([Removed("s")])
    left: list[int] = [database.execute("SELECT count(*) FROM bodies").get]
    assert left[0] > 0
    while writer.sweep():
        assert orphans(database) == (set(), set())
        count: Any = database.execute("SELECT count(*) FROM bodies").get
        assert left[-1] - count <= SWEPT_BYTES // LARGE + 1
        left.append(count)
    assert left[-1] == 0
    assert database.execute("SELECT count(*) FROM records").get == 0
    assert database.execute("SELECT count(*) FROM trash").get == 0


def test_what_is_rolled_back_leaves_no_body(database: apsw.Connection) -> None:
    writer = Writer(database)
    writer.write([created("s"), appended("s", 0, b"x" * LARGE)])
    rejected = writer.write(
        [
            created("t"),
            appended("t", 0, b"y" * LARGE),
            appended("s", 1, b"x" * LARGE),
            appended("s", 0, b"again" * LARGE),
        ]
    )
    assert rejected.keys() == {"s"}
    assert orphans(database) == (set(), set())
    assert database.execute("SELECT count(*) FROM bodies").get == 2


def test_a_record_whose_body_is_missing_is_damage_and_can_be_deleted(
    database: apsw.Connection, path: Path
) -> None:
    writer = Writer(database)
    writer.write([created("s"), appended("s", 0, b"x" * LARGE)])
    database.execute("DELETE FROM bodies")
    reader = Reader(path)
    with pytest.raises(apsw.CorruptError):
        reader.read("s", 0, 1)
    with pytest.raises(apsw.CorruptError):
        reader.load("s")
    reader.close()
    writer.write([Removed("s")])
    assert database.execute("SELECT count(*) FROM records").get == 0


SIZES = st.sampled_from([0, 1, INLINE_BYTES, INLINE_BYTES + 1, 5000, SWEPT_BYTES])
NAMES = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), NAMES, st.lists(SIZES, min_size=1, max_size=5)),
        st.tuples(st.just("trim"), NAMES, st.integers(0, 10)),
        st.tuples(st.just("remove"), NAMES, st.none()),
        st.tuples(st.just("sweep"), NAMES, st.none()),
    ),
    max_size=30,
)


@given(STEPS)
def test_no_body_is_left_or_missing_whatever_is_done(steps: list[tuple[str, str, Any]]) -> None:
    database = apsw.Connection(":memory:")
    migrate(database, ":memory:")
    writer = Writer(database)
    tails: dict[str, int] = {}
    for step, name, value in steps:
        changes: list[Change] = []
        if name not in tails and step != "sweep":
            tails[name] = 0
            changes.append(created(name))
        if step == "append":
            for size in value:
                changes.append(appended(name, tails[name], b"%d" % size * size))
                tails[name] += 1
        elif step == "trim":
            changes.append(Trimmed(name, min(value, tails[name])))
        elif step == "remove":
            changes.append(Removed(name))
            del tails[name]
        else:
            writer.sweep()
        assert not writer.write(changes)
        assert orphans(database) == (set(), set())
    writer.write([Removed(name) for name in tails])
    while writer.sweep():
        pass
    assert database.execute("SELECT count(*) FROM records").get == 0
    assert orphans(database) == (set(), set())
    database.close()
