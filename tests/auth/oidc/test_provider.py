"""Logging in with a provider that lies, fails, or means somebody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from yarl import URL

from hub.auth.oidc.pending_login import PendingLogin
from hub.auth.oidc.provider import AT_ONCE, Provider, Settings, User
from hub.domain.errors import Forbidden, HubError, LimitExceeded, Unauthorized, Unavailable
from hub.domain.members import Member
from tests.support.forged_provider import CLIENT, ForgedProvider
from tests.support.key_server import Handler, Signer, signers
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE

KEYS = signers()
NEW = signers(kid="new-")
BACK = "https://hub.example.org/login/oidc/callback"
ADDRESS = "192.0.2.1"


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[ForgedProvider]:
    server = ForgedProvider(KEYS["RS256"])
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Client:
    """The hub's side, with what the test says of its settings."""

    def __init__(self, server: ForgedProvider, clock: Clock) -> None:
        self.server = server
        self.clock = clock
        self.provider = self.configured()

    def configured(self, *, seconds: float = PATIENCE, **settings: Any) -> Provider:
        given = Settings(self.server.issuer, CLIENT, **settings)
        self.provider = Provider(given, self.server.client, clock=self.clock, seconds=seconds)
        return self.provider

    async def log_in(self, **answer: str) -> User:
        """Come back from the provider with this answer."""
        login = PendingLogin.begin("/", time.time())
        self.server.nonce = self.server.nonce or login.nonce
        async with asyncio.timeout(PATIENCE):
            return await self.provider.user(login, answer or {"code": "abc"}, BACK, ADDRESS)

    async def refused(self, *, code: str = "login_refused", **answer: str) -> str:
        """Why somebody could not log in."""
        with pytest.raises(HubError) as caught:
            await self.log_in(**answer)
        assert caught.value.code == code
        return caught.value.message


@pytest.fixture
async def client(server: ForgedProvider, clock: Clock) -> AsyncIterator[Client]:
    client = Client(server, clock)
    yield client
    await client.provider.close()


# What is asked


async def test_the_address_to_log_in_at(server: ForgedProvider, client: Client) -> None:
    server.document["authorization_endpoint"] = server.at("/auth?tenant=a")
    login = PendingLogin.begin("/", time.time())
    url = URL(await client.provider.authorization_url(login, BACK))
    assert str(url).startswith(server.at("/auth?tenant=a&"))
    assert dict(url.query) == {
        "tenant": "a",
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": BACK,
        "scope": "openid profile email",
        "state": login.state,
        "nonce": login.nonce,
        "code_challenge": login.challenge,
        "code_challenge_method": "S256",
    }
    assert login.secret not in str(url)
    assert login.verifier not in str(url)


async def test_a_login(server: ForgedProvider, client: Client) -> None:
    found = await client.log_in()
    assert (found.user, found.tenant, found.claims["iss"]) == ("ann", None, server.issuer)
    [code] = server.codes
    assert len(code.pop("code_verifier")) == 43
    assert code == {
        "grant_type": "authorization_code",
        "code": "abc",
        "redirect_uri": BACK,
        "client_id": CLIENT,
        "authorization": "",
    }


@pytest.mark.parametrize("methods", [..., ["client_secret_basic", "client_secret_post"]])
async def test_a_secret_in_the_header(server: ForgedProvider, client: Client, methods: Any) -> None:
    server.document["token_endpoint_auth_methods_supported"] = methods
    client.configured(secret="a: b+é")
    await client.log_in()
    assert "client_secret" not in server.codes[0]
    kind, _, shown = server.codes[0]["authorization"].partition(" ")
    assert (kind, base64.b64decode(shown)) == ("Basic", b"streamhub:a%3A+b%2B%C3%A9")


async def test_a_secret_in_the_form(server: ForgedProvider, client: Client) -> None:
    server.document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    client.configured(secret="a: b+é")
    await client.log_in()
    assert server.codes[0]["client_secret"] == "a: b+é"
    assert server.codes[0]["authorization"] == ""


