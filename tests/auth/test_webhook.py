"""An application that is asked lets in whom it names, and nobody when it does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

import hub as streamhub
from hub.auth.admit import ASKED_ABOUT
from hub.auth.gate import Authorizer
from hub.auth.webhook import Webhook, secret_of
from hub.config.auth import Auth, WebhookEvent
from hub.domain.errors import ConfigError, Forbidden, RateLimited, Unauthorized, Unavailable
from hub.domain.events import Message
from hub.domain.grant_rules import Rules
from hub.domain.permissions import PERMISSIONS, Grant
from hub.domain.principal import Principal
from hub.hub import REFRESHES_OF_ONE
from tests.conftest import Running, StartHub
from tests.support.close_codes import close_code
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth, bearer
from tests.support.webhook_app import SECRET, WebhookApp

TOKEN: Final = {"Authorization": "Bearer opaque"}
ANN: Final = Principal("ann", credential="webhook:1")
BOB: Final = Principal("bob", credential="webhook:2")
READ: Final = [{"match": "room/**", "can": ["read"]}]

UNBEGUN: Final = "a-chat-that-is-not-begun"
"""Of nobody's folder, but anybody could begin it."""


@pytest.fixture
async def app() -> AsyncIterator[WebhookApp]:
    app = WebhookApp()
    await app.start()
    yield app
    await app.stop()


@pytest.fixture
async def webhook(app: WebhookApp) -> AsyncIterator[Webhook]:
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE)
    yield webhook
    await webhook.close()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


# One webhook


async def test_it_is_asked_once_for_as_long_as_the_answer_holds(app: WebhookApp) -> None:
    clock = Clock()
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE, clock=clock)
    for seconds, questions in ((0, 1), (59, 1), (1, 2), (-3600, 3)):
        clock.now += seconds
        assert (await webhook.principal("t")).user == "ann"
        assert len(app.asked) == questions, seconds
    assert app.asked[0] == {"event": "connect", "token": "t"}
    await webhook.principal("another")
    assert len(app.asked) == 4
    await webhook.close()


async def test_without_a_ttl_it_is_asked_each_time(app: WebhookApp, webhook: Webhook) -> None:
    for _ in range(2):
        await webhook.subscribe(ANN, "room/1")
    expected = {
        "event": "subscribe", "user": "ann", "tenant": None, "id": "1", "stream": "room/1",
    }  # fmt: skip
    assert app.asked == [expected, expected]


async def test_a_refusal_is_remembered_too(app: WebhookApp, webhook: Webhook) -> None:
    app.answers["generate"] = {"allow": False, "ttl": 60}
    for _ in range(2):
        with pytest.raises(Forbidden):
            await webhook.generate(ANN, None, "demo", None)
    assert len(app.asked) == 1
    with pytest.raises(Unauthorized):
        await webhook.generate(Principal(grants=()), None, "demo", None)


async def test_one_request_answers_all_who_ask_the_same(app: WebhookApp, webhook: Webhook) -> None:
    app.gate = asyncio.Event()
    asking = [asyncio.create_task(webhook.principal("t")) for _ in range(20)]
    async with asyncio.timeout(PATIENCE):
        await app.was_asked.wait()
    asking[0].cancel()  # whoever asked first leaves
    app.gate.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(one, Principal) for one in found[1:])
    assert len(app.asked) == 1


async def test_memory_is_bounded(app: WebhookApp) -> None:
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE, remembered=3)
    for number in range(10):
        await webhook.principal(f"t{number}")
    assert len(webhook) == 3
    await webhook.close()


