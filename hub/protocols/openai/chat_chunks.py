"""OpenAI's chat completions: a generation's events as chunks, or as one whole answer.

Everything is derived from the events, so that the same records always give the same bytes,
whether they are sent at once or caught up with. Text is ``content``, a refusal ``refusal``,
reasoning ``reasoning_content`` (as DeepSeek named it and other providers' clients read it;
OpenAI itself shows none). What a client is to give back with the message stands there as in the
events (`hub.domain.provider_fields`). A call that came without an id is given one
(`hub.domain.tool_call_ids`). (Source: OpenAI API reference, "Chat".)
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from hub.dialects.reply.token_counts import details_of
from hub.domain.annotations import ANNOTATIONS, LOGPROBS, full
from hub.domain.events import (
    NOTHING,
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    ToolCall,
    Usage,
)
from hub.domain.failures import broken_off
from hub.domain.generation import Generation
from hub.domain.media import MEDIA, data_url, whole_ones
from hub.domain.provider_fields import LISTS, signed
from hub.domain.records import Position, Record
from hub.domain.tool_call_ids import CallIds
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.protocols.openai.errors import error_object

__all__ = ["Chunks", "completion", "message_of", "seconds_since_1970"]

# What a call is, and what its arguments are called: of a function, and of a custom tool.
_SHAPES: Final = (("function", "arguments"), ("custom", "input"))
ABOUT: Final = ("service_tier", "system_fingerprint")
DONE: Final = b"data: [DONE]\n\n"
_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
}


class Chunks:
    """A generation's events as ``chat.completion.chunk`` objects in server-sent events."""

    merges = True

    def __init__(self, generation: Generation, *, include_usage: bool) -> None:
        self._generation = generation.id
        self._include_usage = include_usage
        self._calls = CallIds(generation.id)
        self._opening = (
            b"data: %s," % orjson.dumps(_envelope(generation, "chat.completion.chunk"))[:-1]
        )
        # Most chunks are a piece of text between bytes that are always the same.
        usage = b',"usage":null' if include_usage else b""
        self._before = self._opening + b'"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]%s}\n\n' % usage
        self._first: int | None = None
        """Where the first that is said begins: what is told of it opens the message."""

    def events(self, batch: Batch) -> bytes:
        return escape_line_separators(self._told(batch))

    def _told(self, batch: Batch) -> bytes:
        records = batch.records
        if not records:
            return b""
        start = records[0].offset if batch.start is None else batch.start
        if self._first is not None and start > self._first:
            return b"".join([self._shown(record) for record in records])
        told: list[bytes] = []
        for record in records:
            # A reader who could not be written to is told again, maybe in merged pieces.
            at = record.offset if batch.start is None else start
            if self._first is None and self._speaks(record.event):
                self._first = at
            if self._first == at:
                told.append(self._chunk(_opening(record.event)))
            told.append(self._shown(record))
            start = record.offset + 1
        return b"".join(told)

    def reset(self, stream: str, position: Position, reason: str) -> None:
        """Nothing in the format can say this."""
        del stream, position, reason

    def closed(self, stream: str, position: Position) -> bytes:
        del stream, position
        return b""

    def beat(self) -> bytes:
        return b": beat\n\n"

    def retry(self, milliseconds: int) -> bytes:
        """Nothing: openai-python takes the field for an event without data, and fails."""
        del milliseconds
        return b""

    def _speaks(self, event: Event | None) -> bool:
        said = isinstance(event, Delta | Finished)
        return said and getattr(event, "generation", None) == self._generation

    def _shown(self, record: Record) -> bytes:
        event = record.event
        if type(event) is Delta:
            if event.generation != self._generation:
                return b""
            if event.text and not (event.extra or event.reasoning or event.tool):
                return b"%s%s%s" % (self._before, orjson.dumps(event.text), self._after)
            delta = _delta(event, self._calls, record.offset)
            return self._chunk(delta, logprobs=_logprobs([event]))
        return b"" if event is None else self._turn(event)

    def _turn(self, event: Event) -> bytes:
        """What is no delta: an end."""
        if getattr(event, "generation", None) != self._generation:
            return b""
        match event:
            case Finished():
                about = _about(event)
                end = self._chunk({}, _FINISH[event.reason], about=about)
                return end + self._usage(event.usage, about) + DONE
            case Failed() | Cancelled() | Interrupted():
                return b"data: %s\n\n" % orjson.dumps(error_object(broken_off(event)))
        return b""

    def _chunk(
        self,
        delta: dict[str, Any],
        finish: str | None = None,
        *,
        logprobs: dict[str, Any] | None = None,
        about: Mapping[str, Any] = NOTHING,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        more = {"usage": None} if self._include_usage else {}
        return self._line({"choices": [choice], **about, **more})

    def _usage(self, usage: Usage | None, about: Mapping[str, Any]) -> bytes:
        if not self._include_usage:
            return b""
        return self._line({"choices": [], **about, "usage": _usage(usage)})

    def _line(self, fields: dict[str, Any]) -> bytes:
        return b"%s%s\n\n" % (self._opening, orjson.dumps(fields)[1:])


def completion(generation: Generation, end: Finished, deltas: Iterable[Delta]) -> dict[str, Any]:
    """The whole answer: a ``chat.completion``."""
    deltas = list(deltas)
    choice = {
        "index": 0,
        "message": message_of(generation.id, deltas),
        "logprobs": _logprobs(deltas),
        "finish_reason": _FINISH[end.reason],
    }
    envelope = _envelope(generation, "chat.completion")
    return {**envelope, "choices": [choice], **_about(end), "usage": _usage(end.usage)}


def message_of(generation: str, deltas: Iterable[Delta]) -> dict[str, Any]:
    """What a generation has said, as one message of the assistant."""
    text: list[str] = []
    refusal: list[str] = []
    reasoning: list[str] = []
    ids = CallIds(generation)
    calls: dict[int, dict[str, Any]] = {}
    fields: dict[str, list[Any]] = {}
    sounds: list[Mapping[str, Any]] = []
    for offset, delta in enumerate(deltas):
        (refusal if _is_refusal(delta) else text).append(delta.text)
        reasoning.append(delta.reasoning)
        sounds += _sounds(delta)
        for name, held in _fields(delta).items():
            fields.setdefault(name, []).extend(held)
        if delta.tool is None:
            continue
        piece = _piece(delta.tool, ids.of(delta.tool, offset), delta.tool.custom)
        kind, said = _SHAPES[delta.tool.custom]
        made = {"id": piece.get("id"), "type": kind, kind: {"name": "", said: ""}}
        call = calls.setdefault(delta.tool.index, made)
        kind, said = _SHAPES[call["type"] == "custom"]
        call[kind]["name"] = delta.tool.name or call[kind]["name"]
        call[kind][said] += delta.tool.arguments
        call.update(signed(delta.tool))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text) or None,
        "refusal": "".join(refusal) or None,
    }
    if thought := "".join(reasoning):
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [calls[place] for place in sorted(calls)]
    if sounds:
        message["audio"] = _sound(sounds, "".join(text))
    return {**message, **fields}


