"""Entries and notices come back, whatever is damaged is noticed, and no gap is read across."""

from __future__ import annotations

import struct
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.producers import Stamp
from hub.stores.packed import Damaged, pack
from hub.stores.redis.codec import VERSION, parse_entry, parse_notice
from hub.stores.shared import Entry, Notice, join

BODIES = st.lists(st.binary(max_size=20), max_size=8)


@given(st.integers(0, 2**50), st.lists(st.binary(max_size=9), min_size=1, max_size=5))
def test_an_entry_comes_back(first: int, bodies: list[bytes]) -> None:
    id_ = b"%d-%d" % (first, len(bodies))
    entry = parse_entry((id_, [b"b", pack(bodies)]))
    assert (entry.first, list(entry.bodies)) == (first, bodies)
    assert entry.end == first + len(bodies)


def test_an_entry_with_more_or_fewer_records_than_its_id_says_is_damaged() -> None:
    for count in (1, 3):
        with pytest.raises(Damaged):
            parse_entry((b"7-%d" % count, [b"b", pack([b"a", b"b"])]))
    with pytest.raises(Damaged):
        parse_entry((b"7-1", [b"other", pack([b"a"])]))


@st.composite
def timelines(draw: st.DrawFn) -> tuple[list[bytes], list[Entry]]:
    """Bodies from offset 0 on, and the entries in which they were appended."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    bodies = [b"%d" % at for at in range(sum(sizes))]
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    return bodies, [Entry(first, bodies[first:end]) for first, end in pairwise(ends)]


@given(timelines(), st.data())
def test_entries_are_read_up_to_the_first_gap(
    timeline: tuple[list[bytes], list[Entry]], data: st.DataObject
) -> None:
    bodies, entries = timeline
    kept = [entry for entry in entries if data.draw(st.booleans())]
    offset = data.draw(st.integers(0, len(bodies)))
    # As a read begins: at the last entry that is not beyond the offset.
    before = [entry for entry in kept if entry.first <= offset]
    read = before[-1:] + [entry for entry in kept if entry.first > offset]
    found = join(read, offset)
    assert found == bodies[offset : offset + len(found)], "nothing is skipped"
    held = {at for entry in kept for at in range(entry.first, entry.end)}
    end = next((at for at in range(offset, len(bodies) + 1) if at not in held), offset)
    assert len(found) == end - offset, "and nothing is left out"


def test_a_read_that_begins_beyond_its_offset_has_nothing() -> None:
    assert join([Entry(5, [b"5"])], 4) == []
    assert join([], 4) == []
    assert join([Entry(2, [b"2", b"3"]), Entry(5, [b"5"])], 4) == []


def notice(header: dict[str, object], *bodies: bytes, version: int = VERSION) -> bytes:
    told = orjson.dumps(header)
    return struct.pack(">BI", version, len(told)) + told + pack(bodies)


def test_a_notice_tells_what_changed() -> None:
    told = parse_notice(
        notice(
            {
                "change": "3",
                "epoch": "9",
                "first": "5",
                "stamp": "1:2:a:b",
                "sequence": "x",
                "running": "",
                "closed": "1",
                "closed_by": "1:2:a:b",
                "head": "2",
            },
            b"a",
            b"",
        )
    )
    stamp = Stamp("a:b", 1, 2)
    assert told == Notice(
        3,
        9,
        5,
        [b"a", b""],
        closed=True,
        closed_by=stamp,
        stamp=stamp,
        sequence="x",
        running="",
        head=2,
    )
    assert told is not None
    assert told.tail == 7


def test_a_notice_of_a_newer_form_is_not_understood() -> None:
    assert parse_notice(notice({"all": "new"}, version=VERSION + 1)) is None


@given(st.binary(max_size=64))
def test_a_notice_that_cannot_be_read_is_damaged(message: bytes) -> None:
    with pytest.raises(Damaged):
        parse_notice(bytes([VERSION]) + message)
