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

The objects are ``{"state","data","text","message"}``: state 0 has text, 1 ends a reply, -1 says
in ``message`` why it failed, after which the connection is cut in mid-body. A failure before the
first object is answered with an ordinary error.

The two relays are **tied to their request**: when the client leaves, the upstream is read no
further. They start no generation that others could follow or would have to stop; for replies that
outlive a tab there is ``/v1/generations``. Upstreams may cost money, so pages of other origins
must not call them, not even with an image; relays count as generations, in every limit, and end
with the credential of their request.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final, Protocol, TypeVar

import orjson
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from hub.domain import defaults
from hub.domain.errors import HubError, NotFound, UpstreamError
from hub.domain.events import Delta, Event, Failed, Finished
from hub.domain.failures import raised, too_long
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import Principal
from hub.domain.prompt import Prompt
from hub.framing import Chunk, ConcatenatedJSON
from hub.http.admission import PRINCIPAL
from hub.http.bodies import read_json, release
from hub.http.file_ranges import RangedFile
from hub.http.json_models import fail_fast
from hub.http.origins import Origins
from hub.http.response_formats import JSONObjects, ServerEvent, ServerEvents, TextLines
from hub.http.streaming import attachment
from hub.hub import Hub
from hub.pipeline.pipeline import Pipeline
from hub.protocols.standing import stay_open
from hub.upstreams.upstream import Upstream

__all__ = ["MessagesAsked", "QueryAsked", "Settings", "Tutorial", "relayed"]

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
"""Lines of 64 bytes in the file that is created if none is configured: 8 MiB."""

T = TypeVar("T")

Object = Mapping[str, Any]


class Settings(Protocol):
    """The configuration of these routes."""

    @property
    def llm(self) -> str | None:
        """The upstream for ``messages``; ``None`` for the default one."""

    @property
    def faq(self) -> str | None:
        """The upstream for ``query``; ``None`` for the default one."""

    @property
    def file(self) -> str | None:
        """The large file; ``None`` for one that is created on the first request."""

    @property
    def pace(self) -> float:
        """Seconds per character; lines and events take ten times as long."""


class MessagesAsked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: Annotated[tuple[dict[str, Any], ...], fail_fast, Field(min_length=1)]