def seconds_since_1970(at: str | None) -> int:
    """A time as events have it, as OpenAI writes times; 0 for none."""
    try:
        return int(datetime.fromisoformat(at).timestamp()) if at else 0
    except (ValueError, OverflowError):
        return 0


def _envelope(generation: Generation, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{generation.id.removeprefix('gen_')}",
        "object": kind,
        "created": seconds_since_1970(generation.started_at),
        "model": generation.model or generation.upstream,
    }


def _opening(event: Event | None) -> dict[str, Any]:
    """The first delta of a message, as OpenAI begins one: before a call there is no content."""
    silent = isinstance(event, Delta) and not event.text
    return {"role": "assistant", "content": None if silent else ""}


def _is_refusal(delta: Delta) -> bool:
    return delta.extra.get("refusal") is True


def _delta(event: Delta, calls: CallIds, offset: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    if event.text:
        shown["refusal" if _is_refusal(event) else "content"] = event.text
    if event.reasoning:
        shown["reasoning_content"] = event.reasoning
    if event.tool is not None:
        key = calls.of(event.tool, offset)
        shown["tool_calls"] = [_piece(event.tool, key, calls.custom(event.tool))]
    for piece in _sounds(event):
        named = {"id": piece["id"]} if "id" in piece else {}
        shown["audio"] = {**named, "data": piece["data"]}
    return {**shown, **_fields(event)}


def _sounds(delta: Delta) -> list[Mapping[str, Any]]:
    return [one for one in delta.extra.get(MEDIA) or () if one.get("piece")]


def _sound(pieces: list[Mapping[str, Any]], transcript: str) -> dict[str, Any]:
    """A sound as a whole: its pieces are base64 each by itself."""
    texts = [str(piece.get("data")) for piece in pieces]
    try:
        data = b64encode(b"".join(map(b64decode, texts))).decode()
    except ValueError:
        data = "".join(texts)  # no base64, or one that was cut anywhere
    key = next((piece["id"] for piece in pieces if "id" in piece), "")
    return {"id": key, "data": data, "expires_at": 0, "transcript": transcript}


def _fields(event: Delta) -> dict[str, list[Any]]:
    """What stands beside the text of a message."""
    found = {name: event.extra[name] for name in LISTS if name in event.extra}
    if images := list(whole_ones(event.extra)):
        found["images"] = [
            {"type": "image_url", "image_url": {"url": data_url(one)}, "index": one.get("index")}
            for one in images
        ]
    if cited := event.extra.get(ANNOTATIONS):
        found[ANNOTATIONS] = [full(one) for one in cited]
    return found


def _logprobs(deltas: Iterable[Delta]) -> dict[str, Any] | None:
    found: dict[str, list[Any] | None] = {"content": None, "refusal": None}
    for delta in deltas:
        if held := delta.extra.get(LOGPROBS):
            kind = "refusal" if _is_refusal(delta) else "content"
            found[kind] = [*(found[kind] or ()), *held]
    return found if any(found.values()) else None


def _about(end: Finished) -> dict[str, Any]:
    """What is said of the whole answer."""
    return {name: end.extra[name] for name in ABOUT if name in end.extra}


def _piece(tool: ToolCall, key: str | None, custom: bool) -> dict[str, Any]:
    kind, said = _SHAPES[custom]
    held: dict[str, Any] = {said: tool.arguments}
    if tool.name:
        held = {"name": tool.name, **held}
    named = {"id": key, "type": kind} if key else {}
    return {"index": tool.index, **named, kind: held, **signed(tool)}


def _usage(usage: Usage | None) -> dict[str, Any]:
    prompt = (usage and usage.prompt_tokens) or 0
    completion = (usage and usage.completion_tokens) or 0
    shown: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    answered, asked = details_of(usage, "output_"), details_of(usage, "input_")
    for name in ("accepted_prediction_tokens", "rejected_prediction_tokens"):
        answered |= details_of(usage, name, keep=True)
    if usage and usage.reasoning_tokens:
        answered["reasoning_tokens"] = usage.reasoning_tokens
    if usage and usage.cached_tokens:
        asked["cached_tokens"] = usage.cached_tokens
    details = {"completion_tokens_details": answered, "prompt_tokens_details": asked}
    shown |= {name: held for name, held in details.items() if held}
    return {**details_of(usage, "cost", keep=True), **shown}