async def test_questions_at_a_time_are_bounded(
    app: WebhookApp, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.auth.webhook.WAITING", 2)
    app.gate = asyncio.Event()
    asking = [asyncio.create_task(webhook.principal(f"t{number}")) for number in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await webhook.principal("one more")
    app.gate.set()
    await asyncio.gather(*asking)


async def test_the_wait_for_others_is_not_the_applications_time(
    app: WebhookApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.auth.webhook.AT_A_TIME", 1)
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=5.0)
    app.gate, app.held = asyncio.Event(), "bob"
    bobs = asyncio.create_task(webhook.subscribe(BOB, "room/1"))
    anns = asyncio.create_task(webhook.subscribe(ANN, "room/1"))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable):
            await bobs
        await anns
    app.gate.set()
    await webhook.close()


async def test_whoever_waits_too_long_for_others_is_refused(
    app: WebhookApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.auth.webhook.AT_A_TIME", 0)
    monkeypatch.setattr("hub.auth.webhook.WAIT_SECONDS", 0.01)
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE)
    with pytest.raises(Unavailable):
        await webhook.subscribe(ANN, "room/1")
    assert not app.asked
    await webhook.close()


async def test_a_flood_of_subscriptions_holds_up_nothing_else(
    app: WebhookApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.auth.webhook.AT_A_TIME", 1)
    monkeypatch.setattr("hub.auth.webhook.WAITING", 3)
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE)
    app.gate, app.held = asyncio.Event(), "bob"
    asking = [asyncio.create_task(webhook.subscribe(BOB, f"room/{n}")) for n in range(3)]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(Unavailable):
            await webhook.subscribe(ANN, "room/1")
        assert (await webhook.principal("t")).user == "ann"
        assert (await webhook.refresh(ANN)).user == "ann"
        await webhook.generate(ANN, None, "demo", None)
        app.gate.set()
        await asyncio.gather(*asking)
    await webhook.close()


@pytest.mark.parametrize("event", ["subscribe", "generate"])
async def test_questions_about_one_subject_at_a_time_are_bounded(
    event: str, app: WebhookApp, webhook: Webhook
) -> None:
    async def ask(by: Principal, number: int) -> None:
        if event == "subscribe":
            await webhook.subscribe(by, f"room/{number}")
        else:
            await webhook.generate(by, f"room/{number}", "demo", None)

    app.gate, app.held = asyncio.Event(), "bob"
    other = replace(BOB, credential="webhook:3")  # his, too
    asking = [
        asyncio.create_task(ask(BOB if number % 2 else other, number))
        for number in range(ASKED_ABOUT)
    ]
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        for number in (ASKED_ABOUT, ASKED_ABOUT + 1):
            with pytest.raises(RateLimited) as refused:
                await ask(BOB, number)
            assert refused.value.wait == 1.0
        await ask(ANN, 1)
        app.gate.set()
        await asyncio.gather(*asking)
        await ask(BOB, ASKED_ABOUT)


async def test_answers_about_one_subject_take_no_place_of_others(
    app: WebhookApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.auth.webhook.OF_ONE", 3)
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE, remembered=5)
    app.answers["subscribe"] = {"allow": True, "ttl": 60}
    await webhook.principal("t")
    await webhook.subscribe(ANN, "room/1")
    for number in range(10):
        await webhook.subscribe(BOB, f"room/{number}")
    asked = len(app.asked)
    await webhook.principal("t")
    await webhook.subscribe(ANN, "room/1")
    await webhook.subscribe(BOB, "room/9")
    assert len(app.asked) == asked
    assert len(webhook) == 5
    await webhook.close()


async def test_closing_ends_what_is_asked(app: WebhookApp) -> None:
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=PATIENCE)
    app.gate = asyncio.Event()
    asking = asyncio.create_task(webhook.principal("t"))
    async with asyncio.timeout(PATIENCE):
        await app.was_asked.wait()
        await webhook.close()
        with pytest.raises(Unavailable):
            await asking
        with pytest.raises(Unavailable):
            await webhook.principal("t")
    app.gate.set()


