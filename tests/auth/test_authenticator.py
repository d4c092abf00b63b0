"""One credential to a principal: asked once, remembered, and asked again in time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from hub.access.revocations import Revocations
from hub.auth.api_keys import ApiKey, new_key
from hub.auth.authenticator import TOKEN_SECONDS, Authenticator
from hub.auth.credentials import bearer
from hub.auth.gate import Gate
from hub.auth.issuers import ALGORITHMS, HMAC, Issuer, Issuers
from hub.auth.key_sets import KeySet
from hub.domain.errors import StoreError, Unauthorized, Unavailable
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import Grant, StreamPattern
from hub.domain.principal import NOBODY, Principal
from tests.support.key_server import AUDIENCE, ISSUER, KeyServer, claims, signers

KEYS = signers()
SECRET = b"0123456789abcdef0123456789abcdef"
RULES = Rules(
    [
        Rule(Who.parse("anyone"), Grant(frozenset({"read"}), StreamPattern.parse("public/*"))),
        Rule(Who.parse("user"), Grant(frozenset({"read"}), StreamPattern.parse("chat/{user}/*"))),
    ]
)


class Clock:
    """The time, as the test moves it."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


class Keys:
    """API keys by their id, and how often one was read."""

    def __init__(self) -> None:
        self.kept: dict[str, ApiKey] = {}
        self.read = 0

    def add(self, **fields: Any) -> str:
        key, name, held = new_key()
        self.kept[name] = ApiKey(name, held, **fields)
        return key

    def change(self, key: str, **fields: Any) -> None:
        old = self.kept[key[3:15]]
        self.kept[old.id] = ApiKey(old.id, old.hash, user=old.user, **fields)

    async def find(self, name: str) -> ApiKey | None:
        self.read += 1
        return self.kept.get(name)


