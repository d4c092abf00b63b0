"""Generations begun by one request: what is checked before the request is translated."""

from __future__ import annotations

from typing import Any, Final

import pytest

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