@pytest.mark.parametrize("wrong", ["fail", "redirect", "no_json", "huge", "bomb", "trickle"])
async def test_without_an_answer_nobody_gets_in(
    wrong: str, app: WebhookApp, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = 2.0 if wrong == "trickle" else PATIENCE
    webhook = Webhook(app.url, secret_of(SECRET, "X"), Rules(), seconds=seconds)
    app.instead = getattr(app, wrong)
    for attempt in (1, 2):
        with pytest.raises(Unavailable) as caught:
            await webhook.principal("s3cret")
        assert caught.value.code == "webhook_unavailable"
        assert len(app.asked) == attempt, "each is asked once and not again"
    app.instead = None
    assert (await webhook.principal("s3cret")).user == "ann"
    said = [one.getMessage() for one in caplog.records if one.name == "hub.auth"]
    assert len(said) == 2, "a line when it begins, and one when it is over"
    assert "s3cret" not in " ".join(said)
    await webhook.close()


async def test_nor_where_nobody_listens(app: WebhookApp, webhook: Webhook) -> None:
    await app.stop()
    with pytest.raises(Unavailable):
        await webhook.principal("t")


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"allow": 1, "ttl": 60},
        {"allow": "true", "ttl": 60},
        {"allow": True},
        {"allow": True, "ttl": 0},
        {"allow": True, "ttl": True},
        {"allow": True, "ttl": "60"},
        {"allow": True, "ttl": -1},
        {"allow": True, "ttl": 1e9},
        {"allow": True, "ttl": 60, "user": ""},
        {"allow": True, "ttl": 60, "user": 7},
        {"allow": True, "ttl": 60, "user": "a\nb"},
        {"allow": True, "ttl": 60, "grants": {}},
        {"allow": True, "ttl": 60, "grants": [{"match": "**"}]},
        {"allow": True, "ttl": 60, "grants": [{"match": "a*", "can": ["read"]}]},
        {"allow": True, "ttl": 60, "grants": [{"match": "**", "can": ["fly"]}]},
        {"allow": True, "ttl": 60, "only": ["room/1"]},
    ],
    ids=str,
)
async def test_what_is_not_understood_is_no_answer(
    answer: Any, app: WebhookApp, webhook: Webhook
) -> None:
    app.answers["connect"] = answer
    with pytest.raises(Unavailable):
        await webhook.principal("t")


async def test_an_answer_about_a_stream_names_nobody(app: WebhookApp, webhook: Webhook) -> None:
    app.answers["subscribe"] = {"allow": True, "user": "bob"}
    with pytest.raises(Unavailable):
        await webhook.subscribe(ANN, "room/1")


