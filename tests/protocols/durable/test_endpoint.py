"""What the hub promises at `/v1/stream` beyond the public suite
(`tests.end_to_end.test_conformance`).
"""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from hub import Config, setup
from hub.domain import defaults
from hub.protocols.durable.endpoint import Durable
from hub.streams.stream import Stream
from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
HELLO = {"type": "message", "role": "user", "text": "hello"}


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/hub.db"}[request.param]


@pytest.fixture
async def hub(start_hub: StartHub, store: str) -> Running:
    streams = {"long_poll_seconds": 0.2, "sse_rotate_seconds": 60}
    return await start_hub(store={"url": store}, streams=streams)


@pytest.fixture
async def rotating(start_hub: StartHub, store: str) -> Running:
    """Its responses end after a while, whether or not the stream does."""
    streams = {"long_poll_seconds": 0.2, "sse_rotate_seconds": 0.5}
    return await start_hub(store={"url": store}, streams=streams)


async def put(
    hub: Running, name: str, headers: dict[str, str], body: bytes = b""
) -> ClientResponse:
    return await hub.client.put(f"/v1/stream/{name}", headers=headers, data=body)


async def post(hub: Running, name: str, headers: dict[str, str], body: Any) -> ClientResponse:
    return await hub.client.post(f"/v1/stream/{name}", headers=headers, data=body)


async def code_of(response: ClientResponse) -> tuple[int, str]:
    return response.status, (await response.json())["error"]["code"]


async def followed(stream: Stream, *, by: int) -> None:
    """Wait until so many follow it."""
    await eventually(lambda: len(stream.fanout) == by)


# The same streams


async def test_what_a_websocket_appends_a_durable_client_reads(hub: Running) -> None:
    async with hub.client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"type": "append", "id": 1, "stream": "chat", "event": HELLO})
        answer = await socket.receive_json()
    read = await hub.client.get("/v1/stream/chat")
    assert await read.json() == [HELLO]
    assert read.headers["Stream-Next-Offset"] == answer["position"]
    assert read.headers["Content-Type"] == "application/json"


async def test_what_a_durable_client_appends_a_websocket_reads(hub: Running) -> None:
    """Also values that are no events, each as the bytes it came in."""
    await put(hub, "chat", JSON)
    async with hub.client.ws_connect("/v1/ws") as socket:
        await socket.send_json({"type": "subscribe", "stream": "chat", "from": "start"})
        assert (await socket.receive_json())["type"] == "ok"
        body = (
            b'[%s, 1.50, "x",\n {"type":\r\n"message","role":"nobody"}]'
            % json.dumps(HELLO).encode()
        )
        answer = await post(hub, "chat", JSON, body)
        told = await socket.receive_str()
    assert '1.50,"x",{"type":  "message","role":"nobody"}]' in told
    assert json.loads(told)["events"][0] == HELLO
    assert json.loads(told)["position"] == answer.headers["Stream-Next-Offset"]


async def test_messages_on_several_lines_are_one_line_each_in_live_formats(hub: Running) -> None:
    """A line end between the tokens of a message would end a server-sent event or NDJSON line."""
    await put(hub, "chat", JSON, json.dumps(HELLO, indent=2).encode())
    await post(hub, "chat", {**JSON, "Stream-Closed": "true"}, b"[1,\n2]")
    lines = (await (await hub.client.get("/v1/live/chat?format=ndjson")).text()).splitlines()
    assert [json.loads(line) for line in lines][:3] == [HELLO, 1, 2]
    whole = await (await hub.client.get("/v1/live/chat?format=json")).text()
    assert "1\n2\n" in whole  # not 12


async def test_a_generation_is_read_as_a_durable_stream(hub: Running) -> None:
    asked = await hub.client.post("/v1/generations", json={"prompt": "poem"})
    where = asked.headers["Location"]
    assert where == f"/v1/stream/{(await asked.json())['stream']}"
    text = await (await hub.client.get(f"{where}?offset=-1&live=sse")).text()
    assert text.rstrip().endswith("}")
    assert json.loads(text.rstrip().rpartition("data:")[2])["streamClosed"] is True
    events = await (await hub.client.get(where)).json()
    assert [event["type"] for event in events[:2]] == ["message", "started"]
    assert events[-1]["type"] == "finished"


