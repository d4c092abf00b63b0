"""One attempt after another until a chunk has come; then one reply, whole or an error."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from functools import partial

import pytest

from hub.dialects.openai_chat import OpenAIChat
from hub.domain.errors import UpstreamError
from hub.domain.events import Delta, Event, Failed, Finished, Other, Started, Usage
from hub.domain.generation import Generation, State
from hub.domain.prompt import Prompt
from hub.generations.relay import relay
from hub.stores.memory import MemoryStore
from hub.streams.stream import Stream
from hub.upstreams.http_client import Dialer
from hub.upstreams.upstream import Upstream
from tests.support.clock import Clock
from tests.support.fake_upstream import END, FOREVER, FakeUpstream, Step, ended, refused, said
from tests.support.scripted_upstream import Answer, Scripted
from tests.support.upstream_answers import Gate, openai_sse

PROMPT = Prompt(({"role": "user", "content": "Hi"},))


class RelayHarness:
    """A generation that has begun, and the stream it writes to."""

    def __init__(self, fake_upstream: FakeUpstream) -> None:
        self.puppet = fake_upstream
        self.stream = Stream("s")
        self.generation = Generation("s", fake_upstream.name, None)
        self.generation.apply(Started())

    async def relay(self) -> Event:
        return await relay(self.puppet, PROMPT, self.generation, self.stream)

    async def told(self) -> list[Event]:
        return [event async for event in self.stream.events()]

    async def text(self) -> str:
        return "".join(event.text for event in await self.told() if isinstance(event, Delta))


async def test_deltas_are_appended_and_the_terminal_event_is_given_back() -> None:
    harness = RelayHarness(
        FakeUpstream([said("Hel"), said("lo"), ended(prompt_tokens=1, completion_tokens=2)])
    )
    end = await harness.relay()
    assert end == Finished(reason="stop", usage=Usage(1, 2))
    name = harness.generation.id
    assert await harness.told() == [Delta(name, text="Hel"), Delta(name, text="lo")]
    assert harness.generation.usage == Usage(1, 2)
    assert harness.puppet.open_now == 0
    assert harness.puppet.prompts == [PROMPT]


async def test_an_error_that_the_provider_tells_is_an_end_too() -> None:
    harness = RelayHarness(
        FakeUpstream([said("Hel"), b'{"error":"the model fell over"}\n', said("lo")])
    )
    end = await harness.relay()
    assert isinstance(end, Failed)
    assert "fell over" in end.message
    assert await harness.text() == "Hel"


@pytest.mark.parametrize("delimited", [True, False])
@pytest.mark.parametrize("steps", [[], [said("Hel")], [said("Hel"), b'{"te']])
async def test_a_body_that_stops_without_the_providers_word_is_cut_off(
    steps: list[bytes], delimited: bool
) -> None:
    harness = RelayHarness(FakeUpstream([*steps], delimited=delimited, retries=0))
    with pytest.raises(UpstreamError) as cut:
        await harness.relay()
    assert cut.value.code == "upstream_truncated"
    assert harness.puppet.open_now == 0


async def test_silence_between_chunks_is_a_stall() -> None:
    harness = RelayHarness(FakeUpstream([said("Hel"), FOREVER], stall_timeout=0.05))
    with pytest.raises(UpstreamError) as stalled:
        await harness.relay()
    assert stalled.value.code == "upstream_stalled"
    assert "0.05 s" in stalled.value.message
    assert harness.puppet.open_now == 0


async def test_bytes_that_make_no_chunk_are_no_content() -> None:
    pause, more = 0.02, b"x"
    trickle = [b'{"text":"', *(step for _ in range(30) for step in (pause, more))]
    harness = RelayHarness(FakeUpstream([*trickle, b'"}\n', END], content_timeout=0.2))
    with pytest.raises(UpstreamError) as stalled:
        await harness.relay()
    assert stalled.value.code == "upstream_stalled"


async def test_a_slow_but_steady_upstream_is_not_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it takes longer than a silence may."""
    clock = Clock(monkeypatch)
    steps = [step for _ in range(5) for step in (partial(clock.leap, 25), said("x"))]
    harness = RelayHarness(FakeUpstream([*steps, END], stall_timeout=60.0))
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "x" * 5


