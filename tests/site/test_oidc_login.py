"""Signing in with an OpenID provider over HTTP: from the hub to the provider, and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from http.cookies import Morsel, SimpleCookie
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientResponse, DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from hub import setup
from hub.auth.oidc.pending_login import PendingLogin
from hub.config.schema import Config
from tests.conftest import Running, StartHub
from tests.support.browsers import PAGE, sign_in
from tests.support.forged_provider import CLIENT, ForgedProvider
from tests.support.key_server import signers
from tests.support.patience import PATIENCE
from tests.support.people import OWN

KEYS = signers()
CROSS = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
BACK = "/login/oidc/callback"


@pytest.fixture
async def server() -> AsyncIterator[ForgedProvider]:
    server = ForgedProvider(KEYS["RS256"])
    await server.start()
    yield server
    await server.close()


class Browser:
    """A browser's cookies for one hub, and how it gets to the provider and back."""

    def __init__(self, hub: Running, *, prefix: str = "", **headers: str) -> None:
        self.hub = hub
        self.prefix = prefix
        self.headers = headers
        self.cookies: dict[str, Morsel[str]] = {}

    async def get(self, path: str, **headers: str) -> ClientResponse:
        """What is at an address; its cookies are kept."""
        given = {**({"Cookie": self.cookie} if self.cookies else {}), **self.headers, **headers}
        url = URL(self.prefix + path, encoded=True)
        async with self.hub.client.get(url, headers=given, allow_redirects=False) as response:
            await response.read()
        for line in response.headers.getall("Set-Cookie", []):
            for name, morsel in SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = morsel
        return response

    async def leave(self, then: str = "") -> dict[str, str]:
        """Begin to sign in; gives what the provider is asked."""
        query = f"?next={quote(then, safe='')}" if then else ""
        response = await self.get(f"/login/oidc{query}", **PAGE)
        assert response.status == 303, await response.text()
        return dict(URL(response.headers["Location"]).query)

    async def come_back(self, **answer: str) -> ClientResponse:
        """Be sent back by the provider."""
        return await self.get(f"{BACK}?{URL.build(query=answer).raw_query_string}", **CROSS)

    async def sign_in(self, server: ForgedProvider, then: str = "") -> ClientResponse:
        """Sign in as whoever the provider says."""
        asked = await self.leave(then)
        server.nonce = asked["nonce"]
        return await self.come_back(code="abc", state=asked["state"])

    async def me(self) -> dict[str, Any]:
        """Who the hub says that this is."""
        held: dict[str, Any] = await (await self.get("/v1/me", **PAGE)).json()
        return held

    @property
    def cookie(self) -> str:
        """Its cookies, as it sends them."""
        return "; ".join(f"{name}={morsel.value}" for name, morsel in self.cookies.items())

    @property
    def logins(self) -> list[str]:
        """The cookies of logins that are under way."""
        return [name for name in self.cookies if "login" in name]


async def refused(response: ClientResponse, code: str) -> str:
    """The page that says why somebody could not sign in."""
    text = await response.text()
    assert f"<code>{code}</code>" in text, text
    assert response.content_type == "text/html"
    assert 'href="../../login"' in text
    return text


@pytest.fixture
def auth(server: ForgedProvider) -> dict[str, Any]:
    return {
        "oidc": {"issuer": server.issuer, "client_id": CLIENT, "title": "Example & Sons"},
        "grants": [
            {"who": "user", "match": "chat/{user}/**", "can": OWN},
            {"who": "claim groups=staff", "match": "staff/**", "can": ["read", "append"]},
        ],
    }


@pytest.fixture
async def hub(start_hub: StartHub, auth: dict[str, Any]) -> Running:
    return await start_hub(auth=auth, server={"list_streams": True})


@pytest.fixture
def browser(hub: Running) -> Browser:
    return Browser(hub)


# From the page to the provider, and back


async def test_the_sign_in_page_has_a_button(browser: Browser) -> None:
    text = await (await browser.get("/login", **PAGE)).text()
    assert 'href="login/oidc">Sign in with Example &amp; Sons</a>' in text
    assert (await browser.me())["methods"][0] == {
        "kind": "oidc",
        "label": "Sign in with Example & Sons",
        "url": "login/oidc",
    }


