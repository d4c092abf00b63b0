"""A generation as chunks of the AI SDK's UI message stream, version 1.

::

    Started       start {messageId}, start-step
    Delta         text-start, text-delta …, text-end         one part of text
                  reasoning-start, reasoning-delta …         one part of reasoning
                  tool-input-start, tool-input-delta …       a call, as soon as it has a name
    Finished      tool-input-available for each call, finish-step, finish
    Cancelled     abort
    Failed, Interrupted     error

What the model must be shown again (`hub.domain.provider_fields`) is in the ``providerMetadata`` of
the reasoning or the call that it belongs to, and the client sends it back with the message. There
it also says that a call is of a custom tool, whose input is text.

A tool that the provider ran is a ``providerExecuted`` call, with its output. A citation is a
source (``source-url``, ``source-document``) of the message, given once.

A part ends where another begins. ``messageId`` is the id of the generation, or of the message
that the reply continues (after the results of tools). It is the same every time, so a client
that resumes begins its message again and duplicates nothing.

Such a client needs the whole message, including what earlier generations contributed: `UIChunks`
for a ``message`` gives those too, each as a step, with the results of tools between them
(``tool-output-available``, ``tool-output-error``).

(Sources: the AI SDK's ``ui-message-chunks.ts`` and ``process-ui-message-stream.ts``.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import orjson

from hub.domain.annotations import ANNOTATIONS
from hub.domain.events import (
    NOTHING,
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Started,
    ToolCall,
    Usage,
)
from hub.domain.executed_tools import arguments_of, call_id
from hub.domain.json_values import as_object
from hub.domain.media import MEDIA, data_url
from hub.domain.provider_fields import DETAILS, EXECUTED
from hub.domain.records import Record
from hub.domain.tool_calls import Call, Calls
from hub.protocols.conversation.messages import CUSTOM, PROVIDER
from hub.protocols.conversation.view import INTERRUPTED

__all__ = ["UIChunks", "ui_usage"]

Chunk = dict[str, Any]

_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool": "tool-calls",
    "filter": "content-filter",
}

SOURCES: Final = 1000
"""The most sources of a message; what follows is left out."""

STATE_BYTES: Final = 1000
SOURCE_BYTES: Final = 300
"""Memory of a translation besides its calls and sources, and of a source."""


class UIChunks:
    """The translation of one generation, or of the ``message`` that it is the end of."""

    __slots__ = (
        "_begun", "_calls", "_last", "_message", "_now", "_open", "_parts", "_sources", "over",
    )  # fmt: skip

    def __init__(self, generation: str, message: str | None = None) -> None:
        self._last = generation
        self._message = message
        self._now: str | None = None
        """The generation that is being translated."""
        self._begun = False
        self._open: str | None = None
        """The kind of the open part: text or reasoning."""
        self._parts = 0
        self._sources: Mapping[str, int] = NOTHING
        """The number of each source, by its name. Copies share it; it is never changed."""
        self._calls = Calls(generation)
        self.over = False

    def copy(self) -> Self:
        new = type(self)(self._last, self._message)
        new._now, new._begun, new.over = self._now, self._begun, self.over
        new._sources = self._sources
        new._open, new._parts, new._calls = self._open, self._parts, self._calls.copy()
        return new

    @property
    def size(self) -> int:
        return STATE_BYTES + self._calls.size + SOURCE_BYTES * len(self._sources)

    def add(self, record: Record) -> list[Chunk]:
        event = record.event
        if self.over or event is None:
            return []
        if isinstance(event, Started):
            return self._start(event)
        if isinstance(event, Message):
            return self._tool_result(event)
        if self._now is None or getattr(event, "generation", None) != self._now:
            return []
        if isinstance(event, Delta):
            return [
                *self._add_text("reasoning", event.reasoning),
                *self._add_text("text", event.text),
                *self._add_call(event.tool),
                *(self._extra(event.extra) if event.extra else ()),
            ]
        if isinstance(event, Finished):
            return self._finish(event)
        return self._break_off(event) if self._now == self._last else []

    def _start(self, event: Started) -> list[Chunk]:
        name = event.extra.get("message", event.generation)
        if event.generation != self._last and (
            self._message is None or self._message not in (name, event.generation)
        ):
            return []
        self._now, self._calls = event.generation, Calls(event.generation)
        begin: list[Chunk] = [] if self._begun else [{"type": "start", "messageId": name}]
        self._begun = True
        return [*begin, {"type": "start-step"}]

    def _tool_result(self, event: Message) -> list[Chunk]:
        """The result of a tool, if its call is in an earlier step."""
        call = event.extra.get("tool_call_id")
        if call not in [known.id for known in self._calls.told()] or self._now == self._last:
            return []
        if event.extra.get("failed"):
            return [{"type": "tool-output-error", "toolCallId": call, "errorText": event.text}]
        output = orjson.loads(event.text) if event.extra.get("json") else event.text
        return [{"type": "tool-output-available", "toolCallId": call, "output": output}]

    def _finish(self, event: Finished) -> list[Chunk]:
        """The end of a step, and of the message if no generation follows."""
        chunks: list[Chunk] = [
            *self._end_part(),
            *map(_input, self._calls.told()),
            {"type": "finish-step"},
        ]
        if self._now == self._last:
            self.over = True
            usage = {} if event.usage is None else {"usage": ui_usage(event.usage)}
            reason = _FINISH[event.reason]
            chunks.append({"type": "finish", "finishReason": reason, "messageMetadata": usage})
        return chunks

    def _break_off(self, event: Event) -> list[Chunk]:
        match event:
            case Cancelled():
                chunks: list[Chunk] = [*self._end_part(), {"type": "abort", "reason": "stopped"}]
            case Failed():
                chunks = [{"type": "error", "errorText": event.message or event.code}]
            case Interrupted():
                chunks = [{"type": "error", "errorText": INTERRUPTED}]
            case _:
                return []
        self.over = True
        return chunks

    def _add_text(self, kind: str, text: str) -> list[Chunk]:
        if not text:
            return []
        begin = self._begin_part(kind)
        return [*begin, {"type": f"{kind}-delta", "id": str(self._parts), "delta": text}]

    def _extra(self, extra: Mapping[str, Any]) -> list[Chunk]:
        chunks: list[Chunk] = []
        for annotation in extra.get(ANNOTATIONS) or ():
            chunks += self._source(annotation)
        for media in extra.get(MEDIA) or ():
            chunks += _media(media)
        for executed in extra.get(EXECUTED) or ():
            if executed.get("pending"):
                continue  # only a client of OpenAI's Responses can run it
            chunks += [*self._end_part(), *_executed(executed, self._now or "")]
        if details := extra.get(DETAILS):
            # They belong to the reasoning, which may have no text.
            chunks += [*self._begin_part("reasoning"), *self._end_part({DETAILS: details})]
        return chunks

    def _source(self, annotation: Mapping[str, Any]) -> list[Chunk]:
        """A citation, once: here a source belongs to the message and not to words of it."""
        about = as_object(annotation.get(str(annotation.get("type"))))
        url, title = about.get("url"), about.get("title") or about.get("filename")
        name = str(url or title or about.get("file_id") or "")
        if not name or name in self._sources or len(self._sources) == SOURCES:
            return []
        self._sources = {**self._sources, name: len(self._sources)}
        source: Chunk = {
            "sourceId": str(self._sources[name]),
            **({"title": title} if title else {}),
        }
        if url:
            return [{"type": "source-url", **source, "url": url}]
        kind = {"mediaType": "text/plain", "title": name}
        return [{"type": "source-document", **source, **kind, "filename": name}]

    def _begin_part(self, kind: str) -> list[Chunk]:
        """The start of a part, unless one of its kind is open."""
        if self._open == kind:
            return []
        end, self._open = self._end_part(), kind
        return [*end, {"type": f"{kind}-start", "id": str(self._parts)}]

    def _end_part(self, metadata: Mapping[str, Any] = NOTHING) -> list[Chunk]:
        """The end of the open part, if there is one."""
        if self._open is None:
            return []
        end: Chunk = {"type": f"{self._open}-end", "id": str(self._parts), **_provider(metadata)}
        self._open = None
        self._parts += 1
        return [end]

    def _add_call(self, piece: ToolCall | None) -> list[Chunk]:
        new = None if piece is None else self._calls.add(piece)
        if new is None:
            return []
        chunks = self._end_part()
        call = {"toolCallId": new.call.id}
        if new.begins:
            chunks.append({"type": "tool-input-start", **call, "toolName": new.call.name})
        if new.text:
            chunks.append({"type": "tool-input-delta", **call, "inputTextDelta": new.text})
        return chunks


def _input(call: Call) -> Chunk:
    fields = {**call.beside, CUSTOM: True} if call.custom else call.beside
    chunk: Chunk = {"toolCallId": call.id, "toolName": call.name, **_provider(fields)}
    try:
        return {"type": "tool-input-available", **chunk, "input": call.input()}
    except ValueError:
        error = {"errorText": "the arguments that the model wrote are not JSON"}
        return {"type": "tool-input-error", **chunk, "input": call.arguments, **error}


def _media(media: Mapping[str, Any]) -> list[Chunk]:
    """A file; pieces of one and previews are data that clients do not keep."""
    if media.get("piece") or media.get("preview"):
        return [{"type": "data-media", "data": dict(media), "transient": True}]
    return [{"type": "file", "url": data_url(media), "mediaType": str(media.get("media_type"))}]


def _executed(tool: Mapping[str, Any], generation: str) -> list[Chunk]:
    """The call and the result of a tool that the provider ran; other fields are metadata."""
    call: Chunk = {"toolCallId": call_id(tool, generation)}
    call |= {"providerExecuted": True, "dynamic": True}
    fields = {name: value for name, value in tool.items() if name not in ("arguments", "output")}
    begin: Chunk = {"type": "tool-input-available", **call, "toolName": str(tool.get("name"))}
    begin |= {"input": arguments_of(tool), **_provider({EXECUTED: [fields]})}
    if tool.get("error"):
        text = orjson.dumps(tool.get("output")).decode()
        return [begin, {"type": "tool-output-error", **call, "errorText": text}]
    return [begin, {"type": "tool-output-available", **call, "output": tool.get("output")}]


def _provider(fields: Mapping[str, Any]) -> Chunk:
    """Fields that clients keep with a part and send back, under the hub's own name."""
    return {"providerMetadata": {PROVIDER: dict(fields)}} if fields else {}


def ui_usage(usage: Usage) -> dict[str, Any]:
    """Token counts by the AI SDK's names."""
    total = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
    named: dict[str, Any] = {
        "inputTokens": usage.prompt_tokens,
        "outputTokens": usage.completion_tokens,
        "totalTokens": total,
        "reasoningTokens": usage.reasoning_tokens,
        "cachedInputTokens": usage.cached_tokens,
        "details": usage.details,
    }
    return {name: count for name, count in named.items() if count is not None}
