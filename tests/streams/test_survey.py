"""Hubs that report together add up what each of them says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest

from hub.streams import survey as survey_module
from hub.streams.survey import Survey
from tests.support.patience import PATIENCE
from tests.support.shared_nodes import Nodes
from tests.support.shared_servers import SharedServer

Start = Callable[[str, int], Awaitable[Survey]]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a second is short for those that are there."""
    monkeypatch.setattr(survey_module, "ANSWER_SECONDS", PATIENCE)


@pytest.fixture
async def start(shared_server: SharedServer) -> AsyncIterator[Start]:
    """Start the survey of a node of so many; its number is the length of its name."""
    nodes, started = Nodes(shared_server), []

    async def start(name: str, hubs: int) -> Survey:
        survey = Survey(await nodes.start(), name, hubs)
        survey.numbers = lambda: {"length": len(name)}
        await survey.open()
        started.append(survey)
        return survey

    yield start
    for survey in started:
        await survey.stop()
    await nodes.stop()


async def test_each_hears_all_others(start: Start) -> None:
    surveys = [await start(name, 3) for name in ("a", "bb", "ccc")]
    async with asyncio.timeout(PATIENCE):
        heard = await asyncio.gather(*(survey.ask() for survey in surveys))
    assert [sorted(numbers["length"] for numbers in each) for each in heard] == [
        *([2, 3], [1, 3], [1, 2])
    ]


async def test_who_is_not_there_is_missing(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey_module, "ANSWER_SECONDS", 3.0)
    one, _ = await start("a", 3), await start("bb", 3)
    async with asyncio.timeout(PATIENCE):
        assert await one.ask() == [{"length": 2}]


async def test_no_more_are_counted_than_there_should_be(start: Start) -> None:
    surveys = [await start(name, 2) for name in ("a", "bb", "ccc")]
    one = surveys[0]
    asking = asyncio.create_task(one.ask())
    await asyncio.sleep(0)
    for number in (1, 2):  # at once, before whoever asked goes on
        one._take(orjson.dumps({"id": 1, "numbers": {"length": number}}))
    async with asyncio.timeout(PATIENCE):
        assert await asking == [{"length": 1}]


async def test_a_hub_alone_does_not_wait_for_the_engine(
    start: Start, shared_server: SharedServer
) -> None:
    one = await start("a", 2)
    await shared_server.kill()
    async with asyncio.timeout(PATIENCE):
        assert await one.ask() == []
