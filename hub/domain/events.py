"""What happened, free of any provider: the events of a conversation and their JSON.

A generation is ``Started``, then any number of ``Delta``, then exactly one of the
terminals ``Finished``, ``Failed``, ``Cancelled`` and ``Interrupted``. ``Message`` is what
somebody said. ``Other`` is any JSON object that is none of these: it passes through a
stream untouched. Fields that this version does not know are kept in ``extra`` and written
out again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal, TypeGuard

import orjson

from hub.domain import json_text
from hub.domain.errors import Refusal, RequestError
from hub.domain.frozen import frozen

__all__ = [
    "TERMINALS",
    "TYPE_OF",
    "Cancelled",
    "Delta",
    "Event",
    "Failed",
    "Finished",
    "Interrupted",
    "Message",
    "Other",
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
    """The time as RFC 3339 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one generation; ``estimated`` when the hub counted some of them itself."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    estimated: bool = False
    details: Mapping[str, float] | None = None
    """What else the provider counts, of which most is part of the counts above."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long a generation took: to its first delta, if there was one, and to its end."""

    first: float | None = None
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A piece of one tool call; ``arguments`` is a piece of JSON text to be joined.

    Of a ``custom`` tool, which the piece with its name says, they are any text.
    ``extra_content`` goes back to the provider with the call.
    """

    index: int = 0
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    custom: bool = False
    extra_content: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What somebody said."""

    role: Role
    text: str
    author: str | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Started:
    """A generation began; ``usage`` is what its prompt may cost, as far as that can be told."""

    generation: str = ""
    upstream: str = ""
    model: str | None = None
    at: str | None = None
    usage: Usage | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@frozen
class Delta:
    """More text, more reasoning, or a piece of a tool call: one of the three."""

    generation: str = ""
    text: str = ""
    reasoning: str = ""
    tool: ToolCall | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Finished:
    """The upstream said that the reply is complete, and why it ended."""

    generation: str = ""
    reason: Reason = "stop"
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply is not complete: ``code`` and ``message`` say why."""

    generation: str = ""
    code: str = "upstream_error"
    message: str = ""
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)
    # What the provider said, as a dialect has read it and before anybody has looked it over for
    # secrets. Others see it in ``extra``, where `hub.domain.failures` puts it.
    refusal: Refusal | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody asked for the generation to stop."""

    generation: str = ""
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The hub itself went away while the generation ran."""

    generation: str = ""
    usage: Usage | None = None
    seconds: Seconds | None = None
    at: str | None = None
    extra: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Other:
    """A JSON object that is none of the hub's events."""

    object: Mapping[str, Any]


Terminal = Finished | Failed | Cancelled | Interrupted
Event = Message | Started | Delta | Terminal | Other

TERMINALS: Final = (Finished, Failed, Cancelled, Interrupted)

TYPE_OF: Final[Mapping[type, str]] = {
    Message: "message",
    Started: "started",
    Delta: "delta",
    Finished: "finished",
    Failed: "failed",
    Cancelled: "cancelled",
    Interrupted: "interrupted",
}


def to_json(event: Event) -> dict[str, Any]:
    """The JSON object of an event: fields that hold nothing are left out."""
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
    return {name: held for name, held in pairs if held is not None and held is not False}


def encode(event: Event) -> bytes:
    """The event as JSON bytes without white space, as it stands in a record.

    The delta of plain text, nearly every record there is, takes a short way. The bytes are
    `exact`, because they are kept.

    Raises:
        RequestError: it holds what cannot be written: more than 254 levels, a whole number
            of more than 64 bits, half a surrogate pair.
    """
    try:
        if (
            type(event) is Delta
            and event.text
            and event.generation
            and not (event.reasoning or event.tool or event.extra)
        ):
            told: Mapping[str, Any] = {
                "type": "delta",
                "generation": event.generation,
                "text": event.text,
            }
        else:
            told = to_json(event)
        return exact(orjson.dumps(told))
    except orjson.JSONEncodeError as error:
        raise RequestError(
            f"an event must be something that JSON can hold: {error}", code="bad_event"
        ) from None


def exact(encoded: bytes) -> bytes:
    """The same bytes in an object no larger than they are, for those that are kept.

    What `orjson.dumps` gives stands in the buffer that it was written to, of which the end
    is not given back: kept, a hundred bytes take four thousand.
    """
    return bytes(memoryview(encoded))


def decode(body: bytes) -> Event:
    """The event in a record's JSON, which may be any that a stream takes: see
    `hub.domain.json_text`.

    Raises:
        RequestError: not JSON, not an object, or an event with a field of a wrong type.
    """
    try:
        held = json_text.loads(body)
    except ValueError:
        raise RequestError("an event must be a JSON object", code="bad_event") from None
    return from_json(held)


def recorded(body: bytes) -> Event | None:
    """The event in a record, whoever wrote it and whatever it is.

    What has the type of an event and not its form is `Other`: it passes through a stream as it
    stands. A value that is no object is ``None``.
    """
    try:
        held = json_text.loads(body)
    except ValueError:
        return None
    if not isinstance(held, dict):
        return None
    try:
        return from_json(held)
    except RequestError:
        return Other(held)


