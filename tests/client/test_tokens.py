"""A client with a credential, over HTTP: presented each time, renewed in time, shown to nobody."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from hub.client import Delta, Finished, Hub, Message, SyncHub
from hub.client.socket import Socket
from hub.client.tokens import Tokens
from hub.domain.errors import (
    Forbidden,
    HubError,
    RequestError,
    StreamNotFound,
    Unauthorized,
    Unavailable,
)
from tests.support.clock import Clock
from tests.support.issuer import Issued, hub_with_issuer, issue, stored_key
from tests.support.loopback_hub import Loopback, eventually
from tests.support.people import KEYS
from tests.support.scripted_upstream import Answer, Scripted, refusal

MODELS = Answer(b'{"data":[{"id":"demo"}]}', type="application/json")


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted() as started:
        yield started


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def running(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Loopback]:
    slow = {"slow": {"dialect": "demo", "options": {"pace": 20}}}
    async with hub_with_issuer(monkeypatch, upstreams=slow) as started:
        yield started


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that are over at once."""
    monkeypatch.setattr("hub.client.backoff.FIRST_WAIT", 0.001)


def at(running: Loopback) -> str:
    return f"http://127.0.0.1:{running.port}"


def presented(server: Scripted) -> list[str | None]:
    return [request.headers.get("authorization") for request in server.requests]


def numbered() -> Callable[[], str]:
    count = iter(range(100))
    return lambda: f"token-{next(count)}"


# What is sent


async def test_a_token_goes_with_each_request(server: Scripted) -> None:
    server.answers(MODELS, MODELS)
    async with Hub(server.url, token="secret") as hub:
        await hub.models()
        await hub.models()
    assert presented(server) == ["Bearer secret"] * 2


async def test_a_function_is_called_for_each_request(server: Scripted) -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return plain()

    plain = numbered()
    server.answers(MODELS, MODELS, MODELS)
    async with Hub(server.url, token=plain) as hub:
        await hub.models()
        await hub.models()
    async with Hub(server.url, token=later) as hub:
        await hub.models()
    assert presented(server) == [f"Bearer token-{number}" for number in range(3)]


async def test_without_a_token_none_is_sent(server: Scripted) -> None:
    server.answers(MODELS)
    async with Hub(server.url) as hub:
        await hub.models()
    assert presented(server) == [None]


async def test_a_refused_token_is_followed_by_the_next_one(server: Scripted) -> None:
    server.answers(refusal(401, "old"), MODELS)
    async with Hub(server.url, token=numbered()) as hub:
        assert await hub.models() == ["demo"]
    assert presented(server) == ["Bearer token-0", "Bearer token-1"]


@pytest.mark.parametrize(
    ("token", "requests"),
    [("same", 1), (lambda: "same", 1), (numbered(), 2)],
    ids=["token", "the same again", "another"],
)
async def test_a_refused_token_is_tried_once_more_at_most(
    server: Scripted, token: Any, requests: int
) -> None:
    server.answers(*[refusal(401, "not valid")] * requests)
    async with Hub(server.url, token=token) as hub:
        with pytest.raises(Unauthorized, match="not valid"):
            await hub.models()
    assert len(server.requests) == requests


async def test_a_body_is_sent_again_with_the_next_token(running: Loopback) -> None:
    given = [issue(-5)]
    async with Hub(at(running), token=lambda: given.pop() if given else issue()) as hub:
        await hub.append("chat/ann/1", Message("user", "héllo"))
    stream = await running.hub.streams.open("chat/ann/1")
    assert [event async for event in stream.events()] == [Message("user", "héllo", author="ann")]


def test_a_token_and_a_password_are_one_too_many() -> None:
    """Both would be the header Authorization."""
    for client in (Hub, SyncHub, Socket):
        with pytest.raises(RequestError, match="leave it out") as caught:
            client("http://ann:pass@127.0.0.1:7000", token="secret")
        assert "pass" not in str(caught.value)