async def test_whoever_cannot_be_refreshed_has_to_come_back(app: WebhookApp) -> None:
    clock = Clock()
    secret = secret_of(SECRET, "X")
    cases: list[tuple[list[WebhookEvent], bool]] = [
        (["connect"], False),
        (["connect", "refresh"], True),
    ]
    for on, lasts in cases:
        webhook = Webhook(app.url, secret, Rules(), on=on, seconds=PATIENCE, clock=clock)
        by = await webhook.principal("t")
        assert (by.expires, by.refresh) == (
            (None, clock.now + 60) if lasts else (clock.now + 60, None)
        )
        await webhook.subscribe(by, "room/1")
        await webhook.close()
    assert not app.events("subscribe"), "what is not in the list is not asked"


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_eHg=", "0123456789abcdef" * 4, "whsec_ä"])
def test_a_secret_is_long_and_of_the_usual_form(text: str) -> None:
    with pytest.raises(ConfigError, match="openssl rand"):
        secret_of(text, "X")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"url": "http://app.example.org/"}, "https://"),
        ({"on": ["subscribe", "refresh"]}, "refresh"),
        ({"on": []}, "at least 1"),
        ({"timeout_seconds": 0}, "greater than 0"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(table: dict[str, Any], said: str) -> None:
    held = {"url": "https://app.example.org/", "secret_env": "X", **table}
    with pytest.raises(ValueError, match=said):
        Auth.model_validate({"webhook": held})


# A hub that asks


@pytest.fixture
async def hub(app: WebhookApp, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    table = {"url": app.url, "secret_env": "WEBHOOK_SECRET", "timeout_seconds": PATIENCE}
    running = await start_hub(
        server={"ws_beat_seconds": 0.2}, auth=auth(webhook=table, token_seconds=PATIENCE)
    )
    for name in ("chat/ann/1", "chat/ann/2", "room/1"):
        await running.hub.streams.append_to(name, Message("user", "Hello"))
    return running


async def status(hub: Running, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    async with hub.client.get(path, headers=TOKEN if headers is None else headers) as said:
        body = await said.json() if "json" in said.content_type else {}
        code = body["error"]["code"] if isinstance(body, dict) and "error" in body else ""
        return said.status, code


async def do(socket: ClientWebSocketResponse, kind: str, **fields: Any) -> dict[str, Any]:
    await socket.send_json({"id": 1, "type": kind, **fields})
    async with asyncio.timeout(PATIENCE):
        while True:
            frame: dict[str, Any] = await socket.receive_json()
            if frame.get("id") == 1:
                return frame


async def closed(socket: ClientWebSocketResponse) -> int | None:
    async with asyncio.timeout(PATIENCE):
        while (last := await socket.receive()).type not in (
            WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING,
        ):  # fmt: skip
            pass
    return close_code(socket, last)


async def test_a_token_of_the_application_lets_in(app: WebhookApp, hub: Running) -> None:
    assert await status(hub, "/v1/stream/chat/ann/1") == (200, "")
    assert await status(hub, "/v1/stream/chat/bob/1") == (404, "stream_not_found")
    assert await status(hub, "/v1/stream/room/1") == (404, "stream_not_found")
    app.answers["connect"]["grants"] = READ
    other = {"Authorization": "Bearer other"}
    assert await status(hub, "/v1/stream/room/1", other) == (200, "")
    assert await status(hub, "/v1/stream/chat/ann/1", other) == (404, "stream_not_found")
    app.answers["connect"] = {"allow": False}
    third = {"Authorization": "Bearer third"}
    assert await status(hub, "/v1/stream/room/1", third) == (401, "invalid_token")
    assert [one["token"] for one in app.events("connect")] == ["opaque", "other", "third"]


async def test_one_address_cannot_keep_it_from_being_asked_about_others(
    app: WebhookApp, hub: Running
) -> None:
    app.gate = asyncio.Event()
    wrong = [{"Authorization": f"Bearer wrong-{number}"} for number in range(ASKED_ABOUT + 5)]
    asking = [asyncio.create_task(status(hub, "/v1/models", one)) for one in wrong]
    async with asyncio.timeout(PATIENCE):
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < 5:
            done, _ = await asyncio.wait(asking, timeout=0.05)
        assert {one.result() for one in done} == {(429, "rate_limit_exceeded")}
        assert len(app.events("connect")) <= ASKED_ABOUT
        app.gate.set()
        await asyncio.gather(*asking)
    assert await status(hub, "/v1/models") == (200, "")


async def test_one_user_cannot_keep_it_from_being_asked_about_others(
    app: WebhookApp, hub: Running
) -> None:
    app.answers["connect"] |= {"user": "bob"}
    bob = {"Authorization": "Bearer bobs"}
    for number in range(ASKED_ABOUT + 5):
        await hub.hub.streams.append_to(f"chat/bob/{number}", Message("user", "Hello"))
    assert await status(hub, "/v1/models", bob) == (200, "")
    app.answers["connect"] |= {"user": "ann"}
    app.gate, app.held = asyncio.Event(), "bob"
    asking = [
        asyncio.create_task(status(hub, f"/v1/stream/chat/bob/{number}", bob))
        for number in range(ASKED_ABOUT + 5)
    ]
    async with asyncio.timeout(PATIENCE):
        done: set[asyncio.Task[tuple[int, str]]] = set()
        while len(done) < 5:
            done, _ = await asyncio.wait(asking, timeout=0.05)
        assert {one.result() for one in done} == {(429, "rate_limit_exceeded")}
        async with hub.client.get("/v1/stream/chat/bob/x", headers=bob) as refused:
            assert refused.status == 429
            assert refused.headers["Retry-After"] == "1"
        assert await status(hub, "/v1/stream/chat/ann/1") == (200, "")
        app.gate.set()
        found = await asyncio.gather(*asking)
    assert sum(one == (200, "") for one in found) == ASKED_ABOUT


async def test_it_is_not_asked_for_an_address_that_has_presented_too_many(
    app: WebhookApp, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    table = {"url": app.url, "secret_env": "WEBHOOK_SECRET", "timeout_seconds": PATIENCE}
    limits = {"requests_per_minute": 3}
    hub = await start_hub(auth=auth(webhook=table, limits=limits))
    app.answers["connect"] = {"allow": False}
    wrong = [{"Authorization": f"Bearer wrong-{number}"} for number in range(6)]
    found = [(await status(hub, "/v1/models", one))[0] for one in wrong]
    assert found == [401, 401, 401, 429, 429, 429]
    assert len(app.events("connect")) == 3


async def test_keys_of_the_hub_are_its_own(app: WebhookApp, hub: Running) -> None:
    assert await status(hub, "/v1/stream/chat/bob/9", bearer("bob")) == (404, "stream_not_found")
    assert not app.events("connect")
    assert await status(hub, "/v1/stream/room/1", {}) == (401, "unauthorized")


async def test_an_application_that_is_down_lets_nobody_in(app: WebhookApp, hub: Running) -> None:
    app.instead = app.fail
    assert await status(hub, "/v1/models") == (503, "webhook_unavailable")
    with pytest.raises(WSServerHandshakeError) as refused:
        await hub.client.ws_connect("/v1/ws", headers=TOKEN)
    assert refused.value.status == 503
    assert "Retry-After" in (refused.value.headers or {})
    async with hub.client.ws_connect("/v1/ws") as socket:
        assert (await do(socket, "auth", token="opaque"))["code"] == "webhook_unavailable"


async def test_it_denies_a_subscription_while_the_connection_goes_on(
    app: WebhookApp, hub: Running
) -> None:
    async with hub.client.ws_connect("/v1/ws", headers=TOKEN) as socket:
        assert (await do(socket, "subscribe", stream="chat/ann/1"))["type"] == "ok"
        app.answers["subscribe"] = {"allow": False}
        assert (await do(socket, "subscribe", stream="chat/ann/2"))["code"] == "not_permitted"
        for name in ("chat/ann/3", UNBEGUN):
            waits = {"stream": name, "wait": True}
            assert (await do(socket, "subscribe", **waits))["code"] == "not_permitted", name
        assert (await do(socket, "ping"))["type"] == "ok"
        body = {"type": "message", "role": "user", "text": "more"}
        assert (await do(socket, "append", stream="chat/ann/1", event=body))["type"] == "ok"
    waited = [f"/v1/live/{name}?wait=true" for name in ("chat/ann/9", UNBEGUN)]
    for path in ("/v1/stream/chat/ann/1", "/v1/live/chat/ann/1", *waited):
        assert await status(hub, path) == (403, "not_permitted"), path


async def test_it_denies_a_generation(app: WebhookApp, hub: Running) -> None:
    app.answers["generate"] = {"allow": False}
    asked = {"prompt": "Hi", "stream": "chat/ann/1"}
    async with hub.client.post("/v1/generations", json=asked, headers=TOKEN) as said:
        assert (said.status, (await said.json())["error"]["code"]) == (403, "not_permitted")
    chat = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}]}
    async with hub.client.post("/v1/chat/completions", json=chat, headers=TOKEN) as said:
        assert said.status == 403
    async with hub.client.get("/stream_data_to_frontend_test", headers=TOKEN) as said:
        assert said.status == 403
    assert hub.hub.generations.active == 0
    (first, *_) = app.events("generate")
    del first["id"]
    assert first == {
        "event": "generate", "user": "ann", "tenant": None, "stream": "chat/ann/1",
        "upstream": "demo", "model": None,
    }  # fmt: skip


async def test_whoever_is_revoked_while_it_is_asked_generates_nothing(
    app: WebhookApp, hub: Running
) -> None:
    assert await status(hub, "/v1/stream/chat/ann/1", bearer("ann")) == (200, "")
    app.gate = asyncio.Event()
    app.was_asked.clear()

    async def ask() -> tuple[int, str]:
        asked = {"prompt": "Hi", "stream": "chat/ann/1"}
        async with hub.client.post("/v1/generations", json=asked, headers=bearer("ann")) as said:
            return said.status, (await said.json())["error"]["code"]

    asking = asyncio.create_task(ask())
    async with asyncio.timeout(PATIENCE):
        await app.was_asked.wait()
        hub.hub.revoke(KEYS["ann"].split("_")[1])
        app.gate.set()
        assert await asking == (401, "invalid_api_key")
    assert hub.hub.generations.active == 0


async def test_a_refresh_changes_what_may_be_followed(app: WebhookApp, hub: Running) -> None:
    app.answers["connect"] = {
        "allow": True, "ttl": 1, "user": "ann", "grants": [
            {"match": "chat/ann/**", "can": ["read"]}, *READ,
        ],
    }  # fmt: skip
    app.answers["refresh"] = {"allow": True, "ttl": 60, "user": "ann", "grants": READ}
    app.gate, app.held = asyncio.Event(), "refresh"
    async with hub.client.ws_connect("/v1/ws", headers=TOKEN) as socket:
        for name in ("chat/ann/1", "room/1"):
            assert (await do(socket, "subscribe", stream=name))["type"] == "ok"
        app.gate.set()
        async with asyncio.timeout(PATIENCE):
            while (frame := await socket.receive_json())["type"] != "error":
                pass
        assert (frame["stream"], frame["code"]) == ("chat/ann/1", "stream_not_found")
        assert (await do(socket, "subscribe", stream="room/1"))["code"] == "conflict"
        (connection,) = hub.hub.connections
        assert list(connection.subscriptions) == ["room/1"]
    (asked,) = app.events("refresh")
    assert asked["user"] == "ann"


async def test_whoever_has_no_name_is_counted_by_its_address_after_a_refresh_too(
    app: WebhookApp, hub: Running
) -> None:
    nobody = {"allow": True, "ttl": 1, "grants": READ}
    app.answers |= {"connect": nobody, "refresh": nobody}
    app.gate, app.held = asyncio.Event(), "refresh"
    async with hub.client.ws_connect("/v1/ws", headers=TOKEN) as socket:
        assert (await do(socket, "ping"))["type"] == "ok"
        (connection,) = hub.hub.connections
        before = connection.by
        app.gate.set()
        async with asyncio.timeout(PATIENCE):
            while connection.by is before:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.01)
        assert before.counted_as is not None
        assert connection.by.counted_as == before.counted_as


