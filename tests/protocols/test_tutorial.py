"""The tutorial routes, each as a client sees it."""

from __future__ import annotations

import asyncio
import codecs
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from aiohttp import ClientPayloadError, ClientResponse, ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from hub import dialects
from hub.domain.principal import LOCAL
from hub.framing import SSE, ConcatenatedJSON
from hub.http.admission import PRINCIPAL
from hub.http.errors import answer_to
from hub.http.origins import Origins
from hub.hub import Hub
from hub.pipeline.pipeline import Pipeline
from hub.protocols.tutorial import SENTENCE, Tutorial, relayed
from hub.stores.memory import MemoryStore
from hub.upstreams.upstream import Dialer, Upstream
from tests.support.recording_sources import Recorded
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Ending, Gate, openai_sse, refusal

Object = dict[str, Any]
Client = TestClient[web.Request, web.Application]

BOTH: Final = ["GET", "POST"]
PACE: Final = 0.002


@dataclass
class Values:
    """What the configuration would say."""

    llm: str | None = "llm"
    faq: str | None = "faq"
    file: str | None = None
    pace: float = PACE


@web.middleware
async def answered(request: web.Request, handler: Any) -> web.StreamResponse:
    request[PRINCIPAL] = LOCAL
    try:
        response: web.StreamResponse = await handler(request)
    except Exception as error:
        return answer_to(error, request)
    return response


@asynccontextmanager
async def tutorial(
    values: Values | None = None, *, url: str = "http://127.0.0.1:1", beat_seconds: float = 15.0
) -> AsyncIterator[Client]:
    """The tutorial routes of a hub whose two upstreams are at ``url``."""
    dialer = Dialer()
    faq_options = {"input": "query", "done": "state=1"}
    upstreams = {
        "llm": Upstream("llm", dialects.find("openai-chat"), dialer, url=url, stall_timeout=60),
        "faq": Upstream(
            "faq", dialects.find("json"), dialer, url=f"{url}/faq", options=faq_options
        ),
    }
    hub = Hub(MemoryStore(), upstreams, "llm")
    routes = Tutorial(hub, values or Values(), Origins(), beat_seconds=beat_seconds)
    app = web.Application(middlewares=[answered])
    app.add_routes(routes.routes())
    app.cleanup_ctx.append(routes.sample_file)
    try:
        async with TestClient(TestServer(app), timeout=ClientTimeout(total=60)) as client:
            yield client
    finally:
        await dialer.close()


class Objects:
    """The JSON objects of a response, as they arrive."""

    def __init__(self, response: ClientResponse) -> None:
        self._response = response
        self._framing = ConcatenatedJSON()
        self.found: list[Object] = []
        self.reads = 0

    async def until(self, count: int) -> list[Object]:
        """The objects, as soon as there are so many."""
        while len(self.found) < count:
            read = await self._response.content.readany()
            assert read, "the response ended early"
            self._take(read)
        return self.found

    async def all(self) -> list[Object]:
        """The objects, when the response has ended."""
        async for read in self._response.content.iter_any():
            self._take(read)
        return self.found

    def _take(self, read: bytes) -> None:
        self.reads += 1
        self.found += [orjson.loads(chunk.data) for chunk in self._framing.feed(read)]


def object_of(text: str, state: int = 0, message: str = "") -> Object:
    return {"state": state, "data": [], "text": text, "message": message}


# -- /ret_json_data ----------------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
async def test_ret_json_data(method: str) -> None:
    async with tutorial() as client:
        response = await client.request(method, "/ret_json_data")
        assert response.status == 200
        assert response.content_type == "application/json"
        assert await response.json() == {"hello": "hello aiohttp"}


# -- /stream_json_data -------------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
async def test_stream_json_data(method: str) -> None:
    """One whole character in one object, objects one after another."""
    async with tutorial() as client:
        response = await client.request(method, "/stream_json_data")
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store, no-transform"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert await Objects(response).all() == [object_of(character) for character in SENTENCE]


def test_stream_json_data_says_the_sentence() -> None:
    assert SENTENCE == (
        "大模型通常指的是那些规模庞大、参数数量极多的人工智能模型，它们在训练时使用了海量的数据，"
        "能够处理复杂的任务并展现出强大的语言理解和生成能力。"
    )


