"""A generation told as one of OpenAI's responses: events that are numbered, and their sum.

A response is a list of items: reasoning, messages, function calls. An item begins when the
generation says something of another kind than before, and ends when it goes on to another;
calls end together, at the end, because providers go back and forth between them.

What the model must see again is the ``encrypted_content`` of the reasoning before it, or of a
reasoning without words, as a call has no place for it: clients give it back as it is.

Everything follows from the generation's events: told twice, from live events or from a
stream read again after a restart, it is the same, to the ids and the numbers. So a client
that lost its connection says the number that it has seen last, and nothing is doubled.

A response that was broken off ends in ``response.failed`` and in an ``error`` besides, which is
what makes clients raise. One that somebody cancelled ends in an ``error`` and then in
``response.cancelled``: strict clients know no such event and must have raised before it.
(Source: OpenAI API reference, "Responses", "Streaming events".)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hub.dialects.reply.token_counts import details_of
from hub.domain.annotations import ANNOTATIONS, LOGPROBS, flat
from hub.domain.events import (
    NOTHING,
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Started,
    Terminal,
    ToolCall,
    Usage,
)
from hub.domain.executed_tools import item_prefix, response_item
from hub.domain.failures import broken_off
from hub.domain.media import whole_ones
from hub.domain.provider_fields import EXECUTED, EXTRA, LISTS, seal
from hub.domain.tool_call_ids import CallIds
from hub.protocols.openai.chat_chunks import seconds_since_1970
from hub.protocols.openai.errors import error_object

__all__ = ["ResponseBuilder", "response_id"]

_WHY_INCOMPLETE: Final = {"length": "max_output_tokens", "filter": "content_filter"}
_CODES: Final = frozenset(
    {
        "server_error", "rate_limit_exceeded", "invalid_prompt", "data_residency_mismatch",
        "bio_policy", "misalignment_policy_violation", "vector_store_timeout", "invalid_image",
        "invalid_image_format", "invalid_base64_image", "invalid_image_url", "image_too_large",
        "image_too_small", "image_parse_error", "image_content_policy_violation",
        "invalid_image_mode", "image_file_too_large", "unsupported_image_media_type",
        "empty_image_file", "failed_to_download_image", "image_file_not_found",
    }
)  # fmt: skip
"""All codes that the error of a response may have. Strict clients refuse every other."""
_PREFIX: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
}
# How the events of a call are called, of a function and of a custom tool.
_ARGUMENTS: Final = ("function_call_arguments", "custom_tool_call_input")
# The kinds of parts: their item, their list in it, and how the events are called.
_TEXT: Final = "output_text"
_REFUSAL: Final = "refusal"
_SUMMARY: Final = "summary_text"


def response_id(generation: str) -> str:
    """The id of the response that a generation is."""
    return f"resp_{generation.removeprefix('gen_')}"


@dataclass(slots=True)
class _Part:
    kind: str
    start: int = 0
    """Characters of the answer's text before it."""
    pieces: list[str] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        if self.kind == _TEXT:
            beside = {"annotations": [*self.annotations], "logprobs": [*self.logprobs]}
            return {"type": _TEXT, **beside, "text": text}
        return {"type": self.kind, "refusal" if self.kind == _REFUSAL else "text": text}


@dataclass(slots=True)
class _Item:
    kind: str
    id: str
    place: int
    status: str = "in_progress"
    parts: list[_Part] = field(default_factory=list)
    call_id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    custom: bool = False
    held: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """All that an item of the provider's own is."""
    fields: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """What the model must see again (`hub.domain.provider_fields`)."""

    def to_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": self.id, "type": self.kind, "status": self.status}
        parts = [part.to_json() for part in self.parts]
        if self.kind == "message":
            return {**shown, "role": "assistant", "content": parts}
        if self.kind == "reasoning":
            sealed = {"encrypted_content": seal(self.fields)} if self.fields else {}
            return {**shown, "summary": parts, **sealed}
        if self.held:
            return dict(self.held)
        arguments = "".join(self.arguments)
        called = {"call_id": self.call_id, "name": self.name}
        return {**shown, **called, "input" if self.custom else "arguments": arguments}


