"""Sessions: begun for a user, found by their token, ended early or in time, and never too many."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.auth.api_keys import digest
from hub.auth.authenticator import Authenticator
from hub.auth.issuers import Issuers
from hub.auth.sessions import KIND, OF_ONE_USER, Sessions
from hub.domain.errors import Conflict, Unauthorized
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import Grant, StreamPattern
from hub.domain.principal import Principal
from hub.stores import Credential, Store
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore

START = 1_000_000.0
HOUR = 3600.0


def rule(who: str, match: str) -> Rule:
    return Rule(Who.parse(who), Grant(frozenset({"read"}), StreamPattern.parse(match)))


RULES = Rules(
    [
        rule("user", "chat/{user}/**"),
        rule("claim group=staff", "staff/**"),
        rule("claim group=ops", "ops/{tenant}/*"),
        rule("claim plan=pro", "pro/*"),
    ]
)


class World:
    """Sessions in a store, with a clock that stands still and those that ended early."""

    def __init__(self, store: Store) -> None:
        self.store, self.now = store, START
        self.ended: list[str] = []
        self.sessions = Sessions(
            store.credentials,
            RULES,
            seconds=HOUR,
            revoked=self.ended.append,
            clock=lambda: self.now,
        )
        self.authenticator = Authenticator(
            RULES,
            Issuers(()),
            self._no_key,
            find_session=self.sessions.find,
            clock=lambda: self.now,
        )

    async def begin(self, user: str = "alice", *args: Any, by: str = "link", **more: Any) -> str:
        token, expires = await self.sessions.begin(user, *args, by=by, **more)
        assert expires == self.now + HOUR
        return token

    async def principal(self, token: str) -> Principal:
        return await self.authenticator.principal(token)

    async def refused(self, token: str) -> None:
        with pytest.raises(Unauthorized) as caught:
            await self.sessions.find(token)
        assert caught.value.code == "session_ended"

    async def _no_key(self, id_: str) -> None:
        raise AssertionError("no key was presented")


@asynccontextmanager
async def made(kind: str, path: Path) -> AsyncIterator[World]:
    store: Store = MemoryStore() if kind == "memory" else SQLiteStore(path / "hub.db")
    await store.start()
    try:
        yield World(store)
    finally:
        await store.stop()


@pytest.fixture(params=["memory", "sqlite"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with made(request.param, tmp_path) as one:
        yield one


async def test_a_session_is_its_user_until_it_expires(world: World) -> None:
    token = await world.begin("alice", "acme")
    by = await world.principal(token)
    assert (by.user, by.tenant, by.key, by.expires) == ("alice", "acme", None, START + HOUR)
    assert by.may("read", "chat/alice/1")
    assert not by.may("read", "chat/bob/1")
    assert by.credential == (await world.sessions.find(token)).id
    world.now += HOUR - 0.001
    await world.principal(token)
    world.now += 0.001
    await world.refused(token)
    with pytest.raises(Unauthorized):
        await world.principal(token)


async def test_use_does_not_make_a_session_longer(world: World) -> None:
    token = await world.begin()
    for _ in range(59):
        world.now += 60
        assert (await world.principal(token)).expires == START + HOUR
    world.now += 60
    await world.refused(token)


async def test_only_the_claims_that_grants_ask_for_are_kept(world: World) -> None:
    claims = {"group": ["ops", "staff", "x" * 100_000], "plan": "free", "email": "a@example.org"}
    token = await world.begin("alice", "acme", claims)
    (row,) = await world.store.credentials.listed(KIND, "", 10)
    assert row.grants == '{"group":["staff","ops"]}'
    by = await world.principal(token)
    assert by.may("read", "staff/1/2")
    assert by.may("read", "ops/acme/1")
    assert not by.may("read", "pro/1")
    plain = await world.principal(await world.begin("bob", None, {"plan": "pro"}))
    assert plain.may("read", "pro/1")
    assert not plain.may("read", "staff/1")


async def test_the_secret_is_not_kept(world: World) -> None:
    token = await world.begin()
    (row,) = await world.store.credentials.listed(KIND, "", 10)
    assert token[16:] not in repr(row)
    assert len(token[16:]) == 43
    assert token[16:] not in repr(await world.sessions.find(token))


async def test_a_token_that_is_nearly_right_is_refused(world: World) -> None:
    token = await world.begin()
    last = "B" if token[-1] == "A" else "A"
    for wrong in (token[:-1] + last, token[:-1], token + "A", token.upper(), "ss_", f" {token}"):
        await world.refused(wrong)
    # Another kind of credential with the same id and secret is no session.
    with pytest.raises(AssertionError, match="no key"):
        await world.principal("sh" + token[2:])


async def test_an_ended_session_is_refused_within_a_second(world: World) -> None:
    token = await world.begin()
    other = await world.begin()
    await world.principal(token)
    await world.sessions.end(token)
    await world.refused(token)
    world.now += 1.0
    with pytest.raises(Unauthorized):
        await world.principal(token)
    assert world.ended == [token[3:15]]
    await world.principal(other)


async def test_to_end_what_does_not_hold_does_nothing(world: World) -> None:
    token = await world.begin()
    await world.sessions.end(token)
    await world.sessions.end(token)
    forged = f"ss_{(await world.begin())[3:15]}_{'A' * 43}"
    await world.sessions.end(forged)
    await world.sessions.end("nonsense")
    assert world.ended == [token[3:15]]


async def test_a_user_who_has_too_many_loses_the_oldest(world: World) -> None:
    bob = await world.begin("bob")
    tokens = []
    for _ in range(OF_ONE_USER + 2):
        world.now += 1
        tokens.append(await world.begin())
    for gone in tokens[:2]:
        await world.refused(gone)
    for held in (*tokens[2:], bob):
        await world.sessions.find(held)
    assert world.ended == [token[3:15] for token in tokens[:2]]


async def test_a_login_reads_no_sessions_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await world.begin(f"user {number}")
    read: list[str | None] = []
    held = world.store.credentials.held

    async def counted(*asked: Any) -> list[Credential]:
        rows = await held(*asked)
        read.extend(row.user for row in rows)
        return rows

    async def never(*_: object) -> list[Credential]:
        raise AssertionError("all sessions are read")

    monkeypatch.setattr(world.store.credentials, "held", counted)
    monkeypatch.setattr(world.store.credentials, "listed", never)
    await world.begin("alice")
    assert read == ["alice"]


async def test_of_two_logins_with_one_id_one_begins_a_session(world: World) -> None:
    token = await world.begin(id_="abcdefghijkl")
    with pytest.raises(Conflict) as caught:
        await world.begin("eve", id_="abcdefghijkl")
    assert caught.value.code == "credential_exists"
    assert (await world.sessions.find(token)).user == "alice"


@pytest.mark.parametrize("grants", ["nonsense", "[]", "1"])
async def test_a_row_that_is_not_understood_lets_nobody_in(world: World, grants: str) -> None:
    await world.begin()
    (row,) = await world.store.credentials.listed(KIND, "", 10)
    for id_, held in (("aaaaaaaaaaaa", "{}"), ("bbbbbbbbbbbb", grants)):
        token = f"ss_{id_}_{'A' * 43}"
        await world.store.credentials.add(replace(row, id=id_, hash=digest(token), grants=held))
    await world.sessions.find(f"ss_aaaaaaaaaaaa_{'A' * 43}")
    await world.refused(f"ss_bbbbbbbbbbbb_{'A' * 43}")