async def test_no_other_origin_gets_the_token(server: Scripted) -> None:
    async with Scripted() as other:
        server.answers(Answer(status=307, headers={"Location": f"{other.url}/v1/models"}))
        async with Hub(server.url, token="secret") as hub:
            with pytest.raises(HubError) as caught:
                await hub.models()
        assert caught.value.code == "hub_malformed"
        assert not other.requests


# Functions that fail


async def test_the_error_of_a_function_is_the_cause(server: Scripted) -> None:
    def broken() -> str:
        raise LookupError("secret")

    async with Hub(server.url, token=broken) as hub:
        with pytest.raises(Unavailable) as caught:
            await hub.models()
    assert caught.value.code == "token_unavailable"
    assert str(caught.value) == "the function that returns the token failed: LookupError"
    assert isinstance(caught.value.__cause__, LookupError)
    assert not server.requests


async def test_a_function_may_say_itself_what_is_wrong(server: Scripted) -> None:
    def broken() -> str:
        raise Unauthorized("log in first")

    async with Hub(server.url, token=broken) as hub:
        with pytest.raises(Unauthorized, match="log in first"):
            await hub.models()


async def test_a_function_has_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.client.tokens.SECONDS", 0.01)

    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(Unavailable, match="TimeoutError"):
        await Tokens(never).get()


@pytest.mark.parametrize("token", ["", "se cret", "secret\n", "secret\r\nX-Own: 1", "sécret", 7])
async def test_what_cannot_be_a_token_is_never_sent(token: Any) -> None:
    for make in (lambda: Hub(token=token), lambda: SyncHub(token=token)):
        if isinstance(token, str):
            with pytest.raises(RequestError) as caught:
                make()
            assert caught.value.code == "bad_token"
            assert "cret" not in str(caught.value)
    with pytest.raises(RequestError) as caught:
        await Tokens(lambda: token).get()
    assert caught.value.code == "bad_token"
    assert "cret" not in str(caught.value)