@pytest.mark.parametrize("path", ["/stream_json_data", "/stream_data_to_frontend"])
async def test_stream_json_data_arrives_as_it_is_made(path: str) -> None:
    """At this pace the whole takes longer than this test may."""
    async with tutorial(Values(pace=1.0)) as client:
        response = await client.get(path)
        objects = Objects(response)
        assert [held["text"] for held in await objects.until(2)] == ["大", "模"]
        response.close()


@pytest.mark.parametrize("path", ["/stream_json_data", "/stream_data_to_frontend"])
async def test_stream_json_data_read_slowly_is_the_same_text(path: str) -> None:
    async with tutorial(Values(pace=0.0)) as client:
        response = await client.get(path)
        decode = codecs.getincrementaldecoder("utf-8")().decode
        text = ""
        while piece := await response.content.read(7):
            text += decode(piece)
            await asyncio.sleep(0.0001)
        found = [orjson.loads(chunk.data) for chunk in ConcatenatedJSON().feed(text.encode())]
        assert "".join(held["text"] for held in found) == SENTENCE


# -- /stream_data_to_frontend ------------------------------------------------------------


@pytest.mark.parametrize("method", BOTH)
async def test_stream_data_to_frontend(method: str) -> None:
    async with tutorial() as client:
        response = await client.request(method, "/stream_data_to_frontend")
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        expected = [{**object_of(character), "tt": "ttttt"} for character in SENTENCE]
        assert await Objects(response).all() == expected


WHOLE: Final = b"".join(orjson.dumps(object_of(character)) for character in SENTENCE[:12])


@given(st.lists(st.integers(0, len(WHOLE)), max_size=60))
async def test_stream_data_to_frontend_takes_no_read_for_a_message(places: list[int]) -> None:
    """However the bytes are cut, in an object or in a character, the objects are the same."""
    edges = [0, *sorted(places), len(WHOLE)]
    reads = [WHOLE[a:b] for a, b in pairwise(edges)]
    found = await relayed(Pipeline(Recorded(reads, wait=None))).collect()
    assert found == [{**object_of(character), "tt": "ttttt"} for character in SENTENCE[:12]]


# -- the relays --------------------------------------------------------------------------


def faq_objects(*texts: str) -> Iterator[bytes]:
    for text in texts:
        yield orjson.dumps(object_of(text))
    yield orjson.dumps(object_of("", state=1))


def json_answer(*steps: Any) -> Answer:
    return Answer(*steps, type="application/json")


async def test_stream_data_to_frontend_test() -> None:
    messages = [{"role": "system", "content": "kurz"}, {"role": "user", "content": "问"}]
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(Answer(*openai_sse("大模", "型🙂")))
        path = "/stream_data_to_frontend_test"
        response = await client.post(path, json={"messages": messages})
        assert response.headers["Content-Type"] == "application/json; charset=utf-8"
        expected = [object_of("大模"), object_of("型🙂"), object_of("", state=1)]
        assert await Objects(response).all() == expected
        assert upstream.requests[0].json["messages"] == messages


async def test_stream_data_to_frontend_test_has_a_question_of_its_own() -> None:
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(Answer(*openai_sse("A")))
        response = await client.get("/stream_data_to_frontend_test")
        assert await Objects(response).all() == [object_of("A"), object_of("", state=1)]
        (message,) = upstream.requests[0].json["messages"]
        assert message["role"] == "user"
        assert message["content"]


@pytest.mark.parametrize("body", [{}, {"messages": []}, {"messages": "hi"}, {"query": "x"}, []])
async def test_stream_data_to_frontend_test_refuses_what_are_no_messages(body: Any) -> None:
    async with tutorial() as client:
        response = await client.post("/stream_data_to_frontend_test", json=body)
        assert response.status == 400
        assert set((await response.json())["error"]) == {"code", "message"}


@pytest.mark.parametrize(
    ("method", "options", "asked"),
    [
        ("GET", {}, "测试"),
        ("GET", {"params": {"query": "怎么退款？"}}, "怎么退款？"),
        ("POST", {"json": {"query": "hours"}}, "hours"),
    ],
)
async def test_stream_faq_data_to_frontend_test(
    method: str, options: dict[str, Any], asked: str
) -> None:
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(json_answer(*faq_objects("是", "的")))
        path = "/stream_faq_data_to_frontend_test"
        response = await client.request(method, path, **options)
        expected = [object_of("是"), object_of("的"), object_of("", state=1)]
        assert await Objects(response).all() == expected
        assert upstream.requests[0].target == "/faq"
        assert upstream.requests[0].json["query"] == asked