async def test_the_button_leads_back_to_where_one_comes_from(browser: Browser) -> None:
    text = await (await browser.get("/login?next=%2Fhub%2F%3Fa%3D%22%23%2Fc%2F1", **PAGE)).text()
    assert 'href="login/oidc">' in text, "a quotation mark is not of a URL"
    text = await (await browser.get("/login?next=%2Fhub%2F%3Fa%3Db%23%2Fc%2F1", **PAGE)).text()
    assert 'href="login/oidc?next=%2Fhub%2F%3Fa%3Db%23%2Fc%2F1">' in text
    assert 'href="/hub/?a=b#/c/1">Back' in text
    text = await (await browser.get("/login?next=%2F%2Fevil.example", **PAGE)).text()
    assert "evil" not in text


async def test_somebody_signs_in(browser: Browser, server: ForgedProvider) -> None:
    response = await browser.sign_in(server)
    assert (response.status, response.headers["Location"]) == (303, "../../")
    assert response.headers["Cache-Control"] == "no-store"
    me = await browser.me()
    assert (me["user"], me["signed_in"], me["folder"]) == ("ann", "oidc", "chat/ann/")
    assert [*browser.cookies] == ["streamhub"]
    assert server.codes[0]["redirect_uri"] == (
        f"http://{browser.hub.client.host}:{browser.hub.client.port}{BACK}"
    )


async def test_a_claim_brings_its_grants(
    browser: Browser, server: ForgedProvider, hub: Running
) -> None:
    async def begin(browser: Browser) -> int:
        headers = {"Cookie": browser.cookie, **PAGE}
        async with hub.client.put("/v1/stream/staff/1", headers=headers) as response:
            return response.status

    server.claims["groups"] = ["chess", "staff"]
    await browser.sign_in(server)
    other = Browser(hub)
    server.claims |= {"groups": ["guests"], "sub": "bob"}
    await other.sign_in(server)
    assert [await begin(other), await begin(browser)] == [404, 201]


async def test_what_a_browser_keeps_on_the_way(hub: Running, server: ForgedProvider) -> None:
    here, elsewhere = Browser(hub), Browser(hub, Host="hub", Origin="https://hub")
    for browser, prefix, secure in ((here, "", ""), (elsewhere, "__Host-", True)):
        asked = await browser.leave("/?a=b#/c/one")
        [name] = browser.logins
        assert name == f"{prefix}streamhub-login-{asked['state'][:8]}"
        cookie = browser.cookies[name]
        assert (cookie["secure"], cookie["httponly"]) == (secure, True)
        assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Lax", "/", "")
        assert cookie["max-age"] == "600"
        assert not set(asked.values()) & {*cookie.value.split(".")}


async def test_each_tab_can_sign_in(browser: Browser, server: ForgedProvider) -> None:
    first, second = await browser.leave("/#/c/1"), await browser.leave("/#/c/2")
    server.nonce = second["nonce"]
    response = await browser.come_back(code="abc", state=second["state"])
    assert response.headers["Location"] == "/#/c/2"
    server.nonce = first["nonce"]
    response = await browser.come_back(code="abc", state=first["state"])
    assert response.headers["Location"] == "/#/c/1"
    assert browser.logins == []


async def test_of_many_logins_the_last_ones_are_kept(browser: Browser) -> None:
    for _ in range(12):
        last = await browser.leave()
    assert len(browser.logins) == 5
    assert any(name.endswith(last["state"][:8]) for name in browser.logins)


async def test_signing_in_ends_the_session_of_before(
    hub: Running, browser: Browser, server: ForgedProvider
) -> None:
    await browser.sign_in(server)
    before = {"Cookie": browser.cookie, **PAGE}
    server.claims |= {"sub": "bob", "groups": []}
    await browser.sign_in(server)
    assert (await browser.me())["user"] == "bob"
    async with asyncio.timeout(PATIENCE):
        user = "ann"
        while user is not None:  # a session is remembered for a second
            async with hub.client.get("/v1/me", headers=before) as response:
                user = (await response.json())["user"]


# Attacks


async def test_a_login_of_another_browser(
    hub: Running, browser: Browser, server: ForgedProvider
) -> None:
    """Login CSRF: somebody sends a victim back with a code of their own account."""
    attacker = Browser(hub)
    asked = await attacker.leave()
    server.nonce = asked["nonce"]
    await browser.leave()
    response = await browser.come_back(code="abc", state=asked["state"])
    await refused(response, "login_expired")
    assert server.codes == []
    assert (await browser.me())["user"] is None


@pytest.mark.parametrize(
    "state", ["", "x", "x" * 43, "é", "%00", "a&state=b", "x" * 5000, "{begin}" + "x" * 35]
)
async def test_a_wrong_state(browser: Browser, server: ForgedProvider, state: str) -> None:
    """Also one that begins like the right one, as the name of the browser's cookie does."""
    state = state.format(begin=(await browser.leave())["state"][:8])
    response = await browser.get(f"{BACK}?code=abc&state={quote(state, safe='&=%')}", **CROSS)
    await refused(response, "login_expired")
    assert server.codes == []