async def test_a_token_is_in_no_log_and_no_representation(
    running: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with Hub(at(running), token=KEYS["ann"]) as hub:
        await hub.append("chat/ann/1", {"n": 1})
        with pytest.raises(StreamNotFound) as caught:
            await anext(hub.follow("chat/bob/1"))
        shown = [repr(hub), repr(hub.wire), repr(vars(hub.wire)), repr(caught.value)]
    assert not [text for text in [*shown, caplog.text] if KEYS["ann"] in text]


# Following, on a hub that takes tokens


async def test_following_goes_on_with_the_next_token(
    running: Loopback, clock: Clock, quick: None
) -> None:
    """The response ends with its token; nothing of the answer is lost or doubled."""
    issued = Issued(20)
    held: list[Any] = []
    async with Hub(at(running), token=issued) as hub:
        generation = await hub.generate("poem", stream="chat/ann/1", upstream="slow")
        before = len(issued.tokens)
        async with aclosing(hub.answer(generation)) as events:
            async for event in events:
                held.append(event)
                clock.leap(21 if len(held) in (1, 2) else 0)
    assert isinstance(held[-1], Finished)
    assert len(issued.tokens) - before >= 2, "the answer took longer than a token lasts"
    stream = await running.hub.streams.open("chat/ann/1")
    kept = [event async for event in stream.events()]
    told = "".join(event.text for event in held if isinstance(event, Delta))
    assert told == "".join(event.text for event in kept if isinstance(event, Delta))


async def test_following_waits_for_the_next_token(
    running: Loopback, clock: Clock, quick: None
) -> None:
    """The function returns an old token for a while, or cannot be reached."""
    first = issue(20)
    given: list[Any] = [first, first, OSError("offline"), first]
    calls = 0

    def token() -> str:
        nonlocal calls
        calls += 1
        found = given.pop(0) if given else issue()
        if isinstance(found, OSError):
            raise found
        return str(found)

    await running.hub.streams.append_to("chat/ann/1", Message("user", "before"))
    async with Hub(at(running), token=token) as hub, hub.follow("chat/ann/1") as following:
        assert await anext(following) == Message("user", "before")
        reading = asyncio.create_task(following.__anext__())
        clock.leap(20)
        await eventually(lambda: calls > 4)
        await running.hub.streams.append_to("chat/ann/1", Message("user", "after"))
        assert await reading == Message("user", "after")


async def test_following_ends_if_there_is_never_another_token(
    running: Loopback, clock: Clock, quick: None
) -> None:
    calls = 0
    old = issue(20)

    def token() -> str:
        nonlocal calls
        calls += 1
        return old

    await running.hub.streams.append_to("chat/ann/1", Message("user", "Hello"))
    async with Hub(at(running), token=token) as hub, hub.follow("chat/ann/1") as following:
        await anext(following)
        clock.leap(20)
        with pytest.raises(Unauthorized) as caught:
            await anext(following)
    assert caught.value.code == "token_expired"
    assert calls <= 2 * 10, "each try asks at most twice"


async def test_a_token_that_is_no_function_is_not_tried_again(
    running: Loopback, clock: Clock
) -> None:
    await running.hub.streams.append_to("chat/ann/1", Message("user", "Hello"))
    async with Hub(at(running), token=issue(20)) as hub, hub.follow("chat/ann/1") as following:
        await anext(following)
        clock.leap(20)
        with pytest.raises(Unauthorized) as caught:
            await anext(following)
    assert caught.value.code == "token_expired"


@pytest.mark.parametrize("function", [True, False], ids=["function", "token"])
async def test_a_revoked_key_ends_what_it_follows(
    running: Loopback, quick: None, *, function: bool
) -> None:
    key, revoke = await stored_key(running)
    await running.hub.streams.append_to("chat/ann/1", Message("user", "Hello"))
    token: Any = (lambda: key) if function else key
    async with Hub(at(running), token=token) as hub, hub.follow("chat/ann/1") as following:
        await anext(following)
        await revoke()
        with pytest.raises(Unauthorized, match="revoked") as caught:
            await anext(following)
    # Within a second the hub may know the key and that it was revoked.
    assert caught.value.code in ("invalid_api_key", "invalid_credential")


async def test_a_refused_stream_leaves_the_others(running: Loopback) -> None:
    for name in ("chat/ann/1", "chat/bob/1"):
        await running.hub.streams.append_to(name, Message("user", "Hello"))
    async with Hub(at(running), token=KEYS["ann"]) as hub, hub.follow("chat/ann/1") as mine:
        await anext(mine)
        with pytest.raises(StreamNotFound):
            await anext(hub.follow("chat/bob/1"))
        await running.hub.streams.append_to("chat/ann/1", Message("user", "again"))
        assert await anext(mine) == Message("user", "again")
    async with Hub(at(running), token=KEYS["guest"]) as hub:
        with pytest.raises((Forbidden, StreamNotFound)):
            await hub.append("chat/ann/1", {"n": 1})


# Without async


async def test_a_function_of_the_blocking_client_may_block(running: Loopback) -> None:
    threads = []

    def token() -> str:
        threads.append(threading.current_thread().name)
        return KEYS["ann"]

    def use() -> str:
        with SyncHub(at(running), token=token) as hub:
            generation = hub.generate("poem", stream="chat/ann/1")
            events = list(hub.answer(generation))
        return "".join(event.text for event in events if isinstance(event, Delta))

    assert "🌊" in await asyncio.to_thread(use)
    assert len(threads) == 2
    assert "streamhub-client" not in threads, "there it would stop everything else"


async def test_what_a_function_of_the_blocking_client_raises(running: Loopback) -> None:
    def broken() -> str:
        raise LookupError

    def use() -> None:
        with SyncHub(at(running), token=broken) as hub:
            hub.models()

    with pytest.raises(Unavailable, match="LookupError"):
        await asyncio.to_thread(use)