async def test_a_relay_takes_no_upstream_from_a_request() -> None:
    async with tutorial() as client:
        path = "/stream_faq_data_to_frontend_test"
        for more in ({"url": "http://127.0.0.1:9"}, {"upstream": "llm"}):
            response = await client.post(path, json={"query": "x", **more})
            assert response.status == 400


async def test_a_relay_without_a_configured_upstream_asks_the_default_one() -> None:
    async with (
        Scripted() as upstream,
        tutorial(Values(llm=None, faq=None), url=upstream.url) as client,
    ):
        upstream.answers(Answer(*openai_sse("A")), Answer(*openai_sse("B")))
        for path in ("/stream_data_to_frontend_test", "/stream_faq_data_to_frontend_test"):
            assert (await Objects(await client.get(path)).all())[-1] == object_of("", state=1)


async def test_a_relay_passes_each_delta_on_before_the_next_comes() -> None:
    gate = Gate()
    first, second, *rest = openai_sse("one", "two")
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(Answer(first, second, gate, *rest))
        objects = Objects(await client.get("/stream_data_to_frontend_test"))
        assert await objects.until(1) == [object_of("one")]
        gate.open()
        assert (await objects.all())[1:] == [object_of("two"), object_of("", state=1)]


async def test_a_relay_beats_while_the_upstream_is_silent() -> None:
    gate = Gate()
    first, second, *rest = openai_sse("one")
    async with (
        Scripted() as upstream,
        tutorial(url=upstream.url, beat_seconds=0.02) as client,
    ):
        upstream.answers(Answer(first, second, gate, *rest))
        objects = Objects(await client.get("/stream_data_to_frontend_test"))
        await objects.until(1)
        before = objects.reads
        while objects.reads < before + 3:
            objects._take(await objects._response.content.readany())
        gate.open()
        assert await objects.all() == [object_of("one"), object_of("", state=1)]


@pytest.mark.parametrize(
    "ending",
    [(Ending.CLOSE,), (Ending.RESET,), (b"data: {nonsense\n\n",), ()],
    ids=["close", "reset", "malformed", "clean"],
)
async def test_a_relay_whose_upstream_fails_says_so_and_breaks_off(ending: tuple[Any, ...]) -> None:
    first, second, *_ = openai_sse("half")
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(Answer(first, second, *ending))
        objects = Objects(await client.get("/stream_data_to_frontend_test"))
        with pytest.raises(ClientPayloadError):
            await objects.all()
        first_object, last = objects.found
        assert first_object == object_of("half")
        assert last == object_of("", state=-1, message=last["message"])
        assert last["message"]


async def test_a_relay_whose_upstream_refuses_answers_with_an_error() -> None:
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(refusal(429, "slow down"))
        response = await client.get("/stream_data_to_frontend_test")
        assert response.status == 429
        assert (await response.json())["error"]["code"] == "upstream_rate_limited"


async def test_a_relay_whose_upstream_is_not_there_answers_with_an_error() -> None:
    async with tutorial() as client:
        response = await client.get("/stream_data_to_frontend_test")
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "upstream_refused"


@pytest.mark.parametrize("said", [(), openai_sse("half", reason=None, done=False)])
async def test_a_client_that_leaves_a_relay_ends_the_reading_of_the_upstream(
    said: tuple[bytes, ...],
) -> None:
    """Before the first object as well as after it."""
    gate = Gate()
    async with Scripted() as upstream, tutorial(url=upstream.url) as client:
        upstream.answers(Answer(*said, gate, Ending.HANG))
        asking = asyncio.ensure_future(client.get("/stream_data_to_frontend_test"))
        await gate.reached()
        gate.open()
        if said:
            response = await asking
            await Objects(response).until(1)
            response.close()
        asking.cancel()
        await (await upstream.request()).left()


# -- /stream -----------------------------------------------------------------------------


async def test_stream() -> None:
    async with tutorial() as client:
        response = await client.get("/stream")
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        lines = (await response.text()).splitlines()
        assert lines == [f"line {n} of 5" for n in range(1, 6)]


async def test_stream_arrives_line_by_line() -> None:
    async with tutorial(Values(pace=1.0)) as client:
        response = await client.get("/stream")
        assert await response.content.readline() == b"line 1 of 5\n"
        response.close()


# -- /sse --------------------------------------------------------------------------------


