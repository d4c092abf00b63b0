"""Key sets of a real server on loopback: fetched when needed, kept when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm

from hub.auth.key_sets import SET_KEYS, KeySet
from hub.domain.errors import Unavailable
from tests.support.key_server import KeyServer, Signer, signers
from tests.support.patience import PATIENCE

KEYS = signers()
NEW = signers(kid="new-")


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    server = KeyServer(KEYS["RS256"].jwk, KEYS["ES256"].jwk)
    await server.start()
    yield server
    await server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def key_set(server: KeyServer, clock: Clock) -> AsyncIterator[KeySet]:
    key_set = KeySet(server.url, server.client, clock=clock, seconds=PATIENCE)
    yield key_set
    await key_set.close()


async def has(key_set: KeySet, signer: Signer) -> bool:
    return len(await key_set.keys(signer.kid, signer.algorithm)) == 1


async def test_a_set_is_fetched_once_and_kept(server: KeyServer, key_set: KeySet) -> None:
    for _ in range(10):
        assert await has(key_set, KEYS["RS256"])
        assert await has(key_set, KEYS["ES256"])
    assert server.asked == 1


async def test_a_set_may_be_compressed(server: KeyServer, key_set: KeySet) -> None:
    server.answer = server.compressed
    assert await has(key_set, KEYS["RS256"])


async def test_many_at_once_make_one_request(server: KeyServer, key_set: KeySet) -> None:
    found = await asyncio.gather(*(has(key_set, KEYS["RS256"]) for _ in range(50)))
    assert found == [True] * 50
    assert server.asked == 1


async def test_an_unknown_kid_fetches_the_set_once_a_minute(
    server: KeyServer, clock: Clock, key_set: KeySet
) -> None:
    assert await has(key_set, KEYS["RS256"])
    for number in range(20):
        assert await key_set.keys(f"guess-{number}", "RS256") == []
    assert server.asked == 1  # the set was fetched within this minute
    clock.now += 60
    await asyncio.gather(*(key_set.keys(f"guess-{number}", "RS256") for number in range(20)))
    assert server.asked == 2
    clock.now += 59.9
    assert await key_set.keys("guess", "RS256") == []
    assert server.asked == 2


async def test_a_new_key_is_found_at_once_and_fetched_once(
    server: KeyServer, clock: Clock, key_set: KeySet
) -> None:
    assert await has(key_set, KEYS["RS256"])
    clock.now += 61
    server.keys.append(NEW["RS256"].jwk)
    assert await asyncio.gather(*(has(key_set, NEW["RS256"]) for _ in range(20))) == [True] * 20
    assert await has(key_set, KEYS["RS256"])
    assert server.asked == 2


async def test_a_key_that_is_withdrawn_holds_until_the_set_is_fetched_again(
    server: KeyServer, clock: Clock, key_set: KeySet
) -> None:
    assert await has(key_set, KEYS["RS256"])
    server.keys = [NEW["RS256"].jwk]
    clock.now += 599
    assert await has(key_set, KEYS["RS256"])
    clock.now += 1
    assert not await has(key_set, KEYS["RS256"])
    assert await has(key_set, NEW["RS256"])
    assert server.asked == 2


FAULTS = ["fail", "redirect", "no_json", "huge", "endless", "bomb", "hang", "trickle", "break_off"]


@contextmanager
def patience_for(key_set: KeySet, fault: str) -> Iterator[None]:
    """Only what takes for ever is to be given up, also by a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hub.auth.key_sets.HELD_SECONDS", PATIENCE)
        if fault in ("hang", "trickle"):
            patch.setattr(key_set._set, "_seconds", 0.3)
        yield


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_set_that_was_fetched_holds_when_the_server_fails(
    server: KeyServer,
    clock: Clock,
    key_set: KeySet,
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert await has(key_set, KEYS["RS256"])
    server.answer = getattr(server, fault)
    for _ in range(3):
        clock.now += 601
        with caplog.at_level(logging.WARNING), patience_for(key_set, fault):
            async with asyncio.timeout(PATIENCE):
                assert await has(key_set, KEYS["RS256"])
        assert f"the key set {server.url} cannot be fetched: " in caplog.text
        assert all("\n" not in record.getMessage() for record in caplog.records)
        caplog.clear()
        assert await key_set.keys("guess", "RS256") == []
    assert server.asked == 4
    clock.now += 60
    server.answer = None
    server.keys.append(NEW["ES256"].jwk)
    assert await has(key_set, NEW["ES256"])


@pytest.mark.parametrize("fault", FAULTS)
async def test_without_a_set_nobody_can_be_let_in(
    server: KeyServer, clock: Clock, key_set: KeySet, fault: str
) -> None:
    server.answer = getattr(server, fault)
    for _ in range(3):
        async with asyncio.timeout(PATIENCE):
            with patience_for(key_set, fault), pytest.raises(Unavailable) as caught:
                await key_set.keys("RS256", "RS256")
        assert caught.value.code == "key_set_unavailable"
        assert server.url not in caught.value.message
    assert server.asked == 1
    # It is asked again soon: nobody can work until then.
    server.answer = None
    clock.now += 5
    assert await has(key_set, KEYS["RS256"])


async def test_a_server_that_is_away_is_like_one_that_fails(
    server: KeyServer, clock: Clock, key_set: KeySet
) -> None:
    never = KeySet(server.url, server.client, clock=clock)
    assert await has(key_set, KEYS["RS256"])
    await server.stop()
    clock.now += 601
    assert await has(key_set, KEYS["RS256"])
    with pytest.raises(Unavailable):
        await never.keys("RS256", "RS256")


async def test_a_client_that_is_closed_is_a_failure_and_no_defect(
    server: KeyServer, key_set: KeySet
) -> None:
    await server.client().close()
    with pytest.raises(Unavailable):
        await key_set.keys("RS256", "RS256")


@pytest.mark.parametrize(
    "keys",
    [
        [],
        None,
        {},
        "keys",
        [None, 1, "a", [], {}],
        [{"kty": "RSA"}],
        [{"kty": "RSA", "n": 1, "e": []}],
        [{"kty": "RSA", "n": "", "e": ""}],
        [{"kty": []}],
        [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}],
        [{"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}],
        [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}],
        [{"kty": "oct"}],
        [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}],
        [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "RS256"}],
    ],
)
async def test_a_set_without_usable_keys_is_none(
    server: KeyServer, clock: Clock, key_set: KeySet, keys: Any
) -> None:
    good = server.keys
    server.keys = keys
    with pytest.raises(Unavailable):
        await key_set.keys(None, "RS256")
    server.keys = good
    clock.now += 60
    assert await has(key_set, KEYS["RS256"])
    server.keys = keys
    clock.now += 601
    assert await has(key_set, KEYS["RS256"])


