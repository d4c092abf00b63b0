"""Writes that come at once: each check and its deed are one step.

Each request is a connection of its own, so they meet in the hub in any order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from hub.domain.outcome import Outcome
from tests.conftest import Running, StartHub

MANY = 20
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture(params=["memory", "sqlite"])
async def hub(request: pytest.FixtureRequest, start_hub: StartHub, tmp_path: Path) -> Running:
    url = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/hub.db"}[request.param]
    return await start_hub(store={"url": url})


async def send(
    hub: Running, method: str, headers: dict[str, str], body: bytes = b"", name: str = "s"
) -> ClientResponse:
    return await hub.client.request(method, f"/v1/stream/{name}", headers=headers, data=body)


def statuses(answers: list[ClientResponse]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


async def held(hub: Running, name: str = "s") -> bytes:
    return await (await hub.client.get(f"/v1/stream/{name}")).read()


async def test_of_puts_that_differ_one_makes_the_stream(hub: Running) -> None:
    kinds = [f"text/x{number}" for number in range(MANY)]
    sent = [send(hub, "PUT", {"Content-Type": kind}, kind.encode()) for kind in kinds]
    answers = await asyncio.gather(*sent)
    assert statuses(answers) == {201: 1, 409: MANY - 1}
    made = next(answer for answer in answers if answer.status == 201)
    assert made.headers["Content-Type"] == (await held(hub)).decode()
    assert int(made.headers["Stream-Next-Offset"].split("_")[1]) == 1


async def test_an_append_that_is_sent_many_times_at_once_is_written_once(hub: Running) -> None:
    await send(hub, "PUT", TEXT)
    for number in range(3):
        stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(number)}
        sent = [send(hub, "POST", {**TEXT, **stamp}, b"%d" % number) for _ in range(MANY)]
        answers = await asyncio.gather(*sent)
        assert statuses(answers) == {200: 1, 204: MANY - 1}
        assert {answer.headers["Producer-Seq"] for answer in answers} == {str(number)}
        assert len({answer.headers["Stream-Next-Offset"] for answer in answers}) == 1
    assert await held(hub) == b"012"


async def test_of_writers_with_one_sequence_one_writes(hub: Running) -> None:
    await send(hub, "PUT", TEXT)
    sent = [send(hub, "POST", {**TEXT, "Stream-Seq": "a"}, b"x") for _ in range(MANY)]
    assert statuses(await asyncio.gather(*sent)) == {204: 1, 409: MANY - 1}
    assert await held(hub) == b"x"


async def test_nothing_is_written_behind_a_close(hub: Running) -> None:
    await send(hub, "PUT", TEXT)
    appends = [send(hub, "POST", TEXT, b"x") for _ in range(MANY)]
    closing = {**TEXT, "Stream-Closed": "true"}
    appends.insert(MANY // 2, send(hub, "POST", closing, b"|"))
    appends.insert(MANY // 2, send(hub, "POST", closing, b"|"))
    answers = await asyncio.gather(*appends)
    text = await held(hub)
    assert text.endswith(b"|")
    assert text.count(b"|") == 1
    done, refused = statuses(answers)[204], statuses(answers)[409]
    assert (done, done + refused) == (len(text), MANY + 2)
    for answer in answers:
        if answer.status == 409:
            assert answer.headers["Stream-Closed"] == "true"
            assert int(answer.headers["Stream-Next-Offset"].split("_")[1]) == len(text)


async def test_each_writer_is_told_where_its_own_records_end(hub: Running) -> None:
    await send(hub, "PUT", JSON)
    sent = [send(hub, "POST", JSON, b'{"n":%d}' % number) for number in range(MANY)]
    answers = await asyncio.gather(*sent)
    ends = [int(answer.headers["Stream-Next-Offset"].split("_")[1]) for answer in answers]
    assert sorted(ends) == list(range(1, MANY + 1))
    written = await (await hub.client.get("/v1/stream/s")).json()
    assert [written[end - 1]["n"] for end in ends] == list(range(MANY))


async def test_a_fork_with_records_is_made_once(hub: Running) -> None:
    await send(hub, "PUT", TEXT, b"source")
    asked = {**TEXT, "Stream-Forked-From": "/v1/stream/s"}
    sent = [send(hub, "PUT", asked, b"!", name="fork") for _ in range(MANY)]
    assert statuses(await asyncio.gather(*sent)) == {201: 1, 200: MANY - 1}
    assert await held(hub, "fork") == b"source!"


async def test_a_fork_begins_with_records_of_its_sources_type(
    hub: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else bytes that were taken for text would be records of JSON, and break its readers."""
    fork = hub.hub.streams.fork

    async def replaced(*given: Any, **more: Any) -> Outcome:
        await send(hub, "DELETE", {})
        await send(hub, "PUT", JSON)
        return await fork(*given, **more)

    await send(hub, "PUT", TEXT)
    monkeypatch.setattr(hub.hub.streams, "fork", replaced)
    answer = await hub.client.put(
        "/v1/stream/f",
        data=b"no JSON",
        headers={"Stream-Forked-From": "/v1/stream/s"},
        skip_auto_headers=["Content-Type"],
    )
    assert answer.status == 409
    assert (await hub.client.get("/v1/stream/f")).status == 404