async def test_an_answer_that_says_something_twice(
    browser: Browser, server: ForgedProvider
) -> None:
    asked = await browser.leave()
    for more in ("&code=other", f"&state={asked['state']}", "&iss=a&iss=b"):
        path = f"{BACK}?code=abc&state={asked['state']}{more}"
        await refused(await browser.get(path, **CROSS), "login_expired")
    assert server.codes == []


async def test_a_login_is_over_when_it_was_used(browser: Browser, server: ForgedProvider) -> None:
    asked = await browser.leave()
    server.nonce = asked["nonce"]
    answer = {"code": "abc", "state": asked["state"]}
    assert (await browser.come_back(**answer)).status == 303
    await refused(await browser.come_back(**answer), "login_expired")
    assert len(server.codes) == 1


async def test_a_login_that_took_too_long(browser: Browser, server: ForgedProvider) -> None:
    old = PendingLogin.begin("", time.time() - 601)
    cookie = {"Cookie": f"streamhub-login-{old.state[:8]}={old.cookie}"}
    response = await browser.get(f"{BACK}?code=abc&state={old.state}", **CROSS, **cookie)
    await refused(response, "login_expired")
    assert server.codes == []


async def test_somebody_cancels(browser: Browser) -> None:
    asked = await browser.leave()
    response = await browser.come_back(error="access_denied", state=asked["state"])
    assert response.status == 401
    assert "You did not sign in: it was cancelled." in await refused(response, "login_cancelled")
    assert browser.logins == []


async def test_a_providers_words_are_no_page(browser: Browser) -> None:
    asked = await browser.leave()
    evil = "<img src=x onerror=alert(1)>\"'&\r\nSet-Cookie: a=b"
    response = await browser.come_back(
        error=evil, error_description=evil, iss="", state=asked["state"]
    )
    await refused(response, "login_refused")
    asked = await browser.leave()
    response = await browser.come_back(
        error="access_denied", error_description=evil, state=asked["state"]
    )
    text = await refused(response, "login_cancelled")
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "<img" not in text
    assert "script-src" not in response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


async def test_words_that_come_from_nobody_are_not_shown(browser: Browser) -> None:
    response = await browser.come_back(
        error="access_denied", error_description="call 0900 123", state="x" * 43
    )
    assert "0900" not in await refused(response, "login_expired")


@pytest.mark.parametrize("then", ["//evil.example", "/\\evil.example", "https://evil.example"])
async def test_no_other_place_to_go_to(browser: Browser, server: ForgedProvider, then: str) -> None:
    response = await browser.sign_in(server, then)
    assert response.headers["Location"] == "../../"


@pytest.mark.parametrize("then", ["/", "/hub/?stream=a%20b#/c/one", "/a//b", "/@me", "/?x=//y"])
async def test_a_place_of_the_hub_to_go_to(
    browser: Browser, server: ForgedProvider, then: str
) -> None:
    response = await browser.sign_in(server, then)
    assert response.headers["Location"] == then


async def test_over_http_elsewhere_nobody_signs_in(hub: Running, server: ForgedProvider) -> None:
    browser = Browser(hub, Host="hub", Origin="http://hub")
    response = await browser.get("/login/oidc")
    assert response.status == 403
    assert "https_required" in await response.text()
    assert browser.cookies == {}


async def test_nobody_signs_in_too_often(
    start_hub: StartHub, auth: dict[str, Any], server: ForgedProvider
) -> None:
    browser = Browser(await start_hub(auth={**auth, "limits": {"requests_per_minute": 5}}))
    found = [(await browser.get("/login/oidc")).status for _ in range(6)]
    assert found == [303] * 5 + [429]


# Trouble


async def test_the_hub_starts_without_the_provider(
    start_hub: StartHub, auth: dict[str, Any], server: ForgedProvider
) -> None:
    server.faults["/.well-known/openid-configuration"] = server.fail
    browser = Browser(await start_hub(auth=auth))
    assert server.asked == 0
    response = await browser.get("/login/oidc", **PAGE)
    assert response.status == 503
    assert "Retry-After" in response.headers
    text = await response.text()
    assert "<code>oidc_unavailable</code>" in text
    assert 'href="../login"' in text
    assert (await browser.get("/livez")).status == 200