async def test_sse() -> None:
    async with tutorial() as client:
        response = await client.get("/sse", headers={"Accept": "text/event-stream"})
        assert response.content_type == "text/event-stream"
        body = await response.read()
        assert [line for line in body.split(b"\n") if line.startswith(b"id: ")] == [
            b"id: %d" % n for n in range(1, 6)
        ]
        chunks = [*SSE().feed(body)]
        assert [chunk.data for chunk in chunks] == [b"event %d of 5" % n for n in range(1, 6)]
        assert {chunk.event for chunk in chunks} == {"message"}


async def test_sse_arrives_event_by_event() -> None:
    async with tutorial(Values(pace=1.0)) as client:
        response = await client.get("/sse")
        assert b"event 1 of 5\n\n" in await response.content.readuntil(b"\n\n")
        response.close()


async def test_sse_goes_on_after_the_last_event_and_then_lets_the_client_rest() -> None:
    """An ``EventSource`` comes back after every end; only a 204 stops it."""
    async with tutorial() as client:
        response = await client.get("/sse", headers={"Last-Event-ID": "3"})
        chunks = [*SSE().feed(await response.read())]
        assert [chunk.data for chunk in chunks] == [b"event 4 of 5", b"event 5 of 5"]
        response = await client.get("/sse", headers={"Last-Event-ID": "5"})
        assert response.status == 204
        for foreign in ("6", "-1", "x", "³"):
            response = await client.get("/sse", headers={"Last-Event-ID": foreign})
            assert len([*SSE().feed(await response.read())]) == 5


# -- /stream-file ------------------------------------------------------------------------


async def test_stream_file() -> None:
    async with tutorial() as client:
        response = await client.get("/stream-file")
        assert response.status == 200
        assert response.headers["Accept-Ranges"] == "bytes"
        body = await response.read()
        assert len(body) == 8 * 1024 * 1024
        assert int(response.headers["Content-Length"]) == len(body)
        head = await client.head("/stream-file")
        assert int(head.headers["Content-Length"]) == len(body)


@pytest.mark.parametrize(
    ("asked", "status", "answer", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
    ],
)
async def test_stream_file_in_ranges(
    tmp_path: Path, asked: str, status: int, answer: bytes | None, content_range: str
) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"0123456789")
    async with tutorial(Values(file=str(path))) as client:
        response = await client.get("/stream-file", headers={"Range": asked})
        assert response.status == status
        assert response.headers["Content-Range"] == content_range
        if answer is not None:
            assert await response.read() == answer


async def test_stream_file_sends_a_range_only_of_the_file_that_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"0123456789")
    async with tutorial(Values(file=str(path))) as client:
        modified = (await client.head("/stream-file")).headers["Last-Modified"]
        same = {"Range": "bytes=0-1", "If-Range": modified}
        response = await client.get("/stream-file", headers=same)
        assert (response.status, await response.read()) == (206, b"01")
        other = {"Range": "bytes=0-1", "If-Range": "Thu, 01 Jan 1970 00:00:00 GMT"}
        response = await client.get("/stream-file", headers=other)
        assert (response.status, await response.read()) == (200, b"0123456789")


async def test_stream_file_that_is_not_there(tmp_path: Path) -> None:
    async with tutorial(Values(file=str(tmp_path / "gone"))) as client:
        response = await client.get("/stream-file")
        assert response.status == 404
        body = await response.json()
        assert body["error"]["code"] == "not_found"
        assert str(tmp_path) not in body["error"]["message"]


async def test_stream_file_is_made_once_and_gone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with tutorial() as client:
        assert os.listdir(tmp_path) == []
        answers = await asyncio.gather(*(client.head("/stream-file") for _ in range(3)))
        assert [response.status for response in answers] == [200] * 3
        assert len(os.listdir(tmp_path)) == 1
    assert os.listdir(tmp_path) == []


async def test_stream_file_outlives_the_client_that_first_asked_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with tutorial() as client:
        asking = asyncio.ensure_future(client.get("/stream-file"))
        await asyncio.sleep(0.01)
        asking.cancel()
        assert (await client.head("/stream-file")).status == 200
    assert os.listdir(tmp_path) == []


async def test_stream_file_that_cannot_be_made_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    async with tutorial() as client:
        response = await client.get("/stream-file")
        assert response.status == 404
        assert "[tutorial]" in (await response.json())["error"]["message"]
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert (await client.get("/stream-file")).status == 200


# -- all of them -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/stream", "/sse", "/stream_json_data", "/stream_data_to_frontend_test"]
)
async def test_looking_at_the_head_of_a_stream_starts_none(path: str) -> None:
    async with tutorial() as client:
        assert (await client.head(path)).status == 405
