"""What the client makes of an answer that no hub gave: a proxy's, or some other server's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from hub.client import Hub, HubError, SyncHub
from hub.domain.errors import RequestError
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer


async def _follow(hub: Hub) -> object:
    return [event async for event in hub.follow("s")]


async def _streams(hub: Hub) -> object:
    return [stream async for stream in hub.streams()]


CALLS: Final[dict[str, Callable[[Hub], Awaitable[object]]]] = {
    "generate": lambda hub: hub.generate("Hi"),
    "generation": lambda hub: hub.generation("gen_1"),
    "cancel": lambda hub: hub.cancel("gen_1"),
    "append": lambda hub: hub.append("s", {"a": 1}),
    "delete": lambda hub: hub.delete("s"),
    "follow": _follow,
    "streams": _streams,
    "models": lambda hub: hub.models(),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.client.backoff.FIRST_WAIT", 0.001)


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    async with Scripted() as started:
        yield started


async def refused(server: Scripted, name: str, *answers: Answer) -> HubError:
    server.answers(*answers)
    async with Hub(server.url) as hub:
        with pytest.raises(HubError) as caught:
            await CALLS[name](hub)
    return caught.value


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("status", [302, 401, 403, 404, 500])
async def test_the_status_of_a_stranger_is_told(name: str, status: int, server: Scripted) -> None:
    answers = [Answer(b"<h1>No</h1>", status=status, type="text/html", framing="length")] * 2
    error = await refused(server, name, *answers)
    assert error.code == "hub_malformed"
    assert str(status) in error.message


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"delete"}))
@pytest.mark.parametrize("body", [b'{"a":1}', b"[]", b"null", b'"x"', b"<p>Welcome</p>"], ids=str)
async def test_what_answers_well_but_is_no_hub_is_no_success(
    name: str, body: bytes, server: Scripted
) -> None:
    kind = "text/html" if body.startswith(b"<") else "application/json"
    error = await refused(server, name, Answer(body, type=kind, framing="length"))
    assert error.code == "hub_malformed"
    assert len(server.requests) == 1


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"delete", "follow"}))
async def test_a_hub_that_its_proxy_misses_for_a_moment_is_asked_again(
    name: str, server: Scripted
) -> None:
    away = Answer(b"<h1>Bad gateway</h1>", status=502, type="text/html", framing="length")
    error = await refused(server, name, *[away] * 5)
    assert error.code == "hub_lost"
    assert "502" in error.message
    assert len(server.requests) == 5


async def test_headers_for_a_proxy_go_with_every_request(server: Scripted) -> None:
    listed: Any = b'{"object":"list","data":[{"id":"demo"}]}'
    server.answers(Answer(listed, type="application/json", framing="length"))
    async with Hub(server.url, headers={"Authorization": "Bearer key"}) as hub:
        assert await hub.models() == ["demo"]
    assert server.requests[0].headers["authorization"] == "Bearer key"


@pytest.mark.parametrize("url", ["", "127.0.0.1:7000", "ftp://hub", "http://", "http://h:99999"])
@pytest.mark.parametrize("kind", [Hub, SyncHub])
def test_what_is_no_url_is_refused_at_once(kind: Callable[[str], object], url: str) -> None:
    with pytest.raises(RequestError, match="is not the URL of a hub"):
        kind(url)


async def test_outside_its_context_it_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with Hub"):
        await Hub("http://127.0.0.1:1").models()
