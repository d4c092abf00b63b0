"""Logging in with a real OpenID provider."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any, Self

import pytest
import pytest_asyncio
from yarl import URL

from hub.auth.fetched import Client
from hub.auth.oidc.pending_login import PendingLogin
from hub.auth.oidc.provider import Provider, Settings, User
from hub.domain.errors import HubError
from tests.support.openid_provider import CLIENT, SECRET, OpenIDProvider, Person, openid_provider

pytestmark = pytest.mark.asyncio(loop_scope="module")

BACK = "http://localhost:7000/login/oidc/callback"
ADDRESS = "192.0.2.1"
ANN = {"email": "ann@example.org", "email_verified": True, "groups": ["staff"], "org": "acme"}


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ground:
    """The hub's side, and a person with a browser."""

    def __init__(self, server: OpenIDProvider, **settings: Any) -> None:
        given = {"secret": SECRET, "scopes": ("openid", "email", "groups"), **settings}
        self.clock = Clock()
        self.client = Client()
        self.provider = Provider(
            Settings(server.issuer, CLIENT, **given), self.client, clock=self.clock
        )
        self.person = Person()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.person.close()
        await self.provider.close()
        await self.client.close()

    async def answer(self, login: PendingLogin, name: str | None = "ann") -> dict[str, str]:
        """The query with which somebody comes back."""
        url = await self.provider.authorization_url(login, BACK)
        return dict(URL(await self.person.log_in(url, name, back=BACK)).query)

    async def log_in(self, name: str | None = "ann") -> User:
        login = begun()
        return await self.provider.user(login, await self.answer(login, name), BACK, ADDRESS)

    async def refused(self, login: PendingLogin, answer: dict[str, str]) -> str:
        """The code with which an answer is refused."""
        with pytest.raises(HubError) as caught:
            await self.provider.user(login, answer, BACK, ADDRESS)
        return caught.value.code


def begun() -> PendingLogin:
    return PendingLogin.begin("/", time.time())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[OpenIDProvider]:
    async with openid_provider(BACK, users={"ann": ANN}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def ground(server: OpenIDProvider) -> AsyncIterator[Ground]:
    async with Ground(server) as ground:
        yield ground


async def test_a_login(ground: Ground) -> None:
    found = await ground.log_in()
    assert (found.user, found.tenant) == ("ann", None)
    assert "email" not in found.claims  # it was not needed, and this provider does not hand it out


async def test_claims_that_only_the_provider_itself_tells(server: OpenIDProvider) -> None:
    settings = {"user_claim": "email", "tenant_claim": "org", "asked": frozenset({"groups"})}
    async with Ground(server, **settings) as ground:
        found = await ground.log_in()
    assert (found.user, found.tenant) == ("ann@example.org", "acme")
    assert found.claims["groups"] == ["staff"]


async def test_somebody_without_a_claim_that_is_needed(server: OpenIDProvider) -> None:
    async with Ground(server, user_claim="email") as ground:
        login = begun()
        answer = await ground.answer(login, "bob")
        assert await ground.refused(login, answer) == "login_refused"


async def test_a_person_is_asked_once(ground: Ground) -> None:
    await ground.log_in()
    login = begun()
    url = await ground.provider.authorization_url(login, BACK)
    back = await ground.person.get(url)  # without any page in between
    assert back.headers["Location"].startswith(BACK)
    answer = dict(URL(back.headers["Location"]).query)
    assert (await ground.provider.user(login, answer, BACK, ADDRESS)).user == "ann"


async def test_somebody_cancels(ground: Ground) -> None:
    login = begun()
    answer = await ground.answer(login, None)
    assert answer["state"] == login.state
    assert await ground.refused(login, answer) == "login_cancelled"


async def test_a_code_is_good_once(ground: Ground) -> None:
    login = begun()
    answer = await ground.answer(login)
    assert (await ground.provider.user(login, answer, BACK, ADDRESS)).user == "ann"
    assert await ground.refused(login, answer) == "login_refused"


async def test_a_code_of_another_login_is_refused(ground: Ground) -> None:
    """Whoever steals a code, and gives it to their own browser, lacks what it was asked with."""
    stolen = await ground.answer(begun())
    assert await ground.refused(begun(), stolen) == "login_refused"


async def test_a_login_whose_challenge_was_taken_away_is_refused(ground: Ground) -> None:
    login = begun()
    url = URL(await ground.provider.authorization_url(login, BACK))
    weaker = url.with_query(
        {name: text for name, text in url.query.items() if not name.startswith("code_challenge")}
    )
    back = await ground.person.log_in(str(weaker), "ann", back=BACK)
    assert URL(back).query["error"] == "invalid_request"
    plain = url.update_query(code_challenge_method="plain", code_challenge=login.verifier)
    back = await ground.person.log_in(str(plain), "ann", back=BACK)
    assert URL(back).query["error"] == "invalid_request"


async def test_another_address_to_come_back_to(ground: Ground) -> None:
    login = begun()
    answer = await ground.answer(login)
    other = BACK.replace("7000", "7001")
    with pytest.raises(HubError) as caught:
        await ground.provider.user(login, answer, other, ADDRESS)
    assert caught.value.code == "login_refused"


async def test_another_provider_than_was_asked(server: OpenIDProvider, ground: Ground) -> None:
    """Mix-up: the browser comes back from one provider with an answer of another."""
    async with openid_provider(BACK) as other, Ground(other) as elsewhere:
        login = begun()
        answer = await elsewhere.answer(login)
    assert answer["iss"] == other.issuer != server.issuer
    assert await ground.refused(login, answer) == "login_refused"
    answer.pop("iss")
    assert await ground.refused(login, answer) == "login_refused"


async def test_a_wrong_secret(server: OpenIDProvider, caplog: pytest.LogCaptureFixture) -> None:
    async with Ground(server, secret="something else") as ground:
        login = begun()
        assert await ground.refused(login, await ground.answer(login)) == "oidc_client_refused"
    assert "auth.oidc.client_id or its secret" in caplog.text
    assert "something else" not in caplog.text


@pytest.mark.parametrize("method", ["client_secret_post", "none"])
async def test_other_ways_of_being_a_client(method: str) -> None:
    settings = {"secret": None} if method == "none" else {}
    async with (
        openid_provider(
            BACK, client={"token_endpoint_auth_method": method}, methods=[method]
        ) as server,
        Ground(server, **settings) as ground,
    ):
        assert (await ground.log_in()).user == "ann"


async def test_the_provider_changes_its_keys(server: OpenIDProvider, ground: Ground) -> None:
    assert (await ground.log_in()).user == "ann"
    await server.rotate()
    ground.clock.now += 61
    assert (await ground.log_in("bob")).user == "bob"  # it has forgotten who was logged in


async def test_logging_out(ground: Ground) -> None:
    await ground.log_in()
    url = await ground.provider.end_session_url("http://localhost:7000/")
    assert url is not None
    page = await ground.person.get(url)
    assert page.status == 200
    assert "Do you want to sign-out" in await page.text()
