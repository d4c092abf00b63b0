"""Generations begun by one request: what is checked first, and what a client leaves behind."""

from __future__ import annotations

import asyncio
import gc
from typing import Any, Final

import pytest
from aiohttp.test_utils import make_mocked_request

from hub.connections.connection import Pace
from hub.connections.open_requests import OpenRequests
from hub.domain.errors import StreamBusy
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import LOCAL
from hub.http.admission import PRINCIPAL
from hub.protocols.conversation.one_request import OnDisconnect, Replies
from tests.conftest import StartHub
from tests.support.people import auth, bearer

BROKEN: Final = {"role": "nobody"}
"""A message that no translation takes."""

MESSAGES: Final = {"messages": [BROKEN]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"id": "chat/bob/1", **MESSAGES}),
        ("/api/chat/chat%2Fbob%2F1", MESSAGES),
        ("/api/agent", {"threadId": "chat/bob/1", "runId": "r", **MESSAGES}),
    ],
)
async def test_nothing_is_translated_for_who_may_not_ask(
    path: str, body: dict[str, Any], start_hub: StartHub
) -> None:
    """The translation of a large request takes a while, for which the hub serves nobody else."""
    hub = await start_hub(auth=auth({"who": "user", "match": "chat/bob/*", "can": ["read"]}))
    statuses = [
        (await hub.client.post(path, json=body, headers=bearer(who))).status
        for who in ("guest", "ann", "bob")
    ]
    assert statuses == [404, 403, 400]


@pytest.mark.parametrize("name", ["m", "no such model"])
@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/responses", {"input": [BROKEN]}),
        ("/v1/responses", {"input": [{"type": "item_reference", "id": "x"}]}),
        ("/v1/chat/completions", {**MESSAGES, "n": 2}),
    ],
)
async def test_nothing_is_read_for_who_may_generate_nowhere(
    path: str, more: dict[str, Any], name: str, start_hub: StartHub
) -> None:
    hub = await start_hub(auth=auth({"who": "key guest", "match": "chat/*", "can": ["read"]}))
    body = {"model": name, **more}
    refused = await hub.client.post(path, json=body, headers=bearer("guest"))
    assert refused.status == 403
    assert (await refused.json())["error"]["code"] == "not_permitted"
    permitted = await hub.client.post(path, json=body, headers=bearer("ann"))
    assert permitted.status in (400, 404)


class Starting:
    """A hub that begins or refuses a generation once a gate is open; it notes what is stopped."""

    def __init__(self, outcome: Generation | Exception) -> None:
        self.outcome = outcome
        self.gate = asyncio.Event()
        self.stopped: list[str] = []
        self.callers = OpenRequests()

    @property
    def generations(self) -> Starting:
        return self

    def admit(self) -> None:
        """Refuse nobody."""

    async def start(self, *_: object, **__: object) -> Generation:
        await self.gate.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def stop(self, generation: str) -> None:
        self.stopped.append(generation)


@pytest.mark.parametrize(
    ("outcome", "way", "told", "stopped"),
    [
        (StreamBusy("it is busy"), "continue", "", 0),
        (StreamBusy("it is busy"), "cancel", "", 0),
        (RuntimeError("a mistake"), "continue", "a mistake", 0),
        (Generation("s", "demo", None), "continue", "", 0),
        (Generation("s", "demo", None), "cancel", "", 1),
    ],
    ids=["refused", "refused-cancel", "fails", "begins", "begins-cancel"],
)
async def test_what_is_begun_for_a_client_that_has_left_fails_in_silence_only_if_it_may(
    outcome: Generation | Exception,
    way: OnDisconnect,
    told: str,
    stopped: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Starting(outcome)
    replies = Replies(hub, pace=Pace(), on_disconnect=way, grace_seconds=1.0)  # type: ignore[arg-type]  # all that is needed of one
    request = make_mocked_request("POST", "/")
    request[PRINCIPAL] = LOCAL

    async def ask() -> None:
        async with replies.begun(request, GenerationRequest("Hi")):
            raise AssertionError("it has not begun")

    asking = asyncio.create_task(ask())
    await turns(3)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    hub.gate.set()
    await turns(3)
    gc.collect()
    assert len(hub.stopped) == stopped
    assert bool(caplog.records) == bool(told)
    assert told in caplog.text
    assert "never retrieved" not in caplog.text


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
