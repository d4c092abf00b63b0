"""The messages of AG-UI's own clients, in the shape that models are asked in.

They stand apart where chat libraries have parts: a call in its assistant's ``toolCalls``, its
result in a message of the ``tool``. Reasoning and activities are not repeated to a model, nor are
calls that nobody has answered, which providers refuse. (Source: AG-UI's ``RunAgentInput``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hub.domain.errors import RequestError
from hub.domain.events import Message, now
from hub.domain.json_values import as_object
from hub.protocols.conversation import messages as ui_messages

__all__ = ["asked", "said", "tools"]

Object = Mapping[str, Any]

_UNTOLD: Final = ("reasoning", "activity")


def asked(messages: Iterable[Object]) -> tuple[dict[str, Any], ...]:
    """The messages in the OpenAI chat shape.

    Raises:
        RequestError: one is none, or holds a file that no model takes.
    """
    held = tuple(messages)
    answered = {_call_id(message) for message in held if message.get("role") == "tool"}
    return tuple(one for message in held for one in _asked(message, answered))


def said(messages: tuple[Object, ...]) -> tuple[Message, ...]:
    """What the messages after the last of the assistant's add to the conversation."""
    after = next(
        (place for place in range(len(messages), 0, -1) if _is_answer(messages[place - 1])), 0
    )
    return tuple(one for message in messages[after:] for one in _said(message))


def tools(held: Iterable[Object]) -> list[dict[str, Any]]:
    """The tools of a client, as chat completions have them."""
    names = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {name: tool[name] for name in names if tool.get(name)}}
        for tool in held
    ]


def _is_answer(message: Object) -> bool:
    return message.get("role") == "assistant"


def _asked(message: Object, answered: set[str]) -> Iterator[dict[str, Any]]:
    role = message.get("role")
    if role == "tool":
        yield {"role": "tool", "tool_call_id": _call_id(message), "content": _result(message)}
    elif role == "assistant":
        held = message.get("toolCalls")
        told = map(as_object, held) if isinstance(held, list) else ()
        calls = [call for call in told if str(call.get("id")) in answered]
        content = _text(message)
        if content or calls:
            made = {"tool_calls": [_call(call) for call in calls]} if calls else {}
            yield {"role": "assistant", "content": content or None, **made}
    elif role not in _UNTOLD:
        yield from ui_messages.asked([_plain(message)])


def _said(message: Object) -> Iterator[Message]:
    role = message.get("role")
    if role == "tool":
        named = {"id": message["id"]} if message.get("id") else {}
        extra = {"tool_call_id": _call_id(message), **named}
        yield Message("tool", _result(message), at=now(), extra=extra)
    elif role not in _UNTOLD:
        yield from ui_messages.said((_plain(message),))


def _plain(message: Object) -> Object:
    """A message of a person or of the system, as chat libraries have it."""
    role, content = message.get("role"), message.get("content")
    parts = [_part(as_object(part)) for part in content] if isinstance(content, list) else content
    return {**message, "role": "system" if role == "developer" else role, "content": parts}


def _part(part: Object) -> Object:
    if part.get("type") != "binary":
        return part
    data, url = part.get("data"), part.get("url")
    held = f"data:{part.get('mimeType')};base64,{data}" if isinstance(data, str) else url
    told = {"mediaType": part.get("mimeType"), "filename": part.get("filename")}
    return {"type": "file", "url": held, **told}


def _call(call: Object) -> dict[str, Any]:
    function = as_object(call.get("function"))
    told = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    return {"id": call.get("id"), "type": "function", "function": told}


def _call_id(message: Object) -> str:
    found = message.get("toolCallId")
    if not isinstance(found, str) or not found:
        raise RequestError("a message of a tool must have the toolCallId that it answers")
    return found


def _result(message: Object) -> str:
    error = message.get("error")
    return error if isinstance(error, str) and error else _text(message)


def _text(message: Object) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = map(as_object, content) if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))