async def test_nobody_speaks_for_a_generation_of_the_hub(hub: Running) -> None:
    asked = await hub.client.post("/v1/generations", json={"prompt": "poem", "stream": "chat"})
    generation = (await asked.json())["id"]
    forged = {"type": "delta", "generation": generation, "text": "lies"}
    answer = await post(hub, "chat", JSON, json.dumps(forged).encode())
    assert await code_of(answer) == (409, "generation_owned")
    answer = await put(hub, "new", JSON, json.dumps(forged).encode())
    assert await code_of(answer) == (409, "generation_owned")
    assert (await hub.client.head("/v1/stream/new")).status == 404


@pytest.mark.parametrize(
    "forged",
    [
        {"type": "finished", "reason": "tired"},
        {"type": "delta", "text": 5},
        {"type": "failed", "message": {}},
        {"type": "interrupted", "usage": 5},
    ],
)
async def test_nobody_does_by_what_only_looks_like_an_event(
    hub: Running, forged: dict[str, Any]
) -> None:
    """A page that reads it may look no closer than at its type."""
    asked = await hub.client.post("/v1/generations", json={"prompt": "poem", "stream": "chat"})
    generation = (await asked.json())["id"]
    for held in (forged, {**forged, "x": 10**30}):
        body = json.dumps({**held, "generation": generation}).encode()
        assert await code_of(await post(hub, "chat", JSON, body)) == (409, "generation_owned")
        body = json.dumps({**held, "generation": "mine"}).encode()
        assert await code_of(await post(hub, "chat", JSON, body)) == (403, "foreign_generation")
        assert (await post(hub, "chat", JSON, json.dumps(held).encode())).status == 204


@pytest.mark.parametrize("said", ["position", "reset", "closed", "beat", "retrying"])
async def test_nobody_seems_to_be_the_hub(hub: Running, said: str) -> None:
    """A live response has these between events: whoever reads one would take it for the hub's."""
    forged = json.dumps([HELLO, {"type": said, "position": "0"}]).encode()
    assert await code_of(await put(hub, "chat", JSON, forged)) == (400, "bad_event")
    await put(hub, "chat", JSON)
    assert await code_of(await post(hub, "chat", JSON, forged)) == (400, "bad_event")
    assert (await hub.hub.streams.open("chat")).tail == 0


async def test_a_type_that_is_no_text_is_as_good_as_any(hub: Running) -> None:
    await put(hub, "chat", JSON, b'{"type":["closed"]}')
    assert (await hub.hub.streams.open("chat")).tail == 1


async def test_a_stream_is_not_closed_while_something_is_generated_in_it(hub: Running) -> None:
    asked = await hub.client.post("/v1/generations", json={"prompt": "stall", "stream": "chat"})
    answer = await post(hub, "chat", {"Stream-Closed": "true"}, b"")
    assert await code_of(answer) == (409, "stream_busy")
    deleted = await hub.client.delete("/v1/stream/chat")
    assert deleted.status == 204
    state = await hub.client.get(f"/v1/generations/{(await asked.json())['id']}")
    assert (await state.json())["state"] == "cancelled"


async def test_bytes_are_no_events(hub: Running) -> None:
    """Who speaks of events says so of a stream that has none, and where to read it."""
    await put(hub, "bytes", {"Content-Type": "application/octet-stream"}, b"\x00\x01")
    for form in ("sse", "ndjson", "json", "text"):
        answer = await hub.client.get(f"/v1/live/bytes?format={form}")
        assert await code_of(answer) == (409, "not_json")
    generate = {"prompt": "poem", "stream": "bytes"}
    answer = await hub.client.post("/v1/generations", json=generate)
    assert await code_of(answer) == (409, "not_json")
    async with hub.client.ws_connect("/v1/ws") as socket:
        for command in ({"type": "subscribe"}, {"type": "append", "event": HELLO}):
            await socket.send_json({**command, "stream": "bytes"})
            told = await socket.receive_json()
            assert (told["type"], told["code"]) == ("error", "not_json")
            assert "/v1/stream/bytes" in told["message"]


async def test_text_is_followed_as_text(hub: Running) -> None:
    await put(hub, "notes", TEXT, b"one ")
    async with hub.client.get("/v1/live/notes?format=text") as response:
        assert await response.content.readany() == b"one "
        await post(hub, "notes", {**TEXT, "Stream-Closed": "true"}, "zwei ü".encode())
        assert await response.content.read() == "zwei ü".encode()


# Server-sent events