async def test_what_may_not_be_read_is_not_shared(app: WebhookApp, hub: Running) -> None:
    app.answers["connect"] |= {"grants": [{"match": "room/**", "can": ["read", "share"]}]}
    app.answers["subscribe"] = {"allow": False}
    async with hub.client.post("/v1/shares", json={"stream": "room/1"}, headers=TOKEN) as response:
        assert response.status == 403
    async with hub.client.post("/v1/tickets", json={"stream": "room/1"}, headers=TOKEN) as response:
        assert response.status == 403
    assert await hub.hub.credentials.listed("share", "", 10) == []


async def test_a_refresh_gives_a_ticket_no_more_than_it_had(app: WebhookApp, hub: Running) -> None:
    """Its connection ends with the answer, and comes back with the same ticket."""
    async with hub.client.post(
        "/v1/tickets", json={"stream": "chat/ann/1"}, headers=TOKEN
    ) as response:
        given = (await response.json())["ticket"]
    head = {"Authorization": f"Bearer {given}"}
    async with hub.client.get("/v1/live/chat/ann/1", headers=head) as response:
        assert response.status == 200
    async with hub.client.ws_connect("/v1/ws", headers=head) as socket:
        body = {"type": "message", "role": "user", "text": "more"}
        append = {"stream": "chat/ann/1", "event": body}
        assert (await do(socket, "append", **append))["code"] == "not_permitted"
        assert (await do(socket, "subscribe", stream="chat/ann/1"))["type"] == "ok"
        (connection,) = hub.hub.connections
        assert connection.by.refresh is None
        assert connection.by.within is not None
        assert connection.by.expires is not None


