"""OpenAI's chat completions: a generation's events as chunks, or as one whole answer.

Everything is derived from the events, so the same records always give the same bytes, whether
they are sent at once or later. Text is ``content``, a refusal ``refusal``, reasoning
``reasoning_content`` (DeepSeek's name, which other providers' clients read too; OpenAI shows no
reasoning). Fields that a client must send back with the message are those of the events
(`hub.domain.provider_fields`). A call without an id gets one (`hub.domain.tool_call_ids`).
(Source: OpenAI API reference, "Chat".)
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import orjson

from hub.dialects.reply.token_counts import details_of
from hub.domain.annotations import ANNOTATIONS, LOGPROBS, full
from hub.domain.events import NOTHING, TERMINALS, Delta, Event, Finished, ToolCall, Usage
from hub.domain.failures import broken_off
from hub.domain.generation import Generation
from hub.domain.media import IMAGES, MEDIA, image_parts
from hub.domain.provider_fields import LISTS, signed
from hub.domain.records import Record
from hub.domain.tool_call_ids import CallIds
from hub.frames.encoder import Batch
from hub.frames.line_separators import escape_line_separators
from hub.frames.sse import SSEEncoder
from hub.protocols.conversation.view import DONE
from hub.protocols.openai.errors import error_object

__all__ = ["Chunks", "OpenAIEvents", "completion", "message_of", "seconds_since_1970"]

# The type of a call and the name of its arguments: of a function, and of a custom tool.
_SHAPES: Final = (("function", "arguments"), ("custom", "input"))
_FINISH: Final = {
    "stop": "stop",
    "length": "length",
    "tool": "tool_calls",
    "filter": "content_filter",
}


class OpenAIEvents(SSEEncoder):
    """Server-sent events for OpenAI's clients."""

    def retry(self, milliseconds: int) -> bytes:
        """Nothing: openai-python takes the field for an event without data, and fails."""
        return b""


class Chunks(OpenAIEvents):
    """A generation's events as ``chat.completion.chunk`` objects."""

    merges = True

    def __init__(self, generation: Generation, *, include_usage: bool) -> None:
        self._generation = generation.id
        self._include_usage = include_usage
        self._calls = CallIds(generation.id)
        self._opening = (
            b"data: %s," % orjson.dumps(_envelope(generation, "chat.completion.chunk"))[:-1]
        )
        # Most chunks are a piece of text between the same bytes.
        usage = b',"usage":null' if include_usage else b""
        self._before = self._opening + b'"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]%s}\n\n' % usage
        self._first: int | None = None
        """Where the first delta or the end begins, before which the message is opened."""

    def events(self, batch: Batch) -> bytes:
        records = batch.records
        if not records:
            return b""
        start = records[0].offset if batch.start is None else batch.start
        if self._first is not None and start > self._first:
            return escape_line_separators(b"".join([self._frame(record) for record in records]))
        frames: list[bytes] = []
        for record in records:
            # The same records may come again, maybe merged, if a frame could not be written.
            at = record.offset if batch.start is None else start
            event = record.event
            if (
                self._first is None
                and isinstance(event, Delta | Finished)
                and event.generation == self._generation
            ):
                self._first = at
            if self._first == at:
                frames.append(self._chunk(_first_delta(event)))
            frames.append(self._frame(record))
            start = record.offset + 1
        return escape_line_separators(b"".join(frames))

    def _frame(self, record: Record) -> bytes:
        event = record.event
        if type(event) is Delta:
            if event.generation != self._generation:
                return b""
            if event.text and not (event.extra or event.reasoning or event.tool):
                return b"%s%s%s" % (self._before, orjson.dumps(event.text), self._after)
            delta = _delta(event, self._calls, record.offset)
            return self._chunk(delta, logprobs=_logprobs([event]))
        if not isinstance(event, TERMINALS) or event.generation != self._generation:
            return b""
        if not isinstance(event, Finished):
            return b"data: %s\n\n" % orjson.dumps(error_object(broken_off(event)))
        about = _about(event)
        end = self._chunk({}, _FINISH[event.reason], about=about)
        if self._include_usage:
            end += self._line({"choices": [], **about, "usage": _usage(event.usage)})
        return end + DONE

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
    """The message that a generation has written."""
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
        for name, values in _fields(delta).items():
            fields.setdefault(name, []).extend(values)
        if delta.tool is None:
            continue
        key = ids.of(delta.tool, offset) or None
        kind, arguments = _SHAPES[delta.tool.custom]
        new = {"id": key, "type": kind, kind: {"name": "", arguments: ""}}
        call = calls.setdefault(delta.tool.index, new)
        kind, arguments = _SHAPES[call["type"] == "custom"]
        call[kind]["name"] = delta.tool.name or call[kind]["name"]
        call[kind][arguments] += delta.tool.arguments
        call.update(signed(delta.tool))
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(text) or None,
        "refusal": "".join(refusal) or None,
    }
    if any(reasoning):
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    if sounds:
        message["audio"] = _whole_sound(sounds, "".join(text))
    return {**message, **fields}