class CountingSecrets:
    """A secret, and how often it was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    async def keys(self, kid: str | None, algorithm: str) -> list[bytes]:
        self.asked += 1
        return [SECRET]


class World:
    """An authenticator with one issuer, its keys and its clock."""

    def __init__(self, **options: Any) -> None:
        self.clock, self.keys, self.secrets = Clock(), Keys(), CountingSecrets()
        issuer = Issuer("app", ISSUER, AUDIENCE, HMAC, self.secrets)
        self.authenticator = Authenticator(
            RULES, Issuers((issuer,)), self.keys.find, clock=self.clock, **options
        )

    async def principal(self, token: str) -> Principal:
        return await self.authenticator.principal(token)

    async def refused(self, token: str, code: str) -> None:
        with pytest.raises(Unauthorized) as caught:
            await self.principal(token)
        assert caught.value.code == code


@pytest.fixture
def world() -> World:
    return World()


def token(**held: Any) -> str:
    return jwt.encode(claims(**held), SECRET, "HS256")


def test_who_presents_nothing_has_what_anyone_has(world: World) -> None:
    anyone = world.authenticator.anyone
    assert anyone.may("read", "public/1")
    assert not anyone.may("read", "chat/ann/1")
    assert (anyone.subject, anyone.credential) == (None, None)
    closed = Authenticator(Rules(), Issuers(), world.keys.find)
    assert closed.anyone == NOBODY


# Tokens


async def test_a_token_is_verified_once(world: World) -> None:
    one = token()
    found = {id(await world.principal(one)) for _ in range(10)}
    assert len(found) == 1
    assert world.secrets.asked == 1
    await world.principal(token(sub="bob"))
    assert world.secrets.asked == 2


async def test_a_token_is_verified_again_after_a_minute(world: World) -> None:
    one = token()
    await world.principal(one)
    world.clock.passed += TOKEN_SECONDS - 1
    await world.principal(one)
    assert world.secrets.asked == 1
    world.clock.passed += 2
    await world.principal(one)
    assert world.secrets.asked == 2


async def test_a_token_is_not_remembered_longer_than_it_holds(world: World) -> None:
    one = token(exp=time.time() + 30)
    await world.principal(one)
    world.clock.passed += 31
    await world.principal(one)
    assert world.secrets.asked == 2


async def test_an_expired_token_is_refused(world: World) -> None:
    one = token(exp=time.time() - 40)
    for _ in range(2):
        await world.refused(one, "token_expired")
    assert len(world.authenticator) == 0


async def test_a_token_within_the_leeway_is_verified_each_time(world: World) -> None:
    one = token(exp=time.time() - 5)
    for _ in range(3):
        ann = await world.principal(one)
    assert world.secrets.asked == 3
    with pytest.raises(Unauthorized):
        Gate(now=world.clock).check_current(ann)


async def test_a_clock_that_is_set_back_keeps_nothing_longer(world: World) -> None:
    one, key = token(), world.keys.add(user="ann")
    world.clock.passed = 10_000
    await world.principal(key)
    await world.principal(one)
    world.clock.passed = 0
    world.keys.change(key, revoked=1.0)
    await world.refused(key, "invalid_api_key")
    await world.principal(one)
    assert world.secrets.asked == 2


async def test_a_token_that_looks_the_same_is_another(world: World) -> None:
    one = token()
    await world.principal(one)
    for other in (one[:-1], one + " ", one.upper(), "\ud800" + one):
        with pytest.raises(Unauthorized):
            await world.principal(other)


async def test_a_token_that_is_written_in_two_ways_has_one_name(world: World) -> None:
    """Base64 may be padded, which changes what is sent and not what is signed."""
    one = token()
    first, second = await world.principal(one), await world.principal(one + "=")
    assert first.credential == second.credential


@pytest.mark.parametrize("bad", ["", "abc", "a.b.c", "sh", "SH_abc", "\ud800", "é", "x" * 10**6])
async def test_what_is_no_credential_is_refused_and_not_kept(world: World, bad: str) -> None:
    await world.refused(bad, "invalid_token")
    assert len(world.authenticator) == 0


async def test_a_withdrawn_key_of_an_issuer_ends_within_minutes() -> None:
    server = KeyServer(KEYS["ES256"].jwk)
    await server.start()
    clock = Clock()
    key_set = KeySet(server.url, server.client, clock=clock)
    issuer = Issuer("idp", ISSUER, AUDIENCE, ALGORITHMS, key_set)
    found = Authenticator(RULES, Issuers((issuer,)), Keys().find, clock=clock)
    one = KEYS["ES256"].sign(claims(exp=time.time() + 3600))
    try:
        assert (await found.principal(one)).user == "ann"
        server.keys = [KEYS["EdDSA"].jwk]
        clock.passed += 600 + TOKEN_SECONDS
        with pytest.raises(Unauthorized):
            await found.principal(one)
        # That it does not hold is not remembered.
        server.keys = [KEYS["ES256"].jwk]
        clock.passed += 61
        assert (await found.principal(one)).user == "ann"
    finally:
        await key_set.close()
        await server.close()


async def test_an_issuer_that_is_away_is_no_refusal_that_is_remembered() -> None:
    server = KeyServer(KEYS["ES256"].jwk)
    await server.start()
    key_set = KeySet(server.url, server.client)
    issuer = Issuer("idp", ISSUER, AUDIENCE, ALGORITHMS, key_set)
    found = Authenticator(RULES, Issuers((issuer,)), Keys().find)
    try:
        server.answer = server.fail
        with pytest.raises(Unavailable):
            await found.principal(KEYS["ES256"].sign())
        assert len(found) == 0
    finally:
        await key_set.close()
        await server.close()


# Keys


async def test_a_key_is_read_again_after_a_second(world: World) -> None:
    key = world.keys.add(user="ann")
    for _ in range(10):
        assert (await world.principal(key)).user == "ann"
    assert world.keys.read == 1
    world.clock.passed += 1.01
    assert (await world.principal(key)).user == "ann"
    assert world.keys.read == 2


async def test_a_revocation_takes_a_second(world: World) -> None:
    key = world.keys.add(user="ann")
    await world.principal(key)
    world.keys.change(key, revoked=1.0)
    world.clock.passed += 1.01
    await world.refused(key, "invalid_api_key")
    await world.refused(key, "invalid_api_key")


async def test_a_revocation_by_this_hub_takes_no_time() -> None:
    """A page asks who uses it as soon as its connection has ended."""
    revoked = Revocations()
    world = World(is_revoked=revoked.has)
    key = world.keys.add(user="ann")
    by = await world.principal(key)
    world.keys.change(key, revoked=1.0)
    assert await world.principal(key) == by, "it is remembered"
    revoked.add(str(by.credential))
    await world.refused(key, "invalid_api_key")


async def test_a_key_is_not_remembered_longer_than_it_holds(world: World) -> None:
    key = world.keys.add(user="ann", expires=world.clock() + 0.5)
    await world.principal(key)
    world.clock.passed += 0.6
    await world.refused(key, "invalid_api_key")


async def test_a_key_that_has_not_its_form_is_not_looked_up(world: World) -> None:
    for bad in ("sh_", "sh_abc_def", "sh_abcdefghijkl_", "sh_abcdefghijkl_" + "é" * 43):
        await world.refused(bad, "invalid_api_key")
    assert world.keys.read == 0


async def test_a_key_that_there_is_not_is_looked_up_each_time(world: World) -> None:
    """Else one that is made now would not hold at once."""
    key, name, held = new_key()
    await world.refused(key, "invalid_api_key")
    world.keys.kept[name] = ApiKey(name, held, user="ann")
    assert (await world.principal(key)).user == "ann"


async def test_a_store_that_fails_is_no_refusal(world: World) -> None:
    async def fail(name: str) -> ApiKey | None:
        raise StoreError("the disk is gone")

    found = Authenticator(RULES, Issuers(), fail)
    with pytest.raises(StoreError):
        await found.principal(new_key()[0])


# What is remembered


async def test_forgetting_asks_everybody_anew(world: World) -> None:
    one, key = token(), world.keys.add(user="ann")
    await world.principal(one)
    await world.principal(key)
    world.authenticator.forget()
    assert len(world.authenticator) == 0
    await world.principal(one)
    await world.principal(key)
    assert (world.secrets.asked, world.keys.read) == (2, 2)


async def test_what_was_being_looked_up_meanwhile_is_forgotten_too() -> None:
    waiting, go = asyncio.Event(), asyncio.Event()
    key, name, held = new_key()
    kept = [ApiKey(name, held, user="ann")]

    async def find(_: str) -> ApiKey | None:
        found = kept[0]
        waiting.set()
        await go.wait()
        return found

    found = Authenticator(RULES, Issuers(), find)
    first = asyncio.create_task(found.principal(key))
    await waiting.wait()
    kept[0] = ApiKey(name, held, user="ann", revoked=1.0)
    found.forget()
    go.set()
    assert (await first).user == "ann"
    assert len(found) == 0
    with pytest.raises(Unauthorized):
        await found.principal(key)


async def test_memory_is_bounded_and_who_comes_often_is_kept() -> None:
    world = World(remembered=10)
    often = token(sub="often")
    await world.principal(often)
    for number in range(50):
        await world.principal(token(sub=f"user-{number}"))
        await world.principal(often)
    assert len(world.authenticator) == 10
    assert world.secrets.asked == 51


async def test_what_does_not_hold_takes_no_memory(world: World) -> None:
    for number in range(100):
        with pytest.raises(Unauthorized):
            await world.principal(jwt.encode(claims(jti=str(number)), b"x" * 32, "HS256"))
    assert len(world.authenticator) == 0


async def test_no_credential_is_kept_as_it_is(world: World) -> None:
    one, key = token(), world.keys.add(user="ann")
    await world.principal(one)
    await world.principal(key)
    assert one not in repr(vars(world.authenticator))
    assert key not in repr(vars(world.authenticator))


def test_a_principal_is_current_until_its_credential_expires(world: World) -> None:
    Gate(now=world.clock).check_current(Principal("ann"))
    Gate(now=world.clock).check_current(Principal("ann", expires=world.clock() + 10))
    with pytest.raises(Unauthorized) as caught:
        Gate(now=world.clock).check_current(Principal("ann", expires=world.clock()))
    assert caught.value.code == "token_expired"


# Where a request carries it


def header(*values: str) -> str | None:
    headers = CIMultiDict[str]()
    for value in values:
        headers.add("Authorization", value)
    return bearer(make_mocked_request("GET", "/", headers=headers))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("Bearer abc", "abc"),
        ("bearer abc", "abc"),
        ("BEARER   abc  ", "abc"),
        ("Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
    ],
)
def test_a_request_carries_a_bearer_token(value: str, found: str) -> None:
    assert header(value) == found


def test_a_request_without_the_header_carries_none() -> None:
    assert header() is None


@pytest.mark.parametrize(
    "values",
    [
        [""], ["Bearer"], ["Bearer "], ["abc"], ["Basic YTpi"], ["Bearer: abc"], ["Bearerabc"],
        ["Bearer\tabc"], ["Bearer é"], ["Bearer abc", "Bearer abc"], ["Bearer abc", ""],
        ["Bearer abc def"], ["Bearer abc,Bearer def"], ["Bearer a\x7f"],
    ],
)  # fmt: skip
def test_a_header_in_another_form_is_refused_and_never_passed_over(values: list[str]) -> None:
    with pytest.raises(Unauthorized) as caught:
        header(*values)
    assert caught.value.code == "invalid_credential"
    assert "abc" not in caught.value.message


@given(st.text(max_size=30))
def test_any_header_is_a_token_or_refused(value: str) -> None:
    try:
        found = header(value)
    except Unauthorized:
        return
    assert found
    assert found.isascii()
    assert found.isprintable()