# Whose token it is


def at_times(claims: dict[str, Any]) -> dict[str, Any]:
    """Claims in which the seconds from now are times."""
    now = int(time.time())
    return {name: now + value if type(value) is int else value for name, value in claims.items()}


@pytest.mark.parametrize("name", sorted(KEYS))
async def test_each_kind_of_key(server: ForgedProvider, client: Client, name: str) -> None:
    server.signer, server.keys = KEYS[name], [KEYS[name].jwk]
    assert (await client.log_in()).user == "ann"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": ...}, "another sign-in"),
        ({"nonce": ["x"]}, "another sign-in"),
        ({"nonce": "é\ud800"}, ""),
        ({"iss": "https://evil.example"}, "malformed"),
        ({"iss": ...}, '"iss"'),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": ...}, '"aud"'),
        ({"aud": [CLIENT, "another"]}, "another client"),
        ({"aud": [CLIENT, "another"], "azp": "another"}, "another client"),
        ({"azp": "another"}, "another client"),
        ({"azp": [CLIENT]}, "another client"),
        ({"exp": -31}, "expired"),
        ({"exp": ...}, '"exp"'),
        ({"iat": 3600}, "clocks"),
        ({"iat": ...}, "when it was made"),
        ({"sub": ...}, '"sub"'),
        ({"sub": ""}, '"sub"'),
        ({"sub": "a\nb"}, '"sub"'),
    ],
)
async def test_a_token_that_does_not_hold(
    server: ForgedProvider, client: Client, claims: dict[str, Any], why: str
) -> None:
    server.claims = at_times(claims)
    assert why in await client.refused()


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [CLIENT]},
        {"aud": [CLIENT, "another"], "azp": CLIENT},
        {"azp": CLIENT},
        {"exp": -5},
        {"iat": 20},
    ],
)
async def test_a_token_that_holds(
    server: ForgedProvider, client: Client, claims: dict[str, Any]
) -> None:
    server.claims = at_times(claims)
    assert (await client.log_in()).user == "ann"


async def test_a_nonce_of_another_login(server: ForgedProvider, client: Client) -> None:
    server.nonce = PendingLogin.begin("/", time.time()).nonce
    assert "another sign-in" in await client.refused()


async def test_the_algorithm_none(server: ForgedProvider, client: Client) -> None:
    server.nonce = "n"
    server.id_token = jwt.encode(server.held(), "", "none")
    assert "algorithm" in await client.refused()


async def test_a_public_key_taken_for_a_secret(server: ForgedProvider, client: Client) -> None:
    def b64(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signer = KEYS["RS256"]
    header = {"alg": "HS256", "typ": "JWT", "kid": signer.kid}
    server.nonce = "n"
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(server.held()).encode())}"
    server.id_token = f"{signed}.{b64(hmac.digest(signer.pem, signed.encode(), hashlib.sha256))}"
    assert "algorithm" in await client.refused()


async def test_a_secret_of_the_client_does_not_sign(server: ForgedProvider, client: Client) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    client.configured(secret=secret)
    server.nonce = "n"
    server.id_token = jwt.encode(server.held(), secret, "HS256")
    assert "algorithm" in await client.refused()


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 10_000, "é", "{}"])
async def test_what_is_no_token(server: ForgedProvider, client: Client, token: str) -> None:
    server.id_token = token
    await client.refused()


@pytest.mark.parametrize("token", [..., None, 1, ["a"]])
async def test_without_a_token(server: ForgedProvider, client: Client, token: Any) -> None:
    server.tokens["id_token"] = token
    assert "auth.oidc.scopes" in await client.refused()


async def test_another_key(server: ForgedProvider, client: Client) -> None:
    server.signer = Signer("RS256", NEW["RS256"].key, KEYS["RS256"].kid)
    assert "not signed by its issuer" in await client.refused()


