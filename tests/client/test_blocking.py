"""The client without ``async``, from threads that know no event loop."""

from __future__ import annotations

from threading import Thread

import pytest

from hub.client import Delta, Finished, HubError, Message, Other, SyncHub


def test_an_answer_is_asked_for_and_read(url: str) -> None:
    with SyncHub(url) as hub:
        generation = hub.generate("poem", stream="sync")
        events = list(hub.answer(generation))
        assert isinstance(events[-1], Finished)
        assert hub.generation(generation.id).state == "finished"
        said = "".join(event.text for event in events if isinstance(event, Delta))
        assert "🌊" in said


def test_a_stream_is_followed_left_and_taken_up_again(url: str) -> None:
    with SyncHub(url) as hub:
        for number in range(5):
            hub.append("sync-notes", {"n": number})
        with hub.follow("sync-notes") as first:
            held = [next(first) for _ in range(2)]
        with hub.follow("sync-notes", from_=first.position) as second:
            held += [next(second) for _ in range(3)]
    assert held == [Other({"n": number}) for number in range(5)]


def test_several_threads_may_use_one(url: str) -> None:
    def write(hub: SyncHub, author: str) -> None:
        for _ in range(20):
            hub.append("sync-many", Message("user", "x", author=author))

    with SyncHub(url) as hub:
        threads = [Thread(target=write, args=(hub, name)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with hub.follow("sync-many") as following:
            held = [next(following) for _ in range(80)]
    authors = [event.author for event in held if isinstance(event, Message)]
    assert sorted(authors, key=str) == sorted("abcd" * 20)


def test_refusals_are_raised_where_the_call_was_made(url: str) -> None:
    with SyncHub(url) as hub:
        with pytest.raises(HubError) as missing:
            next(hub.follow("nowhere"))
        assert missing.value.code == "stream_not_found"
        with pytest.raises(HubError):
            hub.cancel("gen_of_nobody")


def test_outside_its_context_it_says_so(url: str) -> None:
    with pytest.raises(RuntimeError, match="enter the context"):
        SyncHub(url).models()
