"""Probes and metrics tell the truth about the hub."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.domain.events import Message
from tests.conftest import Running, StartHub
from tests.support.fake_sentinel import FakeSentinel
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.raw_socket import RETRY_AFTER
from tests.support.redis_server import RedisServer

GAUGES: Final = {
    "streamhub_connections",
    "streamhub_connections_behind",
    "streamhub_subscriptions",
    "streamhub_streams",
    "streamhub_stream_bytes",
    "streamhub_generations_running",
}
TOTALS: Final = {
    "streamhub_records_total",
    "streamhub_flushes_total",
    "streamhub_deliveries_total",
    "streamhub_catch_ups_total",
    "streamhub_resets_total",
    "streamhub_evictions_total",
    "streamhub_refusals_total",
    "streamhub_rejections_total",
    "streamhub_failures_total",
}


async def metrics(running: Running) -> dict[str, float]:
    """Every sample by its name, with the values of its labels after it."""
    async with running.client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        text = await response.text()
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    return {" ".join([one.name, *one.labels.values()]): one.value for one in samples}


async def test_a_hub_that_runs_is_alive_and_ready(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    for path in ("/livez", "/readyz"):
        async with client.get(path) as response:
            assert (response.status, await response.text()) == (200, "ok\n")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with client.head(path) as response:
            assert response.status == 200


async def test_a_hub_that_drains_is_alive_but_not_ready(start_hub: StartHub) -> None:
    running = await start_hub()
    await running.hub.drain(0.0)
    async with running.client.get("/livez") as response:
        assert response.status == 200
    async with running.client.get("/readyz") as response:
        assert (response.status, await response.text()) == (503, "draining\n")
        assert "Retry-After" in response.headers


async def test_every_metric_is_there_from_the_start_and_nothing_has_happened(
    start_hub: StartHub,
) -> None:
    samples = await metrics(await start_hub())
    assert set(samples) == GAUGES | TOTALS
    assert set(samples.values()) == {0.0}


async def test_the_metrics_count_what_happens(start_hub: StartHub) -> None:
    running = await start_hub()
    client, hub = running.client, running.hub
    hub.streams.append((await hub.streams.create("talk"))[0], Message("user", "Hello"))
    async with client.ws_connect("/v1/ws") as ws:
        for command in (
            {"type": "subscribe", "stream": "talk", "from": "start"},
            {"type": "generate", "stream": "talk", "prompt": "stall"},
        ):
            await ws.send_json(command)
        async with asyncio.timeout(PATIENCE):
            seen = ""
            while '"delta"' not in seen:
                seen += await ws.receive_str()
        samples = await metrics(running)
        assert samples["streamhub_connections"] == 1
        assert samples["streamhub_subscriptions"] == 1
        assert samples["streamhub_streams"] == 1
        assert samples["streamhub_generations_running"] == 1
        assert samples["streamhub_stream_bytes"] == hub.streams.size > 0
        assert samples["streamhub_records_total"] > 3
        assert samples["streamhub_deliveries_total"] >= samples["streamhub_flushes_total"] > 0
        assert samples["streamhub_catch_ups_total"] > 0
    async with client.post("/v1/generations", json={"prompt": "echo hi"}) as response:
        await hub.generations.wait((await response.json())["id"])
    async with client.post("/v1/generations", json={"prompt": "fail"}) as response:
        await hub.generations.wait((await response.json())["id"])
    async with asyncio.timeout(PATIENCE):
        while hub.connections:  # noqa: ASYNC110 - until the hub has seen it leave
            await asyncio.sleep(0.01)
    samples = await metrics(running)
    assert samples["streamhub_connections"] == samples["streamhub_subscriptions"] == 0
    assert samples["streamhub_generations_total finished"] == 1
    assert samples["streamhub_generations_total failed"] == 1
    assert samples["streamhub_generations_running"] == 1


async def test_sentinels_that_do_not_answer_are_told_while_the_hub_works(
    start_hub: StartHub, redis_server: RedisServer
) -> None:
    async def ready(running: Running) -> tuple[int, str]:
        async with running.client.get("/readyz") as response:
            return response.status, await response.text()

    async with (
        FakeSentinel(redis_server.port) as one,
        FakeSentinel(redis_server.port) as two,
        FakeSentinel(redis_server.port) as three,
    ):
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in (one, two, three))
        running = await start_hub(store={"url": f"redis+sentinel://{hosts}/main"})
        await eventually(lambda: running.hub.sentinels == (3, 3))
        assert await ready(running) == (200, "ok\n")
        assert (await metrics(running))["streamhub_sentinels_missing"] == 0
        two.silent = True
        await eventually(lambda: running.hub.sentinels == (2, 3))
        assert await ready(running) == (200, "ok\n1 of 3 sentinels do not answer\n")
        samples = await metrics(running)
        assert samples["streamhub_sentinels"] == 3
        assert samples["streamhub_sentinels_missing"] == 1
        two.silent = False
        await eventually(lambda: running.hub.sentinels == (3, 3))
        assert await ready(running) == (200, "ok\n")


async def test_a_refused_connection_is_counted(start_hub: StartHub) -> None:
    running = await start_hub(limits={"connections": 1})
    await running.hub.streams.create("talk")
    async with running.client.ws_connect("/v1/ws"):
        async with running.client.get("/v1/live/talk") as response:
            assert response.status == 429
            assert response.headers["Retry-After"] in RETRY_AFTER
        assert (await metrics(running))["streamhub_refusals_total"] == 1


async def test_hubs_in_one_process_count_for_themselves(start_hub: StartHub) -> None:
    one, other = await start_hub(), await start_hub()
    await one.hub.streams.create("talk")
    assert (await metrics(one))["streamhub_streams"] == 1
    assert (await metrics(other))["streamhub_streams"] == 0


async def test_metrics_name_no_stream_and_no_secret(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_KEY", "sk-sentinel")
    table = {"dialect": "openai-chat", "url": "http://127.0.0.1", "api_key_env": "EDGE_KEY"}
    running = await start_hub(upstreams={"one": table})
    await running.hub.streams.create("private-talk")
    async with running.client.get("/metrics") as response:
        text = await response.text()
    assert "sk-sentinel" not in text
    assert "private-talk" not in text
