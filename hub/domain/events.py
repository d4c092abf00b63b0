"""The events of a conversation, independent of providers, and their JSON.

A generation is ``Started``, then any number of ``Delta``, then exactly one of the terminals
``Finished``, ``Failed``, ``Cancelled`` and ``Interrupted``. ``Message`` is a message of a
participant. ``Queued`` is a prompt that waits for its turn, until its generation has a ``Started``
or it is ``Dropped``. ``Other`` is any other JSON object; it passes through a stream
unchanged. ``extra`` preserves fields that this version does not know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeGuard, get_args

import orjson

from hub.domain import json_text
from hub.domain.errors import Refusal, RequestError
from hub.domain.frozen import frozen
from hub.domain.integers import as_integer

__all__ = [
    "TERMINALS",
    "TYPE_OF",
    "Cancelled",
    "Delta",
    "Dropped",
    "Event",
    "Failed",
    "Finished",
    "Interrupted",
    "Message",
    "Other",
    "Queued",
    "Reason",
    "Seconds",
    "Started",
    "Terminal",
    "ToolCall",
    "Usage",
    "decode",
    "encode",
    "exact",
    "from_json",
    "now",
    "recorded",
    "to_json",
]

Role = Literal["system", "user", "assistant", "tool"]
Reason = Literal["stop", "length", "tool", "filter"]

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def _nothing() -> Mapping[str, Any]:
    return NOTHING


def now() -> str:
    """The current time in UTC as RFC 3339, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of a generation; ``estimated`` if the hub estimated some of the counts."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    estimated: bool = False
    details: Mapping[str, float] | None = None
    """Other counts of the provider, most of which are part of the counts above."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long a generation took, to its first delta (if any) and to its end."""

    first: float | None = None
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A piece of one tool call; joined, the ``arguments`` of all pieces are JSON.

    For a ``custom`` tool, which the piece with the name declares, they are any text.
    ``extra_content`` is sent back to the provider with the call.
    """

    index: int = 0
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    custom: bool = False
    extra_content: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a participant in the conversation."""

    role: Role
    text: str
    author: str | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Started:
    """A generation started; ``usage`` estimates the tokens of its prompt."""

    generation: str = ""
    upstream: str = ""
    model: str | None = None
    at: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@frozen
class Delta:
    """One of three: more text, more reasoning, or a piece of a tool call."""

    generation: str = ""
    text: str = ""
    reasoning: str = ""
    tool: ToolCall | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Finished:
    """The upstream completed the reply; ``reason`` says why it ended."""

    generation: str = ""
    reason: Reason = "stop"
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply is incomplete; ``code`` and ``message`` say why."""

    generation: str = ""
    code: str = "upstream_error"
    message: str = ""
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)
    # The provider's error as a dialect read it, before secrets are masked. `hub.domain.failures`
    # puts the masked one into ``extra``, where everybody sees it.
    refusal: Refusal | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Stopped:
    generation: str = ""
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Cancelled(_Stopped):
    """Somebody cancelled the generation."""


@dataclass(frozen=True, slots=True)
class Interrupted(_Stopped):
    """The hub stopped while the generation was running."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A prompt waits in ``stream`` for its turn; written again, its text or place has changed.

    ``place`` is 1 for the next one. A fork of the stream has the event and not the prompt.
    """

    generation: str = ""
    stream: str = ""
    text: str = ""
    author: str | None = None
    place: int | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A queued prompt waits no more. If it could not begin, ``code`` and ``message`` say why."""

    generation: str = ""
    code: str = ""
    message: str = ""
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Other:
    """A JSON object that is not one of the hub's events."""

    object: Mapping[str, Any]


Terminal = Finished | Failed | Cancelled | Interrupted
Event = Message | Started | Delta | Terminal | Queued | Dropped | Other

TERMINALS: Final = (Finished, Failed, Cancelled, Interrupted)

TYPE_OF: Final[Mapping[type, str]] = {
    Message: "message",
    Started: "started",
    Delta: "delta",
    Finished: "finished",
    Failed: "failed",
    Cancelled: "cancelled",
    Interrupted: "interrupted",
    Queued: "queued",
    Dropped: "dropped",
}


def to_json(event: Event) -> dict[str, Any]:
    """The JSON object of an event, without empty fields."""
    if isinstance(event, Other):
        return dict(event.object)
    found: dict[str, Any] = {"type": TYPE_OF[type(event)]}
    for name in event.__dataclass_fields__:
        value = getattr(event, name)
        if name == "extra":
            found.update(value)
        elif name == "refusal":
            continue
        elif isinstance(value, Usage | Seconds | ToolCall):
            found[name] = _compact(value)
        elif value or (name == "text" and isinstance(event, Message)):
            found[name] = value
    return found


def _compact(value: Usage | Seconds | ToolCall) -> dict[str, Any]:
    pairs = ((name, getattr(value, name)) for name in value.__dataclass_fields__)
    return {name: data for name, data in pairs if data is not None and data is not False}


def encode(event: Event) -> bytes:
    """The event as a record's body: JSON bytes without white space.

    There is a fast path for the delta of plain text, which is nearly every record. The bytes are
    `exact`, because they are kept.

    Raises:
        RequestError: the event cannot be written: it has more than 254 levels, an integer of more
            than 64 bits, or a lone surrogate.
    """
    try:
        if (
            type(event) is Delta
            and event.text
            and event.generation
            and not (event.reasoning or event.tool or event.extra)
        ):
            plain = {"type": "delta", "generation": event.generation, "text": event.text}
            return exact(orjson.dumps(plain))
        return exact(orjson.dumps(to_json(event)))
    except orjson.JSONEncodeError as error:
        raise RequestError(
            f"the event cannot be written as JSON: {error}", code="bad_event"
        ) from None


