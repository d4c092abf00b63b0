"""A generation as one of OpenAI's responses: numbered events, and the response they add up to.

A response is a list of items: reasoning, messages, function calls. An item begins when the kind
of output changes, and ends when it changes again. Calls end together, at the end, because
providers alternate between them.

What the model must be shown again is the ``encrypted_content`` of the reasoning before it, or of
reasoning without text, as a call has no field for it. Clients send it back unchanged.

Everything is derived from the generation's events. It is the same every time, live or from a
stream that is read again after a restart, including the ids and the numbers. So a client that
lost its connection gives the last number it has seen, and nothing is duplicated.

A failed response ends in ``response.failed`` and then an ``error``, at which clients raise. A
cancelled one ends in an ``error`` and then ``response.cancelled``: strict clients do not know that
event, and must have raised before it. (Source: OpenAI API reference, "Responses", "Streaming
events".)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hub.dialects.reply.token_counts import details_of
from hub.domain.annotations import ANNOTATIONS, LOGPROBS, flat
from hub.domain.events import (
    NOTHING,
    TERMINALS,
    Cancelled,
    Delta,
    Event,
    Finished,
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

__all__ = ["ID_PREFIXES", "ResponseBuilder", "response_id"]

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
"""All codes that the error of a response may have. Strict clients reject others."""
ID_PREFIXES: Final = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "function_call_output": "fco",
}
# The names of a call's events: of a function, and of a custom tool.
_ARGUMENTS: Final = ("function_call_arguments", "custom_tool_call_input")
# The kinds of parts.
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
    """How many characters of the answer's text come before it."""
    pieces: list[str] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        text = "".join(self.pieces)
        if self.kind == _TEXT:
            lists = {"annotations": [*self.annotations], "logprobs": [*self.logprobs]}
            return {"type": _TEXT, **lists, "text": text}
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
    whole: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """The whole JSON of an item that the provider made."""
    fields: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """What the model must be shown again (`hub.domain.provider_fields`)."""

    def to_json(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": self.id, "type": self.kind, "status": self.status}
        parts = [part.to_json() for part in self.parts]
        if self.kind == "message":
            return {**shown, "role": "assistant", "content": parts}
        if self.kind == "reasoning":
            sealed = {"encrypted_content": seal(self.fields)} if self.fields else {}
            return {**shown, "summary": parts, **sealed}
        if self.whole:
            return dict(self.whole)
        arguments = "".join(self.arguments)
        call = {"call_id": self.call_id, "name": self.name}
        return {**shown, **call, "input" if self.custom else "arguments": arguments}


class ResponseBuilder:
    """One response, built from its generation's events.

    ``asked`` holds the fields of the request that it repeats.
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
        self._open: _Item | None = None
        """The message or reasoning that is being written."""
        self._called: dict[int, _Item] = {}
        self._created = 0
        self._model = ""
        self._end: Terminal | None = None

    @property
    def ended(self) -> bool:
        return self._end is not None

    def tell(self, event: Event) -> list[dict[str, Any]]:
        """The response's events for the next event of the stream; none if it is another's."""
        if getattr(event, "generation", None) != self._generation or self._end is not None:
            return []
        if isinstance(event, Delta):
            return list(self._delta(event))
        if isinstance(event, Started):
            self._created = seconds_since_1970(event.at)
            self._model = event.model or event.upstream
            return [self._whole("response.created"), self._whole("response.in_progress")]
        return list(self._finish(event)) if isinstance(event, TERMINALS) else []

    def response(self) -> dict[str, Any]:
        """The response in its present state."""
        end = self._end
        usage = None if end is None else _usage(end.usage)
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

    # Output

    def _delta(self, event: Delta) -> Iterator[dict[str, Any]]:
        self._deltas += 1
        if event.reasoning:
            yield from self._write("reasoning", _SUMMARY, event.reasoning)
        if event.text:
            kind = _REFUSAL if event.extra.get("refusal") is True else _TEXT
            yield from self._write("message", kind, event.text, event.extra.get(LOGPROBS) or ())
        if event.tool is not None:
            yield from self._call(event.tool)
        for annotation in event.extra.get(ANNOTATIONS) or ():
            yield from self._annotate(annotation)
        for media in whole_ones(event.extra):
            if "data" in media:
                image = {"type": "image_generation_call", "status": "completed"}
                yield from self._whole_item("ig", {**image, "result": media["data"]})
        for tool in event.extra.get(EXECUTED) or ():
            yield from self._whole_item(
                item_prefix(tool), response_item(tool), unchanged=bool(tool.get("pending"))
            )
        if fields := {name: event.extra[name] for name in LISTS if name in event.extra}:
            yield from self._seal(fields)

    def _whole_item(
        self, prefix: str, fields: Mapping[str, Any], *, unchanged: bool = False
    ) -> Iterator[dict[str, Any]]:
        """An item that begins and ends at once; an ``unchanged`` one keeps its id."""
        yield from self._end_item("completed")
        place = len(self._items)
        own_id = {"id": f"{prefix}_{self._hex}{place}"}
        whole = {**own_id, **fields} if unchanged else {**fields, **own_id}
        item = _Item(str(fields["type"]), whole["id"], place, "completed", whole=whole)
        self._items.append(item)
        yield self._item_event("added", item)
        yield self._item_event("done", item)

    def _seal(self, fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        item = yield from self._writing("reasoning")
        item.fields = fields
        yield from self._end_item("completed")

    def _writing(self, kind: str) -> Generator[dict[str, Any], None, _Item]:
        """The open item, begun if another kind was open."""
        item = self._open
        if item is None or item.kind != kind:
            yield from self._end_item("completed")
            item = self._open = self._begin(kind)
            yield self._item_event("added", item)
        return item

    def _annotate(self, annotation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """An annotation of the last text, which may have ended."""
        for item in reversed(self._items):
            if item.kind == "message" and item.parts and item.parts[-1].kind == _TEXT:
                annotations, start = item.parts[-1].annotations, item.parts[-1].start
                annotations.append(flat(annotation, start))
                yield self._of_part(
                    "response.output_text.annotation.added",
                    item,
                    annotation_index=len(annotations) - 1,
                    annotation=annotations[-1],
                )
                return

    def _write(
        self, kind: str, part_kind: str, text: str, logprobs: Sequence[Any] = ()
    ) -> Iterator[dict[str, Any]]:
        item = yield from self._writing(kind)
        if not item.parts or item.parts[-1].kind != part_kind:
            yield from self._end_part(item)
            item.parts.append(_Part(part_kind, self._length))
            added = f"{_part_event(part_kind)}.added"
            yield self._of_part(added, item, part=item.parts[-1].to_json())
        item.parts[-1].pieces.append(text)
        fields: dict[str, Any] = {"delta": text}
        if part_kind == _TEXT:
            self._length += len(text)
            item.parts[-1].logprobs += logprobs
            fields["logprobs"] = list(logprobs)
        yield self._of_part(f"{_text_event(part_kind)}.delta", item, **fields)

    def _call(self, tool: ToolCall) -> Iterator[dict[str, Any]]:
        key = self._calls.of(tool, self._deltas)
        item = self._called.get(tool.index)
        if item is None:
            yield from self._end_item("completed")
            kind = "custom_tool_call" if tool.custom else "function_call"
            item = self._called[tool.index] = self._begin(kind)
            item.custom = tool.custom
            item.call_id, item.name = key or "", tool.name or ""
            yield self._item_event("added", item)
        item.name = tool.name or item.name
        if tool.extra_content:
            yield from self._seal({EXTRA: [{"id": item.call_id, EXTRA: dict(tool.extra_content)}]})
        if tool.arguments:
            item.arguments.append(tool.arguments)
            name = f"response.{_ARGUMENTS[item.custom]}.delta"
            yield self._of_item(name, item, item_id=item.id, delta=tool.arguments)

    def _begin(self, kind: str) -> _Item:
        place = len(self._items)
        self._items.append(_Item(kind, f"{ID_PREFIXES[kind]}_{self._hex}{place}", place))
        return self._items[-1]

    def _end_item(self, status: str) -> Iterator[dict[str, Any]]:
        """End the open item, if there is one."""
        item, self._open = self._open, None
        if item is not None:
            yield from self._end_part(item)
            item.status = status
            yield self._item_event("done", item)

    def _end_part(self, item: _Item) -> Iterator[dict[str, Any]]:
        if not item.parts:
            return
        part = item.parts[-1].to_json()
        kind = item.parts[-1].kind
        fields = {name: part[name] for name in ("text", "refusal", "logprobs") if name in part}
        yield self._of_part(f"{_text_event(kind)}.done", item, **fields)
        yield self._of_part(f"{_part_event(kind)}.done", item, part=part)

    # The end

    def _finish(self, end: Terminal) -> Iterator[dict[str, Any]]:
        self._model = str(end.extra.get("model") or end.extra.get("upstream") or self._model)
        status = _status(end)
        if isinstance(end, Finished):
            yield from self._end_item(status)
            for call in self._called.values():
                call.status = status
                arguments = "".join(call.arguments)
                fields = {"name": call.name, "arguments": arguments}
                if call.custom:
                    fields = {"input": arguments}
                name = f"response.{_ARGUMENTS[call.custom]}.done"
                yield self._of_item(name, call, item_id=call.id, **fields)
                yield self._item_event("done", call)
            self._end = end
            yield self._whole(f"response.{status}")
            return
        for item in self._items:
            if item.status == "in_progress":
                item.status = "incomplete"
        self._end = end
        shown = error_object(broken_off(end))
        error = {name: shown["error"][name] for name in ("code", "message", "param")} | shown
        if isinstance(end, Cancelled):
            yield self._event("error", **error)
        yield self._whole(f"response.{status}")
        if not isinstance(end, Cancelled):
            yield self._event("error", **error)

    # Events

    def _event(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return event

    def _whole(self, kind: str) -> dict[str, Any]:
        return self._event(kind, response=self.response())

    def _of_item(self, kind: str, item: _Item, /, **fields: Any) -> dict[str, Any]:
        return self._event(kind, output_index=item.place, **fields)

    def _item_event(self, what: str, item: _Item) -> dict[str, Any]:
        return self._of_item(f"response.output_item.{what}", item, item=item.to_json())

    def _of_part(self, kind: str, item: _Item, /, **fields: Any) -> dict[str, Any]:
        number = "summary_index" if item.kind == "reasoning" else "content_index"
        place = {"item_id": item.id, number: len(item.parts) - 1}
        return self._of_item(kind, item, **place, **fields)


def _text_event(kind: str) -> str:
    return "response.reasoning_summary_text" if kind == _SUMMARY else f"response.{kind}"


def _part_event(kind: str) -> str:
    return f"response.{'reasoning_summary' if kind == _SUMMARY else 'content'}_part"


def _status(end: Terminal | None) -> str:
    if isinstance(end, Finished):
        return "incomplete" if end.reason in _WHY_INCOMPLETE else "completed"
    if isinstance(end, Cancelled):
        return "cancelled"
    return "in_progress" if end is None else "failed"


def _error(end: Terminal | None) -> dict[str, Any] | None:
    """Why the response failed. A code that OpenAI does not have becomes the ``type``."""
    if end is None or isinstance(end, Finished | Cancelled):
        return None
    error = error_object(broken_off(end))["error"]
    code = str(error["code"] or error["type"])
    known = code if code in _CODES else "server_error"
    return {"code": known, "message": error["message"], "param": error["param"], "type": code}


def _incomplete(end: Terminal | None) -> dict[str, str] | None:
    reason = end.reason if isinstance(end, Finished) else ""
    return {"reason": _WHY_INCOMPLETE[reason]} if reason in _WHY_INCOMPLETE else None


def _usage(usage: Usage | None) -> dict[str, Any]:
    prompt = (usage and usage.prompt_tokens) or 0
    completion = (usage and usage.completion_tokens) or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": (usage and usage.cached_tokens) or 0,
            # The input tokens include them: see `hub.dialects.reply.token_counts`.
            "cache_write_tokens": 0,
            **details_of(usage, "input_"),
        },
        "output_tokens": completion,
        "output_tokens_details": {
            "reasoning_tokens": (usage and usage.reasoning_tokens) or 0,
            **details_of(usage, "output_"),
        },
        "total_tokens": prompt + completion,
    }
