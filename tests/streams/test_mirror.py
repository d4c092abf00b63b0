"""A mirror has what the engine has told it, in order; and two copies are told apart rightly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import ProducerFenced, StreamClosed
from hub.domain.producers import Stamp
from hub.domain.records import Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.shared import Entry, Notice, State, Written
from hub.streams.history import Place, Reset
from hub.streams.mirror import Mirror, Version, relation

BYTES = StreamSettings("application/octet-stream")


class NoPast:
    """An engine that is not asked."""

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        raise AssertionError("the mirror has it")

    def lived(self, epoch: int) -> bool:
        return False


def state(*bodies: bytes, **fields: object) -> State:
    given = {
        "settings": BYTES,
        "born": 5,
        "epochs": ((5, 0),),
        "life": 5,
        "head": 0,
        "tail": len(bodies),
        "change": 1,
        "entries": [Entry(0, list(bodies))] if bodies else [],
        "producers": {},
        **fields,
    }
    return State(**given)  # type: ignore[arg-type]  # as given


def mirror(found: State) -> Mirror:
    return Mirror("s", found, NoPast())


def bodies(one: Mirror) -> list[bytes]:
    return [record.body for record in one.newest(one.warm, one.tail)]


# Taking notices


async def test_notices_are_applied_in_order_and_once() -> None:
    one = mirror(state(b"0"))
    second = Notice(2, 5, 1, [b"1", b"2"])
    assert one.take(second, 5)
    assert one.take(second, 5), "it is known"
    assert not one.take(Notice(4, 5, 3, [b"4"]), 5), "one is missing"
    assert not one.take(Notice(3, 5, 4, [b"4"]), 5), "records are missing"
    assert one.take(Notice(3, 5, 3, [b"3"]), 5)
    assert bodies(one) == [b"0", b"1", b"2", b"3"]
    assert one.position == Position(5, 4)


async def test_everything_that_a_notice_tells_can_be_put_back() -> None:
    one = mirror(state(b"0"))
    stamp = Stamp("p", 1, 2)
    for notice in (
        Notice(2, 5, 1, [b"1"], stamp=stamp, sequence="q", expires=7),
        Notice(3, 5, 2, [b"2"], running="g", node="n", number=1, began="5:2:2"),
        Notice(4, 5, 3, [b"3"], number=2),
        Notice(5, 9, 4, [b"4"], head=1),
    ):
        assert one.take(notice, 8)
    assert one.state() == State(
        settings=BYTES,
        born=5,
        epochs=((5, 0), (9, 4)),
        life=8,
        head=1,
        tail=5,
        change=5,
        entries=[Entry(1, [b"1", b"2", b"3", b"4"])],
        producers={"p": (1, 2)},
        sequence="q",
        expires=7,
        running="g",
        node="n",
        number=2,
        began="5:2:2",
    )
    assert one.take(Notice(6, 9, 5, [b"end"], running=""), 8)
    assert one.take(Notice(7, 9, 6, closed=True, closed_by=stamp, stamp=stamp), 8)
    after = one.state(6)
    assert (after.running, after.closed, after.closed_by, after.entries) == (None, True, stamp, [])
    again = mirror(one.state())
    assert (again.state(), bodies(again)) == (one.state(), bodies(one))


async def test_a_stream_that_is_given_away_is_its_new_owners() -> None:
    one = mirror(state())
    assert one.take(Notice(2, 5, 0, owner="ann"), 5)
    assert one.settings.owner == "ann" == one.state().settings.owner
    assert one.take(Notice(3, 5, 0, owner=""), 5)
    assert one.settings.owner is None


async def test_a_stream_that_was_put_back_or_removed_is_not_gone_on_with() -> None:
    one = mirror(state(b"0"))
    assert not one.take(Notice(2, 5, 1, reload=True), 5)
    assert not one.take(Notice(3, 5, 1, removed=True), 5)
    assert not one.removed
    assert one.take(Notice(2, 5, 1, removed=True), 5)
    assert (one.removed, one.closed) == (True, True)


async def test_a_hidden_stream_ends_for_its_readers() -> None:
    one = mirror(state(b"0"))
    assert one.take(Notice(2, 5, 1, hidden=True, closed=True), 5)
    assert (one.hidden, one.closed, one.removed) == (True, True, False)


async def test_only_what_joins_the_tail_is_in_memory() -> None:
    found = [Entry(0, [b"0"]), Entry(2, [b"2", b"3"]), Entry(4, [b"4"])]
    one = mirror(state(tail=5, entries=found))
    assert (one.head, one.warm, one.tail) == (0, 2, 5)
    assert mirror(state(tail=6, entries=found)).warm == 6, "the last ones are missing"
    assert mirror(state(tail=5, entries=found, head=3)).warm == 3


async def test_old_records_leave_memory_and_cannot_be_put_back() -> None:
    one = Mirror("s", state(), NoPast(), kept_bytes=5_000)
    for number in range(100):
        one.take(Notice(number + 2, 5, number, [b"%0200d" % number]), 5)
    assert one.size <= 10_000
    assert 0 < one.warm < 100
    assert one.head == 0
    left = one.state()
    assert (left.head, left.entries[0].first) == (one.warm, one.warm)
    assert one.state(99).head == 0, "the engine has the older ones"
    assert one.state(99).entries == [Entry(99, [b"%0200d" % 99])]
    assert one.state(1).head == one.warm, "what is in between is lost"


async def test_what_is_put_back_comes_in_entries_of_bounded_size() -> None:
    many = mirror(state(*[b"x"] * 2500))
    entries = many.state().entries
    assert [(entry.first, entry.end) for entry in entries] == [
        (0, 1024),
        (1024, 2048),
        (2048, 2500),
    ]
    large = mirror(state(*[b"x" * 200_000] * 3))
    assert [len(entry.bodies) for entry in large.state().entries] == [1, 1, 1]


async def test_a_fork_puts_back_only_its_own_records() -> None:
    forked = replaced(
        state(tail=3, entries=[Entry(2, [b"2"])]), StreamSettings("", fork=Fork("a", 2))
    )
    one = mirror(forked)
    assert (one.state().head, one.state().entries) == (0, [Entry(2, [b"2"])])


def replaced(found: State, settings: StreamSettings) -> State:
    return replace(found, settings=settings)


# Readers


async def test_a_reader_of_an_epoch_in_which_nothing_was_written_goes_on() -> None:
    one = mirror(state(b"0", epochs=((5, 0), (7, 1))))
    assert one.take(Notice(2, 9, 1, expires=1), 9)
    for epoch in (5, 7, 9):
        assert one.place(Position(epoch, 1)) == Place(1)
    assert one.place(Position(6, 1)).reset == Reset(Position(0, 0), "unwritten")


async def test_a_reader_of_what_was_lost_is_reset() -> None:
    one = mirror(state(b"0", epochs=((5, 0), (7, 1)), tail=1))
    assert one.take(Notice(2, 9, 1, [b"1"]), 9)
    assert one.place(Position(5, 3)).reset is not None
    assert one.place(Position(5, 1)) == Place(1)


@pytest.mark.parametrize(
    ("epochs", "tail", "change", "found"),
    [
        (((5, 0),), 3, 4, True),
        (((5, 0),), 3, 3, False),
        (((4, 0),), 3, 9, False),
        (((5, 0), (7, 3)), 9, 2, True),
        (((5, 0), (7, 2)), 9, 2, None),
    ],
)
async def test_a_change_has_come_or_will_or_never_does(
    epochs: tuple[tuple[int, int], ...], tail: int, change: int, found: bool | None
) -> None:
    one = mirror(state(epochs=epochs, tail=tail, change=change))
    assert one.has(Written(5, 3, 4)) is found


# Telling copies apart


@pytest.mark.parametrize(
    ("mine", "theirs", "found"),
    [
        (Version([(1, 0)], 3, 4), Version([(1, 0)], 3, 4), "same"),
        (Version([(1, 0)], 3, 4), Version([(1, 0)], 5, 6), "behind"),
        (Version([(1, 0)], 5, 6), Version([(1, 0)], 3, 4), "ahead"),
        (Version([(1, 0)], 3, 4), Version([(1, 0), (2, 3)], 4, 5), "behind"),
        (Version([(1, 0)], 3, 4), Version([(1, 0), (2, 2)], 4, 5), "parted"),
        (Version([(1, 0), (2, 2)], 4, 5), Version([(1, 0)], 2, 3), "ahead"),
        (Version([(1, 0), (2, 2)], 4, 5), Version([(1, 0)], 3, 4), "parted"),
        (Version([(1, 0), (3, 2)], 4, 5), Version([(1, 0), (2, 2)], 4, 5), "parted"),
        (Version([(1, 0)], 3, 5, closed=True), Version([(1, 0), (2, 3)], 4, 5), "parted"),
        (Version([(1, 0)], 3, 5, True), Version([(1, 0), (2, 3)], 4, 6, True), "parted"),
        (Version([(1, 0)], 3, 5, True), Version([(1, 0), (2, 3)], 3, 6, True), "behind"),
        (Version([(1, 0)], 3, 4), Version([(2, 0)], 3, 4), "parted"),
    ],
)
def test_what_two_copies_are_to_each_other(mine: Version, theirs: Version, found: str) -> None:
    assert relation(mine, theirs) == found


@dataclass
class Copy:
    """A stream, and the changes that made it, each of which is another one."""

    epochs: list[tuple[int, int]] = field(default_factory=lambda: [(1, 0)])
    tail: int = 0
    changes: list[int] = field(default_factory=list)
    closed: bool = False
    life: int = 1

    def copy(self) -> Copy:
        return replace(self, epochs=list(self.epochs), changes=list(self.changes))

    @property
    def version(self) -> Version:
        return Version(self.epochs, self.tail, len(self.changes), self.closed)


DEEDS = st.lists(
    st.sampled_from(["write", "write", "close", "keep", "mirror", "lose", "again"]), max_size=30
)


@given(DEEDS, st.data())
def test_copies_are_told_apart_as_their_changes_are(deeds: list[str], data: st.DataObject) -> None:
    engine, kept, mirrors, incarnation = Copy(), [Copy()], [Copy()], 1
    for number, deed in enumerate(deeds):
        if deed in ("write", "close") and not engine.closed:
            if engine.life != incarnation:
                engine.life = incarnation
                engine.epochs.append((incarnation, engine.tail))
            engine.changes.append(number)
            engine.closed = deed == "close"
            engine.tail += deed == "write"
        elif deed == "keep":
            kept.append(engine.copy())
        elif deed == "mirror":
            mirrors.append(engine.copy())
        elif deed == "lose":
            engine = data.draw(st.sampled_from(kept)).copy()
            incarnation += 1
        elif deed == "again":
            incarnation += 1
    for one in mirrors:
        mine, theirs = one.changes, engine.changes
        if mine == theirs:
            expected = "same"
        elif theirs[: len(mine)] == mine:
            expected = "behind"
        elif mine[: len(theirs)] == theirs:
            expected = "ahead"
        else:
            expected = "parted"
        assert relation(one.version, engine.version) == expected


# Judging a write


async def test_only_what_cannot_change_any_more_is_told_without_the_engine() -> None:
    one = mirror(state(b"0", producers={"p": (1, 4)}))
    for unknown in (None, Stamp("q", 0, 0), Stamp("p", 1, 5), Stamp("p", 1, 7), Stamp("p", 2, 3)):
        assert one.judge(unknown) is None
    known = one.judge(Stamp("p", 1, 3))
    assert known is not None
    assert (known.duplicate, known.number) == (True, 4)
    with pytest.raises(ProducerFenced):
        one.judge(Stamp("p", 0, 5))


async def test_a_write_to_a_closed_stream_is_judged_by_who_closed_it() -> None:
    stamp = Stamp("p", 1, 4)
    one = mirror(state(b"0", producers={"p": (1, 4)}, closed=True, closed_by=stamp))
    assert one.sealed
    for again in (one.judge(only_close=True), one.judge(stamp)):
        assert again is not None
        assert (again.duplicate, again.closed) == (True, True)
    for refused in (None, Stamp("p", 1, 3)):
        with pytest.raises(StreamClosed):
            one.judge(refused)
