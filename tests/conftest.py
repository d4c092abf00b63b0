"""What all tests share: a hub of one's own on a loopback socket, and who runs them when.

``pytest -n auto`` is for the whole suite, ``pytest --fast`` for what needs no other process.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import DummyCookieJar, web_app
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from hub import HUB, Config, Hub, make_app
from hub.domain.errors import StoreError
from hub.http.acceptor import LINGER
from hub.stores.memory import MemoryStore
from hub.stores.shared import SharedEngine
from hub.stores.sqlite import SQLiteStore
from tests.support import schedule
from tests.support.coordinator_server import CoordinatorServer
from tests.support.fake_runs import Keep, Runner
from tests.support.patience import patient
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import KINDS, RedisServer
from tests.support.shared_servers import SETTLE, Opening, SharedServer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As whoever is started in the background of a shell has it, and all its children would:
    # the command line would then rightly ignore the Ctrl-C that tests send.
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A proxy of this machine is for the world outside. What it says of it is kept, for npm.
for _name in ("NO_PROXY", "no_proxy"):
    _beside = [os.environ[_name]] if os.environ.get(_name) else []
    os.environ[_name] = ",".join([*_beside, "127.0.0.1", "localhost"])

# What makes a program colour what it says to a pipe, as some who run tests for us have it set.
for _name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(_name, None)

# How long an example takes says more about the machine than about the code. And a change is
# judged by the same examples each time; ``pytest --hypothesis-profile=explore`` tries others.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("streamhub", settings.get_profile("explore"), derandomize=True)
settings.register_profile("fast", settings.get_profile("streamhub"), max_examples=20)
settings.load_profile("streamhub")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fast", action="store_true", help="Without browser, npm and processes; fewer examples."
    )


def pytest_configure(config: pytest.Config) -> None:
    for name in schedule.NEEDS:
        config.addinivalue_line("markers", f"{name}: set by path, see tests/support/schedule.py")
    if config.option.timeout is None:
        config.option.timeout = patient(float(config.getini("timeout")))
    if config.option.fast:
        settings.load_profile("fast")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Fast is also not to import what is not run."""
    path = collection_path.relative_to(config.rootpath).as_posix()
    folder = "/" if collection_path.is_dir() else ""
    return True if config.option.fast and schedule.needs(path + folder) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for name in schedule.needs(item.nodeid):
            item.add_marker(name)
    if config.option.fast:
        config.hook.pytest_deselected(items=[one for one in items if _needs_something(one)])
        items[:] = [one for one in items if not _needs_something(one)]
        schedule.forbid_processes()
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: schedule.rank(item.nodeid))


def _needs_something(item: pytest.Item) -> bool:
    """Whether a test is marked as one of `schedule.NEEDS`, by its path or in its file."""
    return any(item.get_closest_marker(name) is not None for name in schedule.NEEDS)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while the tests are collected: nearly all that is made stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Collect less garbage: what is loaded by now stays, and a test makes and drops thousands."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


