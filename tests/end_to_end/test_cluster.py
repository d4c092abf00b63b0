"""Two hubs over a cluster: whatever is moved or promoted, nothing acknowledged is lost.

Slots are moved to other servers while the hubs append and are followed, and replicas take the place
of their primaries, because somebody asks them to, or because the primary is killed, or stands
still. See `tests.end_to_end.test_sentinels`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import pytest
from cryptography import x509

from hub.stores.redis.keys import Keys, slot_of
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
from tests.support.hub_processes import ENDS, STORY, TEXT, HubProcess, Hubs
from tests.support.patience import PATIENCE
from tests.support.redis_cluster import ClusterServer, RedisCluster

APPENDS = 30
CHAT = slot_of(Keys().of("chat").meta)
LOG = slot_of(Keys().of("log").meta)
"""The slots of the stream that is followed, and of the one to which is appended."""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[RedisCluster]:
    async with RedisCluster(tmp_path / "cluster", replicas=True) as started:
        yield started


@pytest.fixture
async def hubs(tmp_path: Path, cluster: RedisCluster) -> AsyncIterator[Hubs]:
    async with Hubs(tmp_path, cluster) as started:
        yield started


async def pair(cluster: RedisCluster) -> tuple[ClusterServer, ClusterServer]:
    """The primary of the stream that is followed, and its replica."""
    primary = await cluster.owner(CHAT)
    return primary, await cluster.replica_of(primary)


Fault = Callable[[World, RedisCluster], Awaitable[None]]


async def moved(world: World, cluster: RedisCluster) -> None:
    """Slots with keys go to another server one after the other, and one of them comes back."""
    slots = [slot_of(Keys().of(name).meta) for name in ("chat", "log", "beside", "chat")]
    for slot in slots:
        await cluster.move(slot, await cluster.another(slot), slowly=0.05)
        await world.until(more_is_told(world))
    leases = slot_of(Keys().nodes)
    await cluster.move(leases, await cluster.another(leases))


async def demanded(world: World, cluster: RedisCluster) -> None:
    """Somebody asks for it, so that the old primary is written to until it is a replica."""
    _, replica = await pair(cluster)
    await cluster.promote(replica)


async def killed(world: World, cluster: RedisCluster) -> None:
    """With what the replica does not have: only the hubs have that, too."""
    primary, replica = await pair(cluster)
    await cluster.part(primary, replica)
    await world.until(more_is_told(world))
    await primary.kill()
    await cluster.promoted(replica)
    await primary.start()


async def frozen(world: World, cluster: RedisCluster) -> None:
    """It takes connections and answers nothing; later it takes itself for the primary."""
    primary, replica = await pair(cluster)
    primary.freeze()
    await cluster.promoted(replica)
    primary.thaw()


@pytest.mark.parametrize("fault", [moved, demanded, killed, frozen])
async def test_a_reply_goes_on_and_no_append_is_lost_or_doubled(
    hubs: Hubs, cluster: RedisCluster, fault: Fault
) -> None:
    async with following(await hubs.start("one", "two", **PATIENT)) as world:
        one, two = world.hubs
        await one.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
        begun = await one.ask("POST", "/v1/generations", json=STORY, status=201)
        await two.ask("POST", "/v1/generations", json={**STORY, "stream": "beside"}, status=201)
        appending = asyncio.create_task(append(world.hubs, "log", APPENDS))
        await world.until(more_is_told(world))
        await fault(world, cluster)
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


async def test_a_hub_is_not_ready_while_its_cluster_lacks_a_primary(
    hubs: Hubs, cluster: RedisCluster
) -> None:
    given = {"STREAMHUB_STORE__URL": cluster.url}
    (hub,) = await hubs.start("one", **PATIENT)
    await hub.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
    await append([hub], "log", 3)
    (found,) = await diagnosed(hub, "topology", **given)
    assert found["state"] == "ok"
    assert found["said"].startswith("cluster of 3 primaries and 3 replicas: Redis 7")
    primary, replica = cluster.primaries[2], cluster.replicas[2]
    await replica.kill()
    (found,) = await diagnosed(hub, "topology", **given)
    assert found["state"] == "warn"
    assert f"no answer from 127.0.0.1:{replica.port}" in found["said"]
    await primary.kill()
    await hub.until_ready(503)
    async with asyncio.timeout(PATIENCE):
        while f"127.0.0.1:{primary.port}" not in await unready(hub):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (found,) = await diagnosed(hub, "store", **given)
    assert found["state"] == "fail"
    assert "(cluster of 3 primaries and" in found["said"]
    await cluster.start()
    await hub.until_ready()
    assert await hub.ask("GET", "/v1/stream/log", status=200) == b"0;1;2;"


async def unready(hub: HubProcess) -> str:
    return str(await hub.ask("GET", "/readyz", status=503), "utf-8")


async def test_passwords_and_certificates_are_used_for_all_of_them(tmp_path: Path) -> None:
    pem, key = self_signed(tmp_path, x509.IPAddress(IPv4Address("127.0.0.1")))
    tls = {
        "tls_cert_file": str(pem),
        "tls_key_file": str(key),
        "tls_ca_cert_file": str(pem),
        "tls_auth_clients": "no",
        "tls_cluster": "yes",
        "tls_replication": "yes",
    }
    async with RedisCluster(tmp_path / "cluster", replicas=False, **tls) as cluster:
        for server in cluster.servers:
            await server.ask("ACL", "SETUSER", "hub", "on", ">s3cr/t", "~*", "&*", "+@all")
            await server.ask("ACL", "SETUSER", "default", "-evalsha")
        given = {
            "STREAMHUB_STORE__URL": cluster.url,
            "STREAMHUB_STORE__CA_FILE": str(pem),
            "STREAMHUB_STORE__USER_ENV": "HUB_USER",
            "STREAMHUB_STORE__PASSWORD_ENV": "HUB_PASSWORD",
            "HUB_USER": "hub",
            "HUB_PASSWORD": "s3cr/t",
        }
        async with Hubs(tmp_path, cluster) as hubs:
            (hub,) = await hubs.start("one", **PATIENT, **given)
            await hub.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
            await append([hub], "log", 3)
            await cluster.move(LOG, await cluster.another(LOG))
            await append([hub], "log", 6)
            assert await hub.ask("GET", "/v1/stream/log", status=200) == b"0;1;2;3;4;5;"
        (found,) = await diagnosed(hub, "store", **{**given, "HUB_PASSWORD": "no-such"})
        assert found["state"] == "fail"
        assert "it refuses the user or the password" in found["said"]
        assert "no-such" not in str(found)


async def test_what_a_replica_has_confirmed_outlives_the_primary_and_the_hub_together(
    hubs: Hubs, cluster: RedisCluster
) -> None:
    """Each primary confirms for its own streams."""
    (one,) = await hubs.start("one", **PATIENT, STREAMHUB_STORE__ACKNOWLEDGE="replica")
    await one.ask("PUT", "/v1/stream/log", headers=TEXT, status=201)
    await append([one], "log", 3)
    primary = await cluster.owner(LOG)
    replica = await cluster.replica_of(primary)
    await cluster.part(primary, replica)
    refused = await one.ask("POST", "/v1/stream/log", headers=TEXT, data="lost;", status=503)
    assert refused["error"]["code"] == "store_slow"
    elsewhere = await name_at(cluster, await cluster.another(LOG))
    await one.ask("PUT", f"/v1/stream/{elsewhere}", headers=TEXT, status=201)
    await one.stop()
    await primary.kill()
    await cluster.promoted(replica)
    (two,) = await hubs.start("two", **PATIENT)
    assert await two.ask("GET", "/v1/stream/log", status=200) == b"0;1;2;"


async def name_at(cluster: RedisCluster, server: ClusterServer) -> str:
    """The name of a stream that a primary has."""
    for name in map(str, count()):
        if await cluster.owner(slot_of(Keys().of(name).meta)) is server:
            return name
    raise AssertionError
