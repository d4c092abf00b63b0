"""The WebSocket `hub.v1` as one AsyncAPI 3 document.

The client sends commands, and the hub answers each; whatever a command has led to comes
besides, in frames that answer nothing. That is one operation for each command, with its
reply, and one for all that comes by itself.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from hub.docs.frames import COMMANDS, FRAMES, TITLES, answered
from hub.docs.operations import Schema
from hub.docs.shapes import EVENTS, PREFIX, nullable, plain
from hub.http.errors import CloseCode
from hub.protocols.websocket import commands

__all__ = ["CLOSES", "document"]

ABOUT: Final = (
    "Text frames, each a JSON object with a `type`. A command may carry an `id`, which its answer "
    "repeats; commands are answered one after another. What streams have to say comes besides. "
    "After close codes 4000-4499 come back with your positions, after 4500-4999 do not."
)
CLOSES: Final[dict[CloseCode, str]] = {
    CloseCode.DRAINING: "The hub goes away: come back, with your positions.",
    CloseCode.TOO_MANY_CONNECTIONS: "Too many are connected: come back later.",
    CloseCode.PROTOCOL_ERROR: "What was sent broke the rules: do not come back with the same.",
}
PLACE: Final = "#/channels/hub"


def document() -> dict[str, Any]:
    """The document, the same from the same code."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Streamhub, WebSocket hub.v1",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:7000",
                "protocol": "ws",
                "description": "Where it listens unasked.",
            }
        },
        "channels": {
            "hub": {
                "address": "/v1/ws",
                "title": "The WebSocket",
                "description": "Offer the subprotocol `hub.v1`, or none. Pages of other origins "
                "are refused unless `server.origins` names them.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in _messages()
                },
                "bindings": {
                    "ws": {"method": "GET", "bindingVersion": "0.1.0"},
                },
                "x-close-codes": [
                    {"code": int(code), "name": code.name.lower(), "description": says}
                    for code, says in CLOSES.items()
                ],
            }
        },
        "operations": {**_commands(), "hear": _hear()},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _messages() -> dict[str, Any]:
    asked = {name: _message(word(name), TITLES[name], name) for name in COMMANDS}
    answers = {
        f"{name}Ok": _message("ok", f"The answer to `{word(name)}`.", f"{name}Ok")
        for name in COMMANDS
    }
    told = {
        kind: _message(kind, schema["description"], f"{kind.title()}Frame")
        for kind, schema in FRAMES.items()
        if kind != "ok"
    }
    return {**asked, **answers, **told}


def _message(name: str, says: str, schema: str) -> dict[str, Any]:
    return {"name": name, "summary": says, "payload": {"$ref": PREFIX + schema}}


def _commands() -> dict[str, Any]:
    return {
        word(name): {
            "action": "receive",
            "channel": {"$ref": PLACE},
            "summary": TITLES[name],
            "messages": [{"$ref": f"{PLACE}/messages/{name}"}],
            "reply": {
                "channel": {"$ref": PLACE},
                "messages": [
                    {"$ref": f"{PLACE}/messages/{name}Ok"},
                    {"$ref": f"{PLACE}/messages/error"},
                ],
            },
        }
        for name in COMMANDS
    }


def _hear() -> dict[str, Any]:
    kinds = [kind for kind in FRAMES if kind != "ok"]
    return {
        "action": "send",
        "channel": {"$ref": PLACE},
        "summary": "What the hub says by itself.",
        "messages": [{"$ref": f"{PLACE}/messages/{kind}"} for kind in kinds],
    }


def _schemas() -> dict[str, Schema]:
    made = TypeAdapter(commands.Command).json_schema(by_alias=True, ref_template=PREFIX + "{model}")
    asked = {name: plain(made["$defs"][name]) for name in COMMANDS}
    # What a function checks, no schema can say by itself.
    label = {"type": "string", "minLength": 1, "maxLength": commands.LABEL_LENGTH}
    asked["Presence"]["properties"]["member"] = nullable(label)
    answers = {f"{name}Ok": answered(name) for name in COMMANDS}
    told = {f"{kind.title()}Frame": schema for kind, schema in FRAMES.items() if kind != "ok"}
    return {**asked, **answers, **told, **EVENTS}


def word(name: str) -> str:
    """A command as it is written in a frame."""
    return name.lower()
