"""Event streams and NDJSON for readers that take Latin-1, or cut wherever Unicode ends a line.

``requests`` reads ``text/*`` without a charset as Latin-1, and its ``iter_lines`` is
``str.splitlines``, as are the line readers of many others.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from aiohttp.test_utils import TestClient

from hub.domain.errors import HubError
from hub.frames.line_separators import escape_line_separators
from hub.http.response_formats import ServerEvents
from tests.conftest import StartHub

HARD: Final = "a\u2028b\u2029c\u0085d“e”\u00e9中"
MESSAGES: Final = [{"role": "user", "content": f"echo {HARD}"}]
UI_MESSAGES: Final = [
    {"id": "m", "role": "user", "parts": [{"type": "text", "text": f"echo {HARD}"}]}
]

Client = TestClient[Any, Any]
Answer = tuple[str, bytes]
"""The content type and the body."""


async def _post(client: Client, path: str, body: Any) -> Answer:
    async with client.post(path, json=body) as answer:
        assert answer.status == 200, await answer.text()
        return answer.headers["Content-Type"], await answer.read()


async def _get(client: Client, path: str) -> Answer:
    async with client.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return answer.headers["Content-Type"], await answer.read()


async def _generated(client: Client) -> str:
    async with client.post("/v1/generations", json={"messages": MESSAGES}) as answer:
        return str((await answer.json())["stream"])


async def _live(client: Client) -> Answer:
    return await _get(client, f"/v1/live/{await _generated(client)}?format=sse")


async def _ndjson(client: Client) -> Answer:
    return await _get(client, f"/v1/live/{await _generated(client)}?format=ndjson")


async def _durable(client: Client) -> Answer:
    return await _get(client, f"/v1/stream/{await _generated(client)}?offset=-1&live=sse")


async def _chat(client: Client) -> Answer:
    body = {"model": "demo", "messages": MESSAGES, "stream": True}
    return await _post(client, "/v1/chat/completions", body)


async def _responses(client: Client) -> Answer:
    body = {"model": "demo", "input": f"echo {HARD}", "stream": True}
    return await _post(client, "/v1/responses", body)


async def _ai_sdk(client: Client) -> Answer:
    return await _post(client, "/api/chat", {"id": "ui", "messages": UI_MESSAGES})


async def _ai_sdk_durable(client: Client) -> Answer:
    headers = {"Accept": "application/json"}
    body = {"id": "ui", "messages": UI_MESSAGES}
    async with client.post("/api/chat", json=body, headers=headers) as answer:
        where = answer.headers["Location"]
    return await _get(client, f"{where}?offset=-1&live=sse")


async def _ag_ui(client: Client) -> Answer:
    async with client.post("/api/chat/ag", json={"messages": UI_MESSAGES}) as answer:
        assert answer.status == 202
    # It has no end, but it is given up after `sse_rotate_seconds`.
    return await _get(client, "/api/chat/ag?offset=-1&live=sse")


OUTPUTS: Final[dict[str, Callable[[Client], Awaitable[Answer]]]] = {
    "live": _live,
    "ndjson": _ndjson,
    "durable": _durable,
    "chat": _chat,
    "responses": _responses,
    "ai-sdk": _ai_sdk,
    "ai-sdk-durable": _ai_sdk_durable,
    "ag-ui": _ag_ui,
}


def _texts(held: Any) -> list[str]:
    """Every string in a JSON value."""
    if isinstance(held, str):
        return [held]
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, list) else ()
    return [text for one in inside for text in _texts(one)]


@pytest.mark.parametrize("output", OUTPUTS)
async def test_a_reader_that_cuts_at_every_line_end_of_unicode_reads_all(
    output: str, start_hub: StartHub
) -> None:
    running = await start_hub(streams={"sse_rotate_seconds": 1.0})
    kind, body = await OUTPUTS[output](running.client)
    said = ""
    for line in body.decode().splitlines():
        text = line if output == "ndjson" else line.removeprefix("data:").lstrip()
        if text.startswith(("{", "[{")):
            said += "".join(_texts(json.loads(text)))
    assert all(mark in said for mark in HARD)
    # The conformance suite of Durable Streams compares the type as a whole.
    bare = output in ("durable", "ai-sdk-durable", "ag-ui")
    assert kind.partition(";")[2] == ("" if bare else " charset=utf-8")


def test_an_error_of_a_pipeline_is_on_one_line() -> None:
    told = ServerEvents().error(HubError(HARD)).decode()
    data = [line for line in told.splitlines() if line.startswith("data: ")]
    assert json.loads(data[0].removeprefix("data: "))["error"]["message"] == HARD


@pytest.mark.parametrize(
    "text", ["", "plain", "中文“引号”", "\u00c2\u0084", "\\\u2028", HARD, "\u2027\u202a\u0086"]
)
def test_escapes_change_no_text(text: str) -> None:
    body = json.dumps(text, ensure_ascii=False).encode()
    escaped = escape_line_separators(body)
    assert json.loads(escaped) == text
    assert len(escaped.decode().splitlines()) == 1
    if len(body.decode().splitlines()) == 1:
        assert escaped is body
