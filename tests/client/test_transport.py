"""The command line's side of HTTP: what a hub says, and what it means when none does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hub.client import Hub
from hub.client import transport as wire_module
from hub.client.transport import Transport
from hub.domain.errors import InvalidName, RequestError, UpstreamError
from hub.domain.events import Message
from tests.support.http_requests import nobody
from tests.support.scripted_upstream import Answer, Ending, Gate, Scripted, refusal


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted() as started:
        yield started


async def asked(url: str) -> UpstreamError:
    """The error of a request that gets no reply."""
    async with Transport(url) as wire:
        with pytest.raises(UpstreamError) as caught:
            await wire.request("GET", "/v1/x")
        return caught.value


async def test_a_request_gives_the_status_and_the_json(server: Scripted) -> None:
    server.answers(Answer(b'{"id":', b'"g"}', status=201, type="application/json"))
    async with Transport(server.url + "/") as wire:
        reply = await wire.request("POST", "/v1/x", json={"é": 1}, headers={"X-Own": "1"})
    assert reply == (201, {"id": "g"})
    got = server.requests[0]
    assert (got.method, got.target, got.json) == ("POST", "/v1/x", {"é": 1})
    assert (got.headers["content-type"], got.headers["x-own"]) == ("application/json", "1")


async def test_a_refusal_is_a_reply(server: Scripted) -> None:
    server.answers(refusal(404, "no such stream"))
    async with Transport(server.url) as wire:
        status, reply = await wire.request("DELETE", "/v1/x")
    assert (status, reply["error"]["message"]) == (404, "no such stream")
    assert server.requests[0].body == b""


@pytest.mark.parametrize("name", ["..", "chat/../bob", "../../logout", "chat/.", "./a"])
async def test_a_name_cannot_lead_elsewhere(server: Scripted, name: str) -> None:
    """Whoever made the name may not have the rights of the token."""
    async with Hub(server.url, token="secret-secret") as hub:
        for ask in (
            hub.append(name, Message("user", "a")),
            hub.delete(name),
            hub.fork(name, "source"),
            anext(hub.follow(name)),
            hub.cancel(".."),
        ):
            with pytest.raises(InvalidName):
                await ask
    assert server.requests == []


async def test_an_empty_reply_is_nothing(server: Scripted) -> None:
    server.answers(Answer(status=204, framing="length"))
    async with Transport(server.url) as wire:
        assert await wire.request("DELETE", "/v1/x") == (204, None)


async def test_a_stream_is_followed_as_it_comes(server: Scripted) -> None:
    pieces, gates = [b"a", b"b", b"c"], [Gate(), Gate(), Gate()]
    steps = [step for both in zip(pieces, gates, strict=True) for step in both]
    server.answers(Answer(*steps, headers={"Stream-Next-Offset": "7"}))
    async with Transport(server.url) as wire, wire.stream("/v1/live/s") as stream:
        assert stream.status == 200
        assert stream.headers["stream-next-offset"] == "7"
        for piece, gate in zip(pieces, gates, strict=True):
            assert await anext(stream) == piece
            gate.open()
        assert [piece async for piece in stream] == []


async def test_leaving_a_stream_closes_it(server: Scripted) -> None:
    server.answers(Answer(b"a", Ending.HANG))
    async with Transport(server.url) as wire:
        async with wire.stream("/v1/live/s") as stream:
            await anext(stream)
        await server.requests[0].left()


async def test_without_a_hub_it_says_how_to_start_one() -> None:
    with nobody() as url:
        error = await asked(url)
    assert error.code == "hub_unreachable"
    assert "start one with `streamhub serve`" in error.message


@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
async def test_a_hub_that_leaves_is_lost(server: Scripted, ending: Ending) -> None:
    silent = Answer(ending, framing="raw")
    server.answers(silent, silent)  # aiohttp asks a second time by itself
    assert (await asked(server.url)).code == "hub_lost"
    server.answers(Answer(b"{", ending))
    assert (await asked(server.url)).code == "hub_lost"
    gate = Gate()
    server.answers(Answer(b"{", gate, ending))
    async with Transport(server.url) as wire, wire.stream("/v1/live/s") as stream:
        assert await anext(stream) == b"{"
        gate.open()
        with pytest.raises(UpstreamError) as caught:
            await anext(stream)
    assert caught.value.code == "hub_lost"


@pytest.mark.parametrize(
    "answer", [Answer(b"<html>"), Answer(b"220 ready\r\n", framing="raw"), Answer(b"\xff")]
)
async def test_what_is_no_hub_is_named(server: Scripted, answer: Answer) -> None:
    server.answers(answer)
    error = await asked(server.url)
    assert error.code == "hub_malformed"
    assert server.url in error.message


async def test_a_reply_without_end_is_not_read(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "REPLY_BYTES", 1000)
    server.answers(Answer(b"[" * 2000, Ending.HANG))
    assert (await asked(server.url)).code == "hub_malformed"
    await server.requests[0].left()


async def test_a_hub_that_does_not_answer_is_given_up(
    server: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire_module, "REQUEST_SECONDS", 0.1)
    server.answers(Answer(Ending.HANG, framing="raw"))
    assert (await asked(server.url)).code == "hub_unreachable"


@pytest.mark.parametrize("url", ["", "127.0.0.1:7000", "ws://127.0.0.1:7000", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(RequestError):
        Transport(url)


async def test_outside_its_context_it_is_not_used() -> None:
    with pytest.raises(RuntimeError):
        await Transport("http://127.0.0.1:9").request("GET", "/")


async def test_nothing_is_left_running(server: Scripted) -> None:
    before = len(asyncio.all_tasks())
    server.answers(Answer(b"1"))
    async with Transport(server.url) as wire:
        await wire.request("GET", "/")
    await server.alone()
    assert len(asyncio.all_tasks()) == before