def from_json(held: object) -> Event:
    """The event a JSON value stands for; see `decode` for the errors."""
    if not isinstance(held, dict):
        raise RequestError("an event must be a JSON object", code="bad_event")
    kind = held.get("type")
    if kind == "delta" and len(held) == 3:
        # The delta of plain text: what is read from a store is nearly nothing else.
        generation, text = held.get("generation"), held.get("text")
        if type(generation) is str and type(text) is str:
            return Delta(generation, text)
    read = _READERS.get(kind) if isinstance(kind, str) else None
    return Other(held) if read is None else read(_Fields(held))


class _Fields:
    """Takes typed fields out of a JSON object; what is left over is ``extra``."""

    __slots__ = ("_left", "_type")

    def __init__(self, held: Mapping[str, Any]) -> None:
        self._left = dict(held)
        self._type = self._left.pop("type")

    def text(self, name: str) -> str:
        return self.maybe(name) or ""

    def maybe(self, name: str) -> str | None:
        value: str | None = self._take(name, str)
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> Any:
        value = self.maybe(name)
        if value not in allowed:
            raise self._wrong(name, f"one of {', '.join(allowed)}")
        return value

    def usage(self) -> Usage | None:
        held = self._take("usage", dict)
        if held is None:
            return None
        counts = {name: held.get(name) for name in Usage.__dataclass_fields__}
        estimated, details = counts.pop("estimated") is True, counts.pop("details")
        if isinstance(details, dict):
            details = {k: v for k, v in details.items() if type(v) in (int, float)}
        return Usage(
            **{k: v for k, v in counts.items() if type(v) is int},
            estimated=estimated,
            details=details or None,
        )

    def seconds(self) -> Seconds | None:
        """Only what is wholly of the known shape; another stays, as from before there was any."""
        held = self._left.get("seconds")
        if held is not None and not _are_seconds(held):
            return None
        self._left.pop("seconds", None)
        return None if held is None else Seconds(held.get("first"), held["total"])

    def tool(self) -> ToolCall | None:
        held = self._take("tool", dict)
        if held is None:
            return None
        index = held.get("index", 0)
        texts = {name: held.get(name) for name in ("id", "name", "arguments")}
        if type(index) is not int or not all(isinstance(t, str | None) for t in texts.values()):
            raise self._wrong("tool", 'an object {"index","id","name","arguments"}')
        custom, extra = held.get("custom") is True, held.get("extra_content")
        return ToolCall(
            index,
            texts["id"],
            texts["name"],
            texts["arguments"] or "",
            custom,
            extra if isinstance(extra, dict) else None,
        )

    def extra(self) -> Mapping[str, Any]:
        return self._left or NOTHING

    def _take(self, name: str, kind: type[str] | type[dict[str, Any]]) -> Any:
        value = self._left.pop(name, None)
        if value is not None and not isinstance(value, kind):
            raise self._wrong(name, "a string" if kind is str else "an object")
        return value

    def _wrong(self, name: str, wanted: str) -> RequestError:
        return RequestError(f'"{name}" of a "{self._type}" must be {wanted}', code="bad_event")


def _are_seconds(held: object) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(held, dict) or not {"total"} <= set(held) <= {"first", "total"}:
        return False
    return all(type(value) in (int, float) for value in held.values())


def _message(f: _Fields) -> Message:
    role = f.choice("role", ("system", "user", "assistant", "tool"))
    return Message(role, f.text("text"), f.maybe("author"), f.maybe("at"), f.extra())


def _started(f: _Fields) -> Started:
    named = f.text("generation"), f.text("upstream"), f.maybe("model")
    return Started(*named, f.maybe("at"), f.usage(), f.extra())


def _delta(f: _Fields) -> Delta:
    return Delta(f.text("generation"), f.text("text"), f.text("reasoning"), f.tool(), f.extra())


def _finished(f: _Fields) -> Finished:
    reason = f.choice("reason", ("stop", "length", "tool", "filter"))
    return Finished(f.text("generation"), reason, f.usage(), f.seconds(), f.maybe("at"), f.extra())


def _failed(f: _Fields) -> Failed:
    said = f.text("code"), f.text("message")
    return Failed(f.text("generation"), *said, f.usage(), f.seconds(), f.maybe("at"), f.extra())


def _cancelled(f: _Fields) -> Cancelled:
    return Cancelled(f.text("generation"), f.usage(), f.seconds(), f.maybe("at"), f.extra())


def _interrupted(f: _Fields) -> Interrupted:
    return Interrupted(f.text("generation"), f.usage(), f.seconds(), f.maybe("at"), f.extra())


_READERS: Final[Mapping[str, Callable[[_Fields], Event]]] = {
    "message": _message,
    "started": _started,
    "delta": _delta,
    "finished": _finished,
    "failed": _failed,
    "cancelled": _cancelled,
    "interrupted": _interrupted,
}
