"""What a client may ask for over the WebSocket: `hub.v1` JSON to typed commands."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from hub.domain.errors import CommandError, RequestError, TooLarge
from hub.domain.json_text import member, members
from hub.protocols.durable import json_messages as messages

__all__ = [
    "Append",
    "Auth",
    "Cancel",
    "Command",
    "Fork",
    "Generate",
    "Ping",
    "Presence",
    "Subscribe",
    "Unsubscribe",
    "encoded",
    "parse",
]

LABEL_LENGTH: Final = 64

Id = str | Annotated[int, Strict()] | None


def _label(value: str) -> str:
    if not 0 < len(value) <= LABEL_LENGTH or not value.isprintable():
        wanted = f"should be 1 to {LABEL_LENGTH} printable characters"
        raise PydanticCustomError("hub", "{wanted}", {"wanted": wanted})
    return value


Label = Annotated[str, AfterValidator(_label)]


def _object(written: str) -> str:
    if not written.startswith("{"):
        raise PydanticCustomError("hub", "should be a JSON object")
    return written


AsWritten = Annotated[str, WithJsonSchema({})]
"""A JSON value in the text that the client wrote it in: what others read is what it sent."""

ObjectAsWritten = Annotated[
    str, AfterValidator(_object), WithJsonSchema({"type": "object", "additionalProperties": True})
]


class _Command(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Id = None
    """Repeated in the reply."""


class Auth(_Command):
    type: Literal["auth"]
    token: str


class Subscribe(_Command):
    type: Literal["subscribe"]
    stream: str
    start: Annotated[str, Field(alias="from")] = "now"
    wait: bool = False
    """A stream that is not there yet is followed once it begins."""


class Unsubscribe(_Command):
    type: Literal["unsubscribe"]
    stream: str


class Append(_Command):
    type: Literal["append"]
    stream: str
    event: ObjectAsWritten


class Generate(_Command):
    type: Literal["generate"]
    stream: str | None = None
    prompt: str | None = None
    messages: tuple[dict[str, Any], ...] | None = None
    upstream: str | None = None
    model: str | None = None
    author: str | None = None
    key: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class Fork(_Command):
    """Begin ``stream`` with what ``source`` holds before ``position``, its tail if none."""

    type: Literal["fork"]
    stream: str
    source: str
    position: str | None = None


class Cancel(_Command):
    type: Literal["cancel"]
    generation: str


class Presence(_Command):
    """Take part in a stream as ``member``, a label of the client's own; ``None`` leaves."""

    type: Literal["presence"]
    stream: str
    state: AsWritten
    member: Label | None = None


class Ping(_Command):
    type: Literal["ping"]


_AS_WRITTEN: Final = {"append": "event", "presence": "state"}
"""The fields that others will read, by the commands that bring them."""

Command = Auth | Subscribe | Unsubscribe | Append | Fork | Generate | Cancel | Presence | Ping

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


def parse(text: str | bytes) -> Command:
    """The command in a client's frame.

    Raises:
        CommandError: it is not one; `reply_to` of the error is its ``id`` if it had one.
    """
    try:
        held = _read(text)
    except ValueError:
        raise CommandError("a frame must hold one JSON object", code="bad_json") from None
    if not isinstance(held, dict):
        raise CommandError("a frame must hold one JSON object", code="bad_json")
    if not isinstance(held.get("type"), str):
        raise CommandError('a command needs a "type"', reply_to=_id(held))
    try:
        return _COMMANDS.validate_python(held)
    except ValidationError as invalid:
        raise CommandError(_complaint(held, invalid), reply_to=_id(held)) from None


def _read(text: str | bytes) -> Any:
    """A frame's JSON, of which what others will read stays as it was written.

    Raises:
        ValueError: it is not JSON, or not as strict as what the hub itself reads must be.
    """
    try:
        held = orjson.loads(text)
    except orjson.JSONDecodeError:
        held = None  # what others will read may be more than orjson takes
    else:
        if not isinstance(held, dict) or (kept := _kept(held.get("type"))) not in held:
            return held
        if kept is not None and isinstance(text, str) and (value := member(text, kept)):
            held[kept] = value
            return held
    written = members(text if isinstance(text, str) else text.decode())
    kept = _kept(orjson.loads(written.get("type", "null")))
    if held is None and kept not in written:
        raise ValueError("this is not JSON")
    return {name: value if name == kept else orjson.loads(value) for name, value in written.items()}


def _kept(kind: Any) -> str | None:
    return _AS_WRITTEN.get(kind) if isinstance(kind, str) else None


def encoded(state: str, limit: int) -> bytes:
    """What a participant says of itself, as JSON.

    Raises:
        TooLarge: it has more than ``limit`` bytes.
        CommandError: it is nested too deeply.
    """
    try:
        found = messages.one(state, "a state")
    except RequestError as error:
        raise CommandError(error.message) from None
    if len(found) > limit:
        raise TooLarge(f"the state of a participant has at most {limit} bytes, as JSON")
    return found


def _id(held: dict[str, Any]) -> Id:
    found = held.get("id")
    return found if type(found) in (str, int) else None


def _complaint(held: dict[str, Any], invalid: ValidationError) -> str:
    """One sentence about the first thing that is wrong."""
    first = invalid.errors(include_url=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid":
        return f"unknown command {held['type'][:64]!r}; there are: {_known()}"
    # What lies deeper is pydantic's way through the types, not the client's words.
    where = str(first["loc"][1])[:64]
    return f'"{where}" of "{held["type"]}": {first["msg"].lower()}'


def _known() -> str:
    kinds = (Auth, Subscribe, Unsubscribe, Append, Fork, Generate, Cancel, Presence, Ping)
    return ", ".join(kind.__name__.lower() for kind in kinds)