async def test_after_the_last_word_only_a_moment_is_waited_for_what_may_follow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.generations.relay.TRAILERS", 0.05)
    blocks = openai_sse("Hi", done=False)
    harness = RelayHarness(FakeUpstream([*blocks, FOREVER], dialect=OpenAIChat, stall_timeout=60.0))
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "Hi"


# The end of a reply


COMPLETE = openai_sse("Hi", done=False)
"""A reply that the provider called complete, without the ``[DONE]`` after it."""

LOST = UpstreamError("the connection broke", code="upstream_reset")
TOO_LONG = b"data: " + b"x" * 500 + b"\n\n"


@pytest.mark.parametrize("after", [[], [LOST], [TOO_LONG], [TOO_LONG, FOREVER]])
async def test_a_reply_that_the_provider_called_complete_is_whole_however_it_ends(
    after: list[Step],
) -> None:
    fake_upstream = FakeUpstream(
        [*COMPLETE, *after], dialect=OpenAIChat, chunk_limit=400, retries=0
    )
    harness = RelayHarness(fake_upstream)
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "Hi"


@pytest.mark.parametrize(
    ("last", "code"),
    [(LOST, "upstream_reset"), (TOO_LONG, "chunk_too_large")],
)
async def test_what_cuts_a_reply_off_comes_after_what_was_held_back(last: Step, code: str) -> None:
    half = b'data: {"choices":[{"delta":{"content":"x\\ud83d"}}]}\n\n'
    harness = RelayHarness(FakeUpstream([half, last], dialect=OpenAIChat, chunk_limit=400))
    with pytest.raises(UpstreamError) as cut:
        await harness.relay()
    assert cut.value.code == code
    assert await harness.text() == "x\N{REPLACEMENT CHARACTER}"


async def test_a_frame_that_is_broken_behind_the_finish_changes_nothing() -> None:
    harness = RelayHarness(FakeUpstream([*COMPLETE, b"data: {]\n\n"], dialect=OpenAIChat))
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "Hi"


async def test_chunks_before_a_fault_in_the_same_read_are_not_lost() -> None:
    text = b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
    harness = RelayHarness(FakeUpstream([text + TOO_LONG], dialect=OpenAIChat, chunk_limit=400))
    with pytest.raises(UpstreamError):
        await harness.relay()
    assert await harness.text() == "Hi"
    assert len(harness.puppet.prompts) == 1  # and so they are the beginning of a reply


async def test_what_is_left_at_the_end_of_the_body_is_read() -> None:
    harness = RelayHarness(FakeUpstream([said("Hel"), said("lo"), END.rstrip()]))
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "Hello"


async def test_nothing_is_appended_after_the_terminal_event() -> None:
    harness = RelayHarness(FakeUpstream([said("Hi") + END + said("more"), FOREVER]))
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "Hi"


# A store that is full


class Crowded(MemoryStore):
    """A store that is full until it is told to have space."""

    full = True

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0
        self._relief = asyncio.Event()

    async def space(self) -> None:
        self.waits += 1
        await self._relief.wait()

    def relieve(self) -> None:
        self.full = False
        self._relief.set()


async def test_while_the_store_is_full_nothing_is_read_and_nobody_is_called_silent() -> None:
    fake_upstream = FakeUpstream([said("Hel"), said("lo"), END], stall_timeout=0.05)
    harness, store = RelayHarness(fake_upstream), Crowded()
    harness.stream = Stream("s", store=store)
    task = asyncio.create_task(harness.relay())
    await asyncio.sleep(0.15)
    assert not task.done()
    assert (await harness.text(), store.waits) == ("Hel", 1)
    store.relieve()
    assert isinstance(await task, Finished)
    assert await harness.text() == "Hello"


# Trying again


async def test_before_the_first_chunk_a_failure_is_tried_again_and_told() -> None:
    harness = RelayHarness(
        FakeUpstream([refused()], [refused(code="upstream_reset")], [said("Hi"), END], retries=2)
    )
    assert isinstance(await harness.relay(), Finished)
    first, second, delta = await harness.told()
    assert first == Other(
        {
            "type": "retrying",
            "generation": harness.generation.id,
            "attempt": 1,
            "after": 0.0,
            "code": "upstream_overloaded",
            "message": "no",
        }
    )
    assert isinstance(second, Other)
    assert (second.object["attempt"], second.object["code"]) == (2, "upstream_reset")
    assert isinstance(delta, Delta)
    assert len(harness.puppet.prompts) == 3


