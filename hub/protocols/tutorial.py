"""The tutorial routes: every way of streaming over HTTP, each in a few lines of pipeline.

=====================================  =====================================================
route                                  answers
=====================================  =====================================================
``/ret_json_data``                     a JSON hello, all at once
``/stream_json_data``                  a text, one character in one JSON object
``/stream_data_to_frontend``           the same bytes, cut back into objects, each with one
                                       field more
``/stream_data_to_frontend_test``      the reply of the upstream ``llm`` to ``messages``
``/stream_faq_data_to_frontend_test``  the reply of the upstream ``faq`` to ``query``
``/stream``                            five lines of text, one a second
``/stream-file``                       a large file, whole or in ranges (RFC 9110 section 14)
``/sse``                               five server-sent events, one a second
=====================================  =====================================================

The objects are ``{"state","data","text","message"}``: state 0 brings text, 1 ends a reply,
-1 says in ``message`` why it was broken off; after that the connection closes in mid-body.
What fails before the first object is answered with an ordinary error.

The two relays are **tied to their request**: a client that leaves ends the reading of the
upstream. No generation is started for them, so nobody else can follow one and nobody could
ever stop it; for replies that outlive a tab there is ``/v1/generations``. An upstream may be
paid, so no page of another origin may have it asked, by an image or otherwise.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Protocol, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain import defaults
from hub.domain.errors import HubError, NotFound, UpstreamError
from hub.domain.events import Delta, Event, Failed, Finished
from hub.domain.failures import raised
from hub.domain.prompt import Prompt
from hub.framing import Chunk, ConcatenatedJSON
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json
from hub.http.file_ranges import RangedFile
from hub.http.origins import Origins
from hub.http.response_formats import JSONObjects, ServerEvent, ServerEvents, TextLines
from hub.http.streaming import attachment
from hub.hub import Hub
from hub.pipeline.pipeline import Pipeline
from hub.upstreams.upstream import Upstream

__all__ = ["Given", "MessagesAsked", "QueryAsked", "Tutorial", "relayed"]

SENTENCE: Final = (
    "大模型通常指的是那些规模庞大、参数数量极多的人工智能模型，它们在训练时使用了海量的数据，"
    "能够处理复杂的任务并展现出强大的语言理解和生成能力。"
)
QUESTION: Final = "什么是大模型？"
QUERY: Final = "测试"
TIMES: Final = 5
"""Lines of ``/stream`` and events of ``/sse``."""

SAMPLE_NAME: Final = "large.txt"
SAMPLE_LINES: Final = 131_072
"""Lines of 64 bytes in the file that is made where none is configured: 8 MiB."""

T = TypeVar("T")

Object = Mapping[str, Any]


class Given(Protocol):
    """What the configuration says about these routes."""

    @property
    def llm(self) -> str | None:
        """The upstream asked by ``messages``; ``None`` for the default one."""

    @property
    def faq(self) -> str | None:
        """The upstream asked by ``query``; ``None`` for the default one."""

    @property
    def file(self) -> str | None:
        """The large file; ``None`` for one that is made when it is first asked for."""

    @property
    def pace(self) -> float:
        """Seconds for each character; lines and events take ten times as long."""


class MessagesAsked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]


class QueryAsked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Annotated[str, Field(min_length=1)]


class Tutorial:
    """The tutorial routes of one hub; `sample_file` is for the application's ``cleanup_ctx``.

    Relays that have nothing to say beat every ``beat_seconds``, at first after ``grace_seconds``.
    """

    def __init__(
        self,
        hub: Hub,
        given: Given,
        origins: Origins,
        *,
        beat_seconds: float = defaults.BEAT,
        grace_seconds: float = defaults.GRACE,
        patience: float = defaults.SLOW_CLIENT,
    ) -> None:
        self._hub = hub
        self._patience = patience
        self._given = given
        self._origins = origins
        self._beat_seconds = beat_seconds
        self._grace_seconds = grace_seconds
        self._making: asyncio.Task[TemporaryDirectory[str]] | None = None

    def routes(self) -> list[web.RouteDef]:
        """The routes, for an application's router."""
        both = {
            "/ret_json_data": self._hello,
            "/stream_json_data": self._characters,
            "/stream_data_to_frontend": self._characters_relayed,
            "/stream_data_to_frontend_test": self._ask_llm,
            "/stream_faq_data_to_frontend_test": self._ask_faq,
        }
        once = {"/stream": self._lines, "/sse": self._events, "/stream-file": self._large_file}
        return [
            *(web.get(path, handler, allow_head=False) for path, handler in (both | once).items()),
            *(web.post(path, handler) for path, handler in both.items()),
            web.head("/stream-file", self._large_file),
        ]

    async def sample_file(self, _: web.Application) -> AsyncIterator[None]:
        """Remove the large file, if one was made, when the application ends."""
        yield
        if self._making is not None:
            folder = await self._making
            self._making = None
            await asyncio.to_thread(folder.cleanup)

    async def _hello(self, _: web.Request) -> web.Response:
        return web.json_response({"hello": "hello aiohttp"}, headers={"Cache-Control": "no-store"})

    async def _characters(self, request: web.Request) -> web.StreamResponse:
        return await self._sentence().respond(request, JSONObjects(_failure))

    async def _characters_relayed(self, request: web.Request) -> web.StreamResponse:
        served = self._sentence().map(JSONObjects().encode)
        return await relayed(served).respond(request, JSONObjects(_failure))

    async def _ask_llm(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            messages = (await read_json(request, MessagesAsked)).messages
        else:
            messages = ({"role": "user", "content": QUESTION},)
        return await self._ask(request, self._given.llm, Prompt(messages))

    async def _ask_faq(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            query = (await read_json(request, QueryAsked)).query
        else:
            query = request.query.get("query") or QUERY
        prompt = Prompt(({"role": "user", "content": query},))
        return await self._ask(request, self._given.faq, prompt)

    async def _ask(
        self, request: web.Request, name: str | None, prompt: Prompt
    ) -> web.StreamResponse:
        # A GET like others, but an answer may have its price.
        self._origins.check(request)
        upstream = self._hub.generations.upstream(name, by=request[PRINCIPAL])
        reply = self._hub.pipeline(lambda: self._reply(upstream, prompt))
        shown = reply.flat_map(_shown)
        objects = shown.beat(self._beat_seconds, None, first=self._grace_seconds)
        return await objects.respond(request, JSONObjects(_failure))

    async def _reply(self, upstream: Upstream, prompt: Prompt) -> AsyncGenerator[Event, None]:
        dialect = upstream.dialect()
        async with upstream.open(dialect, prompt) as body:
            read = self._hub.pipeline(body).timeout(upstream.stall_timeout)
            chunks = read.frames(dialect.framing(upstream.chunk_limit))
            async with chunks.timeout(upstream.content_timeout).events(dialect) as events:
                async for event in events:
                    yield upstream.discreet(event) if isinstance(event, Failed) else event

    async def _lines(self, request: web.Request) -> web.StreamResponse:
        lines = self._hub.pipeline(lambda: _numbers(1)).map(_line)
        return await self._paced(lines, 10).respond(request, TextLines())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        last = request.headers.get("Last-Event-ID", "")
        first = int(last) + 1 if last in {str(n) for n in range(1, TIMES + 1)} else 1
        if first > TIMES:
            # An EventSource comes back after every end, except after this answer
            # (WHATWG HTML section 9.2.3).
            return web.Response(status=204)
        events = self._hub.pipeline(lambda: _numbers(first)).map(_server_event)
        return await self._paced(events, 10).respond(request, ServerEvents())

    async def _large_file(self, _: web.Request) -> web.StreamResponse:
        file = Path(self._given.file) if self._given.file is not None else await self._sample()
        found = await asyncio.to_thread(_found, file)
        if found is None:
            raise NotFound("the large file is not there: check `file` in [tutorial]")
        headers = {
            "Content-Disposition": attachment(file.name),
            "X-Content-Type-Options": "nosniff",
        }
        if self._given.file is None:
            # To be saved, not shown: what the machine takes ".txt" for does not matter.
            headers["Content-Type"] = "application/octet-stream"
        return RangedFile(file, found, headers, patience=self._patience)

    async def _sample(self) -> Path:
        # A task of its own, so that a client that leaves does not stop it half-way.
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_make_sample))
        try:
            folder = await asyncio.shield(self._making)
        except OSError:
            self._making = None
            raise NotFound("no large file can be made: name one, `file` in [tutorial]") from None
        return Path(folder.name) / SAMPLE_NAME

    def _sentence(self) -> Pipeline[Object]:
        characters = self._hub.pipeline(lambda: _each(SENTENCE)).map(_text_object)
        return self._paced(characters, 1)

    def _paced(self, items: Pipeline[T], times: float) -> Pipeline[T]:
        pace = self._given.pace * times
        return items.throttle(1 / pace) if pace > 0 else items


