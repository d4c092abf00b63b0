"""Where one upstream gives no answer another does, and followers see which."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import orjson
import pytest

from hub.dialects.ollama import Ollama
from hub.domain.errors import UpstreamError
from hub.domain.events import Delta, Event, Failed, Finished, Other, Started, to_json
from hub.domain.generation import Generation
from hub.domain.prompt import Prompt
from hub.domain.records import Position
from hub.generations.relay import relay
from hub.streams.stream import Stream
from hub.upstreams.fallback import is_no_answer
from tests.conftest import StartHub
from tests.support.fake_upstream import END, FOREVER, FakeUpstream, refused, said
from tests.support.http_requests import nobody
from tests.support.recording_sources import cancelled_at_every_wait
from tests.support.scripted_upstream import Answer, Scripted, openai_sse, refusal

PROMPT = Prompt(({"role": "user", "content": "Hi"},))


class RelayHarness:
    """A generation that has begun with the first of some upstreams."""

    def __init__(self, first: FakeUpstream, *others: FakeUpstream, prompt: Prompt = PROMPT) -> None:
        first.fallback = others
        self.first = first
        self.prompt = prompt
        self.stream = Stream("s")
        self.generation = Generation("s", first.name, prompt.model or first.model)
        self.started = self.generation.apply(Started())

    async def relay(self) -> Event:
        """The terminal event, as it goes into the stream."""
        end = await relay(self.first, self.prompt, self.generation, self.stream)
        return self.generation.apply(end)

    async def told(self) -> list[Event]:
        return [event async for event in self.stream.events()]

    async def text(self) -> str:
        return "".join(event.text for event in await self.told() if isinstance(event, Delta))

    async def retried(self) -> list[Any]:
        return [event.object for event in await self.told() if isinstance(event, Other)]


def answering(name: str = "other", **options: Any) -> FakeUpstream:
    return FakeUpstream([said("Hi"), END], name=name, **options)


NO_ANSWER = {
    "refused": refused(code="upstream_refused", retryable=True),
    "no connection in time": refused(code="upstream_timeout", retryable=True),
    "no such name": refused(code="upstream_dns", retryable=True),
    "429 with a long wait": refused(code="upstream_rate_limited", retry_after=3600.0),
    "429, quota used up": refused(code="upstream_rate_limited", retryable=False),
    "500": refused(code="upstream_error"),
    "503": refused(code="upstream_overloaded"),
    "head of the answer never came": refused(code="upstream_stalled", retryable=False),
}


@pytest.mark.parametrize("error", NO_ANSWER.values(), ids=NO_ANSWER.keys())
async def test_the_other_answers_where_the_first_does_not(error: UpstreamError) -> None:
    harness = RelayHarness(FakeUpstream([error], name="first", retries=0), answering())
    end = await harness.relay()
    assert isinstance(end, Finished)
    assert to_json(end)["upstream"] == "other"
    assert harness.generation.to_json()["upstream"] == "other"
    assert await harness.text() == "Hi"
    (told,) = await harness.retried()
    assert told == {
        "type": "retrying",
        "generation": harness.generation.id,
        "attempt": 1,
        "after": 0.0,
        "code": error.code,
        "message": error.message,
        "upstream": "other",
    }


@pytest.mark.parametrize(
    "code",
    [
        "upstream_rejected",
        "upstream_unauthorized",
        "upstream_model_not_found",
        "upstream_tls",
        "upstream_html",
        "upstream_malformed",
        "upstream_unsupported",
        "chunk_too_large",
    ],
)
async def test_what_somebody_must_mend_is_not_hidden(code: str) -> None:
    other = answering()
    harness = RelayHarness(FakeUpstream([refused(code=code, retryable=False)]), other)
    with pytest.raises(UpstreamError) as caught:
        await harness.relay()
    assert caught.value.code == code
    assert other.prompts == []
    assert await harness.told() == []


async def test_all_retries_come_first() -> None:
    first = FakeUpstream([refused()], name="first", retries=2)
    harness = RelayHarness(first, answering())
    await harness.relay()
    assert len(first.prompts) == 3
    assert ["upstream" in told for told in await harness.retried()] == [False, False, True]


async def test_silence_before_the_first_chunk_is_no_answer() -> None:
    first = FakeUpstream([FOREVER], name="first", stall_timeout=0.05)
    harness = RelayHarness(first, answering())
    assert isinstance(await harness.relay(), Finished)
    assert first.open_now == 0


async def test_an_empty_body_is_no_answer() -> None:
    harness = RelayHarness(FakeUpstream([], name="first", retries=0), answering())
    assert isinstance(await harness.relay(), Finished)


@pytest.mark.parametrize("steps", [[said("Hel")], [said("Hel"), FOREVER], [b'{"other":1}\n']])
async def test_never_after_a_chunk(steps: list[Any]) -> None:
    other = answering()
    harness = RelayHarness(FakeUpstream(steps, name="first", retries=3, stall_timeout=0.05), other)
    with pytest.raises(UpstreamError):
        await harness.relay()
    assert other.prompts == []
    assert await harness.retried() == []


async def test_each_in_turn_and_the_last_error_counts() -> None:
    second = FakeUpstream([refused(code="upstream_reset")], name="second", retries=0)
    third = FakeUpstream([refused(code="upstream_unauthorized", retryable=False)], name="third")
    harness = RelayHarness(
        FakeUpstream([refused()], name="first", retries=0), second, third, answering()
    )
    with pytest.raises(UpstreamError) as caught:
        await harness.relay()
    assert caught.value.code == "upstream_unauthorized"
    assert [told["upstream"] for told in await harness.retried()] == ["second", "third"]
    failed = harness.generation.apply(Failed(code=caught.value.code))
    assert to_json(failed)["upstream"] == "third"


async def test_the_others_own_fallback_is_not_used_so_that_circles_end() -> None:
    first = FakeUpstream([refused(code="upstream_refused")], name="first", retries=0)
    second = FakeUpstream([refused(code="upstream_reset")], name="second", retries=0)
    second.fallback = (first,)
    with pytest.raises(UpstreamError) as caught:
        await RelayHarness(first, second).relay()
    assert caught.value.code == "upstream_reset"
    assert (len(first.prompts), len(second.prompts)) == (1, 1)


@pytest.mark.parametrize(("own", "asked"), [("claude", "claude"), (None, "gpt")])
async def test_the_other_is_asked_for_its_own_model(own: str | None, asked: str) -> None:
    other = answering(model=own)
    prompt = Prompt(PROMPT.messages, "gpt")
    harness = RelayHarness(FakeUpstream([refused()], retries=0), other, prompt=prompt)
    end = to_json(await harness.relay())
    assert other.prompts[0].model == asked
    assert end["model"] == harness.generation.model == asked


async def test_one_that_cannot_take_the_prompt_is_passed_over() -> None:
    unable = FakeUpstream([END], name="unable", dialect=Ollama)
    prompt = Prompt(PROMPT.messages, None, {"n": 2})
    harness = RelayHarness(FakeUpstream([refused()], retries=0), unable, answering(), prompt=prompt)
    assert to_json(await harness.relay())["upstream"] == "other"
    assert unable.prompts == []


async def test_a_cancel_ends_it_whoever_is_asked() -> None:
    fake_upstreams: list[FakeUpstream] = []

    def run() -> Coroutine[Any, Any, Event]:
        first = FakeUpstream([refused()], name="first", retries=1)
        fake_upstreams[:] = [first, FakeUpstream([said("H"), FOREVER], name="other")]
        return RelayHarness(*fake_upstreams).relay()

    def check() -> None:
        assert [fake_upstream.open_now for fake_upstream in fake_upstreams] == [0, 0]

    assert await cancelled_at_every_wait(run, check, most=20) == 20
    assert fake_upstreams[1].prompts != []


async def test_who_started_it_is_told_where_nobody_else_answered() -> None:
    harness = RelayHarness(answering(name="first"), answering())
    end = to_json(await harness.relay())
    assert "upstream" not in end
    assert to_json(harness.started)["upstream"] == "first"


async def test_a_generation_of_an_earlier_process_knows_who_answered() -> None:
    harness = RelayHarness(FakeUpstream([refused()], name="first", retries=0), answering(model="m"))
    events = [harness.started, await harness.relay()]
    told = Generation.told("g", "s", Position(1, 0), events)
    assert (told.upstream, told.model) == ("other", "m")


def test_a_429_counts_and_a_400_does_not() -> None:
    assert is_no_answer(UpstreamError("x", code="upstream_rate_limited"))
    assert not is_no_answer(UpstreamError("x", code="upstream_rejected"))


async def test_in_a_running_hub(start_hub: StartHub) -> None:
    """One started, the fallback in sight, one end, over real sockets."""
    with nobody() as gone:
        await _falls_back(start_hub, gone)


async def _falls_back(start_hub: StartHub, gone: str) -> None:
    async with Scripted() as server:
        server.answers(refusal(503, "busy"), under="/busy")
        server.answers(Answer(*openai_sse("Hel", "lo")), under="/good")
        running = await start_hub(
            upstreams={
                "busy": {
                    "dialect": "openai-chat",
                    "url": f"{server.url}/busy",
                    "retries": 0,
                    "fallback": ["gone", "good"],
                },
                "gone": {
                    "dialect": "openai-chat",
                    "url": gone,
                    "retries": 0,
                },
                "good": {"dialect": "openai-chat", "url": f"{server.url}/good", "model": "m"},
            },
            default_upstream="busy",
        )
        asked = {"prompt": "Hi"}
        async with running.client.post("/v1/generations", json=asked) as response:
            made = await response.json()
        async with running.client.get(f"/v1/live/{made['stream']}?format=ndjson") as response:
            text = await response.text()
    events = [orjson.loads(line) for line in text.splitlines() if line]
    told = [event for event in events if event["type"] in KINDS]
    kinds = [event["type"] for event in told]
    assert kinds == ["started", "retrying", "retrying", "delta", "delta", "finished"]
    assert [event.get("upstream") for event in told] == ["busy", "gone", "good", None, None, "good"]
    async with running.client.get(f"/v1/generations/{made['id']}") as response:
        shown = await response.json()
    assert (shown["upstream"], shown["model"], shown["state"]) == ("good", "m", "finished")


KINDS = ("started", "retrying", "delta", "finished", "failed")
