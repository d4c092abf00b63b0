"""The commands of the WebSocket protocol `hub.v1`: JSON to typed objects."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

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
from hub.domain.generation_request import WhenBusy
from hub.domain.json_text import member, members
from hub.domain.one_line import is_line
from hub.http.json_models import Integer, ObjectsOrNone, Place, first_error, validated
from hub.protocols.durable import json_messages
from hub.protocols.subscribing import SubscriptionAsked

__all__ = [
    "Append",
    "Auth",
    "Cancel",
    "Command",
    "Fork",
    "Generate",
    "Ping",
    "Presence",
    "Requeue",
    "Subscribe",
    "Unsubscribe",
    "encoded_state",
    "parse",
]

LABEL_LENGTH: Final = 64

IDS: Final = range(-(2**63), 2**64)
"""The integers that an id may be. 1.0 is none: it is repeated as it was written, or not at all."""

Id = str | Annotated[int, Strict(), Field(ge=IDS[0], le=IDS[-1])] | None


def _label(value: str) -> str:
    if not is_line(value, LABEL_LENGTH):
        wanted = f"should be one line of 1 to {LABEL_LENGTH} characters"
        raise PydanticCustomError("hub", "{wanted}", {"wanted": wanted})
    return value


Label = Annotated[str, AfterValidator(_label)]


def _object(written: str) -> str:
    if not written.startswith("{"):
        raise PydanticCustomError("hub", "should be a JSON object")
    return written


AsWritten = Annotated[str, WithJsonSchema({})]
"""A JSON value as the client wrote it, which others read unchanged."""

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


class Subscribe(_Command, SubscriptionAsked):
    type: Literal["subscribe"]


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
    messages: ObjectsOrNone = None
    upstream: str | None = None
    model: str | None = None
    author: str | None = None
    key: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    when_busy: WhenBusy = "refuse"
    after: Place = None
    branch: str | None = None


class Requeue(_Command):
    """Change the ``prompt`` of a queued generation or its ``place``, or send it ``now``."""

    type: Literal["requeue"]
    generation: str
    prompt: str | None = None
    place: Integer | None = None
    now: bool = False


class Fork(_Command):
    """Begin ``stream`` with the records of ``source`` before ``position``, by default its tail."""

    type: Literal["fork"]
    stream: str
    source: str
    position: str | None = None


class Cancel(_Command):
    type: Literal["cancel"]
    generation: str


class Presence(_Command):
    """Take part in a stream as ``member``, a label that the client chooses; state null leaves."""

    type: Literal["presence"]
    stream: str
    state: AsWritten
    member: Label | None = None


class Ping(_Command):
    type: Literal["ping"]


_AS_WRITTEN: Final = {"append": "event", "presence": "state"}
"""The fields that others will read, by their commands."""

Command = (
    Auth | Subscribe | Unsubscribe | Append | Fork | Generate | Requeue | Cancel | Presence | Ping
)

_COMMANDS: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


def parse(text: str | bytes) -> Command:
    """The command in a client's frame.

    Raises:
        CommandError: it is malformed; the error's `reply_to` is its ``id``, if it has one.
    """
    try:
        fields = _read(text)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise CommandError("a frame must hold one JSON object", code="bad_json")
    name = fields.get("id")
    reply_to = name if type(name) in (str, int) else None
    if not isinstance(fields.get("type"), str):
        raise CommandError('a command needs a "type"', reply_to=reply_to)
    try:
        return validated(_COMMANDS.validate_python, fields)
    except RequestError as error:
        raise CommandError(error.message, reply_to=reply_to) from None
    except ValidationError as invalid:
        raise CommandError(_explained(fields["type"], invalid), reply_to=reply_to) from None


def _read(text: str | bytes) -> Any:
    """The JSON of a frame. The field that others will read stays as it was written.

    Raises:
        ValueError: it is not JSON, or too lax for the fields that the hub itself reads.
    """
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        fields = None  # the field that others read may be JSON that orjson refuses
    else:
        if not isinstance(fields, dict) or (kept := _kept(fields.get("type"))) not in fields:
            return fields
        text = text if isinstance(text, str) else text.decode()
        if kept is not None and (value := member(text, kept)):
            fields[kept] = value
            return fields
    written = members(text if isinstance(text, str) else text.decode())
    kept = _kept(orjson.loads(written.get("type", "null")))
    if fields is None and kept not in written:
        raise ValueError("this is not JSON")
    return {name: value if name == kept else orjson.loads(value) for name, value in written.items()}


def _kept(kind: Any) -> str | None:
    return _AS_WRITTEN.get(kind) if isinstance(kind, str) else None


def encoded_state(state: str, limit: int) -> bytes:
    """The state of a participant as JSON on one line.

    Raises:
        TooLarge: it has more than ``limit`` bytes.
        CommandError: it is nested too deeply.
    """
    try:
        line = json_messages.one(state, "a state")
    except RequestError as error:
        raise CommandError(error.message) from None
    if len(line) > limit:
        raise TooLarge(f"the state of a participant must have at most {limit} bytes, as JSON")
    return line


def _explained(kind: str, invalid: ValidationError) -> str:
    """One sentence about the first error."""
    first = first_error(invalid)
    if first["type"] == "union_tag_invalid":
        known = ", ".join(command.__name__.lower() for command in get_args(Command))
        return f"unknown command {kind[:64]!r}; there are: {known}"
    # The second step of the location is a field; those after it are pydantic's.
    field = str(first["loc"][1])[:64]
    return f'"{field}" of "{kind}": {first["msg"].lower()}'
