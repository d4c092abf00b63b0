"""Request bodies are bounded in bytes and time, all together and each."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import StartHub
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth, bearer

BEGUN = (
    b"POST /v1/generations HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n"
    b"Content-Length: 900000\r\n\r\n" + b'{"prompt":"'
)


ALMOST = BEGUN + b"x" * (900_000 - len(b'{"prompt":"') - 1)
"""All but its last byte."""


async def test_p7_bodies_that_never_end_hold_no_more_than_is_allowed(start_hub: StartHub) -> None:
    running = await start_hub(limits={"bodies_bytes": 4_000_000})
    allowance = running.hub.allowance
    port = running.client.server.port
    writers = []
    for _ in range(4):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ALMOST)
        writers.append(writer)
    await eventually(lambda: allowance.held == 4 * 899_999)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(BEGUN)
    assert b" 429 " in await reader.readline()
    # A small one still gets through, and so do all once the others are gone.
    answer = await running.client.post("/v1/generations", json={"prompt": "poem"})
    assert answer.status == 201
    for open_writer in [*writers, writer]:
        open_writer.close()
    await eventually(lambda: allowance.held == 0)
    answer = await running.client.post("/v1/generations", json={"prompt": "x" * 900_000})
    assert answer.status == 201


async def test_p7_bodies_that_are_only_announced_keep_nobody_out(start_hub: StartHub) -> None:
    running = await start_hub(limits={"bodies_bytes": 1_000_000})
    writers = []
    for _ in range(8):
        _, writer = await asyncio.open_connection("127.0.0.1", running.client.server.port)
        writer.write(BEGUN)
        writers.append(writer)
    await asyncio.sleep(0.1)
    answer = await running.client.post("/v1/generations", json={"prompt": "x" * 100_000})
    assert answer.status == 201, await answer.text()
    for writer in writers:
        writer.close()


async def test_what_takes_the_memory_can_be_stopped(start_hub: StartHub) -> None:
    running = await start_hub()
    allowance = running.hub.allowance
    answer = await running.client.post("/v1/generations", json={"prompt": "stall"})
    made = (await answer.json())["id"]
    async with running.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket:
        with allowance.taken(allowance.most - allowance.held):
            await socket.send_json({"type": "ping", "id": 1})
            assert (await socket.receive_json())["type"] == "ok"
            async with running.client.delete(f"/v1/generations/{made}") as stopped:
                assert stopped.status == 200


async def test_the_bodies_of_one_user_leave_room_for_those_of_others(start_hub: StartHub) -> None:
    running = await start_hub(
        auth=auth(), limits={"bodies_bytes": 4_000_000, "body_bytes": 1_000_000}
    )
    head, rest = ALMOST.split(b"\r\n", 1)
    as_ann = head + f"\r\nAuthorization: Bearer {KEYS['ann']}\r\n".encode() + rest
    opened = []
    for _ in range(4):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.client.server.port)
        writer.write(as_ann)
        opened.append((reader, writer))
    refused = [asyncio.ensure_future(reader.readline()) for reader, _ in opened]
    done, arriving = await asyncio.wait(refused, timeout=PATIENCE, return_when="FIRST_COMPLETED")
    await asyncio.wait(arriving, timeout=0.2)
    assert sorted(b" 429 " in task.result() for task in refused if task.done()) == [True]
    assert done
    body = {"prompt": "x" * 100_000, "stream": "chat/bob/1"}
    async with running.client.post("/v1/generations", json=body, headers=bearer("bob")) as answer:
        assert answer.status == 201, await answer.text()
    for task, (_, writer) in zip(refused, opened, strict=True):
        task.cancel()
        writer.close()


@pytest.mark.parametrize("streams", [True, False])
async def test_an_answer_that_runs_holds_its_prompt_and_not_the_body(
    start_hub: StartHub, streams: bool
) -> None:
    running = await start_hub(auth=auth(), limits={"bodies_bytes": 4_000_000})
    allowance = running.hub.allowance
    said = [{"type": "text", "text": "stall "}, {"type": "text", "text": "x" * 400_000}]
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": said}],
        "stream": streams,
    }
    asking = asyncio.ensure_future(
        running.client.post(
            "/v1/chat/completions",
            json=body,
            headers={**bearer("ann"), "X-On-Disconnect": "cancel"},
        )
    )
    await eventually(lambda: running.hub.generations.active == 1)
    await eventually(lambda: 800_000 < allowance.held < 1_600_000)
    assert allowance.held_by("ann") == allowance.held
    # Who asks leaves, which the headers say is to stop the answer.
    if streams:
        (await asking).close()
    asking.cancel()
    await eventually(lambda: allowance.held == allowance.held_by("ann") == 0)


async def test_the_answers_of_one_user_leave_room_for_those_of_others(start_hub: StartHub) -> None:
    running = await start_hub(auth=auth(), limits={"bodies_bytes": 4_000_000})
    body = {"prompt": "stall " + "x" * 500_000}

    async def ask(who: str) -> tuple[int, str]:
        async with running.client.post("/v1/generations", json=body, headers=bearer(who)) as answer:
            return answer.status, await answer.text()

    said = [await ask("ann") for _ in range(4)]
    assert [status for status, _ in said] == [201, 201, 429, 429]
    assert "wait for one to end" in said[-1][1]
    small = {"prompt": "hello"}
    async with running.client.post("/v1/generations", json=small, headers=bearer("bob")) as answer:
        assert answer.status == 201, await answer.text()


async def test_a_body_that_comes_too_slowly_is_given_up(start_hub: StartHub) -> None:
    running = await start_hub(limits={"body_seconds": 0.2})
    reader, writer = await asyncio.open_connection("127.0.0.1", running.client.server.port)
    writer.write(BEGUN)
    told = await reader.readuntil(b"}}")
    assert b" 408 " in told
    assert b'"body_timeout"' in told
    writer.close()
