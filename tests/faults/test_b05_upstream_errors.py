"""A client is told of a provider's refusal as the provider tells it, and asks no more often."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import pytest

from hub.domain.errors import RequestError, UpstreamError
from hub.domain.events import Failed, from_json, to_json
from hub.domain.failures import failed, raised
from hub.upstreams.http_errors import explain
from tests.clients.attempts import CLIENTS, Asked, Caught, caught
from tests.conftest import StartHub
from tests.support.openai_client import HELLO, completing
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, openai_block

MOST: Final = 12
"""Attempts of the most stubborn client: llama-index asks three times for an answer that it does not
stream, and each time the OpenAI client below it retries three times."""

NAMES: Final = [client.replace(" ", "-") for client in CLIENTS]

HEEDING: Final = {
    "openai-python": "InternalServerError",
    "openai-node": "InternalServerError",
    "pydantic-ai": "ModelServerError",
    "litellm": "BadGatewayError",
    "instructor": "InternalServerError",
}
"""Who heed `x-should-retry`, and what they make of a 502. The others judge by the status alone."""

STATUSES: Final = (400, 402, 404, 408, 409, 413, 422, 429, 500, 503, 529)
ERROR: Final = {
    "message": "This model's maximum context length is 8192 tokens.",
    "type": "invalid_request_error",
    "param": "messages",
    "code": "context_length_exceeded",
}
PLAIN: Final = {"message": "No.", "type": "no", "param": None, "code": None}
"""Nothing that a client reads a kind of error out of."""


def refused(
    status: int, error: Mapping[str, Any] = ERROR, *, retry_after: str | None = None
) -> Answer:
    return Answer(
        json.dumps({"error": error}).encode(),
        status=status,
        type="application/json",
        framing="length",
        headers={} if retry_after is None else {"Retry-After": retry_after},
    )


def table(url: str, **more: Any) -> dict[str, Any]:
    return {"dialect": "openai-chat", "url": url, "model": "m", "retries": 0, **more}


@pytest.mark.parametrize("client", CLIENTS)
async def test_through_a_hub_every_refusal_is_what_it_is_without_one(
    client: str, start_hub: StartHub
) -> None:
    """Class, status, code, param, type, message, and the number of attempts."""
    async with Scripted() as upstream:
        places = [f"{status}-{how}" for status in STATUSES for how in ("stream", "whole")]
        for place in places:
            for way in ("direct", "hub"):
                status = int(place[:3])
                upstream.answers(*[refused(status)] * MOST, under=f"/{way}/{place}")
        tables = {place: table(f"{upstream.url}/hub/{place}") for place in places}
        running = await start_hub(upstreams=tables)
        hub = str(running.client.make_url("/v1"))
        asks = [
            Asked(url, place, place.endswith("stream"))
            for place in places
            for url in (f"{upstream.url}/direct/{place}", hub)
        ]
        found = await caught(client, asks)
        attempts = Counter(
            "/".join(request.target.split("/")[1:3]) for request in upstream.requests
        )
    for place, direct, ours in zip(places, found[::2], found[1::2], strict=True):
        assert direct["status"] == int(place[:3]), place
        assert ours == direct, place
        assert attempts[f"hub/{place}"] == attempts[f"direct/{place}"], place


async def test_every_client_comes_back_when_it_is_told_to_and_not_where_that_is_in_vain(
    start_hub: StartHub,
) -> None:
    """All at once, because each waits for seconds."""
    async with Scripted() as upstream:
        tables: dict[str, Any] = {}
        for name in NAMES:
            for status in (429, 400):
                place = f"{status}-{name}"
                refusals = [refused(status, retry_after="1")] * (MOST if status == 429 else 1)
                upstream.answers(*refusals, under=f"/{place}/")
                tables[place] = table(f"{upstream.url}/{place}")
        running = await start_hub(upstreams=tables)
        hub = str(running.client.make_url("/v1"))
        places = [(f"429-{name}", f"400-{name}") for name in NAMES]
        asks = [[Asked(hub, place, True) for place in pair] for pair in places]
        found = await asyncio.gather(*map(caught, CLIENTS, asks))
        times = [
            [r.at for r in upstream.requests if r.target.startswith(f"/{limited}/")]
            for limited, _ in places
        ]
    for client, told, at in zip(CLIENTS, found, times, strict=True):
        assert [error["status"] for error in told] == [429, 400], client
        assert len(at) == (4 if client == "llama-index" else 3), client
        assert all(after - before >= 1 for before, after in pairwise(at)), client


@pytest.mark.parametrize("client", HEEDING)
async def test_what_the_hub_has_tried_again_is_not_tried_again_by_a_client(
    client: str, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the hub's own key is none of a client's business."""
    monkeypatch.setattr("hub.generations.relay.random.uniform", lambda low, high: 0.01)
    async with Scripted() as upstream:
        statuses = (401, 403, 429, 500)
        for status in statuses:
            upstream.answers(*[refused(status, PLAIN)] * MOST, under=f"/{status}")
        tables = {str(s): table(f"{upstream.url}/{s}", retries=2) for s in statuses}
        running = await start_hub(upstreams=tables)
        hub = str(running.client.make_url("/v1"))
        found = await caught(client, [Asked(hub, str(status), True) for status in statuses])
        attempts = Counter(request.target.split("/")[1] for request in upstream.requests)
    assert attempts == {"401": 1, "403": 1, "429": 3, "500": 3}
    ours: list[Caught] = found[:2]
    for told in ours:
        assert (told["kind"], told["status"]) == (HEEDING[client], 502)
        # litellm keeps the code of few errors.
        assert told["code"] == (None if client == "litellm" else "upstream_unauthorized")
    assert [told["status"] for told in found[2:]] == [429, 500]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/api/chat"])
