"""Two hubs over servers that sentinels watch: whoever is the primary, nothing acknowledged is lost.

Real sentinels promote a replica while the hubs append and are followed, because somebody asks them
to, or because the primary is killed, or stands still. See `tests.end_to_end.test_nodes_faults`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.certificates import self_signed
from tests.support.followed_hubs import (
    PATIENT,
    World,
    append,
    diagnosed,
    ended,
    following,
    more_is_told,
    spoken,
)
from tests.support.hub_processes import ENDS, STORY, TEXT, Hubs
from tests.support.patience import PATIENCE
from tests.support.sentinels import WatchedServers

APPENDS = 30


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[WatchedServers]:
    async with WatchedServers(tmp_path / "watched") as started:
        yield started


@pytest.fixture
async def hubs(tmp_path: Path, watched: WatchedServers) -> AsyncIterator[Hubs]:
    async with Hubs(tmp_path, watched) as started:
        yield started


Fault = Callable[[World, WatchedServers], Awaitable[None]]


async def demanded(world: World, watched: WatchedServers) -> None:
    """Somebody asks for it, so that the old primary is written to until it is a replica."""
    await watched.promote(watched.replica)


async def killed(world: World, watched: WatchedServers) -> None:
    """With what the replica does not have: only the hubs have that, too."""
    await watched.part()
    await world.until(more_is_told(world))
    await watched.primary.kill()
    await watched.promoted(watched.replica)
    await watched.come_back(watched.primary)


async def frozen(world: World, watched: WatchedServers) -> None:
    """It takes connections and answers nothing; later it takes itself for the primary."""
    watched.primary.freeze()
    await watched.promoted(watched.replica)
    watched.primary.thaw()


@pytest.mark.parametrize("fault", [demanded, killed, frozen])
async def test_a_reply_goes_on_over_another_primary_and_no_append_is_lost_or_doubled(
    hubs: Hubs, watched: WatchedServers, fault: Fault
) -> None:
    async with following(await hubs.start("one", "two", **PATIENT)) as world:
        one, two = world.hubs
        await one.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
        begun = await one.ask("POST", "/v1/generations", json=STORY, status=201)
        await two.ask("POST", "/v1/generations", json={**STORY, "stream": "beside"}, status=201)
        appending = asyncio.create_task(append(world.hubs, "log", APPENDS))
        await world.until(more_is_told(world))
        await fault(world, watched)
        async with asyncio.timeout(PATIENCE):
            await appending
        await world.until(lambda follower: follower.kinds()[-1:] == ["finished"])
        held = await world.same()
        assert [event["type"] for event in held if event["type"] in ENDS] == ["finished"]
        assert {event["generation"] for event in held[1:]} == {begun["id"]}
        for hub in world.hubs:
            log = await hub.ask("GET", "/v1/stream/log", status=200)
            assert log.decode() == "".join(f"{number};" for number in range(APPENDS))
        assert spoken(held) == spoken(await ended(one, "beside"))


async def test_what_a_replica_has_confirmed_outlives_the_primary_and_the_hub_together(
    hubs: Hubs, watched: WatchedServers
) -> None:
    (one,) = await hubs.start("one", **PATIENT, STREAMHUB_STORE__ACKNOWLEDGE="replica")
    await one.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
    await append([one], "log", 3)
    await watched.part()
    refused = await one.ask("POST", "/v1/stream/log", headers=TEXT, data="lost;", status=503)
    assert refused["error"]["code"] == "store_slow"
    await one.stop()
    await watched.primary.kill()
    await watched.promoted(watched.replica)
    (two,) = await hubs.start("two", **PATIENT)
    assert await two.ask("GET", "/v1/stream/log", status=200) == b"0;1;2;"


async def test_passwords_and_certificates_are_used_for_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other, _ = self_signed(tmp_path / "other", x509.IPAddress(IPv4Address("127.0.0.1")))
    pem, key = self_signed(tmp_path, x509.IPAddress(IPv4Address("127.0.0.1")))
    tls = {
        "tls_cert_file": str(pem),
        "tls_key_file": str(key),
        "tls_ca_cert_file": str(pem),
        "tls_auth_clients": "no",
        "tls_replication": "yes",
    }
    secrets = {"HUB_PASSWORD": "s3cr/t", "WATCH_PASSWORD": "w@tch"}
    async with WatchedServers(tmp_path / "watched", **tls) as watched:
        for server in watched.servers:
            await server.ask("ACL", "SETUSER", "hub", "on", ">s3cr/t", "~*", "&*", "+@all")
            await server.ask("ACL", "SETUSER", "default", "-evalsha")
        for sentinel in watched.sentinels:
            await sentinel.ask("ACL", "SETUSER", "watch", "on", ">w@tch", "+@all", "&*")
            await sentinel.ask("ACL", "SETUSER", "default", "-sentinel|master")
        given = {
            "STREAMHUB_STORE__URL": watched.url,
            "STREAMHUB_STORE__CA_FILE": str(pem),
            "STREAMHUB_STORE__USER_ENV": "HUB_USER",
            "STREAMHUB_STORE__PASSWORD_ENV": "HUB_PASSWORD",
            "STREAMHUB_STORE__SENTINEL_USER_ENV": "WATCH_USER",
            "STREAMHUB_STORE__SENTINEL_PASSWORD_ENV": "WATCH_PASSWORD",
            "HUB_USER": "hub",
            "WATCH_USER": "watch",
            **secrets,
        }
        async with Hubs(tmp_path, watched) as hubs:
            (hub,) = await hubs.start("one", **PATIENT, **given)
            await hub.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
            await append([hub], "log", 3)
            await watched.promote(watched.replica)
            await append([hub], "log", 6)
            assert await hub.ask("GET", "/v1/stream/log", status=200) == b"0;1;2;3;4;5;"

        at = f"127.0.0.1:{watched.port(watched.replica)}"
        # The server that was the primary takes a moment to follow the new one.
        async with asyncio.timeout(PATIENCE):
            (found,) = await diagnosed(hub, "topology", **given)
            while "with no replica" in found["said"]:
                (found,) = await diagnosed(hub, "topology", **given)
        assert '3 of 3 sentinels name "main": Redis 7' in found["said"]
        assert f"at {at}, with 1 replica" in found["said"]
        assert found["state"] == "ok"
        await watched.sentinels[0].kill()
        (found,) = await diagnosed(hub, "topology", **given)
        assert (found["state"], found["said"][:6]) == ("warn", "2 of 3")
        for wrong, said in (
            ({"HUB_PASSWORD": "no-such"}, "it refuses the user or the password"),
            ({"WATCH_PASSWORD": "no-such"}, "it refuses the user or the password"),
            ({"STREAMHUB_STORE__CA_FILE": str(other)}, "certificate verify failed"),
        ):
            (found,) = await diagnosed(hub, "store", **{**given, **wrong})
            assert found["state"] == "fail"
            assert said in found["said"]
            assert not [word for word in secrets.values() if word in str(found)]
