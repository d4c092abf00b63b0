"""The steps from bytes to chunks to events: any cutting, every way to end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub import dialects
from hub.dialects import Call, Dialect
from hub.domain.errors import FramingError, UpstreamError
from hub.domain.events import TERMINALS, Delta, Event, Finished
from hub.domain.prompt import Prompt
from hub.framing import NDJSON, SSE, Chunk, ConcatenatedJSON, Framing
from hub.pipeline.pipeline import Pipeline
from tests.support.recording_sources import Recorded
from tests.support.upstream_answers import openai_sse

TEXTS = ("大模型", "🙂", " is", "\n\n", "over")
REPLY = b"".join(openai_sse(*TEXTS))


async def read_into(came: list[Any], source: Pipeline[Any]) -> None:
    async for item in source:
        came.append(item)  # noqa: PERF401 - the items before an error are wanted too


class Words:
    """A dialect whose chunks are words: ``.`` is the end, ``,`` makes the end likely.

    ``!`` cannot be understood. A word is held back until the next chunk.
    """

    usage = None

    def __init__(self) -> None:
        self.held: list[str] = []
        self.ending = False
        self.closed: list[bool] = []

    def call(self, prompt: Prompt) -> Call:
        return Call("", {})

    def framing(self, limit: int) -> Framing:
        return NDJSON(limit)

    def events(self, chunk: Chunk) -> Iterable[Event]:
        word = chunk.data.decode()
        if word == "!":
            raise UpstreamError("what is that?")
        if word == ",":
            self.ending = True
            return
        yield from self._released()
        if word == ".":
            yield Finished()
        else:
            self.held.append(word)

    def close(self, *, clean: bool) -> Iterable[Event]:
        self.closed.append(clean)
        yield from self._released()
        if self.ending or clean:
            yield Finished()

    def _released(self) -> Iterable[Event]:
        held, self.held = self.held, []
        return [Delta(text=word) for word in held]


async def chunks(*words: str, fails: Exception | None = None) -> AsyncIterator[Chunk]:
    for word in words:
        yield Chunk(word.encode())
    if fails is not None:
        raise fails


def openai() -> Dialect:
    return dialects.find("openai-chat")({})


@given(st.lists(st.integers(0, len(REPLY)), max_size=40))
async def test_bytes_cut_anywhere_give_the_same_events(places: list[int]) -> None:
    edges = [0, *sorted(places), len(REPLY)]
    reads = [REPLY[a:b] for a, b in pairwise(edges)]
    p = Pipeline(Recorded(reads, wait=None)).frames(SSE()).timeout(60).events(openai())
    *deltas, last = await p.collect()
    assert isinstance(last, Finished)
    assert "".join(event.text for event in deltas if isinstance(event, Delta)) == "".join(TEXTS)


async def test_chunks_that_came_in_one_read_are_made_one_by_one() -> None:
    source = Recorded([b'{"a":1}{"a":2}{"a":', b"3}"])
    async with Pipeline(source).frames(ConcatenatedJSON()) as p:
        assert (await anext(p)).data == b'{"a":1}'
        assert (await anext(p)).data == b'{"a":2}'
        assert source.read == 1
        assert [chunk.data async for chunk in p] == [b'{"a":3}']


async def test_chunks_before_a_fault_in_the_same_read_are_not_lost() -> None:
    came: list[Chunk] = []
    source = Recorded([b'{"a":1}{"a":2}]'])
    with pytest.raises(FramingError):
        await read_into(came, Pipeline(source).frames(ConcatenatedJSON()))
    assert [chunk.data for chunk in came] == [b'{"a":1}', b'{"a":2}']
    assert source.closed == 1


async def test_what_is_left_at_the_end_is_flushed() -> None:
    found = await Pipeline(Recorded([b"1\n2"])).frames(NDJSON()).collect()
    assert [chunk.data for chunk in found] == [b"1", b"2"]


async def test_nothing_is_read_after_the_terminal_event() -> None:
    """A server that keeps its connection open after ``[DONE]`` holds nobody up."""
    source = Recorded([REPLY, b"data: {}\n\n"], hangs=True)
    found = await Pipeline(source).frames(SSE()).events(openai()).collect()
    assert isinstance(found[-1], Finished)
    assert (source.read, source.closed) == (1, 1)


async def test_the_source_is_closed_before_the_last_words_of_the_dialect() -> None:
    source = Recorded([b"a\n", b",\n"])
    dialect = Words()
    async with Pipeline(source).frames(NDJSON()).events(dialect) as p:
        assert await anext(p) == Delta(text="a")
        assert source.closed == 1


async def test_a_reply_that_just_ends_was_cut_off() -> None:
    came: list[Event] = []
    dialect = Words()
    with pytest.raises(UpstreamError) as error:
        await read_into(came, Pipeline(chunks("a", "b")).events(dialect))
    assert error.value.code == "upstream_truncated"
    assert came == [Delta(text="a"), Delta(text="b")]
    assert dialect.closed == [False]


async def test_an_error_that_cuts_a_reply_off_comes_after_what_was_held_back() -> None:
    came: list[Event] = []
    lost = UpstreamError("the connection broke", code="upstream_reset")
    with pytest.raises(UpstreamError) as error:
        await read_into(came, Pipeline(chunks("a", "b", fails=lost)).events(Words()))
    assert error.value is lost
    assert came == [Delta(text="a"), Delta(text="b")]


@pytest.mark.parametrize("fails", [None, UpstreamError("reset"), FramingError("cut")])
async def test_a_reply_that_the_provider_called_complete_is_whole_however_it_ends(
    fails: Exception | None,
) -> None:
    found = await Pipeline(chunks("a", ",", fails=fails)).events(Words()).collect()
    assert found == [Delta(text="a"), Finished()]


async def test_a_fault_in_the_framing_is_an_end_like_others() -> None:
    """It is found while a lot is run through, not while the next one is waited for."""
    body = REPLY.replace(b"data: [DONE]\n\n", b"") + b"data: " + b"x" * 500 + b"\n\n"
    found = await Pipeline(Recorded([body])).frames(SSE(400)).events(openai()).collect()
    assert isinstance(found[-1], Finished)


async def test_what_the_dialect_cannot_understand_ends_the_reply() -> None:
    """Also after the provider called the text complete: an error beats a finish."""
    came: list[Event] = []
    with pytest.raises(UpstreamError, match="what is that"):
        await read_into(came, Pipeline(chunks("a", ",", "!")).events(Words()))
    assert not any(isinstance(event, TERMINALS) for event in came)


async def test_other_errors_are_not_taken_for_an_end() -> None:
    with pytest.raises(KeyError):
        await Pipeline(chunks("a", ",", fails=KeyError())).events(Words()).collect()


@pytest.mark.parametrize("delimited", [True, False])
async def test_the_source_says_whether_its_end_is_clean(delimited: bool) -> None:
    dialect, source = Words(), Recorded([b"a\n"])
    source.delimited = delimited
    p = Pipeline(source).frames(NDJSON()).timeout(60).events(dialect)
    if delimited:
        assert (await p.collect())[-1] == Finished()
    else:
        with pytest.raises(UpstreamError):
            await p.collect()
    assert dialect.closed == [delimited]


async def test_the_caller_may_say_whether_the_end_is_clean() -> None:
    dialect = Words()
    assert await Pipeline(chunks("a")).events(dialect, clean=lambda: True).text() == "a"
    assert dialect.closed == [True]


async def test_an_end_by_an_error_is_never_clean() -> None:
    dialect = Words()
    with pytest.raises(UpstreamError):
        await (
            Pipeline(chunks("a", fails=UpstreamError("reset")))
            .events(dialect, clean=lambda: True)
            .collect()
        )
    assert dialect.closed == [False]
