"""A user of the server needs what the hub says it does, and is told what of it is lacking."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

import hub.stores.redis
from hub import Config
from hub.domain.errors import StoreError
from hub.domain.generation import State
from hub.domain.stream_settings import StreamSettings
from hub.store_from_config import lacking_rules, shared_store_of
from hub.stores.redis import permissions
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.keys import Keys
from hub.stores.redis.permissions import lacking, rules
from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually
from tests.support.people import auth, bearer
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.shared_servers import code_of, hear

KEYS = Keys()
ALL = rules(KEYS)

Allow = Callable[..., Awaitable[str]]


@pytest.fixture
def allow(redis_server: RedisServer) -> Allow:
    """Allow a user these rules and nothing else; the URL with its name."""

    async def allowed(*given: str) -> str:
        said = await redis_server.ask("ACL", "SETUSER", "hub", "reset", "on", ">secret", *given)
        assert said == b"+OK\r\n"
        return f"redis://hub:secret@127.0.0.1:{redis_server.port}"

    return allowed


@pytest.fixture
async def cluster(kept_cluster: RedisCluster) -> RedisCluster:
    await kept_cluster.start()
    await kept_cluster.empty()
    return kept_cluster


def test_every_command_that_is_sent_is_named() -> None:
    sent = set[str]()
    for file in Path(hub.stores.redis.__file__).parent.glob("*.py"):
        text = file.read_text("utf-8")
        found = re.findall(r'(?:ask|_send)\(\s*"([A-Z]+)"(?:, "(LOAD|NODES)")?', text)
        sent |= {f"{one} {more}".strip() for one, more in found}
        if file.name in ("client.py", "primary.py"):  # where it depends on the server
            sent |= set(re.findall('"(S?(?:PUBLISH|SUBSCRIBE|UNSUBSCRIBE))"', text))
            sent |= {f"PUBSUB {one}" for one in re.findall('"((?:SHARD)?NUMSUB)"', text)}
    of_clusters = {*permissions.SHARDED.values(), permissions.TO_CLUSTER}
    assert sent - {"SENTINEL"} == {*permissions.DIRECT, *of_clusters}  # which is for another server


def test_and_so_is_every_command_of_a_script() -> None:
    for file in (Path(hub.stores.redis.__file__).parent / "lua").glob("*.lua"):
        for call in re.findall(r"redis\.p?call\(([^,)]+)", file.read_text("utf-8")):
            command = re.fullmatch(r"'?([A-Z]+)'?", call)
            assert command, f"{file.name} calls {call}, which is not found there"
            assert f"+{command[1].lower()}" in {rule.partition("|")[0] for rule in ALL}


def test_the_page_has_these_rules() -> None:
    page = (Path(__file__).parents[3] / "docs/nodes.md").read_text("utf-8")
    (shown,) = re.findall(r"ACL SETUSER hub on >secret\n([^`]+)```", page)
    assert shown.split() == ALL
    (other,) = re.findall(r"The user needs ([^(]*)\(\[the others\]\(#with-an-acl\)\)", page)
    instead = set(re.findall(r"`([^`]+)`", other))
    assert instead == set(ALL) ^ set(rules(KEYS, clustered=True))


async def test_who_may_do_all_lacks_nothing(allow: Allow, redis_server: RedisServer) -> None:
    assert await lacking(redis_server.url, KEYS) == []
    assert await lacking(await allow(*ALL), KEYS) == []
    assert await lacking(await allow("+@all", "~*", "&*"), KEYS) == []


async def test_with_these_rules_two_hubs_do_whatever_hubs_do(
    allow: Allow, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Redis refuses a script is an error, and what it has done before stays."""
    url = await allow(*ALL)
    for variable, value in (("REDIS_USER", "hub"), ("REDIS_PASSWORD", "secret")):
        monkeypatch.setenv(variable, value)
    store = {
        "url": f"redis://{url.rpartition('@')[2]}",
        "user_env": "REDIS_USER",
        "password_env": "REDIS_PASSWORD",
    }
    settings = {"streams": {"max_records": 12}, "server": {"list_streams": True}}
    one, two = [await start_hub(store=store, auth=auth(), **settings) for _ in range(2)]

    async def asked(hub: Running, method: str, path: str, **given: Any) -> Any:
        headers = bearer("admin") | given.pop("headers", {})
        async with hub.client.request(method, path, headers=headers, **given) as response:
            assert response.status < 300, (path, await response.text())
            return orjson.loads(await response.read() or b"null")

    say = {"type": "message", "role": "user", "text": "Hello"}
    ttl = {"Stream-TTL": "3600", "Content-Type": "application/json"}
    await asked(one, "PUT", "/v1/stream/chat", json=[say], headers=ttl)
    producer = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    await asked(two, "POST", "/v1/stream/chat", json=say, headers=producer)
    for number in range(12):  # beyond what is kept
        await asked(
            two, "POST", "/v1/stream/chat", json=say, headers={"Stream-Seq": f"{number:03}"}
        )
    begin = {"stream": "chat", "prompt": "echo hi"}
    first = await asked(
        one, "POST", "/v1/generations", json=begin, headers={"Idempotency-Key": "k"}
    )
    assert (await two.hub.generations.wait(first["id"])).state is State.FINISHED
    stall = {"stream": "chat", "prompt": "stall"}
    running = await asked(one, "POST", "/v1/generations", json=stall)
    queued = await asked(two, "POST", "/v1/generations", json={**stall, "when_busy": "queue"})
    await asked(one, "DELETE", f"/v1/generations/{queued['id']}")
    await asked(two, "DELETE", f"/v1/generations/{running['id']}")
    shared = await asked(one, "POST", "/v1/shares", json={"stream": "chat"})
    await asked(two, "GET", "/v1/shares")
    await asked(two, "DELETE", f"/v1/shares/{shared['id']}")
    fork = {"Stream-Forked-From": "/v1/stream/chat", "Content-Type": "application/json"}
    await asked(two, "PUT", "/v1/stream/fork", headers=fork)
    assert len((await asked(one, "GET", "/v1/streams"))["streams"]) == 2
    await one.hub.change_owner("fork", "bob")
    for name in ("chat", "fork"):
        await asked(one, "DELETE", f"/v1/stream/{name}")
    assert one.hub.trouble is two.hub.trouble is None