class ResponseBuilder:
    """One response, as far as its generation's events have been told.

    ``asked`` is what it repeats of what was asked.
    """

    def __init__(self, generation: str, asked: Mapping[str, Any]) -> None:
        self._generation = generation
        self._hex = generation.removeprefix("gen_")
        self._asked = asked
        self._calls = CallIds(generation)
        self._number = 0
        self._deltas = 0
        self._length = 0
        self._items: list[_Item] = []
        self._speaking: _Item | None = None
        self._called: dict[int, _Item] = {}
        self._created = 0
        self._model = ""
        self._end: Terminal | None = None

    @property
    def ended(self) -> bool:
        """Whether its last event has been told."""
        return self._end is not None

    def tell(self, event: Event) -> list[dict[str, Any]]:
        """What an event of any generation adds; the next of its own, in their order."""
        if getattr(event, "generation", None) != self._generation or self._end is not None:
            return []
        if isinstance(event, Delta):
            return list(self._delta(event))
        if isinstance(event, Started):
            self._created = seconds_since_1970(event.at)
            self._model = event.model or event.upstream
            return [self._whole("response.created"), self._whole("response.in_progress")]
        if isinstance(event, Finished | Failed | Cancelled | Interrupted):
            return list(self._ending(event))
        return []

    def response(self) -> dict[str, Any]:
        """The response as it is now."""
        end = self._end
        usage = None if end is None else _with_details(_usage(end.usage), end.usage)
        tier = "" if end is None else end.extra.get("service_tier")
        return {
            "id": response_id(self._generation),
            "object": "response",
            "created_at": self._created,
            "status": _status(end),
            "error": _error(end),
            "incomplete_details": _incomplete(end),
            "model": self._model,
            "output": [item.to_json() for item in self._items],
            **self._asked,
            **({"service_tier": tier} if tier else {}),
            "usage": usage,
        }

    # What is said

    def _delta(self, event: Delta) -> Iterator[dict[str, Any]]:
        self._deltas += 1
        if event.reasoning:
            yield from self._say("reasoning", _SUMMARY, event.reasoning)
        if event.text:
            kind = _REFUSAL if event.extra.get("refusal") is True else _TEXT
            yield from self._say("message", kind, event.text, event.extra.get(LOGPROBS) or ())
        if event.tool is not None:
            yield from self._call(event.tool)
        for held in event.extra.get(ANNOTATIONS) or ():
            yield from self._annotate(held)
        for held in whole_ones(event.extra):
            if "data" in held:
                made = {"type": "image_generation_call", "status": "completed"}
                yield from self._show("ig", {**made, "result": held["data"]})
        for held in event.extra.get(EXECUTED) or ():
            yield from self._executed(held)
        if fields := {name: event.extra[name] for name in LISTS if name in event.extra}:
            yield from self._sealed(fields)

    def _executed(self, held: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What the provider has run: an item for people to see; what goes back is sealed."""
        yield from self._show(item_prefix(held), response_item(held))

    def _show(self, prefix: str, shown: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """An item that is whole."""
        yield from self._hush("completed")
        name = f"{prefix}_{self._hex}{len(self._items)}"
        held = {**shown, "id": name}
        item = _Item(str(shown["type"]), name, len(self._items), "completed", held=held)
        self._items.append(item)
        yield self._of_item("response.output_item.added", item, item=item.to_json())
        yield self._of_item("response.output_item.done", item, item=item.to_json())

    def _sealed(self, fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        item = yield from self._speaker("reasoning")
        item.fields = fields
        yield from self._hush("completed")

    def _speaker(self, kind: str) -> Generator[dict[str, Any], None, _Item]:
        """The item that is being said, begun if it is of another kind."""
        item = self._speaking
        if item is None or item.kind != kind:
            yield from self._hush("completed")
            item = self._speaking = self._begin(kind)
            yield self._of_item("response.output_item.added", item, item=item.to_json())
        return item

    def _annotate(self, held: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """An annotation of the last text: it may come when that has been told."""
        for item in reversed(self._items):
            if item.kind == "message" and item.parts and item.parts[-1].kind == _TEXT:
                part = item.parts[-1]
                part.annotations.append(flat(held, part.start))
                name = "response.output_text.annotation.added"
                told = {"annotation": part.annotations[-1]}
                number = len(part.annotations) - 1
                yield self._of_part(name, item, annotation_index=number, **told)
                return

    def _say(
        self, kind: str, part_kind: str, text: str, probable: Sequence[Any] = ()
    ) -> Iterator[dict[str, Any]]:
        item = yield from self._speaker(kind)
        if not item.parts or item.parts[-1].kind != part_kind:
            yield from self._end_part(item)
            item.parts.append(_Part(part_kind, self._length))
            added = f"{_part_event(part_kind)}.added"
            yield self._of_part(added, item, part=item.parts[-1].to_json())
        item.parts[-1].pieces.append(text)
        logprobs: dict[str, Any] = {}
        if part_kind == _TEXT:
            self._length += len(text)
            item.parts[-1].logprobs += probable
            logprobs = {"logprobs": list(probable)}
        yield self._of_part(f"{_text_event(part_kind)}.delta", item, delta=text, **logprobs)

    def _call(self, tool: ToolCall) -> Iterator[dict[str, Any]]:
        key = self._calls.of(tool, self._deltas)
        item = self._called.get(tool.index)
        if item is None:
            yield from self._hush("completed")
            kind = "custom_tool_call" if tool.custom else "function_call"
            item = self._called[tool.index] = self._begin(kind)
            item.custom = tool.custom
            item.call_id, item.name = key or "", tool.name or ""
            yield self._of_item("response.output_item.added", item, item=item.to_json())
        item.name = tool.name or item.name
        if tool.extra_content:
            yield from self._sealed(
                {EXTRA: [{"id": item.call_id, EXTRA: dict(tool.extra_content)}]}
            )
        if tool.arguments:
            item.arguments.append(tool.arguments)
            name = f"response.{_ARGUMENTS[item.custom]}.delta"
            yield self._of_item(name, item, item_id=item.id, delta=tool.arguments)

    def _begin(self, kind: str) -> _Item:
        place = len(self._items)
        self._items.append(_Item(kind, f"{_PREFIX[kind]}_{self._hex}{place}", place))
        return self._items[-1]

    def _hush(self, status: str) -> Iterator[dict[str, Any]]:
        """End the item that was being said."""
        item, self._speaking = self._speaking, None
        if item is not None:
            yield from self._end_part(item)
            item.status = status
            yield self._of_item("response.output_item.done", item, item=item.to_json())

    def _end_part(self, item: _Item) -> Iterator[dict[str, Any]]:
        if not item.parts:
            return
        part = item.parts[-1].to_json()
        kind = item.parts[-1].kind
        told = {name: part[name] for name in ("text", "refusal", "logprobs") if name in part}
        yield self._of_part(f"{_text_event(kind)}.done", item, **told)
        yield self._of_part(f"{_part_event(kind)}.done", item, part=part)

    # The end

    def _ending(self, end: Terminal) -> Iterator[dict[str, Any]]:
        self._model = str(end.extra.get("model") or end.extra.get("upstream") or self._model)
        if isinstance(end, Finished):
            status = _status(end)
            yield from self._hush(status)
            for call in self._called.values():
                call.status = status
                arguments = "".join(call.arguments)
                name = f"response.{_ARGUMENTS[call.custom]}.done"
                whole = {"name": call.name, "arguments": arguments}
                if call.custom:
                    whole = {"input": arguments}
                yield self._of_item(name, call, item_id=call.id, **whole)
                yield self._of_item("response.output_item.done", call, item=call.to_json())
            self._end = end
            yield self._whole(f"response.{status}")
            return
        for item in self._items:
            if item.status == "in_progress":
                item.status = "incomplete"
        self._end = end
        told = error_object(broken_off(end))
        flat = {name: told["error"][name] for name in ("code", "message", "param")}
        if isinstance(end, Cancelled):
            yield self._event("error", **flat, **told)
            yield self._whole("response.cancelled")
        else:
            yield self._whole("response.failed")
            yield self._event("error", **flat, **told)

    # Events

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event

    def _whole(self, kind: str) -> dict[str, Any]:
        return self._event(kind, response=self.response())

    def _of_item(self, kind: str, told: _Item, /, **fields: Any) -> dict[str, Any]:
        return self._event(kind, output_index=told.place, **fields)

    def _of_part(self, kind: str, item: _Item, **fields: Any) -> dict[str, Any]:
        number = "summary_index" if item.kind == "reasoning" else "content_index"
        where = {"item_id": item.id, number: len(item.parts) - 1}
        return self._of_item(kind, item, **where, **fields)


def _text_event(kind: str) -> str:
    return "response.reasoning_summary_text" if kind == _SUMMARY else f"response.{kind}"


def _part_event(kind: str) -> str:
    return f"response.{'reasoning_summary' if kind == _SUMMARY else 'content'}_part"


def _with_details(shown: dict[str, Any], usage: Usage | None) -> dict[str, Any]:
    """What else was counted, beside what always is."""
    shown["input_tokens_details"] |= details_of(usage, "input_")
    shown["output_tokens_details"] |= details_of(usage, "output_")
    return shown


def _status(end: Terminal | None) -> str:
    if isinstance(end, Finished):
        return "incomplete" if end.reason in _WHY_INCOMPLETE else "completed"
    if isinstance(end, Cancelled):
        return "cancelled"
    return "in_progress" if end is None else "failed"


def _error(end: Terminal | None) -> dict[str, Any] | None:
    """Why it failed. A code that OpenAI does not have is told as the ``type``."""
    if end is None or isinstance(end, Finished | Cancelled):
        return None
    told = error_object(broken_off(end))["error"]
    code = str(told["code"] or told["type"])
    return {
        "code": code if code in _CODES else "server_error",
        "message": told["message"],
        "param": told["param"],
        "type": code,
    }


def _incomplete(end: Terminal | None) -> dict[str, str] | None:
    reason = end.reason if isinstance(end, Finished) else ""
    return {"reason": _WHY_INCOMPLETE[reason]} if reason in _WHY_INCOMPLETE else None


def _usage(usage: Usage | None) -> dict[str, Any]:
    asked = (usage and usage.prompt_tokens) or 0
    answered = (usage and usage.completion_tokens) or 0
    return {
        "input_tokens": asked,
        "input_tokens_details": {
            "cached_tokens": (usage and usage.cached_tokens) or 0,
            # Counted among the others: see `hub.dialects.reply.token_counts`.
            "cache_write_tokens": 0,
        },
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": (usage and usage.reasoning_tokens) or 0},
        "total_tokens": asked + answered,
    }