async def test_new_keys_are_found(server: ForgedProvider, client: Client, clock: Clock) -> None:
    await client.log_in()
    server.signer, server.keys, server.nonce = NEW["ES256"], [NEW["ES256"].jwk], ""
    await client.refused()  # the keys were fetched within this minute
    clock.now += 61
    server.nonce = ""
    assert (await client.log_in()).user == "ann"
    assert server.asked == 2


async def test_keys_that_have_moved_are_found(
    server: ForgedProvider, client: Client, clock: Clock
) -> None:
    await client.log_in()
    server.document["jwks_uri"] = server.at("/elsewhere")
    clock.now += 601
    for _ in range(2):
        server.nonce = ""
        assert (await client.log_in()).user == "ann"
    assert server.asked == 1


# What the browser brings back


async def test_an_answer_of_another_provider(server: ForgedProvider, client: Client) -> None:
    said = await client.refused(code="login_refused", iss="https://evil.example")
    assert "another identity provider" in said
    assert server.codes == []


async def test_an_answer_that_does_not_say_whose_it_is(
    server: ForgedProvider, client: Client
) -> None:
    await client.log_in()
    client.configured()
    server.document["authorization_response_iss_parameter_supported"] = True
    assert "another identity provider" in await client.refused()
    assert len(server.codes) == 1


async def test_an_answer_that_says_whose_it_is(server: ForgedProvider, client: Client) -> None:
    server.document["authorization_response_iss_parameter_supported"] = True
    assert (await client.log_in(code="abc", iss=server.issuer)).user == "ann"


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (
            {"error": "access_denied"},
            "login_cancelled",
            "you did not sign in: it was cancelled",
        ),
        (
            {"error": "access_denied", "error_description": "not\nassigned"},
            "login_cancelled",
            "you did not sign in. The identity provider says: not assigned",
        ),
        (
            {"error": "server_error", "error_description": "x" * 1000},
            "login_refused",
            f"the identity provider refuses the sign-in with 'server_error': {'x' * 300}",
        ),
        (
            {"error": "y" * 1000, "code": "abc"},
            "login_refused",
            f"the identity provider refuses the sign-in with '{'y' * 64}'",
        ),
        ({"session_state": "1"}, "login_refused", "has no code"),
        ({"code": ""}, "login_refused", "has no code"),
    ],
)
async def test_a_login_that_the_provider_ends(
    server: ForgedProvider, client: Client, answer: dict[str, str], code: str, message: str
) -> None:
    with pytest.raises(Unauthorized) as caught:
        await client.log_in(**answer)
    assert caught.value.code == code
    assert caught.value.message.endswith(message)
    assert server.codes == []


# A provider in trouble

FAULTS = ["fail", "redirect", "no_json", "huge", "endless", "bomb", "hang", "trickle", "break_off"]