def seconds_since_1970(at: str | None) -> int:
    """The time of an event in seconds since 1970, as OpenAI writes times; 0 if it has none."""
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


def _first_delta(event: Event | None) -> dict[str, Any]:
    """The delta with which OpenAI begins a message that begins with this event."""
    no_text = isinstance(event, Delta) and not event.text
    return {"role": "assistant", "content": None if no_text else ""}


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
        shown["tool_calls"] = [_call_piece(event.tool, key, calls.custom(event.tool))]
    for piece in _sounds(event):
        named = {"id": piece["id"]} if "id" in piece else {}
        shown["audio"] = {**named, "data": piece["data"]}
    return {**shown, **_fields(event)}


def _sounds(delta: Delta) -> list[Mapping[str, Any]]:
    """The pieces of a sound in a delta."""
    return [one for one in delta.extra.get(MEDIA) or () if one.get("piece")]


def _whole_sound(pieces: list[Mapping[str, Any]], transcript: str) -> dict[str, Any]:
    """The pieces as one sound. Each piece is base64 by itself."""
    texts = [str(piece.get("data")) for piece in pieces]
    try:
        data = b64encode(b"".join(map(b64decode, texts))).decode()
    except ValueError:
        data = "".join(texts)  # not base64, or cut anywhere
    key = next((piece["id"] for piece in pieces if "id" in piece), "")
    return {"id": key, "data": data, "expires_at": 0, "transcript": transcript}


def _fields(event: Delta) -> dict[str, list[Any]]:
    """Fields of a message besides its text."""
    fields = {name: event.extra[name] for name in LISTS if name in event.extra}
    if images := image_parts(event.extra):
        fields[IMAGES] = images
    if cited := event.extra.get(ANNOTATIONS):
        fields[ANNOTATIONS] = [full(one) for one in cited]
    return fields


def _logprobs(deltas: Iterable[Delta]) -> dict[str, Any] | None:
    logprobs: dict[str, list[Any] | None] = {"content": None, "refusal": None}
    for delta in deltas:
        if more := delta.extra.get(LOGPROBS):
            kind = "refusal" if _is_refusal(delta) else "content"
            logprobs[kind] = [*(logprobs[kind] or ()), *more]
    return logprobs if any(logprobs.values()) else None


def _about(end: Finished) -> dict[str, Any]:
    """Fields of the whole answer."""
    names = ("service_tier", "system_fingerprint")
    return {name: end.extra[name] for name in names if name in end.extra}


def _call_piece(tool: ToolCall, key: str | None, custom: bool) -> dict[str, Any]:
    kind, arguments = _SHAPES[custom]
    named = {"name": tool.name} if tool.name else {}
    typed = {"id": key, "type": kind} if key else {}
    function = {**named, arguments: tool.arguments}
    return {"index": tool.index, **typed, kind: function, **signed(tool)}


def _usage(usage: Usage | None) -> dict[str, Any]:
    prompt = (usage and usage.prompt_tokens) or 0
    completion = (usage and usage.completion_tokens) or 0
    shown: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    output, given = details_of(usage, "output_"), details_of(usage, "input_")
    for name in ("accepted_prediction_tokens", "rejected_prediction_tokens"):
        output |= details_of(usage, name, keep=True)
    if usage and usage.reasoning_tokens:
        output["reasoning_tokens"] = usage.reasoning_tokens
    if usage and usage.cached_tokens:
        given["cached_tokens"] = usage.cached_tokens
    details = {"completion_tokens_details": output, "prompt_tokens_details": given}
    shown |= {name: counts for name, counts in details.items() if counts}
    return {**details_of(usage, "cost", keep=True), **shown}