def exact(encoded: bytes) -> bytes:
    """Copy bytes that are kept into an object without spare room.

    `orjson.dumps` returns its whole write buffer: a hundred bytes would keep four thousand.
    """
    return bytes(memoryview(encoded))


def decode(body: bytes) -> Event:
    """Read an event from any JSON text that a stream takes (see `hub.domain.json_text`).

    Raises:
        RequestError: it is not a JSON object, or a field of an event has a wrong type.
    """
    try:
        value = json_text.loads(body)
    except ValueError:
        raise RequestError("an event must be a JSON object", code="bad_event") from None
    return from_json(value)


def recorded(body: bytes) -> Event | None:
    """The event in any record, or ``None`` if the record is not a JSON object.

    An object with the type of an event but wrong fields is `Other`, which passes through a stream
    unchanged.
    """
    try:
        value = json_text.loads(body)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    try:
        return from_json(value)
    except RequestError:
        return Other(value)


def from_json(value: object) -> Event:
    """Read an event from a JSON value; the errors are those of `decode`."""
    if not isinstance(value, dict):
        raise RequestError("an event must be a JSON object", code="bad_event")
    kind = value.get("type")
    if kind == "delta" and len(value) == 3:
        # The delta of plain text: stores contain little else.
        generation, text = value.get("generation"), value.get("text")
        if type(generation) is str and type(text) is str:
            return Delta(generation, text)
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        return Other(value)
    event, readers = shape
    source = _Fields(value)
    return event(*[read(source, name) for name, read in readers])


class _Fields:
    """Takes typed fields out of a JSON object; the rest is ``extra``."""

    __slots__ = ("_left", "_type")

    def __init__(self, value: Mapping[str, Any]) -> None:
        self._left = dict(value)
        self._type = self._left.pop("type")

    def text(self, name: str) -> str:
        return self._take(name, str) or ""

    def optional(self, name: str) -> Any:
        return self._take(name, str)

    def count(self, name: str) -> int | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        if (count := as_integer(value)) is None or count < 1:
            raise self._wrong(name, "a whole number from 1")
        return count

    def choice(self, name: str) -> Any:
        value = self._take(name, str)
        if value not in (allowed := _CHOICES[name]):
            raise self._wrong(name, f"one of {', '.join(allowed)}")
        return value

    def usage(self, name: str) -> Usage | None:
        value = self._take(name, dict)
        if value is None:
            return None
        held = {key: value.get(key) for key in Usage.__dataclass_fields__}
        estimated, details = held.pop("estimated") is True, held.pop("details")
        counts = {key: as_integer(count) for key, count in held.items()}
        if isinstance(details, dict):
            details = {k: v for k, v in details.items() if type(v) in (int, float)}
        return Usage(
            **{key: count for key, count in counts.items() if count is not None},
            estimated=estimated,
            details=details or None,
        )

    def seconds(self, name: str) -> Seconds | None:
        """A value of any other shape stays in ``extra``, as before the field existed."""
        value = self._left.get(name)
        if value is not None and not _are_seconds(value):
            return None
        self._left.pop(name, None)
        return None if value is None else Seconds(value.get("first"), value["total"])

    def tool(self, name: str) -> ToolCall | None:
        value = self._take(name, dict)
        if value is None:
            return None
        index = as_integer(value.get("index", 0))
        texts = {key: value.get(key) for key in ("id", "name", "arguments")}
        if index is None or not all(isinstance(t, str | None) for t in texts.values()):
            raise self._wrong(name, 'an object {"index","id","name","arguments"}')
        custom, extra = value.get("custom") is True, value.get("extra_content")
        extra = extra if isinstance(extra, dict) else None
        return ToolCall(index, texts["id"], texts["name"], texts["arguments"] or "", custom, extra)

    def extra(self, name: str) -> Mapping[str, Any]:
        del name  # everything that no other field took
        return self._left or NOTHING

    def _take(self, name: str, kind: type[str] | type[dict[str, Any]]) -> Any:
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, kind):
            raise self._wrong(name, "a string" if kind is str else "an object")
        return value

    def _wrong(self, name: str, wanted: str) -> RequestError:
        return RequestError(f'"{name}" of a "{self._type}" must be {wanted}', code="bad_event")


def _are_seconds(data: object) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(data, dict) or not {"total"} <= set(data) <= {"first", "total"}:
        return False
    return all(type(value) in (int, float) for value in data.values())


_CHOICES: Final = {"role": get_args(Role), "reason": get_args(Reason)}
_Reader = Callable[[_Fields, str], Any]
_READERS: Final[Mapping[str, _Reader]] = {
    **dict.fromkeys(_CHOICES, _Fields.choice),
    **dict.fromkeys(
        ("generation", "stream", "upstream", "text", "reasoning", "code", "message"), _Fields.text
    ),
    "place": _Fields.count,
    **dict.fromkeys(("model", "author", "at"), _Fields.optional),
    "usage": _Fields.usage,
    "seconds": _Fields.seconds,
    "tool": _Fields.tool,
    "extra": _Fields.extra,
}
"""How to read a field by its name, which means the same in every event."""

_SHAPES: Final[Mapping[str, tuple[Callable[..., Event], list[tuple[str, _Reader]]]]] = {
    name: (kind, [(one.name, _READERS[one.name]) for one in fields(kind) if one.name != "refusal"])
    for kind, name in TYPE_OF.items()
}
"""The class of each type of event, and how to read its fields."""