def patience_for(fault: str) -> float:
    """Only what takes for ever is to be given up, also by a busy machine."""
    return 2.0 if fault in ("hang", "trickle") else PATIENCE


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/me"])
async def test_a_fault(
    server: ForgedProvider,
    client: Client,
    path: str,
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.configured(seconds=patience_for(fault), secret="hush-hush", user_claim="email")
    server.faults[path] = getattr(server, fault)
    with caplog.at_level(logging.WARNING):
        said = await client.refused(code="oidc_unavailable")
    assert said == "the identity provider does not answer just now: try again in a moment"
    assert caplog.text
    assert "hush-hush" not in caplog.text
    assert "abc" not in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_of_the_keys(server: ForgedProvider, client: Client, fault: str) -> None:
    client.configured(seconds=patience_for(fault))
    server.answer = getattr(server, fault)
    assert "keys" in await client.refused(code="key_set_unavailable")


async def test_a_provider_that_is_down_is_asked_again_later(
    server: ForgedProvider, client: Client, clock: Clock
) -> None:
    server.faults["/.well-known/openid-configuration"] = server.fail
    login = PendingLogin.begin("/", time.time())
    for _ in range(3):
        with pytest.raises(Unavailable):
            await client.provider.authorization_url(login, BACK)
    server.faults.clear()
    clock.now += 5
    assert await client.provider.authorization_url(login, BACK)


async def test_what_was_learned_holds_when_the_provider_is_down(
    server: ForgedProvider, client: Client, clock: Clock
) -> None:
    login = PendingLogin.begin("/", time.time())
    url = await client.provider.authorization_url(login, BACK)
    await server.stop()
    clock.now += 3600
    assert await client.provider.authorization_url(login, BACK) == url
    await client.refused(code="oidc_unavailable")


@pytest.mark.parametrize("moved", ["issuer", "token_endpoint"])
async def test_a_document_of_another_is_not_believed(
    server: ForgedProvider, client: Client, moved: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.document[moved] = "http://evil.example"
    await client.refused(code="oidc_unavailable")
    assert "evil.example" in caplog.text or moved in caplog.text
    assert server.codes == []


def answering(status: int, held: Any) -> Handler:
    async def say(request: web.Request) -> web.StreamResponse:
        return web.json_response(held, status=status)

    return say


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, "invalid_grant", "login_refused"),
        (403, None, "login_refused"),
        (400, "invalid_client", "oidc_client_refused"),
        (401, "invalid_client", "oidc_client_refused"),
        (401, None, "oidc_client_refused"),
        (400, "unauthorized_client", "oidc_client_refused"),
        (429, "slow_down", "login_refused"),
        (503, "temporarily_unavailable", "oidc_unavailable"),
        (302, None, "oidc_unavailable"),
    ],
)
async def test_a_code_that_is_refused(
    server: ForgedProvider,
    client: Client,
    status: int,
    error: str | None,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.configured(secret="hush-hush")
    held = {"error": error, "error_description": "no\n[x] hush-hush " + "z" * 1000}
    server.faults["/token"] = answering(status, held)
    said = await client.refused(code=code)
    assert "hush" not in said + caplog.text
    assert len(caplog.text) < 700
    [record] = caplog.records
    assert "\n" not in record.getMessage()


async def test_many_at_once_of_whom_no_address_takes_all_places(
    server: ForgedProvider, client: Client
) -> None:
    await client.log_in()
    waiting = asyncio.Event()
    arrived = 0

    async def wait(request: web.Request) -> web.StreamResponse:
        nonlocal arrived
        arrived += 1
        if arrived == AT_ONCE // 2:
            waiting.set()
        return await server.hang(request)

    server.faults["/token"] = wait
    slow = Provider(Settings(server.issuer, CLIENT), server.client, seconds=PATIENCE)
    login = PendingLogin.begin("/", time.time())
    logins = [
        asyncio.create_task(slow.user(login, {"code": "a"}, BACK, ADDRESS))
        for _ in range(AT_ONCE // 2)
    ]
    await asyncio.wait_for(waiting.wait(), PATIENCE)
    assert not any(one.done() for one in logins)
    with pytest.raises(LimitExceeded):
        await slow.user(login, {"code": "a"}, BACK, ADDRESS)
    logins.append(asyncio.create_task(slow.user(login, {"code": "a"}, BACK, "192.0.2.2")))
    await eventually(lambda: arrived > AT_ONCE // 2)
    for one in logins:
        one.cancel()
    await asyncio.wait(logins)
    server.faults.clear()
    server.nonce = login.nonce
    assert (await slow.user(login, {"code": "a"}, BACK, ADDRESS)).user == "ann"
    await slow.close()


# Who it is


async def test_a_claim_that_is_missing_is_asked_for(server: ForgedProvider, client: Client) -> None:
    client.configured(user_claim="email", tenant_claim="org", asked=frozenset({"groups"}))
    server.claims["nick"] = "of the token"
    server.user_info |= {"email": "a@b.example", "email_verified": True, "org": "acme"}
    server.user_info |= {"groups": ["staff"], "nick": "of the other"}
    found = await client.log_in()
    assert (found.user, found.tenant) == ("a@b.example", "acme")
    assert found.claims["groups"] == ["staff"]
    assert found.claims["nick"] == "of the token"


async def test_no_more_is_asked_than_needed(server: ForgedProvider, client: Client) -> None:
    server.faults["/me"] = server.fail
    client.configured(tenant_claim="org", asked=frozenset({"groups"}))
    server.claims |= {"org": "acme", "groups": []}
    assert (await client.log_in()).tenant == "acme"


@pytest.mark.parametrize("sub", ["bob", ..., None])
async def test_what_is_said_of_somebody_else(
    server: ForgedProvider, client: Client, sub: Any
) -> None:
    client.configured(user_claim="email")
    server.user_info = {"sub": sub, "email": "a@b.example", "email_verified": True}
    assert "two users" in await client.refused()


@pytest.mark.parametrize("access", [..., 1, "a\nb", "é"])
async def test_without_a_token_for_more(
    server: ForgedProvider, client: Client, access: Any
) -> None:
    client.configured(user_claim="email")
    server.tokens["access_token"] = access
    assert '"email"' in await client.refused()


async def test_a_provider_that_says_no_more(server: ForgedProvider, client: Client) -> None:
    client.configured(asked=frozenset({"groups"}))
    server.document["userinfo_endpoint"] = ...
    assert (await client.log_in()).user == "ann"


@pytest.mark.parametrize("verified", [..., False, "false", 1, None])
async def test_an_address_that_is_not_verified_names_nobody(
    server: ForgedProvider, client: Client, verified: Any
) -> None:
    client.configured(user_claim="email")
    server.claims |= {"email": "ann@example.org", "email_verified": verified}
    with pytest.raises(Forbidden, match="has not verified your e-mail address"):
        await client.log_in()


async def test_who_is_allowed(server: ForgedProvider, client: Client) -> None:
    allowed = (Member.parse("claim groups=staff"), Member.parse("email *@example.org"))
    client.configured(allowed=allowed)
    server.claims["groups"] = ["staff"]
    assert (await client.log_in()).user == "ann"
    server.claims |= {"groups": ["guests"], "email": "a@example.org", "email_verified": True}
    server.nonce = ""
    assert (await client.log_in()).user == "ann"
    server.claims["email_verified"] = False
    server.nonce = ""
    said = await client.refused(code="login_not_allowed")
    assert said == "ann may not come in here: ask whoever runs this hub"


@pytest.mark.parametrize(
    ("settings", "claims", "tenant"),
    [
        ({"tenant": "acme"}, {}, "acme"),
        ({"tenant": "acme", "tenant_claim": "org"}, {}, "acme"),
        ({"tenant": "acme", "tenant_claim": "org"}, {"org": "other"}, "other"),
        ({"tenant_claim": "org"}, {"org": "other"}, "other"),
    ],
)
async def test_the_tenant(
    server: ForgedProvider,
    client: Client,
    settings: dict[str, Any],
    claims: dict[str, str],
    tenant: str,
) -> None:
    client.configured(**settings)
    server.claims = claims
    assert (await client.log_in()).tenant == tenant


async def test_without_a_tenant_nobody_comes_in(server: ForgedProvider, client: Client) -> None:
    client.configured(tenant_claim="org")
    assert '"org"' in await client.refused()


# Logging out


async def test_the_address_to_log_out_at(
    server: ForgedProvider, client: Client, clock: Clock
) -> None:
    assert await client.provider.end_session_url("https://hub.example.org/") is None
    client.configured()
    server.document["end_session_endpoint"] = server.at("/end")
    url = URL(await client.provider.end_session_url("https://hub.example.org/") or "")
    assert url.path == "/end"
    assert dict(url.query) == {
        "client_id": CLIENT,
        "post_logout_redirect_uri": "https://hub.example.org/",
    }
    client.configured()
    await server.stop()
    assert await client.provider.end_session_url("https://hub.example.org/") is None


def test_a_secret_is_not_shown() -> None:
    assert "hush" not in repr(Settings("https://a.example", CLIENT, secret="hush-hush"))