async def test_a_response_ends_when_a_refresh_takes_its_stream_away(
    app: WebhookApp, hub: Running
) -> None:
    app.answers["connect"]["ttl"] = 1
    app.answers["refresh"] = {"allow": True, "ttl": 60, "user": "ann", "grants": []}
    app.gate, app.held = asyncio.Event(), "refresh"
    async with hub.client.get("/v1/live/chat/ann/1", headers=TOKEN) as said:
        async with asyncio.timeout(PATIENCE):
            first = await said.content.readany()
            app.gate.set()
            assert b"Hello" in first + await said.read()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"allow": False}, 4502),
        ({"allow": True, "ttl": 60, "user": "bob"}, 4502),
        ({"wrong": 1}, 4200),
    ],
)
async def test_a_refresh_ends_a_connection(
    answer: Any, code: int, app: WebhookApp, hub: Running
) -> None:
    app.answers["connect"]["ttl"] = 1
    app.answers["refresh"] = answer
    app.gate, app.held = asyncio.Event(), "refresh"
    async with hub.client.ws_connect("/v1/ws", headers=TOKEN) as socket:
        assert (await do(socket, "ping"))["type"] == "ok"
        app.gate.set()
        assert await closed(socket) == code
    assert len(app.events("refresh")) == 1, "it is not asked again and again"