async def test_a_response_ends_after_a_while_and_whole(rotating: Running) -> None:
    """The end of a response is no end of the stream, and is a clean one."""
    hub = rotating
    await put(hub, "quiet", TEXT, b"a")
    text = await (await hub.client.get("/v1/stream/quiet?offset=-1&live=sse")).text()
    assert "streamClosed" not in text
    assert text.count("event: data") == 1


async def test_readers_of_one_kind_share_what_is_encoded(hub: Running) -> None:
    """Frames are made for all readers, not for each."""
    await put(hub, "shared", JSON)
    url = "/v1/stream/shared?offset=now&live=sse"
    readers = [await hub.client.get(url) for _ in range(3)]
    await followed(await hub.hub.streams.open("shared"), by=3)
    made = hub.hub.counts.flushes
    await post(hub, "shared", {**JSON, "Stream-Closed": "true"}, b'{"n":1}')
    # What comes first is each reader's own: when to come back.
    texts = [(await reader.text()).partition("\n\n")[2] for reader in readers]
    assert texts[0] == texts[1] == texts[2]
    assert 'data:[{"n":1}]\n' in texts[0]
    assert hub.hub.counts.flushes == made + 1


async def test_consecutive_deltas_stay_apart(hub: Running) -> None:
    """A message is never merged with the next: offsets count them, and bytes never differ."""
    deltas = [{"type": "delta", "text": str(n)} for n in range(5)]
    await put(hub, "deltas", {**JSON, "Stream-Closed": "true"}, json.dumps(deltas).encode())
    text = await (await hub.client.get("/v1/stream/deltas?offset=-1&live=sse")).text()
    data = next(line for line in text.splitlines() if line.startswith("data:["))
    assert json.loads(data[5:]) == deltas


async def test_an_interval_that_is_not_over_is_answered_with_a_later_one(
    rotating: Running,
) -> None:
    """Or else a cache would give the same answer for ever."""
    hub = rotating
    await put(hub, "cached", TEXT, b"a")
    url = "/v1/stream/cached?offset=-1&live={}&cursor={}"
    for live in ("long-poll", "sse"):
        answer = await hub.client.get(url.format(live, 10**9))
        if live == "long-poll":
            told = answer.headers["Stream-Cursor"]
        else:
            text = await answer.text()
            told = json.loads(text.rpartition("data:")[2].split("\n")[0])["streamCursor"]
        assert int(told) > 10**9


