"""Signing in and out over HTTP: links work once, cookies count only in the hub's own pages."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import DummyCookieJar, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

from hub import setup
from hub.config.schema import Config
from hub.domain.principal import Principal
from tests.conftest import Running, StartHub
from tests.support.browsers import CROSS, PAGE, cookie_of, link, sign_in
from tests.support.people import auth, bearer

HELLO = {"type": "message", "role": "user", "text": "Hello"}
FRAME = {"Sec-Fetch-Site": "same-site"}


@pytest.fixture
async def hub(start_hub: StartHub) -> Running:
    return await start_hub(
        auth=auth({"who": "claim group=staff", "match": "staff/**", "can": ["read"]}),
        server={"list_streams": True, "origins": ["https://app.example"]},
    )


async def me(hub: Running, headers: dict[str, str]) -> dict[str, Any]:
    async with hub.client.get("/v1/me", headers=headers) as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Vary"] == "Cookie"
        held: dict[str, Any] = await response.json()
        return held


async def status(hub: Running, headers: dict[str, str], path: str = "/v1/streams") -> int:
    async with hub.client.get(path, headers=headers) as response:
        return response.status


async def over_websocket(hub: Running, headers: dict[str, str]) -> str:
    """What a WebSocket says to somebody who subscribes: a status, a code, or ``ok``."""
    try:
        async with hub.client.ws_connect("/v1/ws", headers=headers) as socket:
            await socket.send_json({"type": "subscribe", "stream": "chat/ann/1", "wait": True})
            frame = await socket.receive_json()
            return str(frame.get("code", frame["type"]))
    except WSServerHandshakeError as refused:
        return str(refused.status)


# Links


async def test_a_link_signs_somebody_in(hub: Running) -> None:
    path = await link(hub.hub, "ann", "acme")
    async with hub.client.get(path) as response:
        text = await response.text()
        assert (response.status, response.content_type) == (200, "text/html")
    assert '<form method="post">' in text
    assert "Sign in as ann" in text
    async with hub.client.post(path, headers=PAGE, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "../")
        set_cookie = response.headers["Set-Cookie"]
        name, token = cookie_of(response)
    assert name == "streamhub"
    for part in ("HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=43"):
        assert part in set_cookie
    assert "Domain" not in set_cookie
    known = await me(hub, {"Cookie": f"streamhub={token}", **PAGE})
    assert (known["user"], known["tenant"], known["signed_in"]) == ("ann", "acme", "link")
    assert known["allowed"] is True


async def test_to_look_at_a_link_does_not_use_it_up(hub: Running) -> None:
    path = await link(hub.hub, "ann")
    for headers in ({}, {"Sec-Purpose": "prefetch"}, CROSS):
        async with hub.client.get(path, headers=headers) as response:
            assert response.status == 200
            assert "Set-Cookie" not in response.headers
        async with hub.client.head(path, headers=headers) as response:
            assert response.status == 200
    async with hub.client.post(path, headers=PAGE, allow_redirects=False) as response:
        assert response.status == 303


async def test_a_link_works_once(hub: Running) -> None:
    path = await link(hub.hub, "ann")
    async with hub.client.post(path, headers=PAGE, allow_redirects=False) as response:
        assert response.status == 303
    for method in ("GET", "POST"):
        async with hub.client.request(method, path, headers=PAGE) as response:
            text = await response.text()
            assert (response.status, response.content_type) == (404, "text/html")
            assert "login_link_invalid" in text
            assert "Set-Cookie" not in response.headers


async def test_of_two_who_use_a_link_at_once_one_signs_in(
    start_hub: StartHub, tmp_path: Path
) -> None:
    """In a file, which lets others have their turn before a link has been used up."""
    hub = await start_hub(auth=auth(), store={"url": f"sqlite:{tmp_path / 'hub.db'}"})
    path = await link(hub.hub, "ann")

    async def use() -> int:
        async with hub.client.post(path, headers=PAGE, allow_redirects=False) as response:
            return response.status

    found = await asyncio.gather(*(use() for _ in range(10)))
    assert sorted(found) == [303] + [404] * 9


@pytest.mark.parametrize("wrong", ["x", f"si_abcdefghijkl_{'A' * 43}", "%00", "%F0%9F%98%80"])
async def test_what_is_no_link_is_refused(hub: Running, wrong: str) -> None:
    async with hub.client.post(f"/login/{wrong}", headers=PAGE) as response:
        assert response.status == 404
        assert "login_link_invalid" in await response.text()


async def test_a_link_expires(hub: Running) -> None:
    path = await link(hub.hub, "ann", seconds=0)
    async with hub.client.post(path, headers=PAGE) as response:
        assert response.status == 404


async def test_another_site_cannot_sign_somebody_in(hub: Running) -> None:
    """Else people would write into the account of whoever made the site."""
    path = await link(hub.hub, "eve")
    foreign = [
        CROSS,
        FRAME,
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://app.example"},  # allowed to use the hub, but not a page of it
    ]
    for headers in foreign:
        async with hub.client.post(path, headers=headers, allow_redirects=False) as response:
            assert response.status == 403
            assert "Set-Cookie" not in response.headers


async def test_signing_in_ends_the_session_of_before(hub: Running) -> None:
    before = await sign_in(hub, "eve")
    path = await link(hub.hub, "ann")
    async with hub.client.post(path, headers=before, allow_redirects=False) as response:
        assert response.status == 303
        _, token = cookie_of(response)
    assert token not in before["Cookie"]
    await asyncio.sleep(1.0)  # how long a session is remembered
    assert await status(hub, before) == 401
    assert (await me(hub, {"Cookie": f"streamhub={token}", **PAGE}))["user"] == "ann"


async def test_a_session_that_somebody_chose_is_not_taken_over(hub: Running) -> None:
    chosen = f"streamhub=ss_abcdefghijkl_{'A' * 43}"
    path = await link(hub.hub, "ann")
    headers = {"Cookie": chosen, **PAGE}
    async with hub.client.post(path, headers=headers, allow_redirects=False) as response:
        name, token = cookie_of(response)
    assert f"{name}={token}" != chosen
    assert await status(hub, headers) == 401


async def test_a_page_over_http_elsewhere_says_what_is_needed(hub: Running) -> None:
    path = await link(hub.hub, "ann")
    headers = {"Host": "hub", "Origin": "http://hub"}
    async with hub.client.post(path, headers=headers, allow_redirects=False) as response:
        assert response.status == 403
        assert "https_required" in await response.text()
    headers = {"Host": "hub", "Origin": "https://hub"}
    async with hub.client.post(path, headers=headers, allow_redirects=False) as response:
        assert response.status == 303, "the first did not use it up"
        set_cookie = response.headers["Set-Cookie"]
        name, token = cookie_of(response)
    assert name == "__Host-streamhub"
    assert "Secure" in set_cookie
    assert "Path=/" in set_cookie
    held = {"Host": "hub", "Cookie": f"{name}={token}", **PAGE}
    assert (await me(hub, held))["user"] == "ann"
    # Another scheme is another origin: somebody in the network may have written that page.
    assert await status(hub, {**held, "Origin": "http://hub"}) == 401
    # On another machine the plain name could have come from anywhere below the domain.
    assert await status(hub, {**held, "Cookie": f"streamhub={token}"}) == 401


# Cookies


@pytest.mark.parametrize(
    "headers",
    [
        CROSS,
        FRAME,
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": "https://app.example"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "{own}"},
        {"Sec-Fetch-Site": "nonsense"},
    ],
    ids=str,
)
async def test_a_cookie_counts_only_in_the_hubs_own_pages(
    hub: Running, headers: dict[str, str]
) -> None:
    held = {"Cookie": (await sign_in(hub, "ann"))["Cookie"]}
    own = f"http://{hub.client.host}:{hub.client.port}"
    given = {**held, **{name: value.format(own=own) for name, value in headers.items()}}
    assert await status(hub, held) == 200
    assert await status(hub, {**held, "Origin": own}) == 200
    assert await over_websocket(hub, {**held, "Origin": own}) == "ok"
    async with hub.client.get("/v1/streams", headers=given) as response:
        assert response.status == 401
        assert "Set-Cookie" not in response.headers, "another site must not sign anybody out"
    async with hub.client.post("/v1/stream/chat/ann/1", headers=given, json=HELLO) as response:
        assert response.status in (401, 403)
    assert await over_websocket(hub, given) in ("403", "unauthorized")
    async with hub.client.post("/v1/logout", headers=given) as response:
        assert "Set-Cookie" not in response.headers
    assert await status(hub, held) == 200


async def test_a_websocket_opens_with_a_cookie(hub: Running) -> None:
    held = await sign_in(hub, "ann")
    own = f"http://{hub.client.host}:{hub.client.port}"
    cookie = {"Cookie": held["Cookie"]}
    for headers in (held, {**cookie, "Origin": own}):
        async with hub.client.ws_connect("/v1/ws", headers=headers) as socket:
            event = {"type": "append", "stream": "chat/ann/1", "event": HELLO, "id": 1}
            await socket.send_json(event)
            assert (await socket.receive_json())["type"] == "ok"
            await socket.send_json({**event, "stream": "chat/bob/1"})
            assert (await socket.receive_json())["code"] == "stream_not_found"


async def test_what_is_public_is_open_with_any_cookie(hub: Running) -> None:
    for value in ("", "nonsense", f"ss_abcdefghijkl_{'A' * 43}", '"quoted"', "ss_\u00e4"):
        headers = {"Cookie": f"streamhub={value}", **PAGE}
        for path in ("/login", "/livez", "/v1/me"):
            assert await status(hub, headers, path) == 200
        assert await status(hub, headers, "/") in (200, 503)


@pytest.mark.parametrize("value", [f"ss_abcdefghijkl_{'A' * 43}", "nonsense", ""])
async def test_a_cookie_that_does_not_hold_is_deleted(hub: Running, value: str) -> None:
    headers = {"Cookie": f"a=b; streamhub={value}", **PAGE}
    async with hub.client.get("/v1/streams", headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "session_ended"
        assert "streamhub=" in response.headers["Set-Cookie"]
        assert "Max-Age=0" in response.headers["Set-Cookie"]
    async with hub.client.get("/v1/me", headers=headers) as response:
        assert response.status == 200
        assert "Max-Age=0" in response.headers["Set-Cookie"]
        assert (await response.json())["user"] is None


async def test_of_two_cookies_with_the_name_none_counts(hub: Running) -> None:
    """Another program of this machine can add one for a longer path, which comes first."""
    ann = (await sign_in(hub, "ann"))["Cookie"]
    eve = (await sign_in(hub, "eve"))["Cookie"]
    assert await status(hub, {"Cookie": f"{eve}; {ann}", **PAGE}) == 401
    assert await status(hub, {"Cookie": f"{ann}; {ann}", **PAGE}) == 200


async def test_a_header_goes_before_a_cookie(hub: Running) -> None:
    ann = await sign_in(hub, "ann")
    assert (await me(hub, {**ann, **bearer("bob")}))["user"] == "bob"
    async with hub.client.get("/v1/streams", headers={**ann, "Authorization": "Bearer x"}) as given:
        assert given.status == 401


async def test_a_key_in_the_cookie_is_no_session(hub: Running) -> None:
    key = bearer("ann")["Authorization"].removeprefix("Bearer ")
    assert await status(hub, {"Cookie": f"streamhub={key}", **PAGE}) == 401


async def test_a_host_that_is_not_the_hubs_is_refused_before_the_cookie(hub: Running) -> None:
    ann = await sign_in(hub, "ann")
    port = hub.client.port
    rebound = {**ann, "Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    for path in ("/v1/streams", "/v1/me", "/login", "/v1/ws"):
        assert await status(hub, rebound, path) == 403


async def test_no_cache_gives_to_others_what_a_cookie_has_opened(hub: Running) -> None:
    ann = await sign_in(hub, "ann")
    for headers in (ann, {}):
        for path in ("/docs", "/docs/openapi.json", "/stream-file", "/v1/models", "/v1/streams"):
            async with hub.client.get(path, headers=headers) as response:
                told = response.headers["Cache-Control"]
                varies = response.headers.get("Vary", "")
            assert "no-store" in told or ("private" in told and "Cookie" in varies), path
    async with hub.client.get("/livez", headers=ann) as response:
        assert "Cookie" not in response.headers.get("Vary", "")


# Signing out


async def test_signing_out_ends_the_session_also_beside_a_cookie_of_somebody_else(
    hub: Running,
) -> None:
    """Another program of this machine can add one; the session must not go on unseen."""
    ann = await sign_in(hub, "ann")
    two = {**ann, "Cookie": f"streamhub=ss_tossed; {ann['Cookie']}"}
    async with hub.client.post("/v1/logout", headers=two) as response:
        assert response.status == 204
    await asyncio.sleep(1.0)  # how long a session is remembered
    assert await status(hub, ann) == 401


async def test_signing_out_ends_the_session_everywhere(hub: Running) -> None:
    ann = await sign_in(hub, "ann")
    other = await sign_in(hub, "ann")
    async with hub.client.ws_connect("/v1/ws", headers=ann) as socket:
        async with hub.client.post("/v1/logout", headers=ann) as response:
            assert response.status == 204
            assert "Max-Age=0" in response.headers["Set-Cookie"]
        closed = await socket.receive()
        assert (closed.type.name, closed.data) == ("CLOSE", 4502)
    await asyncio.sleep(1.0)  # how long a session is remembered
    async with hub.client.get("/v1/streams", headers=ann) as response:
        assert response.status == 401
        assert (await response.json())["error"]["code"] == "session_ended"
    assert await status(hub, other) == 200


async def test_a_form_signs_out_and_leads_to_the_sign_in_page(hub: Running) -> None:
    ann = await sign_in(hub, "ann")
    headers = {**ann, "Accept": "text/html,*/*"}
    async with hub.client.get("/login", headers=headers) as response:
        assert "signed in as <strong>ann</strong>" in await response.text()
    async with hub.client.post("/v1/logout", headers=headers, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "../login")
        assert "Max-Age=0" in response.headers["Set-Cookie"]
    async with hub.client.post("/v1/logout", headers=PAGE) as response:
        assert response.status == 204, "to sign out twice is no error"


# Who one is


async def test_me_says_who_one_is(hub: Running) -> None:
    nobody = await me(hub, {})
    assert nobody == {
        "user": None,
        "tenant": None,
        "key": None,
        "signed_in": None,
        "expires": None,
        "allowed": False,
        "folder": None,
        "conversations": None,
        "methods": [
            {"kind": "link", "label": "Use a sign-in link that you were sent", "url": None}
        ],
    }
    known = await me(hub, await sign_in(hub, "ann"))
    assert (known["user"], known["folder"]) == ("ann", "chat/ann/")
    assert known["expires"].endswith("Z")
    assert (await me(hub, bearer("ann")))["signed_in"] == "key"
    assert known["conversations"] == (await me(hub, bearer("ann")))["conversations"]
    operator = await me(hub, bearer("admin"))
    assert (operator["user"], operator["folder"]) == (None, "")
    async with hub.client.get("/v1/me", headers={"Authorization": "Bearer x"}) as response:
        assert response.status == 401


async def test_a_hub_without_authentication_has_nobody_to_sign_in(start_hub: StartHub) -> None:
    hub = await start_hub()
    known = await me(hub, {})
    assert (known["user"], known["allowed"], known["folder"]) == (None, True, "")
    assert (known["conversations"], known["methods"]) == (None, [])
    async with hub.client.get("/login") as response:
        assert "does not ask anybody" in await response.text()
    async with hub.client.post("/login/x", headers=PAGE) as response:
        assert response.status == 404
    async with hub.client.post("/v1/logout", headers=PAGE) as response:
        assert response.status == 204


async def test_a_page_says_what_a_name_is_and_not_what_is_in_it(hub: Running) -> None:
    path = await link(hub.hub, "<img src=x onerror=alert(1)>")
    async with hub.client.get(path) as response:
        text = await response.text()
        policy = response.headers["Content-Security-Policy"]
        assert response.headers["Referrer-Policy"] == "strict-origin"
    assert "<img" not in text
    assert "&lt;img" in text
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


async def test_signing_out_counts_with_each_session(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 5}))

    async def sign_out(sessions: int) -> int:
        cookie = "; ".join(f"streamhub=ss_{number}" for number in range(sessions))
        headers = {**PAGE, "Cookie": cookie}
        async with hub.client.post("/v1/logout", headers=headers) as response:
            return response.status

    assert [await sign_out(1) for _ in range(6)] == [204] * 5 + [429]
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 5}))
    assert await sign_out(3) == 204
    assert await sign_out(3) == 429


async def test_nobody_tries_many_links(start_hub: StartHub) -> None:
    hub = await start_hub(auth=auth(limits={"requests_per_minute": 5}))
    found = [await status(hub, {}, "/login/si_x") for _ in range(6)]
    assert found == [404] * 5 + [429]


# In an application


async def test_a_hub_under_a_prefix_has_a_cookie_of_its_own() -> None:
    app = web.Application()
    config = Config.model_validate({"auth": auth(), "store": {"url": "memory:"}})
    made = setup(app, prefix="/my/hub", config=config)
    async with TestClient(TestServer(app), cookie_jar=DummyCookieJar()) as client:
        path = "/my/hub" + await link(made, "ann")
        async with client.post(path, headers=PAGE, allow_redirects=False) as response:
            assert response.headers["Location"] == "../"
            assert "Path=/;" in response.headers["Set-Cookie"]
            name, token = cookie_of(response)
        assert name == "streamhub-my-hub"
        for called, user in ((name, "ann"), ("streamhub", None)):
            headers = {"Cookie": f"{called}={token}", **PAGE}
            async with client.get("/my/hub/v1/me", headers=headers) as response:
                assert (await response.json())["user"] == user
        async with client.get("/my/hub/login/x") as response:
            assert 'href="../login"' in await response.text()


async def test_an_application_signs_its_users_in_itself() -> None:
    async def authorize(request: web.Request) -> Principal:
        return Principal(request.headers["X-Test-User"])

    app = web.Application()
    setup(app, config=Config.model_validate({"store": {"url": "memory:"}}), authorize=authorize)
    async with TestClient(TestServer(app)) as client:
        async with client.get("/v1/me", headers={"X-Test-User": "ann"}) as response:
            known = await response.json()
        assert (known["user"], known["signed_in"]) == ("ann", "application")
        assert known["methods"] == []
