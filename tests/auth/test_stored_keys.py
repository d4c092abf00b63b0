"""API keys in the store and in the configuration: what is kept of one is what it was."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from hub.auth.api_keys import ApiKey, new_key
from hub.auth.authenticator import Authenticator
from hub.auth.issuers import Issuers
from hub.auth.stored_keys import StoredKeys, configured_key, key_of, row_of
from hub.config.auth import Auth
from hub.domain.errors import Unauthorized
from hub.domain.grant_rules import Rules
from hub.domain.permissions import Grant, StreamPattern
from hub.stores import Credential
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore

READ = Grant(frozenset({"read"}), StreamPattern.parse("chat/{user}/**"))
NARROW = Grant(
    frozenset({"generate", "append"}),
    upstreams=frozenset({"b", "a"}),
    models=frozenset(),
    max_tokens=7,
)
KEYS = {
    "bare": ApiKey("abcdefghijkl", b"h" * 32),
    "full": ApiKey(
        "abcdefghijkl", b"h" * 32, "ci \U0001f600", "alice", "acme", (READ, NARROW), 1.5, 2.5, 3.5
    ),
    "nothing": ApiKey("abcdefghijkl", b"h" * 32, grants=()),
}


@pytest.mark.parametrize("name", KEYS)
async def test_a_key_comes_back_from_the_store_as_it_was(name: str, tmp_path: Path) -> None:
    key = KEYS[name]
    assert key_of(row_of(key)) == key
    for store in (MemoryStore(), SQLiteStore(tmp_path / "hub.db")):
        await store.start()
        await store.credentials.add(row_of(key))
        assert await StoredKeys(store.credentials).find(key.id) == key
        assert await StoredKeys(store.credentials).find("other") is None
        await store.stop()


NOT_UNDERSTOOD = [
    "{}",
    "nonsense",
    "[1]",
    "[{}]",
    '[{"match":"**"}]',
    '[{"can":["read"]}]',
    '[{"match":"**","can":["fly"]}]',
    '[{"match":"**","can":"read"}]',
    '[{"match":"a/**/b","can":["read"]}]',
    '[{"match":"**","can":["read"],"networks":["10.0.0.0/8"]}]',
    '[{"match":"**","can":["read"],"models":[1]}]',
    '[{"match":"**","can":["read"],"max_tokens":true}]',
    '[{"match":"**","can":["read"],"max_tokens":0}]',
    '[{"match":"**","can":["read"]},{"match":"**","can":["read"],"x":1}]',
]


@pytest.mark.parametrize("grants", NOT_UNDERSTOOD)
async def test_grants_that_are_not_understood_let_nobody_in(
    grants: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    await store.credentials.add(Credential("key", "abcdefghijkl", b"h" * 32, grants=grants))
    with caplog.at_level(logging.WARNING):
        assert await StoredKeys(store.credentials).find("abcdefghijkl") is None
    assert "the key abcdefghijkl is refused" in caplog.text


async def test_another_kind_of_credential_is_no_key() -> None:
    store = MemoryStore()
    await store.credentials.add(replace(row_of(KEYS["full"]), kind="link"))
    assert await StoredKeys(store.credentials).find("abcdefghijkl") is None


async def test_keys_of_the_configuration_come_first() -> None:
    auth = Auth.model_validate(
        {
            "keys": {
                "ci": {
                    "id": "abcdefghijkl",
                    "sha256": "ab" * 32,
                    "user": "bot",
                    "tenant": "acme",
                    "can": ["read", "append"],
                    "match": "builds/**",
                    "expires": "2030-01-01T00:00:00Z",
                },
                "plain": {"id": "bbbbbbbbbbbb", "sha256": "cd" * 32},
            }
        }
    )
    keys = [configured_key(name, table) for name, table in auth.keys.items()]
    store = MemoryStore()
    await store.credentials.add(row_of(KEYS["full"]))
    found = StoredKeys(store.credentials, keys)
    assert await found.find("abcdefghijkl") == ApiKey(
        "abcdefghijkl",
        b"\xab" * 32,
        "ci",
        "bot",
        "acme",
        (Grant(frozenset({"read", "append"}), StreamPattern.parse("builds/**")),),
        expires=1893456000.0,
    )
    assert await found.find("bbbbbbbbbbbb") == ApiKey("bbbbbbbbbbbb", b"\xcd" * 32, "plain")


async def test_a_revoked_key_is_refused_within_a_second(tmp_path: Path) -> None:
    now = 1_000_000.0
    store = SQLiteStore(tmp_path / "hub.db")
    await store.start()
    authenticator = Authenticator(
        Rules(), Issuers([]), StoredKeys(store.credentials).find, clock=lambda: now
    )
    secret, id_, digest = new_key()
    key = ApiKey(id_, digest, user="alice", grants=(READ,), expires=now + 60)
    await store.credentials.add(row_of(key))
    principal = await authenticator.principal(secret)
    assert (principal.user, principal.may("read", "chat/alice/1")) == ("alice", True)
    assert not principal.may("read", "chat/bob/1")
    await store.credentials.revoke("key", id_, now)
    now += 0.99
    await authenticator.principal(secret)
    now += 0.01
    with pytest.raises(Unauthorized) as refused:
        await authenticator.principal(secret)
    assert refused.value.code == "invalid_api_key"
    await store.stop()


async def test_an_expired_key_is_refused(tmp_path: Path) -> None:
    now = 1_000_000.0
    store = MemoryStore()
    authenticator = Authenticator(
        Rules(), Issuers([]), StoredKeys(store.credentials).find, clock=lambda: now
    )
    secret, id_, digest = new_key()
    await store.credentials.add(row_of(ApiKey(id_, digest, expires=now + 0.5)))
    await authenticator.principal(secret)
    now += 0.5
    with pytest.raises(Unauthorized, match="expired"):
        await authenticator.principal(secret)


def test_only_the_hash_of_a_key_is_kept() -> None:
    secret, id_, digest = new_key()
    kept = orjson.dumps(str(row_of(ApiKey(id_, digest)))).decode()
    assert secret[-43:] not in kept
