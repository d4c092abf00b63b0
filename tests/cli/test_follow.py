"""A stream is followed across dropped connections: each event once, in order."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import orjson
import pytest

from hub.cli.follow import follow
from hub.cli.output import Progress
from hub.errors import HubError
from hub.remote import Remote
from hub.remote_socket import RemoteSocket
from tests.running import (
    PATIENCE,
    cutting,
    read_to_end,
    started,
)


async def test_tail_goes_on_where_a_connection_broke(url: str) -> None:
    """While an answer is typed, so that the breaks are in the middle of it."""
    async with Remote(url) as remote, cutting(url, after=[3000, 9000, 40, 9000]) as proxy:
        asked = {"prompt": "hello", "upstream": "slow", "stream": "broken"}
        assert (await remote.request("POST", "/v1/generations", json=asked))[0] == 201
        tailing = await started("tail", "broken", "--json", url=proxy)
        held: list[dict[str, Any]] = []
        while not held or held[-1]["type"] != "finished":
            line = await asyncio.wait_for(tailing.stdout.readline(), PATIENCE)
            held.append(orjson.loads(line))
        tailing.send_signal(signal.SIGINT)
        _, err = await tailing.communicate()
    assert err == b""
    assert said_in(held) == said_in(await read_to_end(url, "broken"))


def said_in(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("text", "") + event.get("reasoning", "") for event in events)


async def test_following_gives_up_when_the_hub_stays_away(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.cli.follow.FIRST_WAIT", 0.001)
    lines = [f"line {number}" for number in range(100)]
    async with RemoteSocket(url) as publishing:
        for line in lines:
            event = {"type": "note", "text": line}
            await publishing.send({"type": "append", "id": 1, "stream": "away", "event": event})
            assert (await publishing.receive())["type"] == "ok"
    held: list[str] = []

    async def read_all(remote: Remote) -> None:
        async for chunk in follow(remote, "away", "start", Progress()):
            held.append(orjson.loads(chunk.data)["text"])  # noqa: PERF401  # kept on an error

    async with cutting(url, after=[2000, 2000] + [0] * 20) as proxy, Remote(proxy) as remote:
        with pytest.raises(HubError, match=r"in 8 tries") as caught:
            await read_all(remote)
    assert caught.value.code == "hub_unreachable"
    assert 0 < len(held) < len(lines)
    assert held == lines[: len(held)]