async def test_when_to_come_back_is_passed_on(path: str, start_hub: StartHub) -> None:
    ui = [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
    bodies: dict[str, Any] = {
        "/v1/chat/completions": {"model": "scripted", "messages": HELLO},
        "/v1/responses": {"model": "scripted", "input": "Hi"},
        "/api/chat": {"id": "c", "messages": ui, "model": "scripted"},
    }

    def again(name: str) -> dict[str, str]:
        """A chat's question, asked twice, is one."""
        return {"id": name} if path == "/api/chat" else {}

    async with completing(start_hub) as world:
        world.upstream.answers(refused(429, retry_after="17"))
        answer = await world.running.client.post(path, json=bodies[path])
        assert (answer.status, answer.headers["Retry-After"]) == (429, "17")
        assert "x-should-retry" not in answer.headers
        world.upstream.answers(refused(413), refused(401))
        answer = await world.running.client.post(path, json={**bodies[path], **again("d")})
        assert answer.status == 413
        answer = await world.running.client.post(path, json={**bodies[path], **again("e")})
        assert (answer.status, answer.headers["x-should-retry"]) == (502, "false")


async def test_a_refusal_under_200_has_the_status_that_its_words_stand_for(
    start_hub: StartHub,
) -> None:
    said: dict[int, dict[str, Any]] = {
        400: {"message": "too long", "type": "invalid_request_error", "code": None, "param": "p"},
        429: {"message": "slow", "code": "rate_limit_exceeded"},
        503: {"message": "busy", "code": 503},
        404: {"message": "none", "type": "not_found_error"},
    }
    async with completing(start_hub) as world:
        for status, error in said.items():
            greeting = openai_block({"role": "assistant", "content": ""})
            block = f"data: {json.dumps({'error': error})}\n\n".encode()
            world.upstream.answers(Answer(greeting, block))
            answer = await world.running.client.post(
                "/v1/chat/completions",
                json={"model": "scripted", "messages": HELLO, "stream": True},
            )
            assert answer.status == status
            told = (await answer.json())["error"]
            assert told["message"] == error["message"]
            if "code" in error:
                assert told["code"] == error["code"], "also where it says that there is none"


@pytest.mark.parametrize(
    ("dialect", "body", "told"),
    [
        (
            "anthropic",
            {"type": "error", "error": {"type": "invalid_request_error", "message": "no"}},
            {"message": "no", "type": "invalid_request_error", "code": "upstream_rejected"},
        ),
        (
            "gemini",
            {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}},
            {"message": "no", "type": "INVALID_ARGUMENT", "code": 400},
        ),
        ("ollama", {"error": "no"}, {"message": "no", "type": "upstream_error"}),
        ("cohere", {"message": "no"}, {"message": "no", "type": "upstream_error"}),
    ],
)
async def test_of_every_provider(
    dialect: str, body: Any, told: dict[str, Any], start_hub: StartHub
) -> None:
    async with Scripted() as upstream:
        upstream.answers(
            Answer(json.dumps(body).encode(), status=400, type="application/json", framing="length")
        )
        made = table(upstream.url, dialect=dialect)
        running = await start_hub(upstreams={"scripted": made})
        answer = await running.client.post(
            "/v1/chat/completions", json={"model": "scripted", "messages": HELLO}
        )
        assert answer.status == 400
        assert (await answer.json())["error"].items() >= told.items()


async def test_a_key_that_a_provider_repeats_is_passed_on_to_nobody(start_hub: StartHub) -> None:
    secret = "a-very-secret-value"
    error = {"message": f"bad {secret}", "code": secret, "type": f"x {secret}", "param": secret}
    block = f"data: {json.dumps({'error': error})}\n\n".encode()
    async with Scripted() as upstream:
        made = table(upstream.url, headers={"X-Key": secret})
        upstream.answers(refused(400, error), Answer(block))
        running = await start_hub(upstreams={"scripted": made})
        for _ in range(2):
            answer = await running.client.post(
                "/v1/chat/completions", json={"model": "scripted", "messages": HELLO}
            )
            assert answer.status in (400, 502)
            assert secret not in await answer.text()


def test_the_event_holds_what_the_error_said() -> None:
    error = explain(429, "", {"Retry-After": "3"}, json.dumps({"error": ERROR}).encode())
    error.attempts = 3
    event = from_json(to_json(failed(error)))
    assert isinstance(event, Failed)
    again = raised(event)
    assert again.refusal == error.refusal
    assert (again.code, again.message, again.retry_after, again.attempts) == (
        error.code,
        error.message,
        3.0,
        3,
    )
    wrong = failed(RequestError("no", code="unsupported_option", param="seed"))
    assert raised(wrong).param == "seed"


@pytest.mark.parametrize("provider", [None, 1, [], {"status": "x"}, {"status": 1, "code": []}])
def test_an_event_that_somebody_else_wrote_is_read_all_the_same(provider: Any) -> None:
    error = raised(Failed(code="upstream_error", extra={"provider": provider, "attempts": "x"}))
    assert isinstance(error, UpstreamError)
    assert error.refusal is None or error.refusal.status is None
