"""What the hub says over the WebSocket: every frame, and the fields of `ok` for each command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.docs.codes import CODES
from hub.docs.operations import Schema, ref
from hub.docs.shapes import NUMBER, TEXT, a_list, const, nullable, thing
from hub.domain.generation import State
from hub.protocols.websocket import commands

__all__ = ["ANSWERED", "COMMANDS", "FRAMES", "TITLES"]

ID: Final[Schema] = {"type": ["string", "integer"]}
MEMBER: Final = thing("", {"member": TEXT, "state": {}})

COMMANDS: Final = {kind.__name__: kind for kind in commands.Command.__args__}
"""The commands by the names of their models."""

TITLES: Final[Mapping[str, str]] = {
    "Append": "Append an event to a stream, which begins with its first. `ok` says where it ends, "
    "as soon as the store has it.",
    "Auth": "Kept for later: this hub has no login, and answers `not_supported`.",
    "Cancel": "Stop a generation, for everybody; the upstream's socket is closed within 100 ms.",
    "Fork": "Begin `stream` with what `source` holds before `position`, its tail if none.",
    "Generate": "Ask an upstream: a `prompt` in the conversation of a stream, or exactly these "
    "`messages`. `key` makes asking again harmless.",
    "Ping": "Answered with `ok`.",
    "Presence": "Take part in a stream that is followed, with a `state` that all others who do are "
    "shown; `null` leaves. `member` is a label of the client's own.",
    "Subscribe": "Follow a stream from `start`, `now` or a position. With `wait` it need not be "
    "there yet.",
    "Unsubscribe": "Follow it no longer.",
}

ANSWERED: Final[Mapping[str, Mapping[str, Schema]]] = {
    "Append": {"stream": TEXT, "position": ref("Position")},
    "Auth": {},
    "Cancel": {"generation": TEXT, "state": {"enum": [state.value for state in State]}},
    "Fork": {"stream": TEXT, "position": ref("Position")},
    "Generate": {"generation": TEXT, "stream": TEXT, "position": nullable(ref("Position"))},
    "Ping": {},
    "Presence": {"stream": TEXT, "member": nullable(TEXT)},
    "Subscribe": {
        "stream": TEXT,
        "position": nullable(ref("Position")),
        "tail": nullable(ref("Position")),
    },
    "Unsubscribe": {"stream": TEXT},
}
"""What `ok` tells besides the command's ``id``."""

RECORD: Final[Schema] = {
    "anyOf": [ref("Event"), {"type": ["array", "string", "number", "boolean", "null"]}]
}
"""A stream of JSON may hold values that are no objects, too."""

_AT: Final = {"stream": TEXT, "position": ref("Position")}


def _frame(kind: str, says: str, fields: Mapping[str, Schema], **optional: Schema) -> Schema:
    return thing(says, {"type": const(kind), **fields}, optional)


FRAMES: Final[Mapping[str, Schema]] = {
    "events": _frame(
        "events",
        "Records of a stream that is followed. `position` is the next to read. Event i of k ends "
        "at its offset less k - 1 - i, except where deltas were merged for who catches up: then "
        "`offsets` has the offset after each.",
        {**_AT, "events": a_list(RECORD)},
        offsets=a_list(NUMBER),
    ),
    "reset": _frame(
        "reset",
        "The position asked for is not there: it goes on from this one. `trimmed`: what was there "
        "is no longer kept. `unwritten`: a crash took back what was there; forget each event whose "
        "position is greater than this one, which was told before, or is the beginning.",
        {**_AT, "reason": {"enum": ["trimmed", "unwritten"]}},
    ),
    "closed": _frame("closed", "The stream has ended, and everything was sent.", _AT),
    "presence": _frame(
        "presence",
        "Who takes part in a stream: first everybody, then who came or changed, and who went.",
        {"stream": TEXT, "joined": a_list(MEMBER), "left": a_list(TEXT)},
    ),
    "ok": _frame("ok", "The command of this `id` was carried out.", {}, id=ID),
    "error": _frame(
        "error",
        "The command of this `id` was refused; or, with a `stream` and no `id`, a stream that was "
        "waited for turned out to hold no events.",
        {"code": {"enum": [*CODES]}, "message": TEXT},
        id=ID,
        stream=TEXT,
    ),
    "beat": _frame("beat", "A sign of life, when nothing else was to be said.", {}),
    "draining": _frame(
        "draining",
        "The hub goes away: come back after so many milliseconds, with your positions.",
        {"retry_ms": NUMBER},
    ),
}


def answered(command: str) -> dict[str, Any]:
    """The `ok` of a command."""
    frame = dict(FRAMES["ok"])
    fields = ANSWERED[command]
    properties = {"type": const("ok"), **fields, "id": ID}
    return {**frame, "properties": properties, "required": ["type", *fields]}