async def test_somebody_who_may_not_come_in(
    start_hub: StartHub, auth: dict[str, Any], server: ForgedProvider
) -> None:
    auth["oidc"]["allowed"] = ["claim groups=staff"]
    browser = Browser(await start_hub(auth=auth))
    response = await browser.sign_in(server)
    assert response.status == 403
    await refused(response, "login_not_allowed")
    assert browser.cookies == {}


async def test_the_public_address(
    start_hub: StartHub, auth: dict[str, Any], server: ForgedProvider
) -> None:
    auth["public_url"] = "https://chat.example.org/hub/"
    browser = Browser(await start_hub(auth=auth))
    asked = await browser.leave()
    assert asked["redirect_uri"] == f"https://chat.example.org/hub{BACK}"
    await browser.sign_in(server)
    assert server.codes[0]["redirect_uri"] == asked["redirect_uri"]


async def test_the_address_behind_a_proxy(
    start_hub: StartHub, auth: dict[str, Any], server: ForgedProvider
) -> None:
    names = {"hosts": ["chat.example.org"], "trusted_proxies": ["127.0.0.1"]}
    hub = await start_hub(auth=auth, server=names)
    proxy = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    browser = Browser(hub, **proxy, **{"X-Forwarded-Host": "chat.example.org"})
    asked = await browser.leave()
    assert asked["redirect_uri"] == f"https://chat.example.org{BACK}"
    assert browser.logins[0].startswith("__Host-")


async def test_a_hub_under_a_prefix(auth: dict[str, Any], server: ForgedProvider) -> None:
    app = web.Application()
    config = Config.model_validate({"auth": auth, "store": {"url": "memory:"}})
    made = setup(app, prefix="/my/hub", config=config)
    async with TestClient(TestServer(app), cookie_jar=DummyCookieJar()) as client:
        browser = Browser(Running(client, made), prefix="/my/hub")
        asked = await browser.leave()
        assert URL(asked["redirect_uri"]).path == f"/my/hub{BACK}"
        server.nonce = asked["nonce"]
        response = await browser.come_back(code="abc", state=asked["state"])
        assert response.headers["Location"] == "../../"
        assert (await browser.me())["user"] == "ann"


async def test_without_a_provider_nobody_signs_in_with_one(start_hub: StartHub) -> None:
    browser = Browser(await start_hub(auth={"required": True}))
    for path in ("/login/oidc", BACK, "/login/oidc/logout"):
        assert (await browser.get(path)).status == 404


# Signing out


async def sign_out(browser: Browser, **headers: str) -> ClientResponse:
    given = {"Cookie": browser.cookie, **PAGE, **headers}
    client = browser.hub.client
    async with client.post("/v1/logout", headers=given, allow_redirects=False) as response:
        await response.read()
        return response


async def test_signing_out_ends_the_session_here(browser: Browser, server: ForgedProvider) -> None:
    server.document["end_session_endpoint"] = server.at("/end")
    await browser.sign_in(server)
    assert (await sign_out(browser)).status == 204


async def test_signing_out_leads_to_the_provider(
    start_hub: StartHub, auth: dict[str, Any], server: ForgedProvider
) -> None:
    auth["oidc"]["sign_out_at_provider"] = True
    server.document["end_session_endpoint"] = server.at("/end")
    hub = await start_hub(auth=auth)
    browser = Browser(hub)
    await browser.sign_in(server)
    response = await sign_out(browser)
    assert (response.status, await response.json()) == (200, {"url": "login/oidc/logout"})
    assert (await sign_out(browser)).status == 204, "nobody is signed in any more"
    await browser.sign_in(server)
    response = await sign_out(browser, Accept="text/html")
    assert (response.status, response.headers["Location"]) == (303, "../login/oidc/logout")
    page = await browser.get("/login/oidc/logout", **PAGE)
    assert page.status == 200
    home = quote(f"http://{hub.client.host}:{hub.client.port}/", safe="")
    assert page.headers["Refresh"] == (
        f"0; url={server.at('/end')}?client_id={CLIENT}&post_logout_redirect_uri={home}"
    )


async def test_who_signed_in_with_a_link_is_not_led_to_the_provider(
    start_hub: StartHub, auth: dict[str, Any]
) -> None:
    auth["oidc"]["sign_out_at_provider"] = True
    hub = await start_hub(auth=auth)
    headers = await sign_in(hub, "ann")
    async with hub.client.post("/v1/logout", headers=headers) as response:
        assert response.status == 204


async def test_a_provider_without_a_place_to_sign_out(browser: Browser) -> None:
    response = await browser.get("/login/oidc/logout", **PAGE)
    assert (response.status, response.headers["Location"]) == (303, "../../login")
