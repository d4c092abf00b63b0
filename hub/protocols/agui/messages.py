"""The messages of AG-UI's own clients, to messages of the OpenAI chat API.

Calls and results are not parts here: a call is in its assistant's ``toolCalls``, a result in a
message with the role ``tool``. Models are not shown reasoning and activities, nor calls without
a result, which providers refuse. What a model must be shown again is in the ``encryptedValue`` of
reasoning and of calls (`hub.protocols.agui.chunks`), and is sent back to it.
(Source: AG-UI's ``RunAgentInput``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from hub.domain.errors import RequestError
from hub.domain.events import Message, now
from hub.domain.json_values import as_object
from hub.domain.provider_fields import EXECUTED, EXTRA, LISTS, placed, unseal
from hub.protocols.conversation import messages as ui_messages

__all__ = ["chat_messages", "chat_tools", "new_messages"]

Object = Mapping[str, Any]

_SKIPPED: Final = ("reasoning", "activity")
"""Roles that models are not shown."""

Fields = dict[str, list[Any]]


def chat_messages(messages: Iterable[Object]) -> tuple[dict[str, Any], ...]:
    """The messages as the OpenAI chat API has them.

    Raises:
        RequestError: one is malformed, or has a file that no model accepts.
    """
    messages = tuple(messages)
    messages = _without_results(messages, _executed_ids(messages))
    answered = {_call_id(message) for message in messages if message.get("role") == "tool"}
    return tuple(
        one
        for message, fields in _with_fields(messages)
        for one in _chat_messages(message, fields, answered)
    )


def new_messages(messages: tuple[Object, ...]) -> tuple[Message, ...]:
    """What the messages after the assistant's last one add to the conversation."""
    replies = [at for at, message in enumerate(messages) if message.get("role") == "assistant"]
    new = messages[replies[-1] + 1 :] if replies else messages
    new = _without_results(new, _executed_ids(messages))
    return tuple(one for message in new for one in _events(message))


def chat_tools(tools: Iterable[Object]) -> list[dict[str, Any]]:
    """The tools of a client as the OpenAI chat API has them."""
    names = ("name", "description", "parameters")
    return [
        {"type": "function", "function": {name: tool[name] for name in names if tool.get(name)}}
        for tool in tools
    ]


def _with_fields(messages: Iterable[Object]) -> list[tuple[Object, Fields]]:
    """The messages besides reasoning, each with the fields in the reasoning that belongs to it.

    AG-UI's client has the reasoning after its answer, TanStack AI before it.
    """
    found: list[tuple[Object, Fields]] = []
    waiting: Fields = {}
    for message in messages:
        role = message.get("role")
        if role == "reasoning":
            follows = found and found[-1][0].get("role") == "assistant"
            fields = found[-1][1] if follows else waiting
            for name, values in unseal(message.get("encryptedValue")).items():
                if name in LISTS:
                    fields.setdefault(name, []).extend(values)
        elif role not in _SKIPPED:
            fields = {}
            if role == "assistant":
                fields, waiting = waiting, {}
            found.append((message, fields))
    return found


def _calls(message: Object) -> list[Object]:
    calls = message.get("toolCalls")
    return list(map(as_object, calls)) if isinstance(calls, list) else []


def _executed(call: Object) -> list[dict[str, Any]]:
    """The call as one that the provider ran; empty if the client ran it."""
    return unseal(call.get("encryptedValue")).get(EXECUTED, [])


def _executed_ids(messages: Iterable[Object]) -> set[str]:
    calls = (call for message in messages for call in _calls(message))
    return {str(call.get("id")) for call in calls if _executed(call)}


def _without_results(messages: Iterable[Object], calls: set[str]) -> tuple[Object, ...]:
    """The messages without the results of these calls."""
    return tuple(m for m in messages if m.get("role") != "tool" or m.get("toolCallId") not in calls)


def _chat_messages(message: Object, fields: Fields, answered: set[str]) -> Iterator[dict[str, Any]]:
    role = message.get("role")
    if role == "tool":
        yield {"role": "tool", "tool_call_id": _call_id(message), "content": _result(message)}
    elif role == "assistant":
        calls = []
        for call in _calls(message):
            if executed := _executed(call):
                fields.setdefault(EXECUTED, []).extend(executed)
            else:
                calls.append(call)
        left = [number for number, call in enumerate(calls) if str(call.get("id")) in answered]
        shown = [_chat_call(calls[number]) for number in left]
        content = _text(message)
        if content or shown:
            tool_calls = {"tool_calls": shown} if shown else {}
            kept = {name: placed(values, left) for name, values in fields.items()}
            yield {"role": "assistant", "content": content or None, **tool_calls, **kept}
    else:
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
    name, arguments = function.get("name"), function.get("arguments")
    (fields, *_) = unseal(call.get("encryptedValue")).get(EXTRA) or ({},)
    extra = {EXTRA: fields[EXTRA]} if isinstance(fields.get(EXTRA), dict) else {}
    if fields.get("custom") is True:
        custom = {"name": name, "input": arguments or ""}
        return {"id": call.get("id"), "type": "custom", "custom": custom, **extra}
    named = {"name": name, "arguments": arguments or "{}"}
    return {"id": call.get("id"), "type": "function", "function": named, **extra}


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