async def test_a_stream_lives_as_long_as_somebody_follows_it(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sliding expiry is one of silence, and a reader who listens is none."""
    hub = await start_hub(server={"beat_seconds": 0.4}, streams={"sse_rotate_seconds": 60})
    now = [1000.0]
    monkeypatch.setattr(hub.hub._backend.streams, "_clock", lambda: now[0])
    await put(hub, "slid", {**TEXT, "Stream-TTL": "60"})
    stream = await hub.hub.streams.open("slid")
    reader = await hub.client.get("/v1/stream/slid?offset=-1&live=sse")
    await followed(stream, by=1)
    now[0] += 100
    assert (await hub.client.head("/v1/stream/slid")).status == 200
    await eventually(lambda: stream.expires == now[0] + 60)
    reader.close()
    await followed(stream, by=0)
    now[0] += 59
    assert (await hub.client.head("/v1/stream/slid")).status == 200
    now[0] += 2
    assert (await hub.client.head("/v1/stream/slid")).status == 404


# Long poll


async def test_a_stream_that_is_deleted_while_somebody_waits_is_gone(start_hub: StartHub) -> None:
    hub = await start_hub(streams={"long_poll_seconds": 20})
    await put(hub, "going", TEXT)
    waiting = asyncio.ensure_future(hub.client.get("/v1/stream/going?offset=now&live=long-poll"))
    stream = await hub.hub.streams.open("going")
    await followed(stream, by=1)
    await hub.client.delete("/v1/stream/going")
    assert await code_of(await waiting) == (404, "stream_not_found")


# Reading


async def test_a_long_stream_is_read_in_parts(hub: Running) -> None:
    """An answer is bounded; only the last says that there is no more for now."""
    body = b"x" * 700_000
    await put(hub, "long", TEXT, body)
    await post(hub, "long", TEXT, body)
    await post(hub, "long", {**TEXT, "Stream-Closed": "true"}, b"end")
    found, answers, offset = b"", 0, "-1"
    while True:
        answer = await hub.client.get("/v1/stream/long", params={"offset": offset})
        found += await answer.read()
        answers += 1
        offset = answer.headers["Stream-Next-Offset"]
        assert ("Stream-Closed" in answer.headers) == ("Stream-Up-To-Date" in answer.headers)
        if "Stream-Closed" in answer.headers:
            break
    assert found == body * 2 + b"end"
    assert answers > 1


async def test_what_is_cold_is_read_from_the_store(start_hub: StartHub, tmp_path: Path) -> None:
    """All of a stream, most of which is no longer in memory, in every way of reading."""
    hub = await start_hub(store={"url": f"sqlite:{tmp_path}/hub.db"}, streams={"warm_bytes": 100})
    await put(hub, "cold", TEXT)
    pieces = ["ü中👩".encode()[i : i + 1] for i in range(9)] * 40
    for piece in pieces:
        await post(hub, "cold", TEXT, piece)
    await post(hub, "cold", {"Stream-Closed": "true"}, b"")
    stream = await hub.hub.streams.open("cold")
    assert stream.warm > stream.head
    assert await (await hub.client.get("/v1/stream/cold")).read() == b"".join(pieces)
    for start in range(0, 40, 3):
        url = f"/v1/stream/cold?live=sse&offset={stream.position_at(start)}"
        text = await (await hub.client.get(url)).text()
        data = [line[5:] for line in text.splitlines() if line.startswith("data:")]
        said = "".join(line for line in data if not line.startswith("{"))
        whole = b"".join(pieces).decode()
        assert whole.endswith(said)
        assert len(said.encode()) >= len(pieces) - start


async def test_a_position_that_is_trimmed_is_gone(start_hub: StartHub) -> None:
    """Not a silent hole: 410, and where to go on."""
    hub = await start_hub(streams={"max_records": 3})
    first = (await put(hub, "trimmed", TEXT, b"0")).headers["Stream-Next-Offset"]
    for number in range(1, 6):
        await post(hub, "trimmed", TEXT, b"%d" % number)
    answer = await hub.client.get("/v1/stream/trimmed", params={"offset": first})
    assert await code_of(answer) == (410, "position_trimmed")
    assert await (await hub.client.get("/v1/stream/trimmed?offset=-1")).text() == "345"


async def test_what_others_wrote_cannot_run_as_a_page(hub: Running) -> None:
    await put(hub, "page", {"Content-Type": "text/html"}, b"<script>alert(1)</script>")
    answer = await hub.client.get("/v1/stream/page")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_text_of_another_charset_goes_as_bytes(rotating: Running) -> None:
    """Server-sent events are UTF-8; what is not must not be broken by them."""
    hub = rotating
    await put(hub, "latin", {"Content-Type": "text/plain; charset=ISO-8859-1"}, b"caf\xe9")
    assert await (await hub.client.get("/v1/stream/latin")).read() == b"caf\xe9"
    answer = await hub.client.get("/v1/stream/latin?offset=-1&live=sse")
    assert answer.headers["Stream-SSE-Data-Encoding"] == "base64"
    assert "data:Y2Fm6Q==\n" in await answer.text()


# Writing


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Stream-TTL", "1_0"),
        ("Stream-TTL", "٣"),
        ("Stream-TTL", "99999999999999999999"),
        ("Stream-Expires-At", "tomorrow"),
        ("Stream-Expires-At", "2030-02-31T00:00:00Z"),
        ("Stream-Expires-At", "2030-01-01T00:00:00"),
        ("Content-Type", "not a type"),
        ("Stream-Fork-Offset", "0000000000000000_0000000000000000"),
    ],
)
async def test_malformed_headers_of_a_put_are_refused(
    hub: Running, header: str, value: str
) -> None:
    answer = await put(hub, "made", {**TEXT, header: value})
    assert answer.status == 400
    assert (await hub.client.head("/v1/stream/made")).status == 404


@pytest.mark.parametrize("number", ["1_0", " 1", "+1", "٣", "", str(2**53), "1.0", "-1"])
async def test_producers_count_in_digits(hub: Running, number: str) -> None:
    await put(hub, "made", TEXT)
    stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": number}
    if number == " 1":
        stamp["Producer-Seq"] = "0 1"  # white space around a value is HTTP's own
    answer = await post(hub, "made", {**TEXT, **stamp}, b"x")
    assert await code_of(answer) == (400, "bad_producer")


async def test_a_producers_name_and_their_number_are_bounded(start_hub: StartHub) -> None:
    hub = await start_hub(streams={"max_producers": 1})
    await put(hub, "made", TEXT)
    stamp = {"Producer-Epoch": "0", "Producer-Seq": "0"}
    for name, told in (
        ("p" * 256, (400, "bad_producer")),
        ("p" * 255, None),
        ("q", (409, "too_many_producers")),
    ):
        answer = await post(hub, "made", {**TEXT, **stamp, "Producer-Id": name}, b"x")
        if told is None:
            assert answer.status == 200
        else:
            assert await code_of(answer) == told
    answer = await hub.client.get("/v1/stream/made?offset=-1")
    assert await answer.read() == b"x"


@pytest.mark.parametrize(
    "body",
    [b"NaN", b"{", b"[1,]", b"1 2", b"[1][2]", b'"\xff"', b'"\xed\xa0\x80"', b"[" * 1000, b"  "],
)
async def test_what_is_no_json_is_refused_and_uses_up_no_number(hub: Running, body: bytes) -> None:
    await put(hub, "made", JSON)
    stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    answer = await post(hub, "made", {**JSON, **stamp}, body)
    assert await code_of(answer) == (400, "bad_json")
    assert (await post(hub, "made", {**JSON, **stamp}, b"1")).status == 200
    assert (await post(hub, "made", {**JSON, **stamp}, b"1")).status == 204
    assert await (await hub.client.get("/v1/stream/made")).text() == "[1]"


async def test_too_much_at_once_is_refused(hub: Running) -> None:
    await put(hub, "made", JSON)
    answer = await post(hub, "made", JSON, b"[%s]" % b",".join([b"1"] * 10_001))
    assert await code_of(answer) == (413, "too_large")
    answer = await post(hub, "made", JSON, io.BytesIO(b'"%s"' % (b"x" * defaults.BODY_BYTES)))
    assert await code_of(answer) == (413, "http_413")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_names_of_the_protocol_itself_are_reserved(hub: Running) -> None:
    answer = await put(hub, "__ds/subscriptions/1", TEXT)
    assert await code_of(answer) == (400, "bad_name")


async def test_a_page_of_another_origin_changes_nothing(hub: Running) -> None:
    answer = await put(hub, "made", {**TEXT, "Origin": "https://evil.example"})
    assert await code_of(answer) == (403, "origin_not_allowed")


async def test_an_answer_means_that_it_is_kept(start_hub: StartHub, tmp_path: Path) -> None:
    """What was answered is there after the hub has gone and come back, the producers too."""
    store = {"url": f"sqlite:{tmp_path}/hub.db"}
    stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    first = await start_hub(store=store)
    await put(first, "kept", {**TEXT, "Stream-TTL": "3600"})
    await post(first, "kept", {**TEXT, **stamp, "Stream-Seq": "b"}, b"once")
    await first.client.close()
    again = await start_hub(store=store)
    assert (await post(again, "kept", {**TEXT, **stamp}, b"once")).status == 204
    assert await code_of(await post(again, "kept", {**TEXT, "Stream-Seq": "a"}, b"x")) == (
        409,
        "stream_seq",
    )
    assert await (await again.client.get("/v1/stream/kept")).text() == "once"
    assert (await again.client.head("/v1/stream/kept")).headers["Stream-TTL"] == "3600"


async def test_a_hub_below_a_prefix_names_its_streams_so(start_hub: StartHub) -> None:
    """`Location` and `Stream-Forked-From` are what the client sees, wherever the hub hangs."""
    app = web.Application()
    setup(app, prefix="/hub", config=Config.model_validate({"store": {"url": "memory:"}}))
    client: TestClient[Any, Any] = TestClient(TestServer(app))
    async with client:
        made = await client.put("/hub/v1/stream/a", headers=TEXT, data=b"x")
        assert made.headers["Location"] == str(client.make_url("/hub/v1/stream/a"))
        fork = await client.put(
            "/hub/v1/stream/b", headers={**TEXT, "Stream-Forked-From": "/hub/v1/stream/a"}
        )
        assert fork.status == 201
        other = await client.put(
            "/hub/v1/stream/c", headers={**TEXT, "Stream-Forked-From": "/v1/stream/a"}
        )
        assert await code_of(other) == (404, "stream_not_found")


def test_the_routes_are_the_protocols() -> None:
    """GET does not answer HEAD by itself: HEAD must not count as a read."""
    routes = Durable.__new__(Durable).routes()
    assert [route.method for route in routes] == ["PUT", "POST", "GET", "HEAD", "DELETE"]
