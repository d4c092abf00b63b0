"""A refused field that changes no answer is left out, or sent under its other name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hub.dialects.demo.reader import Demo
from hub.dialects.openai_chat import OpenAIChat
from hub.domain.errors import UpstreamError
from hub.domain.events import Event, Finished, Other, Started
from hub.domain.generation import Generation
from hub.domain.prompt import Prompt
from hub.generations.relay import relay
from hub.streams.stream import Stream
from hub.upstreams.field_negotiation import MODELS, FieldNegotiation, LearnedFields
from hub.upstreams.http_client import Dialer
from hub.upstreams.http_errors import explain
from hub.upstreams.upstream import Upstream
from tests.support.scripted_upstream import Answer, Scripted, openai_sse, refusal
from tests.support.upstream_answers import Ending, openai_block

REASONING = (
    "Unsupported parameter: 'max_tokens' is not supported with this model."
    " Use 'max_completion_tokens' instead."
)
NO_USAGE = "Unrecognized request argument supplied: stream_options"
NO_LIMIT = "property 'max_completion_tokens' is unsupported, did you mean 'max_tokens'?"
BOTH = {"max_tokens": 5, "stream_options": {"include_usage": True}}

# What servers say of a field that they do not take, in their own shapes.
REFUSALS: list[tuple[int, Any, str]] = [
    (400, {"error": {"message": NO_USAGE, "type": "invalid_request_error"}}, "stream_options"),
    (400, {"error": {"message": "Unknown parameter: stream_options"}}, "stream_options"),
    (
        400,
        {"error": {"message": "'stream_options' is only allowed when 'stream' is enabled."}},
        "stream_options",
    ),
    (
        400,
        {"object": "error", "message": "Stream options can only be defined when `stream=True`"},
        "stream_options",
    ),
    (
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "stream_options"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
        "stream_options",
    ),
    (
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {
                        "type": "extra_forbidden",
                        "loc": ["body", "stream_options"],
                        "msg": "Extra inputs are not permitted",
                    }
                ]
            },
            "type": "invalid_request_error",
        },
        "stream_options",
    ),
    (
        400,
        [{"error": {"code": 400, "message": 'Unknown name "stream_options": Cannot find field.'}}],
        "stream_options",
    ),
    (400, {"error": {"message": 'json: unknown field "stream_options"'}}, "stream_options"),
    (
        400,
        {
            "error": {
                "message": REASONING,
                "type": "invalid_request_error",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            }
        },
        "max_tokens",
    ),
]


def told(status: int, said: Any) -> UpstreamError:
    return explain(status, "Bad Request", {}, json.dumps(said).encode())


def sent(fields: FieldNegotiation, **body: Any) -> dict[str, Any]:
    return dict(fields.body(body))


@pytest.mark.parametrize(("status", "said", "field"), REFUSALS)
def test_a_refused_field_is_left_out_or_said_by_its_other_name(
    status: int, said: Any, field: str
) -> None:
    fields = LearnedFields().negotiation("m")
    assert sent(fields, **BOTH) == BOTH
    assert fields.try_alternative(OpenAIChat(), told(status, said))
    if field == "stream_options":
        assert sent(fields, **BOTH) == {"max_tokens": 5}
    else:
        expected = {**BOTH, "max_completion_tokens": 5}
        del expected["max_tokens"]
        assert sent(fields, **BOTH) == expected


@pytest.mark.parametrize(
    "said",
    [
        "/max_completion_tokens: Extra inputs are not permitted",
        "Additional properties are not allowed ('max_completion_tokens' was unexpected)",
        "create() got an unexpected keyword argument 'max_completion_tokens'",
        NO_LIMIT,
    ],
)
def test_an_older_server_is_told_the_limit_by_its_old_name(said: str) -> None:
    fields = LearnedFields().negotiation("m")
    sent(fields, max_completion_tokens=5)
    assert fields.try_alternative(OpenAIChat(), told(400, {"error": {"message": said}}))
    assert sent(fields, max_completion_tokens=5) == {"max_tokens": 5}


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        "'max_tokens' or 'max_completion_tokens' is too large: 5000.",
        "`max_tokens` must be less than or equal to `8192`",
        "Unsupported value: 'temperature' does not support 0.5 with this model.",
        "Unrecognized request argument supplied: my_stream_options_too",
        "",
    ],
)
def test_a_wrong_value_or_another_field_is_refused_for_good(said: str) -> None:
    fields = LearnedFields().negotiation("m")
    sent(fields, **BOTH)
    assert not fields.try_alternative(OpenAIChat(), told(400, {"error": {"message": said}}))


def test_a_limit_that_was_said_both_ways_is_the_clients_own() -> None:
    fields = LearnedFields().negotiation("m")
    sent(fields, max_tokens=5, max_completion_tokens=6)
    said = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
    assert not fields.try_alternative(OpenAIChat(), told(400, {"error": {"message": said}}))


def test_what_was_not_sent_cannot_be_refused() -> None:
    fields = LearnedFields().negotiation("m")
    sent(fields, model="m")
    for _, said, _ in REFUSALS:
        assert not fields.try_alternative(OpenAIChat(), told(400, said))


@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_only_a_refusal_of_the_request_counts(status: int) -> None:
    fields = LearnedFields().negotiation("m")
    sent(fields, **BOTH)
    assert not fields.try_alternative(OpenAIChat(), told(status, REFUSALS[0][1]))


def test_a_dialect_without_the_power_yields_nothing() -> None:
    fields = LearnedFields().negotiation("m")
    sent(fields, **BOTH)
    assert not fields.try_alternative(Demo(), told(400, REFUSALS[0][1]))


def test_what_is_remembered_is_bounded() -> None:
    learned = LearnedFields()
    for number in range(MODELS + 1):
        learned.remember(str(number), {"stream_options": None})
    assert sent(learned.negotiation("0"), **BOTH) == BOTH
    assert (
        sent(learned.negotiation("1"), **BOTH)
        == sent(learned.negotiation(str(MODELS)), **BOTH)
        != BOTH
    )


# The whole way, over sockets


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted() as scripted:
        yield scripted


class Asking:
    """An upstream that is never asked again for other reasons, and what became of each reply."""

    def __init__(self, server: Scripted, dialer: Dialer) -> None:
        self.upstream = Upstream("u", OpenAIChat, dialer, url=server.url, model="m", retries=0)
        self._server = server

    async def ask(
        self, *answers: Answer, model: str | None = None, **options: Any
    ) -> tuple[list[Event], list[dict[str, Any]]]:
        """What followers see, and the bodies that the server was sent, messages left out."""
        before = len(self._server.requests)
        self._server.answers(*answers)
        stream, generation = Stream("s"), Generation("s", "u", None)
        generation.apply(Started())
        prompt = Prompt(({"role": "user", "content": "Hi"},), model, options)
        try:
            end: list[Event] = [await relay(self.upstream, prompt, generation, stream)]
        except UpstreamError as error:
            end = [Other({"type": "error", "message": error.message})]
        seen = [event async for event in stream.events()]
        bodies = [request.json for request in self._server.requests[before:]]
        for body in bodies:
            del body["messages"], body["stream"]
        return seen + end, bodies


@pytest.fixture
async def asking(server: Scripted) -> AsyncIterator[Asking]:
    dialer = Dialer()
    yield Asking(server, dialer)
    await dialer.close()


def whole() -> Answer:
    return Answer(*openai_sse("Hi"))


USAGE = {"stream_options": {"include_usage": True}}


async def test_it_is_asked_twice_at_first_and_once_ever_after(asking: Asking) -> None:
    seen, bodies = await asking.ask(refusal(400, NO_USAGE), whole())
    assert bodies == [{"model": "m", **USAGE}, {"model": "m"}]
    assert isinstance(seen[-1], Finished)
    retrying = seen[0]
    assert isinstance(retrying, Other)
    assert {**retrying.object, "generation": ""} == {
        "type": "retrying",
        "generation": "",
        "attempt": 1,
        "after": 0.0,
        "code": "upstream_rejected",
        "message": f'upstream "u" answered 400 Refused: {NO_USAGE}',
    }
    for _ in range(2):
        seen, bodies = await asking.ask(whole())
        assert bodies == [{"model": "m"}]
        assert not any(isinstance(event, Other) for event in seen)


async def test_another_model_behind_the_same_address_is_asked_as_ever(asking: Asking) -> None:
    await asking.ask(refusal(400, REASONING), whole(), max_tokens=5)
    _, bodies = await asking.ask(whole(), max_tokens=5)
    assert bodies == [{"model": "m", "max_completion_tokens": 5, **USAGE}]
    _, bodies = await asking.ask(whole(), model="other", max_tokens=5)
    assert bodies == [{"model": "other", "max_tokens": 5, **USAGE}]


async def test_each_field_may_be_refused_by_itself(asking: Asking) -> None:
    seen, bodies = await asking.ask(
        refusal(400, NO_USAGE), refusal(422, REASONING), whole(), max_tokens=5
    )
    assert isinstance(seen[-1], Finished)
    assert bodies[-1] == {"model": "m", "max_completion_tokens": 5}
    _, bodies = await asking.ask(whole(), max_tokens=6)
    assert bodies == [{"model": "m", "max_completion_tokens": 6}]


async def test_a_server_that_refuses_both_ways_is_asked_once_more_each_time(
    asking: Asking,
) -> None:
    for _ in range(2):
        seen, bodies = await asking.ask(
            refusal(400, REASONING), refusal(400, NO_LIMIT), max_tokens=5
        )
        assert [set(body) & {"max_tokens", "max_completion_tokens"} for body in bodies] == [
            {"max_tokens"},
            {"max_completion_tokens"},
        ]
        assert isinstance(seen[-1], Other)
        assert "did you mean" in seen[-1].object["message"]


async def test_a_server_that_changes_its_mind_is_learned_anew_each_time(asking: Asking) -> None:
    old, new = {"max_tokens": 5}, {"max_completion_tokens": 5}
    for words, taken in [(REASONING, new), (NO_LIMIT, old), (REASONING, new), (NO_LIMIT, old)]:
        seen, bodies = await asking.ask(refusal(400, words), whole(), max_tokens=5)
        assert isinstance(seen[-1], Finished)
        assert len(bodies) == 2
        _, (body,) = await asking.ask(whole(), max_tokens=5)
        assert body == {"model": "m", **taken, **USAGE}


async def test_a_bad_request_changes_nothing_for_others(asking: Asking) -> None:
    said = "Unrecognized request arguments supplied: foo, stream_options"
    await asking.ask(refusal(400, said), refusal(400, "Unrecognized: foo"), foo=1)
    _, bodies = await asking.ask(whole())
    assert bodies == [{"model": "m", **USAGE}]


async def test_a_refusal_of_something_else_is_final(asking: Asking) -> None:
    seen, bodies = await asking.ask(refusal(400, "Unknown parameter: seed"), seed=7)
    assert len(bodies) == 1
    assert len(seen) == 1


@pytest.mark.parametrize("first", [True, False])
async def test_it_is_no_attempt_that_counts(asking: Asking, first: bool) -> None:
    asking.upstream.retries = 1
    answers = [refusal(400, NO_USAGE), refusal(503, "busy", retry_after=0)]
    seen, bodies = await asking.ask(*answers[:: 1 if first else -1], whole())
    assert isinstance(seen[-1], Finished)
    assert [set(body) & {"stream_options"} for body in bodies[1:]] == (
        [set(), set()] if first else [{"stream_options"}, set()]
    )


async def test_what_was_taken_is_remembered_though_the_reply_breaks_off(asking: Asking) -> None:
    cut = Answer(openai_block({"content": "Hel"}), Ending.CLOSE)
    seen, _ = await asking.ask(refusal(400, NO_USAGE), cut)
    assert not isinstance(seen[-1], Finished)
    _, bodies = await asking.ask(whole())
    assert bodies == [{"model": "m"}]