def relayed(body: Pipeline[bytes]) -> Pipeline[Object]:
    """The JSON objects in bytes that are cut anywhere, each with one field more."""
    return body.frames(ConcatenatedJSON()).map(_parsed).map(_with_field)


def _with_field(held: Object) -> Object:
    return {**held, "tt": "ttttt"}


def _parsed(chunk: Chunk) -> Object:
    held = orjson.loads(chunk.data)
    if not isinstance(held, dict):
        raise UpstreamError(
            "the upstream sent a JSON value that is no object", code="upstream_malformed"
        )
    return held


def _object(state: int, text: str = "", message: str = "") -> Object:
    return {"state": state, "data": [], "text": text, "message": message}


def _text_object(text: str) -> Object:
    return _object(0, text)


def _failure(error: HubError) -> Object:
    return _object(-1, message=error.message)


def _shown(event: Event) -> Iterable[Object]:
    """What a client of a relay sees of an event.

    Raises:
        UpstreamError: the reply failed.
    """
    if isinstance(event, Failed):
        raise raised(event)
    if isinstance(event, Finished):
        return (_object(1),)
    if isinstance(event, Delta) and event.text:
        return (_text_object(event.text),)
    return ()


def _server_event(number: int) -> ServerEvent:
    return ServerEvent(f"event {number} of {TIMES}", "message", str(number))


def _line(number: int) -> str:
    return f"line {number} of {TIMES}"


async def _each(text: str) -> AsyncGenerator[str, None]:
    for character in text:
        yield character


async def _numbers(first: int) -> AsyncGenerator[int, None]:
    for number in range(first, TIMES + 1):
        yield number


def _found(file: Path) -> os.stat_result | None:
    return file.stat() if file.is_file() else None


def _make_sample() -> TemporaryDirectory[str]:
    folder = TemporaryDirectory(prefix="streamhub-")
    lines = (b"%015d %s\n" % (n, b"-" * 47) for n in range(SAMPLE_LINES))
    try:
        (Path(folder.name) / SAMPLE_NAME).write_bytes(b"".join(lines))
    except OSError:
        folder.cleanup()
        raise
    return folder