class QueryAsked(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Annotated[str, Field(min_length=1)]


class Tutorial:
    """The tutorial routes of one hub; `sample_file` is for the application's ``cleanup_ctx``.

    Relays without anything to send beat every ``beat_seconds``, first after ``grace_seconds``.
    """

    def __init__(
        self,
        hub: Hub,
        settings: Settings,
        origins: Origins,
        *,
        beat_seconds: float = defaults.BEAT,
        grace_seconds: float = defaults.GRACE,
        patience: float = defaults.SLOW_CLIENT,
    ) -> None:
        self._hub = hub
        self._patience = patience
        self._settings = settings
        self._origins = origins
        self._beat_seconds = beat_seconds
        self._grace_seconds = grace_seconds
        self._making: asyncio.Task[TemporaryDirectory[str]] | None = None

    def routes(self) -> list[web.RouteDef]:
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
        """Remove the large file, if one was created, when the application ends."""
        yield
        if self._making is not None:
            folder = await self._making
            self._making = None
            await asyncio.to_thread(folder.cleanup)

    async def _hello(self, _: web.Request) -> web.Response:
        return web.json_response({"hello": "hello aiohttp"}, headers={"Cache-Control": "no-store"})

    async def _characters(self, request: web.Request) -> web.StreamResponse:
        stay_open(self._hub, request)
        return await self._sentence().respond(request, JSONObjects(_failure))

    async def _characters_relayed(self, request: web.Request) -> web.StreamResponse:
        stay_open(self._hub, request)
        served = self._sentence().map(JSONObjects().encode)
        return await relayed(served).respond(request, JSONObjects(_failure))

    async def _ask_llm(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            messages = (await read_json(request, MessagesAsked)).messages
        else:
            messages = ({"role": "user", "content": QUESTION},)
        return await self._relay(request, self._settings.llm, messages)

    async def _ask_faq(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            query = (await read_json(request, QueryAsked)).query
        else:
            query = request.query.get("query") or QUERY
        messages = ({"role": "user", "content": query},)
        return await self._relay(request, self._settings.faq, messages)

    async def _relay(
        self, request: web.Request, name: str | None, messages: tuple[Mapping[str, Any], ...]
    ) -> web.StreamResponse:
        # It may be a GET, but it may cost money.
        self._origins.check(request)
        stay_open(self._hub, request)
        by = request[PRINCIPAL]
        asked = GenerationRequest(messages=messages, upstream=name)
        async with self._hub.generations.relaying(asked, by=by) as upstream:
            release(request)
            reply = self._hub.pipeline(lambda: self._reply(upstream, Prompt(messages)))
            look = min(self._hub.limits.look_seconds, self._beat_seconds)
            looked = reply.flat_map(_objects).beat(look, None, first=min(look, self._grace_seconds))
            watched = looked.flat_map(self._watched(by))
            return await watched.respond(request, JSONObjects(_failure))

    def _watched(self, by: Principal) -> Callable[[Object | None], Iterable[Object | None]]:
        """A step that ends a relay in time, and lets a `None` pass only if a beat is due."""
        loop = asyncio.get_running_loop()
        longest = self._hub.limits.runs.seconds
        ends = loop.time() + longest
        due = loop.time() + self._grace_seconds

        def watch(item: Object | None) -> Iterable[Object | None]:
            nonlocal due
            now = loop.time()
            self._hub.check_current(by)
            if now >= ends:
                raise raised(too_long(longest))
            if item is None and now < due:
                return ()
            due = now + self._beat_seconds
            return (item,)

        return watch

    async def _reply(self, upstream: Upstream, prompt: Prompt) -> AsyncGenerator[Event, None]:
        dialect = upstream.dialect()
        async with upstream.open(dialect, prompt) as body:
            read = self._hub.pipeline(body).timeout(upstream.stall_timeout)
            chunks = read.frames(dialect.framing(upstream.chunk_limit))
            async with chunks.timeout(upstream.content_timeout).events(dialect) as events:
                async for event in events:
                    yield upstream.discreet(event) if isinstance(event, Failed) else event

    async def _lines(self, request: web.Request) -> web.StreamResponse:
        stay_open(self._hub, request)
        lines = self._hub.pipeline(lambda: _each(range(1, TIMES + 1))).map(
            lambda n: f"line {n} of {TIMES}"
        )
        return await self._paced(lines, 10).respond(request, TextLines())

    async def _events(self, request: web.Request) -> web.StreamResponse:
        stay_open(self._hub, request)
        last = request.headers.get("Last-Event-ID", "")
        first = int(last) + 1 if last in {str(n) for n in range(1, TIMES + 1)} else 1
        if first > TIMES:
            # After any other response an EventSource reconnects (WHATWG HTML section 9.2.3).
            return web.Response(status=204)
        events = self._hub.pipeline(lambda: _each(range(first, TIMES + 1))).map(_server_event)
        return await self._paced(events, 10).respond(request, ServerEvents())

    async def _large_file(self, _: web.Request) -> web.StreamResponse:
        name = self._settings.file
        file = Path(name) if name is not None else await self._sample()
        status = await asyncio.to_thread(_file_status, file)
        if status is None:
            raise NotFound("the large file does not exist: check `file` in [tutorial]")
        headers = {
            "Content-Disposition": attachment(file.name),
            "X-Content-Type-Options": "nosniff",
        }
        if name is None:
            # It is to be saved, so the type that this machine has for ".txt" does not matter.
            headers["Content-Type"] = "application/octet-stream"
        return RangedFile(file, status, headers, patience=self._patience)

    async def _sample(self) -> Path:
        # A task of its own, so that a client that leaves does not interrupt it.
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(_make_sample))
        try:
            folder = await asyncio.shield(self._making)
        except OSError:
            self._making = None
            raise NotFound("the large file cannot be created: set `file` in [tutorial]") from None
        return Path(folder.name) / SAMPLE_NAME

    def _sentence(self) -> Pipeline[Object]:
        characters = self._hub.pipeline(lambda: _each(SENTENCE)).map(_text_object)
        return self._paced(characters, 1)

    def _paced(self, items: Pipeline[T], times: float) -> Pipeline[T]:
        pace = self._settings.pace * times
        return items.throttle(1 / pace) if pace > 0 else items


def relayed(body: Pipeline[bytes]) -> Pipeline[Object]:
    """The JSON objects in bytes that are cut anywhere, each with one more field."""
    return body.frames(ConcatenatedJSON()).map(_with_field)


def _with_field(chunk: Chunk) -> Object:
    value = orjson.loads(chunk.data)
    if not isinstance(value, dict):
        raise UpstreamError(
            "the upstream sent a JSON value that is not an object", code="upstream_malformed"
        )
    return {**value, "tt": "ttttt"}


def _object(state: int, text: str = "", message: str = "") -> Object:
    return {"state": state, "data": [], "text": text, "message": message}


def _text_object(text: str) -> Object:
    return _object(0, text)


def _failure(error: HubError) -> Object:
    return _object(-1, message=error.message)


def _objects(event: Event) -> Iterable[Object]:
    """What a relay sends for an event.

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


async def _each(items: Iterable[T]) -> AsyncGenerator[T, None]:
    for item in items:
        yield item


def _file_status(file: Path) -> os.stat_result | None:
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