async def test_one_broken_key_takes_no_other_with_it(server: KeyServer, key_set: KeySet) -> None:
    broken: list[Any] = [{"kty": "oct"}, {"kty": "RSA", "alg": []}, None, {"kty": "EC", "crv": {}}]
    names: list[Any] = [["ES256"], {}, 1]
    odd = [{**KEYS["ES256"].jwk, "alg": alg} for alg in names]
    server.keys = [*broken, *odd, KEYS["RS256"].jwk]
    assert await has(key_set, KEYS["RS256"])


async def test_a_set_publishes_no_secrets_and_no_private_keys(
    server: KeyServer, key_set: KeySet
) -> None:
    private = KEYS["RS256"].key
    assert isinstance(private, RSAPrivateKey)
    server.keys = [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "a", "alg": "HS256"},
        {**RSAAlgorithm.to_jwk(private, as_dict=True), "kid": "b", "key_ops": ["verify"]},
        KEYS["ES256"].jwk,
    ]
    assert await key_set.keys("a", "HS256") == []
    assert await key_set.keys("b", "RS256") == []
    assert await key_set.keys(None, "HS256") == []


@pytest.mark.parametrize(
    "change",
    [{"use": "enc"}, {"use": None}, {"use": []}, {"key_ops": ["encrypt"]}, {"key_ops": []}],
)
async def test_a_key_for_something_else_checks_no_signature(
    server: KeyServer, key_set: KeySet, change: dict[str, Any]
) -> None:
    server.keys[0] = {**server.keys[0], **change}
    assert not await has(key_set, KEYS["RS256"])


async def test_a_key_signs_with_the_algorithms_of_its_kind(
    server: KeyServer, key_set: KeySet
) -> None:
    names = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
    server.keys = [{**KEYS[name].jwk, "kid": name} for name in names]
    for jwk in server.keys:
        del jwk["alg"]
    fit = {name: set[str]() for name in names}
    for name in names:
        for algorithm in ("HS256", "RS256", "RS512", "PS384", "ES256", "ES384", "ES512", "EdDSA",
                          "none", ""):  # fmt: skip
            if await key_set.keys(name, algorithm):
                fit[name].add(algorithm)
    assert fit == {
        "RS256": {"RS256", "RS512", "PS384"},
        "ES256": {"ES256"},
        "ES384": {"ES384"},
        "ES512": {"ES512"},
        "EdDSA": {"EdDSA"},
    }


async def test_a_key_that_names_its_algorithm_signs_with_no_other(
    server: KeyServer, key_set: KeySet
) -> None:
    assert await key_set.keys("RS256", "PS256") == []
    assert await key_set.keys("RS256", "RS512") == []
    server.keys[0] = {**server.keys[0], "alg": "ES256"}
    assert await key_set.keys("RS256", "ES256") == []


async def test_without_a_kid_every_key_that_fits_is_tried(
    server: KeyServer, key_set: KeySet
) -> None:
    server.keys = [KEYS["ES256"].jwk, KEYS["RS256"].jwk, NEW["RS256"].jwk]
    assert len(await key_set.keys(None, "RS256")) == 2
    assert len(await key_set.keys(None, "ES256")) == 1


async def test_a_set_has_so_many_keys(server: KeyServer, key_set: KeySet) -> None:
    server.keys = [{**KEYS["ES256"].jwk, "kid": str(number)} for number in range(SET_KEYS + 1)]
    assert len(await key_set.keys(None, "ES256")) == SET_KEYS


async def test_who_leaves_does_not_end_the_request_of_others(
    server: KeyServer, key_set: KeySet
) -> None:
    waiting = [asyncio.create_task(has(key_set, KEYS["RS256"])) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert await waiting[1]
    assert waiting[0].cancelled()
    assert server.asked == 1


async def test_a_token_with_a_known_key_waits_only_shortly_for_a_newer_set(
    server: KeyServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.auth.key_sets.HELD_SECONDS", 0.05)
    key_set = KeySet(server.url, server.client, clock=clock, seconds=PATIENCE)
    assert await has(key_set, KEYS["RS256"])
    server.answer = server.hang
    clock.now += 601
    async with asyncio.timeout(PATIENCE / 2):
        assert await has(key_set, KEYS["RS256"])
    assert server.asked == 2
    await key_set.close()


async def test_closing_ends_a_request(server: KeyServer, clock: Clock) -> None:
    server.answer = server.hang
    key_set = KeySet(server.url, server.client, clock=clock)
    waiting = asyncio.create_task(key_set.keys("RS256", "RS256"))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE / 2):
        await key_set.close()
        with pytest.raises(Unavailable):
            await waiting
    await key_set.close()
