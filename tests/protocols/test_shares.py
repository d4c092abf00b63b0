"""Share links and tickets over real connections: what they open, and what they never do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import jwt
import pytest
from aiohttp import ClientResponse

from hub.access.shares import KIND, new_share
from hub.auth.api_keys import ApiKey, new_key
from hub.auth.stored_keys import row_of
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from tests.conftest import Running, StartHub
from tests.support.clock import Clock
from tests.support.close_codes import close_code
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, OWN, auth, bearer

SECRET: Final = "0123456789abcdef0123456789abcdef"
HELLO: Final = {"type": "message", "role": "user", "text": "Hello"}
JSON: Final = {"Content-Type": "application/json"}
NAME: Final = "talk"
MAY_SHARE: Final = {"who": "user", "match": "talk", "can": [*OWN, "share"]}


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
async def hub(clock: Clock, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("APP_SECRET", SECRET)
    running = await start_hub(**tables())
    await say(running, "one", "two")
    return running


def tables(**more: Any) -> dict[str, Any]:
    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    return {
        "auth": auth(MAY_SHARE, issuers=issuers),
        "streams": {"long_poll_seconds": 5},
        "upstreams": {"slow": {"dialect": "demo", "options": {"pace": 2}}},
        **more,
    }


async def say(hub: Running, *texts: str, name: str = NAME) -> None:
    for text in texts:
        await hub.hub.streams.append_to(name, Message("user", text))


async def ask(
    hub: Running, method: str, path: str, who: str | None = "ann", **more: Any
) -> tuple[int, Any]:
    """The status of a response, and its JSON or its text."""
    headers = {**(_credential(who) if who else {}), **more.pop("headers", {})}
    async with hub.client.request(method, path, headers=headers, **more) as response:
        if response.content_type == "application/json":
            return response.status, await response.json()
        return response.status, await response.text()


def _credential(who: str) -> dict[str, str]:
    return bearer(who) if who in KEYS else {"Authorization": f"Bearer {who}"}


async def link(hub: Running, **asked: Any) -> tuple[str, str]:
    """A new link: its id, and the token that it is."""
    status, made = await ask(hub, "POST", "/v1/shares", json={"stream": NAME, **asked})
    assert status == 201, made
    return made["id"], "sl_" + made["url"].removeprefix("/s/")


async def ticket(hub: Running, who: str = "ann", stream: str = NAME, **asked: Any) -> str:
    status, made = await ask(hub, "POST", "/v1/tickets", who, json={"stream": stream, **asked})
    assert status == 201, made
    assert made["url"] == f"/v1/live/{stream}?ticket={made['ticket']}"
    return str(made["ticket"])


# Links


async def test_a_link_is_made_listed_and_revoked(hub: Running) -> None:
    status, made = await ask(
        hub, "POST", "/v1/shares", json={"stream": NAME, "title": "For you", "expires_in": 3600}
    )
    assert status == 201
    assert made["url"].startswith("/s/")
    assert len(made["url"]) == 46
    shown = {name: held for name, held in made.items() if name != "url"}
    assert (shown["created_by"], shown["until"], shown["title"]) == ("ann", "live", "For you")
    listed = {"shares": [shown], "more": False}
    assert await ask(hub, "GET", f"/v1/shares?stream={NAME}") == (200, listed)
    assert await ask(hub, "GET", "/v1/shares") == (200, listed)
    assert await ask(hub, "DELETE", f"/v1/shares/{made['id']}") == (204, "")
    assert await ask(hub, "GET", f"/v1/shares?stream={NAME}") == (
        200,
        {"shares": [], "more": False},
    )
    status, refused = await ask(hub, "DELETE", "/v1/shares/none")
    assert (status, refused["error"]["code"]) == (404, "share_not_found")


@pytest.mark.parametrize(
    "asked",
    [{"until": "then"}, {"until": "0000000000000001_0000000000000001"}, {"expires_in": 1}],
    ids=str,
)
async def test_what_makes_no_sense_is_refused(hub: Running, asked: dict[str, Any]) -> None:
    assert (await ask(hub, "POST", "/v1/shares", json={"stream": NAME, **asked}))[0] == 400


async def test_without_authentication_there_are_no_links(start_hub: StartHub) -> None:
    hub = await start_hub()
    await say(hub, "one")
    for path in ("/v1/shares", "/v1/tickets"):
        status, refused = await ask(hub, "POST", path, None, json={"stream": NAME})
        assert (status, refused["error"]["code"]) == (409, "auth_off")
    assert (await ask(hub, "GET", "/v1/stream/talk?ticket=x", None))[0] == 200


async def _live(hub: Running, token: str) -> list[str]:
    path = f"/v1/live/{NAME}?format=ndjson"
    async with hub.client.get(path, headers=_credential(token)) as response:
        assert response.status == 200
        return [one["text"] async for one in _lines(response, "message")]


async def _lines(response: ClientResponse, kind: str) -> Any:
    async for line in response.content:
        if (held := json.loads(line)).get("type") == kind:
            yield held


async def _caught_up(hub: Running, token: str) -> list[str]:
    status, held = await ask(hub, "GET", f"/v1/stream/{NAME}", token)
    assert status == 200
    return [one["text"] for one in held]


async def _polled(hub: Running, token: str) -> list[str]:
    path = f"/v1/stream/{NAME}?offset=-1&live=long-poll"
    status, held = await ask(hub, "GET", path, token)
    assert status == 200
    return [one["text"] for one in held]


async def _sent(hub: Running, token: str) -> list[str]:
    found: list[str] = []
    path = f"/v1/stream/{NAME}?offset=-1&live=sse"
    async with hub.client.get(path, headers=_credential(token)) as response:
        async for line in response.content:
            if line.startswith(b"data:["):
                found += [one["text"] for one in json.loads(line[5:])]
    return found


async def _subscribed(hub: Running, token: str) -> list[str]:
    found: list[str] = []
    async with hub.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket:
        await socket.send_json({"id": 1, "type": "auth", "token": token})
        await socket.send_json({"id": 2, "type": "subscribe", "stream": NAME, "from": "start"})
        while (frame := await socket.receive_json())["type"] != "closed":
            assert frame["type"] != "error", frame
            found += [one["text"] for one in frame.get("events", ())]
    return found


async def _followed(hub: Running, token: str) -> list[str]:
    asked = [{"stream": NAME, "from": "start"}]
    head = _credential(token)
    async with hub.client.post("/v1/follow?format=ndjson", json=asked, headers=head) as response:
        frames = [json.loads(line) async for line in response.content]
        return [one["text"] for frame in frames for one in frame.get("events", ())]


async def _viewed(hub: Running, token: str) -> list[str]:
    """As AG-UI shows it."""
    path = f"/api/chat/{NAME}?offset=-1"
    status, held = await ask(hub, "GET", path, token)
    assert status == 200
    said = json.dumps(held)
    return [text for text in ("one", "two", "three") if text in said]


@pytest.mark.parametrize(
    "read",
    [_live, _caught_up, _polled, _sent, _subscribed, _followed, _viewed],
    ids=lambda of: of.__name__,
)
async def test_a_frozen_link_ends_where_it_ends_over_every_protocol(
    hub: Running, read: Callable[[Running, str], Awaitable[list[str]]]
) -> None:
    _, token = await link(hub, until="now")
    await say(hub, "three")
    async with asyncio.timeout(PATIENCE):
        assert await read(hub, token) == ["one", "two"]


async def test_a_frozen_link_does_not_tell_that_there_is_more(hub: Running) -> None:
    _, token = await link(hub, until="now")
    before = await _heads(hub, token)
    await say(hub, "three")
    generation = await hub.hub.generations.start(
        GenerationRequest("Hi", stream=NAME, upstream="slow")
    )
    assert await _heads(hub, token) == before
    assert before["Stream-Closed"] == "true"
    for path in (
        f"/v1/generations/{generation.id}",
        f"/v1/responses/resp_{generation.id[4:]}",
        f"/v1/live/{NAME}-2?wait=true",
    ):
        assert (await ask(hub, "GET", path, token))[0] == 404, path
    assert (await ask(hub, "GET", f"/api/chat/{NAME}/stream", token))[0] == 204
    end = (await hub.hub.streams.open(NAME)).position
    for path in (f"/v1/stream/{NAME}?offset={end}", f"/v1/live/{NAME}?format=ndjson&from={end}"):
        _, said = await ask(hub, "GET", path, token)
        assert "three" not in json.dumps(said)


async def _heads(hub: Running, token: str) -> dict[str, str]:
    async with hub.client.head(f"/v1/stream/{NAME}", headers=_credential(token)) as response:
        assert response.status == 200
        names = ("Stream-Next-Offset", "Stream-Closed")
        return {name: response.headers[name] for name in names}


@pytest.mark.parametrize("until", ["live", "now"])
async def test_nothing_is_written_with_a_link(hub: Running, until: str) -> None:
    _, token = await link(hub, until=until)
    user = {"role": "user", "content": "echo hi"}
    said = {"id": "m", "role": "user", "parts": [{"type": "text", "text": "echo hi"}]}
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"/v1/stream/{NAME}", {"json": HELLO}),
        ("POST", f"/v1/stream/{NAME}", {"headers": {"Stream-Closed": "true", **JSON}}),
        ("PUT", f"/v1/stream/{NAME}", {"headers": JSON}),
        ("PUT", "/v1/stream/new", {"headers": {"Stream-Forked-From": f"/v1/stream/{NAME}"}}),
        ("DELETE", f"/v1/stream/{NAME}", {}),
        ("POST", "/v1/generations", {"json": {"prompt": "hi", "stream": NAME}}),
        ("POST", "/v1/generations", {"json": {"prompt": "hi"}}),
        ("POST", "/v1/chat/completions", {"json": {"model": "demo", "messages": [user]}}),
        ("POST", "/v1/responses", {"json": {"model": "demo", "input": "hi"}}),
        ("POST", "/api/chat", {"json": {"id": NAME, "messages": [said]}}),
        ("POST", f"/api/chat/{NAME}", {"json": {"messages": [said]}}),
        ("POST", f"/api/chat/{NAME}/stop", {}),
        ("POST", "/v1/shares", {"json": {"stream": NAME}}),
        ("GET", f"/v1/shares?stream={NAME}", {}),
        ("GET", "/v1/streams", {}),
    ]
    for method, path, more in requests:
        status, refused = await ask(hub, method, path, token, **more)
        assert status in (403, 404) or (path.endswith("/stop") and status == 204), (path, refused)
    commands: list[dict[str, Any]] = [
        {"type": "append", "stream": NAME, "event": HELLO},
        {"type": "generate", "stream": NAME, "prompt": "hi"},
        {"type": "fork", "stream": "new", "source": NAME},
        {"type": "presence", "stream": NAME, "state": {}},
    ]
    async with hub.client.ws_connect("/v1/ws", headers=_credential(token)) as socket:
        await socket.send_json({"id": 0, "type": "subscribe", "stream": NAME})
        for number, command in enumerate(commands, start=1):
            await socket.send_json({"id": number, **command})
            async with asyncio.timeout(PATIENCE):
                while (reply := await socket.receive_json()).get("id") != number:
                    pass
            assert reply["code"] in ("not_permitted", "stream_not_found", "not_subscribed"), reply
    assert (await hub.hub.streams.open(NAME)).tail == 2


async def test_a_revoked_link_ends_its_readers(hub: Running) -> None:
    id_, token = await link(hub)
    head, path = _credential(token), f"/v1/live/{NAME}?format=ndjson"
    end = (await hub.hub.streams.open(NAME)).position
    poll = f"/v1/stream/{NAME}?offset={end}&live=long-poll"
    polling = asyncio.create_task(ask(hub, "GET", poll, token))
    async with (
        hub.client.ws_connect("/v1/ws", headers=head) as socket,
        hub.client.get(path, headers=head) as response,
        asyncio.timeout(PATIENCE),
    ):
        await socket.send_json({"type": "subscribe", "stream": NAME})
        assert (await socket.receive_json())["type"] == "ok"
        assert (await anext(_lines(response, "message")))["text"] == "one"
        await ask(hub, "DELETE", f"/v1/shares/{id_}")
        assert close_code(socket, await socket.receive()) == 4502
        assert "three" not in (await response.text())
    await say(hub, "three")
    status, refused = await polling
    assert status == 401
    assert "three" not in json.dumps(refused)
    assert (await ask(hub, "GET", path, token))[0] == 401


async def test_a_link_that_expires_ends_its_readers(hub: Running, clock: Clock) -> None:
    stream = await hub.hub.streams.open(NAME)
    share, secret = new_share(NAME, stream.epoch, expires=time.time() + 10)
    await hub.hub.credentials.add(share.row)
    head, path = _credential(f"sl_{secret}"), f"/v1/live/{NAME}?format=ndjson"
    async with (
        hub.client.ws_connect("/v1/ws", headers=head) as socket,
        hub.client.get(path, headers=head) as response,
        asyncio.timeout(PATIENCE),
    ):
        assert response.status == 200
        clock.leap(10)
        assert close_code(socket, await socket.receive()) == 4200
        await response.read()
    status, refused = await ask(hub, "GET", path, f"sl_{secret}")
    assert (status, refused["error"]["code"]) == (401, "link_ended")


async def test_a_link_dies_with_its_stream(hub: Running) -> None:
    _, token = await link(hub)
    assert (await ask(hub, "DELETE", f"/v1/stream/{NAME}"))[0] == 204
    await say(hub, "of another")
    for path in (f"/v1/stream/{NAME}", f"/v1/live/{NAME}?wait=true"):
        assert (await ask(hub, "GET", path, token))[0] == 404
    async with hub.client.ws_connect("/v1/ws", headers=_credential(token)) as socket:
        await socket.send_json({"id": 1, "type": "subscribe", "stream": NAME, "wait": True})
        assert (await socket.receive_json())["code"] == "stream_not_found"


async def test_another_link_on_the_same_connection_opens_nothing_of_the_first(
    hub: Running,
) -> None:
    """Whoever has both may read both, but the first one ends when it is revoked."""
    _, live = await link(hub)
    _, frozen = await link(hub, until="now")
    async with hub.client.ws_connect("/v1/ws", headers=_credential(live)) as socket:
        await socket.send_json({"id": 1, "type": "subscribe", "stream": NAME})
        await socket.send_json({"id": 2, "type": "auth", "token": frozen})
        codes = [(await socket.receive_json()).get("code") for _ in range(3)]
        assert codes == [None, None, "stream_not_found"]
        await say(hub, "three")
        await socket.send_json({"id": 3, "type": "ping"})
        assert (await socket.receive_json())["id"] == 3


# Tickets


async def test_a_ticket_reads_one_stream_wherever_it_is_presented(hub: Running) -> None:
    given = await ticket(hub)
    live, stream = f"/v1/live/{NAME}?format=ndjson&ticket=", f"/v1/stream/{NAME}?ticket="
    async with hub.client.get(live + given) as response:
        assert (await anext(_lines(response, "message")))["text"] == "one"
        assert "no-store" in response.headers["Cache-Control"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
    async with hub.client.get(stream + given) as response:
        assert [one["text"] for one in await response.json()] == ["one", "two"]
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"
    async with hub.client.head(stream + given) as response:
        assert response.status == 200
    assert (await ask(hub, "GET", f"/v1/stream/{NAME}", given))[0] == 200
    async with hub.client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"id": 1, "type": "auth", "token": given})
        assert (await socket.receive_json())["expires_in"] > 3500
        await socket.send_json({"id": 2, "type": "subscribe", "stream": NAME})
        assert (await socket.receive_json())["type"] == "ok"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/v1/stream/{NAME}"),
        *(
            ("POST", path)
            for path in (
                f"/v1/stream/{NAME}",
                "/v1/generations",
                "/v1/chat/completions",
                "/v1/responses",
                "/v1/shares",
                "/api/chat",
                f"/api/chat/{NAME}",
                "/api/agent",
            )
        ),
    ],
)
async def test_no_body_is_read_for_a_link_or_a_ticket(hub: Running, method: str, path: str) -> None:
    """A body that cannot be read, so that only a refusal before it is a refusal of the link."""
    _, token = await link(hub)
    headers = {**JSON, "Content-Encoding": "odd"}
    refused = {
        who: await ask(hub, method, path, who, data=b"{}", headers=headers)
        for who in (token, await ticket(hub), "ann")
    }
    assert [status for status, _ in refused.values()] == [403, 403, 415], refused


async def test_a_ticket_is_good_for_nothing_else(hub: Running) -> None:
    await say(hub, "mine", name="chat/ann/1")
    given = await ticket(hub)
    assert (await ask(hub, "GET", f"/v1/live/chat/ann/1?ticket={given}", None))[0] == 404
    assert (await ask(hub, "GET", f"/v1/stream/chat/ann/1?ticket={given}", None))[0] == 404
    assert (await ask(hub, "POST", f"/v1/stream/{NAME}", given, json=HELLO))[0] == 403
    assert (await ask(hub, "POST", f"/v1/stream/{NAME}?ticket={given}", None, json=HELLO))[0] == 401
    assert (await ask(hub, "DELETE", f"/v1/stream/{NAME}", given))[0] == 403
    assert (await ask(hub, "POST", "/v1/generations", given, json={"prompt": "hi"}))[0] == 403
    assert (await ask(hub, "GET", f"/api/chat/{NAME}?ticket={given}", None))[0] == 401
    assert (await ask(hub, "GET", f"/v1/models?ticket={given}", None))[0] == 401
    for path in ("/docs", "/docs/openapi.json", "/ret_json_data", "/v1/models", "/v1/me"):
        assert (await ask(hub, "GET", path, given))[0] == 403, path
    for path in ("/v1/tickets", "/v1/shares"):
        assert (await ask(hub, "POST", path, given, json={"stream": NAME}))[0] == 403
    # Nor does any other credential belong into a URL.
    for wrong in (KEYS["ann"], "st_x", f"{given}x", given[:-9], f"{given}&ticket={given}"):
        status, refused = await ask(hub, "GET", f"/v1/live/{NAME}?ticket={wrong}", None)
        assert status == 401
        assert given not in json.dumps(refused)


@pytest.mark.parametrize("path", ["/v1/live/chat/ann/1", f"/v1/live/{NAME}", f"/v1/stream/{NAME}"])
async def test_a_refusal_of_a_url_with_a_ticket_is_kept_nowhere(hub: Running, path: str) -> None:
    given = await ticket(hub)
    async with hub.client.get(f"{path}?ticket={given}x") as response:
        assert response.status == 401
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_a_ticket_needs_a_credential_that_may_read(hub: Running) -> None:
    assert (await ask(hub, "POST", "/v1/tickets", None, json={"stream": NAME}))[0] == 401
    refused = {"stream": "chat/bob/1"}
    assert (await ask(hub, "POST", "/v1/tickets", "ann", json=refused))[0] == 404
    for seconds in (0, 86_401, "1", 1.5):
        asked = {"stream": NAME, "expires_in": seconds}
        assert (await ask(hub, "POST", "/v1/tickets", "ann", json=asked))[0] == 400


async def test_a_ticket_stops_when_its_time_is_over(hub: Running, clock: Clock) -> None:
    given = await ticket(hub, expires_in=20)
    path = f"/v1/live/{NAME}?ticket={given}"
    async with hub.client.get(path) as response, asyncio.timeout(PATIENCE):
        assert response.status == 200
        clock.leap(20)
        await response.read()  # a clean end, as of a rotation
    status, refused = await ask(hub, "GET", path, None)
    assert (status, refused["error"]["code"]) == (401, "token_expired")


async def test_a_ticket_stops_with_the_token_that_it_stands_for(hub: Running, clock: Clock) -> None:
    claims = {"iss": "app", "aud": "hub", "sub": "ann", "exp": time.time() + 20}
    token = jwt.encode(claims, SECRET, "HS256")
    status, made = await ask(hub, "POST", "/v1/tickets", token, json={"stream": NAME})
    assert status == 201
    path = f"/v1/live/{NAME}?ticket={made['ticket']}"
    async with hub.client.get(path) as response, asyncio.timeout(PATIENCE):
        assert response.status == 200
        clock.leap(20)
        await response.read()
    assert (await ask(hub, "GET", path, None))[0] == 401


async def test_a_long_token_is_refused_in_a_sentence(hub: Running) -> None:
    claims = {"iss": "app", "aud": "hub", "sub": "ann", "exp": time.time() + 60, "x": "y" * 5000}
    token = jwt.encode(claims, SECRET, "HS256")
    status, refused = await ask(hub, "POST", "/v1/tickets", token, json={"stream": NAME})
    assert (status, refused["error"]["code"]) == (400, "token_too_long")


async def test_a_ticket_allows_no_more_than_the_token_that_it_stands_for(hub: Running) -> None:
    await say(hub, "mine", name="chat/ann/1")
    streams = [{"match": NAME, "can": ["read"]}]
    claims = {"iss": "app", "aud": "hub", "sub": "ann", "exp": time.time() + 60, "streams": streams}
    token = jwt.encode(claims, SECRET, "HS256")
    given = await ticket(hub, token)
    assert (await ask(hub, "GET", f"/v1/stream/{NAME}?ticket={given}", None))[0] == 200
    asked = {"stream": "chat/ann/1"}
    assert (await ask(hub, "POST", "/v1/tickets", token, json=asked))[0] == 404


async def test_a_ticket_of_a_link_ends_with_it(hub: Running) -> None:
    id_, token = await link(hub, until="now")
    given = await ticket(hub, token)
    await say(hub, "three")
    path = f"/v1/stream/{NAME}?ticket={given}"
    status, held = await ask(hub, "GET", path, None)
    assert (status, [one["text"] for one in held]) == (200, ["one", "two"])
    await ask(hub, "DELETE", f"/v1/shares/{id_}")
    assert (await ask(hub, "GET", path, None))[0] == 401


async def test_a_ticket_outlives_a_restart_and_stops_with_its_key(
    start_hub: StartHub, tmp_path: Path
) -> None:
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    first = await start_hub(auth=auth(MAY_SHARE), store=store)
    await say(first, "one")
    key, id_, digest = new_key()
    await first.hub.credentials.add(row_of(ApiKey(id_, digest, user="ann")))
    given = await ticket(first, key)
    await first.client.close()
    again = await start_hub(auth=auth(MAY_SHARE), store=store)
    path = f"/v1/live/{NAME}?ticket={given}"
    async with again.client.get(path) as response, asyncio.timeout(PATIENCE):
        assert response.status == 200
        await again.hub.credentials.revoke("key", id_, time.time())
        again.hub.revoke(id_)
        await response.read()
    assert (await ask(again, "GET", path, None))[0] == 401
    await again.client.close()
    later = await start_hub(auth=auth(MAY_SHARE), store=store)
    assert (await ask(later, "GET", path, None))[0] == 401, "by what the store says of the key"


async def test_of_two_hubs_each_has_tickets_of_its_own(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_SECRET", SECRET)
    first, second = await start_hub(**tables()), await start_hub(**tables())
    for hub in (first, second):
        await say(hub, "one")
    given = await ticket(first)
    assert (await ask(first, "GET", f"/v1/stream/{NAME}?ticket={given}", None))[0] == 200
    assert (await ask(second, "GET", f"/v1/stream/{NAME}?ticket={given}", None))[0] == 401


async def test_what_the_principal_loses_the_ticket_loses(
    start_hub: StartHub, tmp_path: Path
) -> None:
    store = {"url": f"sqlite:{tmp_path / 'hub.db'}"}
    first = await start_hub(auth=auth(MAY_SHARE), store=store)
    await say(first, "one")
    given = await ticket(first)
    await first.client.close()
    again = await start_hub(auth=auth(), store=store)
    assert (await ask(again, "GET", f"/v1/stream/{NAME}?ticket={given}", None))[0] == 404


async def test_the_kind_of_a_link_is_apart_from_keys(hub: Running) -> None:
    id_, token = await link(hub)
    assert await hub.hub.credentials.find(KIND, id_) is not None
    assert await hub.hub.credentials.find("key", id_) is None
    for wrong in (token[:-1], f"{token}x", f"sh_{token[3:]}", "sl_", token.upper()):
        assert (await ask(hub, "GET", f"/v1/stream/{NAME}", wrong))[0] == 401
