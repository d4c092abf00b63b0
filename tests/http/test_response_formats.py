"""Response encoders: what they send reads back as what went in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import ClientPayloadError, ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import HubError, UpstreamError
from hub.framing import SSE, ConcatenatedJSON, Framing
from hub.http.response import ResponseEncoder
from hub.http.response_formats import JSONObjects, ServerEvent, ServerEvents, TextLines
from hub.http.streaming import streaming_headers
from hub.pipeline.pipeline import Pipeline

ENCODERS: dict[str, Any] = {
    "application/json; charset=utf-8": JSONObjects(),
    "text/plain": TextLines(),
    "text/event-stream": ServerEvents(),
}
each_encoder = pytest.mark.parametrize(("content_type", "encoder"), ENCODERS.items())

objects = st.dictionaries(
    st.text(max_size=5), st.none() | st.booleans() | st.text(max_size=9), max_size=4
)
lines = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=9)
texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)


def read(framing: Framing, body: bytes) -> list[Any]:
    return [*framing.feed(body), *framing.flush()]


async def read_into(body: bytearray, response: ClientResponse) -> None:
    async for piece in response.content.iter_any():
        body += piece


@each_encoder
def test_each_names_its_type_and_asks_not_to_be_held_back(
    content_type: str, encoder: ResponseEncoder[Any, web.StreamResponse]
) -> None:
    for name, value in streaming_headers(content_type).items():
        assert encoder.response().headers[name] == value


@given(st.lists(st.none() | objects))
def test_json_objects_read_back(items: list[dict[str, Any] | None]) -> None:
    encoder = JSONObjects()
    body = b"".join(map(encoder.encode, items))
    found = [orjson.loads(chunk.data) for chunk in read(ConcatenatedJSON(), body)]
    assert found == [item for item in items if item is not None]


def test_json_objects_say_an_error_in_the_callers_words() -> None:
    error = UpstreamError("it stopped", code="upstream_stalled")
    plain = orjson.loads(JSONObjects().error(error))
    assert plain == {"error": {"code": "upstream_stalled", "message": "it stopped"}}
    own = JSONObjects(lambda error: {"state": -1, "message": error.message})
    assert orjson.loads(own.error(error)) == {"state": -1, "message": "it stopped"}


def test_text_lines_end_in_a_line_feed_and_an_error_is_not_taken_for_one() -> None:
    assert TextLines().encode("大模型") == "大模型\n".encode()
    assert TextLines().error(HubError("no")) == b""


@given(st.lists(st.builds(ServerEvent, text=texts, name=lines)))
def test_server_events_read_back(items: list[ServerEvent]) -> None:
    encoder = ServerEvents()
    body = b"".join(encoder.encode(item) + encoder.encode(None) for item in items)
    found = read(SSE(), body)
    ended = [item.text.replace("\r\n", "\n").replace("\r", "\n") for item in items]
    assert [chunk.data.decode() for chunk in found] == ended
    assert [chunk.event for chunk in found] == [item.name for item in items]


def test_a_server_event_has_its_id_before_its_text() -> None:
    """A client that is cut off in mid-event must not believe that it has had it."""
    body = ServerEvents().encode(ServerEvent("a\nb", name="tick", id="7"))
    assert body == b"id: 7\nevent: tick\ndata: a\ndata: b\n\n"


def test_server_events_say_an_error_as_an_event() -> None:
    (chunk,) = read(SSE(), ServerEvents().error(HubError("no", code="why")))
    assert chunk.event == "error"
    assert orjson.loads(chunk.data) == {"error": {"code": "why", "message": "no"}}


@each_encoder
async def test_a_client_sees_the_items_and_that_the_response_broke_off(
    content_type: str, encoder: ResponseEncoder[Any, web.StreamResponse]
) -> None:
    item: Any = {
        "application/json; charset=utf-8": {"text": "型"},
        "text/plain": "型",
        "text/event-stream": ServerEvent("型"),
    }[content_type]

    async def source() -> AsyncIterator[Any]:
        yield item
        raise HubError("no more", code="over")

    async def handle(request: web.Request) -> web.StreamResponse:
        return await Pipeline(source).respond(request, encoder)

    app = web.Application()
    app.router.add_get("/", handle)
    async with TestClient(TestServer(app)) as client:
        response = await client.get("/")
        body = bytearray()
        with pytest.raises(ClientPayloadError):
            await read_into(body, response)
        assert body == encoder.encode(item) + encoder.error(HubError("no more", code="over"))
