"""The messages of AG-UI's own clients, to messages of the OpenAI chat API.

Calls and results are not parts here: a call is in its assistant's ``toolCalls``, a result in a
message with the role ``tool``. Models are not shown reasoning and activities, nor calls without
a result, which providers refuse. (Source: AG-UI's ``RunAgentInput``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hub.domain.errors import RequestError
from hub.domain.events import Message, now
from hub.domain.json_values import as_object
from hub.protocols.conversation import messages as ui_messages

__all__ = ["chat_messages", "chat_tools", "new_messages"]

Object = Mapping[str, Any]

_SKIPPED: Final = ("reasoning", "activity")
"""Roles that models are not shown."""


def chat_messages(messages: Iterable[Object]) -> tuple[dict[str, Any], ...]:
    """The messages as the OpenAI chat API has them.

    Raises:
        RequestError: one is malformed, or has a file that no model accepts.
    """
    messages = tuple(messages)
    answered = {_call_id(message) for message in messages if message.get("role") == "tool"}
    return tuple(one for message in messages for one in _chat_messages(message, answered))


def new_messages(messages: tuple[Object, ...]) -> tuple[Message, ...]:
    """What the messages after the assistant's last one add to the conversation."""
    replies = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    new = messages[replies[-1] + 1 :] if replies else messages
    return tuple(one for message in new for one in _events(message))


def chat_tools(tools: Iterable[Object]) -> list[dict[str, Any]]:
    """The tools of a client as the OpenAI chat API has them."""
    names = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {name: tool[name] for name in names if tool.get(name)}}
        for tool in tools
    ]


def _chat_messages(message: Object, answered: set[str]) -> Iterator[dict[str, Any]]:
    role = message.get("role")
    if role == "tool":
        yield {"role": "tool", "tool_call_id": _call_id(message), "content": _result(message)}
    elif role == "assistant":
        calls = message.get("toolCalls")
        objects = map(as_object, calls) if isinstance(calls, list) else ()
        shown = [_chat_call(call) for call in objects if str(call.get("id")) in answered]
        content = _text(message)
        if content or shown:
            tool_calls = {"tool_calls": shown} if shown else {}
            yield {"role": "assistant", "content": content or None, **tool_calls}
    elif role not in _SKIPPED:
        yield from ui_messages.chat_messages([_with_parts(message)])


def _events(message: Object) -> tuple[Message, ...]:
    role = message.get("role")
    if role == "tool":
        named = {"id": message["id"]} if message.get("id") else {}
        extra = {"tool_call_id": _call_id(message), **named}
        return (Message("tool", _result(message), at=now(), extra=extra),)
    return () if role in _SKIPPED else ui_messages.new_messages((_with_parts(message),))


def _with_parts(message: Object) -> Object:
    """A message of a person or the system as chat libraries have it."""
    role, content = message.get("role"), message.get("content")
    parts = [_part(as_object(part)) for part in content] if isinstance(content, list) else content
    return {**message, "role": "system" if role == "developer" else role, "content": parts}


def _part(part: Object) -> Object:
    if part.get("type") != "binary":
        return part
    data, media_type = part.get("data"), part.get("mimeType")
    url = f"data:{media_type};base64,{data}" if isinstance(data, str) else part.get("url")
    return {"type": "file", "url": url, "mediaType": media_type, "filename": part.get("filename")}


def _chat_call(call: Object) -> dict[str, Any]:
    function = as_object(call.get("function"))
    named = {"name": function.get("name"), "arguments": function.get("arguments") or "{}"}
    return {"id": call.get("id"), "type": "function", "function": named}


def _call_id(message: Object) -> str:
    call_id = message.get("toolCallId")
    if not isinstance(call_id, str) or not call_id:
        raise RequestError("a message with the role tool must have a toolCallId")
    return call_id


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
