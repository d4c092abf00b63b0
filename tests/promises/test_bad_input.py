"""Bad input: each gives one clear error, disturbs nobody else, and leaks nothing.

What bad input there is stands in one table, `tests.support.misuse_table`.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import StartHub
from tests.support.http_requests import nobody
from tests.support.misuse_steps import KEY, Asked, Bystander, Frame, Http, Told, World, tables
from tests.support.misuse_table import CASES, Case
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Scripted

HUB: Final = Path(__file__).parents[2]


@pytest.fixture
def gone() -> Iterator[str]:
    with nobody() as url:
        yield url


@pytest.fixture(autouse=True)
def _unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked for the name that there is not: networks differ in what they answer, and
    some in whether they do."""
    known = socket.getaddrinfo

    def found(host: str, *given: Any, **more: Any) -> Any:
        if host == "nowhere.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known(host, *given, **more)

    monkeypatch.setattr(socket, "getaddrinfo", found)


@pytest.mark.parametrize("name", CASES)
async def test_one_clear_error_and_nothing_else(
    name: str,
    gone: str,
    start_hub: StartHub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = CASES[name]
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("EDGE_KEY", KEY)
    async with Scripted() as upstream:
        world = World(await start_hub(**tables(upstream, gone)), upstream, tmp_path)
        hub = world.running.hub
        (await hub.streams.create("shut"))[0].close()
        await hub.streams.create("shut2")
        await hub.streams.create("quiet")
        bystander = Bystander(world)
        await bystander.begin()
        held = hub.streams.held

        told = await case.misuse.done_in(world)

        assert [(each.code, each.status) for each in told] == [(case.code, case.status)]
        assert case.says in told[0].message
        _is_clear(told[0], case)
        _nothing_leaks(world, caplog)
        await bystander.see_it_whole()
        assert hub.streams.held == held + _begun(case)
        await _calm(world)


def _is_clear(told: Told, case: Case) -> None:
    """A sentence or two for a person: short, of one line, about the thing."""
    if case.code:
        assert told.message
    assert len(told.message) <= 400
    assert told.message.isprintable()


def _nothing_leaks(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """No key, no trace, no path of the hub's own, neither to the client nor to the log."""
    for record in caplog.records:
        assert record.exc_info is None
        assert record.levelno < logging.ERROR, record.getMessage()
    logged = [record.getMessage() for record in caplog.records]
    for text in (*world.seen, *logged):
        for secret in (KEY, "Traceback", str(HUB), "site-packages"):
            assert secret not in text


def _begun(case: Case) -> int:
    """How many streams the case needs, and may leave."""
    if isinstance(case.misuse, Asked):
        return 1
    if isinstance(case.misuse, Http | Frame):
        return len([each for each in case.misuse.before if "prompt" in str(each)])
    return 0


async def _calm(world: World) -> None:
    """No connection is left, and nothing runs but what was asked to stall."""
    hub = world.running.hub
    async with world.running.client.get("/v1/live/busy?from=0") as response:
        stalling = int(response.status != 404)
    async with asyncio.timeout(PATIENCE):
        while hub.connections or hub.generations.active > stalling:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
