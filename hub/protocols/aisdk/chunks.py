"""A generation in the chunks of the AI SDK's UI message stream, version 1.

::

    Started       start {messageId}, start-step
    Delta         text-start, text-delta …, text-end         one part of text
                  reasoning-start, reasoning-delta …         one part of reasoning
                  tool-input-start, tool-input-delta …       a call, as soon as it has a name
    Finished      tool-input-available for each call, finish-step, finish
    Cancelled     abort
    Failed, Interrupted     error

What the model must see again (`hub.domain.provider_fields`) stands in the ``providerMetadata`` of
the reasoning or the call that it belongs to, and comes back with the message.

A tool that the provider has run is a call that is ``providerExecuted``, with its output.
What is cited is a source (``source-url``, ``source-document``) of the message, told once.

A part ends where another begins. ``messageId`` is the generation's id, or that of the message
which the reply goes on with (after the results of tools). It is the same whenever the
generation is told, so a client that resumes begins its message anew and doubles nothing.

Because it begins the message anew, it must then be told the whole of it, also what earlier
generations gave: `UIChunks` for a ``message`` tells those too, each as a step, and the results
of tools between them (``tool-output-available``, ``tool-output-error``).

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
from hub.domain.executed_tools import arguments_of
from hub.domain.json_values import as_object
from hub.domain.media import MEDIA, data_url
from hub.domain.provider_fields import DETAILS, EXECUTED
from hub.domain.records import Record
from hub.domain.tool_calls import Call, Calls
from hub.protocols.conversation.messages import PROVIDER

__all__ = ["UIChunks", "ui_usage"]

Chunk = dict[str, Any]

_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool": "tool-calls",
    "filter": "content-filter",
}

INTERRUPTED: Final = "the hub went away before the end of this answer: ask again"


class UIChunks:
    """What has been told of one generation, and what its next record adds to that."""

    __slots__ = (
        "_begun", "_calls", "_last", "_message", "_now", "_open", "_parts", "_sources", "over",
    )  # fmt: skip

    def __init__(self, generation: str, message: str | None = None) -> None:
        self._last = generation
        self._message = message
        self._now: str | None = None
        """The generation that is being told."""
        self._begun = False
        self._open: str | None = None
        """The kind of the part that goes on: text or reasoning."""
        self._parts = 0
        self._sources: Mapping[str, int] = NOTHING
        """What was cited, by its name; the same for all copies until there is more."""
        self._calls = Calls(generation)
        self.over = False
        """Its end has been told."""

    def copy(self) -> Self:
        """Another that has told the same."""
        made = type(self)(self._last, self._message)
        made._now, made._begun, made.over = self._now, self._begun, self.over
        made._sources = self._sources
        made._open, made._parts, made._calls = self._open, self._parts, self._calls.copy()
        return made

    def told(self, record: Record) -> list[Chunk]:
        """The chunks of a record; none if it is not part of this."""
        event = record.event
        if self.over or event is None:
            return []
        if isinstance(event, Started):
            return self._started(event)
        if isinstance(event, Message):
            return self._result(event)
        if self._now is None or getattr(event, "generation", None) != self._now:
            return []
        return self._told(event) if self._now == self._last else self._earlier(event)

    def _started(self, event: Started) -> list[Chunk]:
        name = event.extra.get("message", event.generation)
        if event.generation != self._last and (
            self._message is None or self._message not in (name, event.generation)
        ):
            return []
        self._now, self._calls = event.generation, Calls(event.generation)
        begins: list[Chunk] = [] if self._begun else [{"type": "start", "messageId": name}]
        self._begun = True
        return [*begins, {"type": "start-step"}]

    def _result(self, event: Message) -> list[Chunk]:
        """What a tool gave, if its call has been told."""
        call = event.extra.get("tool_call_id")
        if call not in [told.id for told in self._calls.told()] or self._now == self._last:
            return []
        if event.extra.get("failed"):
            return [{"type": "tool-output-error", "toolCallId": call, "errorText": event.text}]
        output = orjson.loads(event.text) if event.extra.get("json") else event.text
        return [{"type": "tool-output-available", "toolCallId": call, "output": output}]

    def _earlier(self, event: Event) -> list[Chunk]:
        """A step of the message that was told before this generation began."""
        if isinstance(event, Delta):
            return self._told(event)
        if isinstance(event, Finished):
            inputs = map(_input, self._calls.told())
            return [*self._ended(), *inputs, {"type": "finish-step"}]
        return []

    def _told(self, event: Event) -> list[Chunk]:
        match event:
            case Delta():
                return [
                    *self._said("reasoning", event.reasoning),
                    *self._said("text", event.text),
                    *self._called(event.tool),
                    *(self._beside(event.extra) if event.extra else ()),
                ]
            case Finished():
                self.over = True
                return [
                    *self._ended(),
                    *map(_input, self._calls.told()),
                    {"type": "finish-step"},
                    {
                        "type": "finish",
                        "finishReason": _FINISH[event.reason],
                        "messageMetadata": _metadata(event),
                    },
                ]
            case Cancelled():
                self.over = True
                return [*self._ended(), {"type": "abort", "reason": "stopped"}]
            case Failed():
                return self._failed(event.message or event.code)
            case Interrupted():
                return self._failed(INTERRUPTED)
        return []

    def _failed(self, text: str) -> list[Chunk]:
        self.over = True
        return [{"type": "error", "errorText": text}]

    # Text and reasoning

    def _said(self, kind: str, text: str) -> list[Chunk]:
        if not text:
            return []
        begun: list[Chunk] = []
        if self._open != kind:
            begun = [*self._ended(), {"type": f"{kind}-start", "id": str(self._parts)}]
            self._open = kind
        return [*begun, {"type": f"{kind}-delta", "id": str(self._parts), "delta": text}]

    def _beside(self, extra: Mapping[str, Any]) -> list[Chunk]:
        """What the model must see again: it goes with the reasoning, which may have no text."""
        found: list[Chunk] = [
            chunk for held in extra.get(ANNOTATIONS) or () for chunk in self._source(held)
        ]
        for held in extra.get(MEDIA) or ():
            found += _media(held)
        for held in extra.get(EXECUTED) or ():
            found += [*self._ended(), *_executed(held, self._now or "")]
        if held := extra.get(DETAILS):
            if self._open != "reasoning":
                found += [*self._ended(), {"type": "reasoning-start", "id": str(self._parts)}]
                self._open = "reasoning"
            found += self._ended({DETAILS: held})
        return found

    def _source(self, held: Mapping[str, Any]) -> list[Chunk]:
        """What is cited, once: here a source belongs to the message, not to words of it."""
        about = as_object(held.get(str(held.get("type"))))
        url, title = about.get("url"), about.get("title") or about.get("filename")
        name = str(url or title or about.get("file_id") or "")
        if not name or name in self._sources:
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

    def _ended(self, beside: Mapping[str, Any] = NOTHING) -> list[Chunk]:
        """The end of the part that goes on, if there is one."""
        if self._open is None:
            return []
        ended: Chunk = {"type": f"{self._open}-end", "id": str(self._parts), **_provider(beside)}
        self._open = None
        self._parts += 1
        return [ended]

    # Tool calls

    def _called(self, piece: ToolCall | None) -> list[Chunk]:
        new = None if piece is None else self._calls.add(piece)
        if new is None:
            return []
        chunks = self._ended()
        call = {"toolCallId": new.call.id}
        if new.begins:
            chunks.append({"type": "tool-input-start", **call, "toolName": new.call.name})
        if new.text:
            chunks.append({"type": "tool-input-delta", **call, "inputTextDelta": new.text})
        return chunks


def _input(call: Call) -> Chunk:
    named = {"toolCallId": call.id, "toolName": call.name}
    beside = _provider(call.beside)
    try:
        return {"type": "tool-input-available", **named, "input": call.input(), **beside}
    except ValueError:
        error = "the model wrote arguments that are not JSON"
        return {
            "type": "tool-input-error",
            **named,
            "input": call.arguments,
            "errorText": error,
            **beside,
        }


def _media(held: Mapping[str, Any]) -> list[Chunk]:
    """A file, or for what comes in pieces and as previews, data that is not kept."""
    if held.get("piece") or held.get("preview"):
        return [{"type": "data-media", "data": dict(held), "transient": True}]
    return [{"type": "file", "url": data_url(held), "mediaType": str(held.get("media_type"))}]


def _executed(held: Mapping[str, Any], generation: str) -> list[Chunk]:
    """A tool that the provider has run; what is not shown of it goes back as metadata."""
    made_up = f"run_{generation.removeprefix('gen_')[:24]}{held.get('index')}"
    call: Chunk = {"toolCallId": str(held.get("id") or made_up)}
    named = {"toolName": str(held.get("name")), "providerExecuted": True, "dynamic": True}
    beside = {name: value for name, value in held.items() if name not in ("arguments", "output")}
    asked: Chunk = {"type": "tool-input-available", **call, **named, "input": arguments_of(held)}
    chunks = [{**asked, **_provider({EXECUTED: [beside]})}]
    ran: Chunk = {**call, "providerExecuted": True, "dynamic": True}
    if held.get("error"):
        text = orjson.dumps(held.get("output")).decode()
        return [*chunks, {"type": "tool-output-error", **ran, "errorText": text}]
    return [*chunks, {"type": "tool-output-available", **ran, "output": held.get("output")}]


def _provider(held: Mapping[str, Any]) -> dict[str, Any]:
    """What clients keep with a part and give back with it, in the hub's own corner."""
    return {"providerMetadata": {PROVIDER: dict(held)}} if held else {}


def _metadata(event: Finished) -> dict[str, Any]:
    return {} if event.usage is None else {"usage": ui_usage(event.usage)}


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