# The same questions, to an application around the hub


class Application(Authorizer):
    """Lets ann in until it says whether she may go on, and then keeps her out."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.answers = asyncio.Event()

    async def __call__(self, request: web.Request) -> Principal:
        return Principal("ann", grants=(Grant(PERMISSIONS),), refresh=1.0)

    async def subscribe(self, by: Principal, stream: str) -> None:
        self.asked.append(("subscribe", by.user, stream))

    async def generate(
        self, by: Principal, stream: str | None, upstream: str, model: str | None
    ) -> None:
        self.asked.append(("generate", by.user, stream, upstream))
        raise Forbidden("not today")

    async def refresh(self, by: Principal) -> Principal:
        await self.answers.wait()
        self.asked.append(("refresh", by.user))
        raise Unauthorized("go away")


class Nameless(Authorizer):
    """One that does not say who makes a request."""


def test_an_application_has_to_say_who_makes_a_request() -> None:
    with pytest.raises(TypeError, match="__call__"):
        Nameless()  # type: ignore[abstract]  # this is the point


async def test_an_application_around_the_hub_is_asked_the_same() -> None:
    app, application = web.Application(), Application()
    tables = {"store": {"url": "memory:"}, "server": {"ws_beat_seconds": 0.2}}
    config = streamhub.Config.model_validate(tables)
    held = streamhub.setup(app, prefix="/hub", config=config, authorize=application)
    async with TestClient(TestServer(app)) as client:
        await held.streams.append_to("room/1", Message("user", "Hello"))
        async with client.ws_connect("/hub/v1/ws") as socket:
            assert (await do(socket, "subscribe", stream="room/1"))["type"] == "ok"
            asked = {"prompt": "Hi", "stream": "room/1"}
            async with client.post("/hub/v1/generations", json=asked) as said:
                assert said.status == 403
            application.answers.set()
            assert await closed(socket) == 4502
    assert application.asked == [
        ("subscribe", "ann", "room/1"),
        ("generate", "ann", "room/1", "demo"),
        ("refresh", "ann"),
    ]


class Slow(Application):
    """An application that lets everybody in, and takes its time to let anybody go on."""

    async def __call__(self, request: web.Request) -> Principal:
        user, _, number = request.headers["X-User"].partition(" ")
        grants = (Grant(PERMISSIONS),)
        return Principal(user, grants=grants, refresh=1.0, credential=f"app:{user}{number}")

    async def refresh(self, by: Principal) -> Principal:
        self.asked.append(by.user)
        answers = self.answers
        await answers.wait()
        return replace(by, refresh=time.time() + 3600)


async def test_one_user_cannot_keep_it_from_being_asked_whether_others_go_on() -> None:
    app, application = web.Application(), Slow()
    tables = {"store": {"url": "memory:"}, "server": {"ws_beat_seconds": 0.2}}
    config = streamhub.Config.model_validate(tables)
    held = streamhub.setup(app, config=config, authorize=application)
    users = [*(f"ann {number}" for number in range(3 * REFRESHES_OF_ONE)), "bob"]
    async with TestClient(TestServer(app)) as client, AsyncExitStack() as stack:
        # While the first is asked about, all the others come: they are due together, at one look.
        for user in users:
            socket = client.ws_connect("/v1/ws", headers={"X-User": user})
            await stack.enter_async_context(socket)
            await eventually(lambda: application.asked)
        assert application.asked == ["ann"]
        first, application.answers = application.answers, asyncio.Event()
        application.asked.clear()
        first.set()
        await eventually(lambda: "bob" in application.asked)
        assert application.asked.count("ann") <= REFRESHES_OF_ONE
        application.answers.set()
        await eventually(lambda: all((one.by.refresh or 0) > 2 for one in held.connections))
