"""Several workers on one port and one file act as one hub, and survive each other."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.support.hub_processes import ENDS, LONG, TEXT
from tests.support.patience import PATIENCE
from tests.support.processes import run
from tests.support.worker_processes import Workers, until_gone

MANY = 24
"""Connections that reach all workers: that they do not has a chance of 2 in 2 ** 24."""


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def workers(tmp_path: Path) -> AsyncIterator[Workers]:
    """For a test that ends some of them."""
    async with Workers(tmp_path) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workers]:
    """For all tests that end none: three processes are long in starting."""
    async with Workers(tmp_path_factory.mktemp("workers")) as running:
        yield running


async def ends(workers: Workers, stream: str) -> list[str]:
    """The terminal events of a stream."""
    events: list[dict[str, Any]] = await workers.ask("GET", f"/v1/stream/{stream}", status=200)
    return [event["type"] for event in events if event["type"] in ENDS]


async def until_ended(workers: Workers, stream: str) -> list[str]:
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := await ends(workers, stream):
                return found
            await asyncio.sleep(0.1)


async def test_what_is_appended_over_one_connection_is_read_over_all(lasting: Workers) -> None:
    assert sorted(lasting.pids()) == ["worker-1", "worker-2"]
    await lasting.ask("PUT", "/v1/stream/a", headers=TEXT, status=201)
    text = ""
    for number in range(MANY):
        text += f"{number};"
        await lasting.ask("POST", "/v1/stream/a", headers=TEXT, data=f"{number};", status=204)
        assert (await lasting.ask("GET", "/v1/stream/a", status=200)).decode() == text
    for _ in range(MANY):
        assert await lasting.ask("GET", "/readyz", status=200) == b"ok\n"


async def test_metrics_are_those_of_all(lasting: Workers) -> None:
    followers = [
        await lasting.client.ws_connect("/v1/ws", protocols=["hub.v1"]) for _ in range(MANY)
    ]
    for _ in range(8):
        said = (await lasting.ask("GET", "/metrics", status=200)).decode().splitlines()
        assert "streamhub_workers 2.0" in said
        assert "streamhub_workers_missing 0.0" in said
        assert f"streamhub_connections {MANY}.0" in said
    pids = lasting.pids()
    os.kill(pids["worker-2"], signal.SIGSTOP)
    try:
        async with asyncio.timeout(PATIENCE):
            answers = [
                asyncio.create_task(lasting.ask("GET", "/metrics", status=200)) for _ in range(MANY)
            ]
            first, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        said = first.pop().result().decode().splitlines()
        assert "streamhub_workers_missing 1.0" in said
    finally:
        os.kill(pids["worker-2"], signal.SIGCONT)
    await asyncio.gather(*answers)
    for follower in followers:
        await follower.close()


async def test_a_killed_worker_costs_only_its_connections_and_generations(
    workers: Workers,
) -> None:
    await workers.ask("PUT", "/v1/stream/a", headers=TEXT, status=201)
    followers = [
        await workers.client.ws_connect("/v1/ws", protocols=["hub.v1"]) for _ in range(MANY)
    ]
    for number in range(MANY):
        asked = {"stream": f"chat/{number}", "prompt": "/story"}
        await workers.ask("POST", "/v1/generations", json=asked, status=201)
    before = workers.pids()
    os.kill(before["worker-2"], signal.SIGKILL)
    await workers.until_said("worker-2 was killed by SIGKILL: it is started again")
    ended = [await until_ended(workers, f"chat/{number}") for number in range(MANY)]
    assert sorted({one for each in ended for one in each}) == ["finished", "interrupted"]
    assert [len(each) for each in ended] == [1] * MANY
    lost = 0
    for follower in followers:
        async with asyncio.timeout(PATIENCE):
            await follower.receive()  # the hub's greeting
            try:
                await follower.send_json({"type": "subscribe", "id": 1, "stream": "a"})
                said = await follower.receive()
            except aiohttp.ClientError:
                lost += 1
            else:
                lost += said.type is not aiohttp.WSMsgType.TEXT
        await follower.close()
    assert 0 < lost < MANY
    now = await workers.until_others(before, but=1)
    assert now["worker-1"] == before["worker-1"]
    for _ in range(MANY):
        await workers.ask("GET", "/v1/stream/a", status=200)


async def test_a_rolling_restart_loses_no_request(workers: Workers) -> None:
    await workers.ask("PUT", "/v1/stream/a", headers=TEXT, status=201)
    before, asked, over = workers.pids(), [], asyncio.Event()

    async def write() -> None:
        while not over.is_set():
            await workers.ask("POST", "/v1/stream/a", headers=TEXT, data="x", status=204)
            asked.append("x")
            await workers.ask("GET", "/v1/stream/a", status=200)

    writers = [asyncio.create_task(write()) for _ in range(4)]
    workers.process.send_signal(signal.SIGHUP)
    await workers.until_others(before)
    over.set()
    await asyncio.gather(*writers)
    assert (await workers.ask("GET", "/v1/stream/a", status=200)).decode() == "".join(asked)
    assert workers.process.returncode is None
    # The command line still reaches the first worker.
    assert workers.sockets() == ["hub.db.admin", "hub.db.coordinator"]


async def test_limits_are_those_of_all(tmp_path: Path) -> None:
    auth = {"REQUIRED": "true", "TOKEN_SECONDS": "3600"}
    of_each = {"LIMITS__CONNECTIONS": "8", "LIMITS__REQUESTS_PER_MINUTE": "0"}
    limits = {f"STREAMHUB_AUTH__{name}": value for name, value in (auth | of_each).items()}
    async with Workers(tmp_path, 2, **limits) as workers:

        async def opened() -> aiohttp.ClientWebSocketResponse | None:
            try:
                return await workers.client.ws_connect("/v1/ws", protocols=["hub.v1"])
            except aiohttp.WSServerHandshakeError as refused:
                if refused.status != 429:
                    raise
                return None

        sockets = [await opened() for _ in range(8)]
        assert None not in sockets
        refused = 0
        async with asyncio.timeout(PATIENCE):
            # By each worker, once both have heard of all.
            while refused < MANY:
                if (socket := await opened()) is None:
                    refused += 1
                else:
                    await socket.close()
                    refused = 0


async def test_so_many_generations_run_in_all_of_them(tmp_path: Path) -> None:
    async with Workers(tmp_path, STREAMHUB_LIMITS__GENERATIONS="5") as workers:

        async def begin() -> int:
            asked = {"prompt": "stall"}
            async with workers.client.post("/v1/generations", json=asked) as response:
                return response.status

        begun = await asyncio.gather(*(begin() for _ in range(MANY)))
        assert sorted(begun) == [201] * 5 + [429] * (MANY - 5)


async def test_the_command_line_reaches_them(lasting: Workers) -> None:
    store = f"sqlite:{lasting.folder / 'hub.db'}"
    create = ("token", "create", "--user", "ann", "--can", "read")
    created = run(*create, STREAMHUB_STORE__URL=store)
    assert created.returncode == 0, created.stderr
    listed = run("token", "list", STREAMHUB_STORE__URL=store)
    assert b"ann" in listed.stdout


async def test_prompts_wait_for_all_workers(lasting: Workers) -> None:
    asked = {"stream": "chat", "prompt": "stall", "when_busy": "queue"}
    await lasting.ask("POST", "/v1/generations", json=asked, status=201)
    for number in range(8):
        waiting = {**asked, "prompt": str(number)}
        queued = await lasting.ask("POST", "/v1/generations", json=waiting, status=201)
        assert queued["state"] == "queued"
        queue = await lasting.ask("GET", "/v1/queue/chat", status=200)
        assert [one["text"] for one in queue["prompts"]] == [str(n) for n in range(number + 1)]


async def test_sigterm_drains_all(tmp_path: Path) -> None:
    async with Workers(tmp_path, STREAMHUB_SERVER__DRAIN_SECONDS="60") as workers:
        for number in range(8):
            asked = {"stream": f"chat/{number}", "prompt": "Hello"}
            await workers.ask("POST", "/v1/generations", json=asked, status=201)
        pids = workers.pids()
        assert await workers.stop() == 0
        await until_gone(pids)
        for name in ("worker-1", "worker-2"):
            assert f" INFO {name} hub: SIGTERM: stopping" in workers.said
    assert workers.sockets() == []
    async with Workers(tmp_path) as workers:
        for number in range(8):
            assert await ends(workers, f"chat/{number}") == ["finished"]


async def test_a_second_sigterm_ends_all_at_once(tmp_path: Path) -> None:
    async with Workers(tmp_path, STREAMHUB_SERVER__DRAIN_SECONDS="600") as workers:
        await workers.ask("POST", "/v1/generations", json=LONG, status=201)
        pids = workers.pids()
        workers.process.send_signal(signal.SIGTERM)
        await workers.until_said("worker-2 hub: SIGTERM: stopping")
        assert await workers.stop() == -signal.SIGTERM
        await until_gone(pids)


async def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    async with Workers(tmp_path) as workers:
        await workers.ask("POST", "/v1/generations", json=LONG, status=201)
        pids = workers.pids()
        workers.process.kill()
        await workers.process.ended()
        await until_gone(pids)
    async with Workers(tmp_path) as workers:
        assert await until_ended(workers, "chat") == ["interrupted"]


async def test_a_port_in_use_is_said_so(lasting: Workers, tmp_path: Path) -> None:
    said = run(
        *("serve", "--workers", "2", "--port", lasting.url.rpartition(":")[2]),
        STREAMHUB_STORE__URL=f"sqlite:{tmp_path / 'other.db'}",
        STREAMHUB_FANOUT__DELIVER="committed",
    )
    assert said.returncode == 1
    assert b"is in use: stop the program that uses it" in said.stderr


async def test_a_worker_that_cannot_start_says_why(tmp_path: Path) -> None:
    said = run(
        *("serve", "--workers", "2", "--port", "0"),
        STREAMHUB_STORE__URL=f"sqlite:{tmp_path / 'hub.db'}",
        STREAMHUB_FANOUT__DELIVER="committed",
        STREAMHUB_UPSTREAMS__DEMO__API_KEY_ENV="NO_SUCH_KEY",
    )
    assert said.returncode == 1
    assert b"set the environment variable NO_SUCH_KEY" in said.stderr
