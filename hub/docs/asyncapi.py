"""The WebSocket protocol `hub.v1` as an AsyncAPI 3 document.

Each command is an operation of its own, with its reply. One more operation has all the frames that
the hub sends on its own.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from hub.docs.frames import COMMANDS, FRAMES, TITLES, ok_frame
from hub.docs.json_schema import PREFIX, Schema
from hub.docs.requests import CHAT_PARTS
from hub.docs.shapes import EVENTS, described
from hub.http.errors import CloseCode
from hub.protocols.websocket import commands

__all__ = ["CLOSES", "document"]

ABOUT: Final = (
    "Text frames, each a JSON object with a `type`. A command may have an `id`, which its response "
    "repeats; the hub responds to commands in order. Records of streams arrive in between. After "
    "close codes 4000-4499, reconnect with your positions; after 4500-4999, do not. With "
    "authentication, send a credential with the upgrade (`Authorization: Bearer`) or in the first "
    "command, `auth`."
)
CLOSES: Final[dict[CloseCode, str]] = {
    CloseCode.DRAINING: "The hub is shutting down: reconnect, with your positions.",
    CloseCode.TOO_MANY_CONNECTIONS: "There are too many connections: reconnect later.",
    CloseCode.TOKEN_EXPIRED: "The token has expired: reconnect with a new one.",
    CloseCode.AUTH_TIMEOUT: "No credential came in time: reconnect, and send one at once.",
    CloseCode.PROTOCOL_ERROR: "Too many frames were no commands: do not repeat them.",
    CloseCode.UNAUTHORIZED: "The credential is not valid, or allows nothing: do not use it again.",
    CloseCode.REVOKED: "The credential was revoked: do not use it again.",
}
BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key or a JSON Web Token, if the hub has authentication. Browsers cannot "
    "send this header with an upgrade; they use the command `auth`.",
}
CHANNEL: Final = "#/channels/hub"


def document() -> dict[str, Any]:
    """The document; the same code always makes the same one."""
    messages = _messages()
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
                "description": "The default address.",
                "security": [{"$ref": "#/components/securitySchemes/bearer"}],
            }
        },
        "channels": {
            "hub": {
                "address": "/v1/ws",
                "title": "The WebSocket",
                "description": "Offer the subprotocol `hub.v1`, or none. Pages of other origins "
                "are refused unless `server.origins` lists them.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
                "x-close-codes": [
                    {"code": int(code), "name": code.name.lower(), "description": description}
                    for code, description in CLOSES.items()
                ],
            }
        },
        "operations": {**_commands(), "hear": _hear()},
        "components": {
            "messages": messages,
            "schemas": _schemas(),
            "securitySchemes": {"bearer": BEARER},
        },
    }


def _messages() -> dict[str, Any]:
    sent = {name: _message(name.lower(), TITLES[name], name) for name in COMMANDS}
    replies = {
        f"{name}Ok": _message("ok", f"The response to `{name.lower()}`.", f"{name}Ok")
        for name in COMMANDS
    }
    frames = {
        kind: _message(kind, schema["description"], f"{kind.title()}Frame")
        for kind, schema in FRAMES.items()
        if kind != "ok"
    }
    return {**sent, **replies, **frames}


def _message(name: str, summary: str, schema: str) -> dict[str, Any]:
    return {"name": name, "summary": summary, "payload": {"$ref": PREFIX + schema}}


def _commands() -> dict[str, Any]:
    return {
        name.lower(): {
            "action": "receive",
            "channel": {"$ref": CHANNEL},
            "summary": TITLES[name],
            "messages": _channel_messages(name),
            "reply": {
                "channel": {"$ref": CHANNEL},
                "messages": _channel_messages(f"{name}Ok", "error"),
            },
        }
        for name in COMMANDS
    }


def _hear() -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": CHANNEL},
        "summary": "What the hub sends on its own.",
        "messages": _channel_messages(*(kind for kind in FRAMES if kind != "ok")),
    }


def _channel_messages(*names: str) -> list[Schema]:
    return [{"$ref": f"{CHANNEL}/messages/{name}"} for name in names]


def _schemas() -> dict[str, Schema]:
    schema = TypeAdapter(commands.Command).json_schema(ref_template=PREFIX + "{model}")
    sent = {name: described(name, schema["$defs"][name]) for name in COMMANDS}
    replies = {f"{name}Ok": ok_frame(name) for name in COMMANDS}
    frames = {f"{kind.title()}Frame": frame for kind, frame in FRAMES.items() if kind != "ok"}
    return {**sent, **CHAT_PARTS, **replies, **frames, **EVENTS}
