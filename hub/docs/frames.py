"""The frames of `hub.v1`, which the hub sends over the WebSocket and to `POST /v1/follow`, and the
fields of `ok` for each command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.docs.codes import CODES
from hub.docs.json_schema import (
    ANY,
    NUMBER,
    TEXT,
    Schema,
    array,
    const,
    nullable,
    object_of,
    ref,
    tagged,
)
from hub.docs.shapes import STATE
from hub.protocols.websocket import commands

__all__ = ["ANSWERED", "COMMANDS", "FOLLOWED", "FRAMES", "TITLES", "ok_frame"]

ID: Final[Schema] = {"type": ["string", "integer"]}
MEMBER: Final = object_of("", {"member": TEXT, "state": ANY})

COMMANDS: Final = {kind.__name__: kind for kind in commands.Command.__args__}
"""The commands' models by name."""

TITLES: Final[Mapping[str, str]] = {
    "Append": "Append an event to a stream, which the first event creates. `ok` gives the position "
    "after it once the store has it.",
    "Auth": "Present a credential, first or again: an API key or a token. `ok` says in how many "
    "seconds it expires; present another one until then. Streams that it does not allow any more "
    "get an `error`. A hub without authentication responds `not_supported`.",
    "Cancel": "Cancel a generation for everybody. The connection to the upstream closes within "
    "100 ms.",
    "Fork": "Create `stream` with the records of `source` before `position`, by default all.",
    "Generate": "Start a generation: with a `prompt` in the conversation of a stream, or with "
    "exactly these `messages`. `key` makes retries safe. `when_busy` says what happens to a prompt "
    "while the stream answers another one. `after` and `branch` say what of the conversation it "
    "follows; with `after` alone, that is answered again.",
    "Ping": "The hub responds with `ok`.",
    "Presence": "Join a stream that this connection follows, with a `state` that all other members "
    "see; `null` leaves. `member` is a label of the client's choice.",
    "Requeue": "Change the text of a queued prompt, or its place (1 is the next), or send it "
    "`now`, which stops the answer that runs.",
    "Subscribe": "Follow a stream from `start`, `now` or a position. With `wait` the stream need "
    "not exist yet.",
    "Unsubscribe": "Stop following a stream.",
}

ANSWERED: Final[Mapping[str, Mapping[str, Schema]]] = {
    "Append": {"stream": TEXT, "position": ref("Position")},
    "Auth": {"expires_in": nullable(NUMBER)},
    "Cancel": {"generation": TEXT, "state": STATE},
    "Fork": {"stream": TEXT, "position": ref("Position")},
    "Generate": {
        "generation": TEXT,
        "stream": TEXT,
        "position": nullable(ref("Position")),
        "state": STATE,
    },
    "Ping": {},
    "Presence": {"stream": TEXT, "member": nullable(TEXT)},
    "Requeue": {"generation": TEXT, "state": STATE},
    "Subscribe": {
        "stream": TEXT,
        "position": nullable(ref("Position")),
        "tail": nullable(ref("Position")),
    },
    "Unsubscribe": {"stream": TEXT},
}
"""The fields of `ok` besides the command's ``id``."""

RECORD: Final[Schema] = {
    "anyOf": [ref("Event"), {"type": ["array", "string", "number", "boolean", "null"]}]
}
"""JSON streams may hold values other than objects."""

_AT: Final = {"stream": TEXT, "position": ref("Position")}


FRAMES: Final[Mapping[str, Schema]] = {
    kind: tagged(description, kind, fields)
    for kind, description, fields in (
        (
            "events",
            "Records of a stream that the connection follows. `position` is the position after "
            "the last one. Event i of k ends at the offset of `position` minus k - 1 - i, unless "
            "deltas were merged to catch up: then `offsets` has the offset after each event.",
            {**_AT, "events": array(RECORD), "offsets?": array(NUMBER)},
        ),
        (
            "reset",
            "The requested position does not exist; the stream continues from this one. `trimmed`: "
            "the records there are no longer kept. `unwritten`: a crash lost the records there; "
            "discard every event with a position greater than this one, which is the start or a "
            "position that you have received before.",
            {**_AT, "reason": {"enum": ["trimmed", "unwritten"]}},
        ),
        ("closed", "The stream is closed, and all its records were sent.", _AT),
        (
            "presence",
            "The members of a stream: first all of them, then changes. `joined` has those who "
            "joined or changed, `left` those who left.",
            {"stream": TEXT, "joined": array(MEMBER), "left": array(TEXT)},
        ),
        ("ok", "The command with this `id` succeeded.", {"id?": ID}),
        (
            "error",
            "The command with this `id` failed. With a `stream` and no `id`: the stream that the "
            "connection was waiting for does not hold events, or the credential does not allow a "
            "stream that it followed. `POST /v1/follow` has no commands: there each `error` has a "
            "`stream`, which is followed no more.",
            {"code": {"enum": [*CODES]}, "message": TEXT, "id?": ID, "stream?": TEXT},
        ),
        ("beat", "A heartbeat, sent when there was nothing else to send.", {}),
        (
            "draining",
            "The hub is shutting down: reconnect after this many milliseconds, with your "
            "positions.",
            {"retry_ms": NUMBER},
        ),
    )
}


_BEGUN: Final = tagged("The stream is followed from here on.", "ok", ANSWERED["Subscribe"])
# Client generators know no array in a union.
_RECORDS: Final = array({"description": "An `Event`, or another JSON value."})
_EVENTS: Final = FRAMES["events"]
_OF_FOLLOW: Final[Mapping[str, Schema]] = {
    **FRAMES,
    "ok": _BEGUN,
    "events": {**_EVENTS, "properties": {**_EVENTS["properties"], "events": _RECORDS}},
}

FOLLOWED: Final[Mapping[str, Schema]] = {
    "FollowFrame": {
        "description": "A message about one of the streams that a response carries, or about all.",
        "anyOf": [frame for kind, frame in _OF_FOLLOW.items() if kind != "presence"],
    }
}
"""What `POST /v1/follow` sends."""


def ok_frame(command: str) -> dict[str, Any]:
    fields = ANSWERED[command]
    return {
        **FRAMES["ok"],
        "properties": {"type": const("ok"), **fields, "id": ID},
        "required": ["type", *fields],
    }
