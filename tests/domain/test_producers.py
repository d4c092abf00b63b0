"""A retried append has one effect, and a producer that was replaced has none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import Conflict, HubError, ProducerFenced, ProducerGap, RequestError
from hub.domain.producers import Producers, Stamp


def told(*stamps: tuple[int, int]) -> Producers:
    """Who has accepted these (epoch, number) of the producer ``p``."""
    producers = Producers()
    for stamp in stamps:
        assert producers.check(Stamp("p", *stamp))
        producers.accept(Stamp("p", *stamp))
    return producers


def test_a_producer_begins_at_0_and_goes_on_by_1() -> None:
    producers = told((0, 0), (0, 1), (0, 2))
    assert producers.last(Stamp("p", 0, 2)) == 2


@pytest.mark.parametrize("epoch", [0, 7])
def test_a_producer_begins_in_any_epoch(epoch: int) -> None:
    assert Producers().check(Stamp("p", epoch, 0))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_was_accepted_is_a_duplicate(number: int) -> None:
    producers = told((3, 0), (3, 1), (3, 2))
    assert not producers.check(Stamp("p", 3, number))
    assert producers.last(Stamp("p", 3, number)) == 2, "the answer tells the highest"


def test_a_gap_is_refused_and_says_what_is_missing() -> None:
    with pytest.raises(ProducerGap) as refused:
        told((0, 0)).check(Stamp("p", 0, 5))
    assert (refused.value.expected, refused.value.received) == (1, 5)
    with pytest.raises(ProducerGap) as refused:
        Producers().check(Stamp("new", 0, 1))
    assert (refused.value.expected, refused.value.received) == (0, 1)


def test_nobody_takes_all_places_of_a_stream_of_somebody_else() -> None:
    kept = {f"owner\n{number}": (0, 0) for number in range(2)}
    producers = Producers(kept, most=10)
    for number in range(4):  # half of what the owner has left
        stamp = Stamp(f"ann\n{number}", 0, 0)
        assert producers.check(stamp, "owner")
        producers.accept(stamp)
    with pytest.raises(Conflict) as refused:
        producers.check(Stamp("ann\nmore", 0, 0), "owner")
    assert refused.value.code == "too_many_producers"
    assert producers.check(Stamp("ann\n0", 0, 1), "owner"), "those that are there go on"
    assert producers.check(Stamp("bob\n0", 0, 0), "owner")
    assert producers.check(Stamp("owner\nmore", 0, 0), "owner")
    assert producers.check(Stamp("without a user", 0, 0), "owner")


def test_who_is_called_like_the_beginning_of_another_has_places_of_its_own() -> None:
    producers = Producers({f"ann\n{number}": (0, 0) for number in range(5)}, most=10)
    assert producers.check(Stamp("an\nn", 0, 0))
    assert producers.check(Stamp("\nann", 0, 0)), "somebody without a name"


def test_the_owner_may_have_all() -> None:
    producers = Producers({f"ann\n{number}": (0, 0) for number in range(9)}, most=10)
    assert producers.check(Stamp("ann\nlast", 0, 0), "ann")
    with pytest.raises(Conflict):
        producers.check(Stamp("ann\nlast", 0, 0), "bob")


def test_a_stream_has_only_so_many_and_forgets_none() -> None:
    producers = Producers({"kept": (0, 3)}, most=2)
    assert producers.check(Stamp("p", 0, 0))
    producers.accept(Stamp("p", 0, 0))
    with pytest.raises(Conflict) as refused:
        producers.check(Stamp("new", 0, 0))
    assert refused.value.code == "too_many_producers"
    assert "streams.max_producers" in refused.value.message
    assert producers.check(Stamp("kept", 0, 4))
    assert producers.check(Stamp("p", 1, 0)), "a new epoch is no new producer"
    assert not producers.check(Stamp("p", 0, 0))


def test_an_older_epoch_is_fenced_whatever_its_number() -> None:
    producers = told((2, 0))
    for number in (0, 1, 9):
        with pytest.raises(ProducerFenced) as refused:
            producers.check(Stamp("p", 1, number))
        assert refused.value.epoch == 2


def test_a_higher_epoch_begins_at_0() -> None:
    producers = told((0, 0), (0, 1))
    with pytest.raises(RequestError) as refused:
        producers.check(Stamp("p", 1, 2))
    assert refused.value.code == "producer_epoch"
    assert producers.check(Stamp("p", 1, 0))
    producers.accept(Stamp("p", 1, 0))
    assert producers.check(Stamp("p", 1, 1))
    with pytest.raises(ProducerFenced):
        producers.check(Stamp("p", 0, 2))


def test_a_check_uses_nothing_up() -> None:
    """A refused body may be sent again with the same number."""
    producers = told((0, 0))
    assert producers.check(Stamp("p", 0, 1))
    assert producers.check(Stamp("p", 0, 1))
    assert producers.last(Stamp("p", 0, 1)) == 0


def test_producers_do_not_know_of_each_other() -> None:
    producers = told((5, 0), (5, 1))
    assert producers.check(Stamp("q", 0, 0))
    with pytest.raises(ProducerGap):
        producers.check(Stamp("q", 0, 1))


def test_what_was_kept_goes_on() -> None:
    kept = {"p": (2, 9)}
    producers = Producers(kept)
    producers.accept(Stamp("p", 2, 10))
    assert kept == {"p": (2, 9)}, "what a store handed out is not written to"
    assert not producers.check(Stamp("p", 2, 10))
    assert producers.check(Stamp("p", 2, 11))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30))
def test_whatever_comes_is_accepted_once_and_in_order(stamps: list[tuple[int, int]]) -> None:
    producers = Producers()
    accepted: list[tuple[int, int]] = []
    for stamp in stamps:
        try:
            new = producers.check(Stamp("p", *stamp))
        except HubError:
            continue
        if new:
            producers.accept(Stamp("p", *stamp))
            accepted.append(stamp)
    assert accepted == sorted(set(accepted))
    for epoch in {epoch for epoch, _ in accepted}:
        numbers = [number for of, number in accepted if of == epoch]
        assert numbers == list(range(len(numbers)))