class Units(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Gives workers the units of `schedule`, in the order in which these were collected."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return schedule.unit(nodeid)

    def remove_node(self, node: Any) -> str | None:
        """A test that ended its worker has failed, and is not given to the next one."""
        units = self.assigned_work[node].values()
        left = [(unit, nodeid) for unit in units for nodeid, done in unit.items() if not done]
        if not left:
            return cast("None", super().remove_node(node))
        unit, crashed = left[0]
        unit[crashed] = True
        super().remove_node(node)
        return str(crashed)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Units:
    return Units(config, log)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return schedule.workers(fast=config.option.fast)


StartHub = Callable[..., Awaitable["Running"]]


class Running:
    """A hub that runs, and a client for it."""

    def __init__(self, client: TestClient[Any, Any], hub: Hub) -> None:
        self.client = client
        self.hub = hub


@pytest.fixture
async def start_hub() -> AsyncIterator[StartHub]:
    """Start hubs from tables as they stand in config.toml; all are stopped at the end."""
    clients: list[TestClient[Any, Any]] = []

    async def start(**tables: Any) -> Running:
        # Bytes that tests write are addressed to "hub". On a slow machine a refusal may take longer
        # than the grace after which a response begins.
        own = {"drain_seconds": 0.0, "grace_seconds": patient(5.0), "hosts": ["hub"]}
        server = {**own, **tables.pop("server", {})}
        demo = {"dialect": "demo", "options": {"pace": 100_000}}
        upstreams = {"demo": demo, **tables.pop("upstreams", {})}
        config = Config.model_validate(
            {"server": server, "upstreams": upstreams, "store": {"url": "memory:"}, **tables}
        )
        app = make_app(config)
        test_server = TestServer(app)
        await test_server.start_server(lingering_time=LINGER)  # as `serve` has it
        client = TestClient(test_server, cookie_jar=DummyCookieJar())
        clients.append(client)
        return Running(client, app[HUB])

    yield start
    for client in clients:
        await client.close()
    # It holds the handlers of the last 1,024 routes, and by them the hubs of hundreds of tests.
    web_app._cached_build_middleware.cache_clear()


@pytest.fixture(params=["memory", "sqlite"])
async def runner_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[None]:
    """The promises of a runner are the same whatever keeps its streams."""
    Runner.store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "hub.db")
    await Runner.store.start()
    yield
    await Runner.store.stop()


@pytest.fixture
async def keep(runner_store: None) -> AsyncIterator[Keep]:
    """Keep a runner until the end of the test, when whatever still runs is stopped."""
    runners: list[Runner] = []

    def kept(runner: Runner) -> Runner:
        runners.append(runner)
        return runner

    yield kept
    for runner in runners:
        await runner.runs.close(0.0)
        assert runner.runs.active == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}, "every task is awaited"


@pytest.fixture(params=KINDS)
async def redis_server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[RedisServer]:
    """An empty server of each kind that the machine has, which runs."""
    made = RedisServer(tmp_path / "server", request.param)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(scope="module")
def kept_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A cluster for all tests of a file, which begin it and empty it."""
    made = RedisCluster(tmp_path_factory.mktemp("cluster"), cluster_node_timeout="15000")
    yield made
    made.end()


@pytest.fixture(params=[*KINDS, "coordinator"])
def server_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def shared_server(
    request: pytest.FixtureRequest, server_kind: str, tmp_path: Path
) -> AsyncIterator[SharedServer]:
    """An empty server of each kind of shared engine, which runs."""
    if server_kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("kept_cluster")
        await cluster.start()
        await cluster.empty()
        yield cluster
        return
    made: SharedServer
    if server_kind == "coordinator":
        made = CoordinatorServer(tmp_path / "server")
    else:
        made = RedisServer(tmp_path / "server", server_kind)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def opening(shared_server: SharedServer) -> AsyncIterator[Opening]:
    """Open engines on the server; all are closed at the end."""
    engines: list[SharedEngine] = []

    async def opened(**settings: Any) -> SharedEngine:
        tries = 1 if settings.get("known") is None else 100
        while True:
            engine = shared_server.engine(**{"settle_seconds": SETTLE, **settings})
            engines.append(engine)
            try:
                await engine.open()
            except StoreError:
                # A server that learns of a later incarnation begins another, and cuts off who
                # told it; a hub comes again.
                tries -= 1
                if not tries:
                    raise
                await asyncio.sleep(0.05)
            else:
                return engine

    yield opened
    for engine in engines:
        await engine.close()


@pytest.fixture
async def engine(opening: Opening) -> SharedEngine:
    return await opening()


@pytest.fixture
async def other(opening: Opening, engine: SharedEngine) -> SharedEngine:
    """Another hub's engine, on what `engine` has made."""
    return await opening()
