"""Fault A12: a hub put together by hand is the hub that an empty ``config.toml`` gives.

`Hub` had defaults of its own: it removed closed streams after an hour and idle ones after a
day, where `Config()` keeps them for ever.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final

import pytest

from hub import HUB, Hub, app
from hub.config.schema import Config, UpstreamTable
from hub.connections.connection import Pace
from hub.connections.participants import Participants
from hub.domain.events import Message
from hub.domain.producers import Producers
from hub.hub import HubLimits
from hub.protocols.conversation.view_reading import ViewPace
from hub.protocols.tutorial import Tutorial
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.streams.registry import Streams
from hub.streams.stream import Stream
from hub.upstreams.upstream import Upstream

CONFIG: Final = Config()
YEAR: Final = 365 * 86400.0


def defaults(made: Callable[..., Any]) -> dict[str, Any]:
    """What can be left out, and what it then is."""
    parameters = inspect.signature(made).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not each.empty}


def test_every_limit_of_a_hub_by_hand_is_that_of_the_configuration() -> None:
    by_hand = Hub(MemoryStore(), {}, "demo")
    configured = app.make_app(Config.model_validate({"store": {"url": "memory:"}}))[HUB]
    assert by_hand.limits == configured.limits == HubLimits()


def test_connections_are_paced_as_the_configuration_says() -> None:
    fanout = CONFIG.fanout
    assert Pace() == Pace(
        catch_up_bytes=fanout.catch_up_bytes,
        beat_seconds=CONFIG.server.beat_seconds,
        slow_client_timeout=fanout.slow_client_timeout,
        subscriptions=CONFIG.limits.subscriptions,
        write_buffer_bytes=fanout.write_buffer_bytes,
    )
    assert not defaults(ViewPace), "nothing there to be at odds with the configuration"


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Stream, {"slice_size": CONFIG.fanout.slice, "deliver": CONFIG.fanout.deliver}),
        (Streams, {"deliver": CONFIG.fanout.deliver}),
        (Producers, {"most": CONFIG.streams.max_producers}),
        (
            Participants,
            {
                "members": CONFIG.limits.presence,
                "state_bytes": CONFIG.limits.presence_bytes,
            },
        ),
        (Tutorial, {"beat_seconds": CONFIG.server.beat_seconds}),
        (SQLiteStore, {"sync": CONFIG.store.sync}),
    ],
)
def test_every_part_alone_is_as_configured(part: type, expected: dict[str, Any]) -> None:
    mine = defaults(part)
    assert {name: mine[name] for name in expected} == expected


def test_an_upstream_alone_is_as_configured() -> None:
    table = UpstreamTable(dialect="demo").model_dump()
    table["chunk_limit"] = table["chunk_bytes"]
    mine = defaults(Upstream)
    assert mine.pop("api_key") is None
    assert {name: table[name] for name in mine} == mine


async def test_a_hub_by_hand_forgets_nothing() -> None:
    made = [
        Hub(MemoryStore(), {}, "demo"),
        app.make_app(Config.model_validate({"store": {"url": "memory:"}}))[HUB],
    ]
    for hub in made:
        stream, _ = await hub.streams.create("closed")
        hub.streams.append(stream, Message("user", "Hello"))
        stream.close()
        await hub.streams.create("idle")
        for now in (1.0, YEAR, 2 * YEAR):
            await hub._backend.sweep(now)
        assert hub.streams.held == 2