async def test_no_more_often_than_configured() -> None:
    harness = RelayHarness(FakeUpstream([refused()], retries=3))
    with pytest.raises(UpstreamError, match="no"):
        await harness.relay()
    assert len(harness.puppet.prompts) == 4
    assert harness.generation.state is State.WAITING


async def test_what_trying_again_cannot_help_is_tried_once() -> None:
    harness = RelayHarness(FakeUpstream([refused(retryable=False)], [said("Hi"), END]))
    with pytest.raises(UpstreamError):
        await harness.relay()
    assert len(harness.puppet.prompts) == 1


async def test_after_the_first_chunk_nothing_is_tried_again() -> None:
    """Or else a reader would see two beginnings."""
    harness = RelayHarness(FakeUpstream([said("Hel"), refused()], [said("Hi"), END]))
    with pytest.raises(UpstreamError):
        await harness.relay()
    assert len(harness.puppet.prompts) == 1
    assert await harness.text() == "Hel"


async def test_a_chunk_without_any_content_is_no_beginning() -> None:
    greeting: list[Step] = [openai_sse()[0], refused()]
    harness = RelayHarness(FakeUpstream(greeting, [*openai_sse("Hi")], dialect=OpenAIChat))
    assert isinstance(await harness.relay(), Finished)
    assert await harness.text() == "Hi"
    assert len(harness.puppet.prompts) == 2


async def test_the_wait_that_the_upstream_asks_for_is_kept() -> None:
    harness = RelayHarness(FakeUpstream([refused(retry_after=0.2)], [said("Hi"), END]))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await harness.relay()
    assert loop.time() - began >= 0.2


async def test_a_wait_longer_than_allowed_is_not_begun() -> None:
    harness = RelayHarness(
        FakeUpstream([refused(retry_after=31.0)], [said("Hi"), END], max_retry_wait=30.0)
    )
    with pytest.raises(UpstreamError):
        await harness.relay()
    assert await harness.told() == []


async def test_without_its_word_the_waits_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: low / 100)
    harness = RelayHarness(FakeUpstream([refused(retry_after=None)], retries=4))
    with pytest.raises(UpstreamError):
        await harness.relay()
    waits = [event.object["after"] for event in await harness.told() if isinstance(event, Other)]
    assert waits == [0.005, 0.01, 0.02, 0.04]


# The end of the relay itself


async def test_cancelled_it_closes_the_upstream_at_once_and_keeps_the_usage() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    harness = RelayHarness(
        FakeUpstream([*openai_sse("Hi")[:2], usage, FOREVER], dialect=OpenAIChat)
    )
    task = asyncio.create_task(harness.relay())
    for _ in range(20):
        await asyncio.sleep(0)
    assert await harness.text() == "Hi"
    assert harness.puppet.open_now == 1
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert harness.puppet.open_now == 0
    assert harness.generation.usage == Usage(3, 1)


async def test_the_end_of_a_body_that_comes_after_the_last_word_saves_the_next_connection() -> None:
    gates = [Gate(), Gate()]
    dialer = Dialer()
    async with Scripted() as server, AsyncExitStack() as leaving:
        leaving.push_async_callback(dialer.close)
        server.answers(*(Answer(*openai_sse("Hi"), gate) for gate in gates))
        upstream = Upstream("local", OpenAIChat, dialer, url=server.url)
        for number, gate in enumerate(gates):
            generation = Generation("s", upstream.name, None)
            generation.apply(Started())
            assert isinstance(await relay(upstream, PROMPT, generation, Stream("s")), Finished)
            gate.open()
            await server.requests[number].answered()
        assert server.connections == 1


async def test_what_goes_wrong_inside_closes_the_upstream_too() -> None:
    harness = RelayHarness(FakeUpstream([said("Hi"), ZeroDivisionError("a defect"), END]))
    with pytest.raises(ZeroDivisionError):
        await harness.relay()
    assert harness.puppet.open_now == 0
    assert await harness.text() == "Hi"


async def test_a_stream_that_was_closed_meanwhile_ends_it() -> None:
    harness = RelayHarness(FakeUpstream([said("Hi"), said("there"), END]))
    harness.stream.close()
    with pytest.raises(Exception, match="closed"):
        await harness.relay()
    assert harness.puppet.open_now == 0