@pytest.mark.parametrize("rule", [rule for rule in ALL if rule not in ("+evalsha", "~sh:*")])
async def test_each_rule_that_is_lacking_is_named(allow: Allow, rule: str) -> None:
    url = await allow(*(one for one in ALL if one != rule))
    assert await lacking(url, KEYS) == [rule]


async def test_where_scripts_are_refused_only_that_is_known(allow: Allow) -> None:
    url = await allow(*(one for one in ALL if one not in ("+evalsha", "+xadd")))
    assert await lacking(url, KEYS) == ["+evalsha"]


async def test_keys_of_others_and_some_of_ours_are_not_enough(allow: Allow) -> None:
    others = await allow(*ALL[:-2], "~other:*", "&other:*")
    assert await lacking(others, KEYS) == ["~sh:*", "&sh:*"]
    some = await allow(*(one for one in ALL[:-2] if one != "+xadd"), "~sh:{n}*", "&sh:*")
    assert await lacking(some, KEYS) == ["+xadd", "~sh:*"]
    assert await lacking(await allow(*ALL[:-2], "%R~sh:*", "&sh:*"), KEYS) == [
        one for one in ALL if one in WRITES
    ]


WRITES = [
    *("+del", "+evalsha", "+hdel", "+hset", "+lpush", "+ltrim", "+persist", "+pexpireat", "+rpush"),
    *("+sadd", "+set", "+srem", "+xadd", "+xtrim", "+zadd", "+zincrby", "+zpopmin", "+zrem"),
    "+zremrangebyrank",
]


async def test_what_waits_has_to_be_allowed_where_it_is_configured(allow: Allow) -> None:
    url = await allow(*ALL)
    assert await lacking(url, KEYS, "replica") == ["+wait"]
    assert await lacking(await allow(*rules(KEYS, "replica")), KEYS, "replica") == []


async def test_on_servers_of_a_cluster_channels_are_in_slots(
    cluster: RedisCluster,
) -> None:
    """A hub has all that it needs there, and what any one of the servers refuses is named."""
    needed = rules(KEYS, clustered=True)
    for server in cluster.primaries:
        await server.ask("ACL", "SETUSER", "hub", "reset", "on", ">secret", *needed)
    store = {"url": cluster.url, "user_env": "HUB_USER", "password_env": "HUB_PASSWORD"}
    config = Config.model_validate({"store": store})
    secrets = {"HUB_USER": "hub", "HUB_PASSWORD": "secret"}
    assert await lacking_rules(config, secrets) == []
    engine = cast("RedisEngine", shared_store_of(config, secrets).connect({}))
    await engine.open()
    for name in map(str, range(20)):  # on all of them
        heard = await hear(engine, name)
        await engine.create(name, StreamSettings("text/plain"), [b"1"])
        await eventually(heard.__len__)
    await engine.close()
    for server, rule in zip(cluster.primaries, ("ssubscribe", "spublish", "xadd"), strict=True):
        await server.ask("ACL", "SETUSER", "hub", f"-{rule}")
    assert set(await lacking_rules(config, secrets)) == {"+ssubscribe", "+spublish", "+xadd"}


async def test_a_server_that_cannot_be_asked(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = f"redis://hub:wrong@127.0.0.1:{redis_server.port}"
    assert await code_of(lacking(wrong, KEYS)) == "store_unavailable"
    monkeypatch.setattr(permissions, "ANSWER_SECONDS", 0.1)
    redis_server.freeze()
    try:
        asking = asyncio.create_task(lacking(redis_server.url, KEYS))
        with pytest.raises(StoreError, match="does not answer"):
            await asking
    finally:
        redis_server.thaw()
