"""Messages with parts, as chat libraries keep them, to messages of the OpenAI chat API.

Two libraries have such messages: the AI SDK (``UIMessage``) and TanStack AI. They differ in names,
hardly in meaning, so one parser reads both::

    what              AI SDK                                    TanStack AI
    text              {type: text, text}                        {type: text, content}
    an image or file  {type: file, mediaType, url, filename}    {type: image | audio | document,
                                                                 source: {type, value, mimeType}}
    a tool call       {type: tool-NAME | dynamic-tool,          {type: tool-call, id, name,
                       toolCallId, input, state, output}         arguments, output}
    its result        in the same part                          {type: tool-result, toolCallId,
                                                                 content}
    a new step        {type: step-start}                        text or a call after a result

Models are not shown reasoning, sources and an application's own parts (``data-…``) again, nor
calls without a result, which providers refuse. What a model must be shown again is in the
metadata of the parts (`hub.protocols.aisdk.chunks`) or, from TanStack AI, in the signature of a
``thinking`` part or call (`hub.protocols.agui.chunks`), and is sent back to it.
(Sources: the AI SDK's ``convertToModelMessages``, TanStack AI's ``types.ts``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hub.domain.conversation import AFTER
from hub.domain.errors import RequestError
from hub.domain.events import NOTHING, Message, now
from hub.domain.json_values import as_object
from hub.domain.media import IMAGES, image_part
from hub.domain.provider_fields import DETAILS, EXECUTED, EXTRA, is_signed_media, placed, unseal

__all__ = ["CUSTOM", "PROVIDER", "chat_messages", "message_id", "new_messages", "reply_fields"]

Object = Mapping[str, Any]

ROLES: Final = ("system", "user", "assistant")

PROVIDER: Final = "streamhub"
"""The key of the hub's fields in the AI SDK's ``providerMetadata``."""

CUSTOM: Final = "custom"
"""The field that marks a call of a custom tool, whose input is text."""

_WAV: Final = ("audio/wav", "audio/x-wav", "audio/wave")
_SENT: Final = ("image/", "application/pdf", "text/", "audio/mpeg", "audio/mp3", *_WAV)
"""Prefixes of the media types that some model accepts."""

_TYPES: Final[Mapping[str, str]] = {
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "document": "application/pdf",
}
"""The media types of TanStack AI's parts that do not say theirs."""

DENIED: Final = "the call was not allowed"


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: str
    result: str | None = None
    extra: Object = field(default_factory=lambda: NOTHING)
    mark: str | None = None
    """A field that describes the result: ``json`` if it is not text, or ``failed``."""
    custom: bool = False
    """The ``arguments`` are the text for a custom tool."""

    def to_json(self) -> dict[str, Any]:
        kind, name = ("custom", "input") if self.custom else ("function", "arguments")
        called = {"name": self.name, name: self.arguments}
        return {"id": self.id, "type": kind, kind: called, **self.extra}

    def answer(self, result: object, *, failed: bool = False) -> None:
        """Set the result, which becomes JSON if it is not text."""
        self.mark = "failed" if failed else None if isinstance(result, str) else "json"
        self.result = result if isinstance(result, str) else orjson.dumps(result).decode()


@dataclass(slots=True)
class _Step:
    """The part of an assistant's message up to the results of its calls."""

    texts: list[str] = field(default_factory=list)
    fields: dict[str, list[Any]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    calls: dict[str, _Call] = field(default_factory=dict)
    answered: bool = False
    """A result has come in a part of its own."""
    has_results: bool = False

    @property
    def results(self) -> list[_Call]:
        return [call for call in self.calls.values() if call.result is not None]

    def ends_before(self, kind: object) -> bool:
        """Whether a part begins another step, as it follows a result."""
        if kind == "tool-call":
            return self.answered
        return kind == "text" and self.has_results

    def chat_messages(self) -> Iterator[dict[str, Any]]:
        text, results = "".join(self.texts), self.results
        images = self.images if is_signed_media(self.fields) else []
        if text or results or images:
            message: dict[str, Any] = {"role": "assistant", "content": text or None}
            if images:
                message[IMAGES] = images
            if results:
                message["tool_calls"] = [call.to_json() for call in results]
            left = [n for n, call in enumerate(self.calls.values()) if call.result is not None]
            yield message | {name: placed(values, left) for name, values in self.fields.items()}
        for call in results:
            yield {"role": "tool", "tool_call_id": call.id, "content": call.result}


def chat_messages(messages: Iterable[Object]) -> tuple[dict[str, Any], ...]:
    """The messages as the OpenAI chat API has them.

    Raises:
        RequestError: one is malformed, or has a file that no model accepts.
    """
    return tuple(one for message in messages for one in _chat_messages(message))


def _chat_messages(message: Object) -> Iterator[dict[str, Any]]:
    role = _role(message)
    if role == "assistant":
        for step in _steps(message):
            yield from step.chat_messages()
    else:
        content = _text(message) if role == "system" else _content(message)
        yield {"role": role, "content": content}


def new_messages(messages: tuple[Object, ...]) -> tuple[Message, ...]:
    """What the last message adds to the conversation: a person's message, or results of tools."""
    last = messages[-1]
    name = message_id(last)
    if last.get("role") == "assistant":
        named = {"message": name} if name else {}
        return tuple(_result(call, named) for call in _steps(last)[-1].results)
    text = _text(last)
    if not text and not _parts(last):
        return ()
    extra: dict[str, Any] = {"id": name} if name else {}
    kinds = [file["type"] for part in _parts(last) if (file := _file(part))]
    # Not the files themselves: records are sent to everybody, and are bounded.
    if pictures := kinds.count("image_url"):
        extra["pictures"] = pictures
    if files := len(kinds) - pictures:
        extra["files"] = files
    return (Message(_role(last), text, at=now(), extra=extra),)


def _result(call: _Call, named: Mapping[str, str]) -> Message:
    marks = {call.mark: True} if call.mark else {}
    extra = {"tool_call_id": call.id, "name": call.name, **marks, **named}
    return Message("tool", call.result or "", at=now(), extra=extra)


def message_id(message: Object) -> str | None:
    """The id that the client gave a message."""
    value = message.get("id")
    return value if isinstance(value, str) and value else None


def reply_fields(messages: tuple[Object, ...], *, again: bool) -> dict[str, Any]:
    """Fields of the `started` event that say what the reply continues, or (``again``) replaces."""
    name = message_id(messages[-1])
    if not name:
        return {}
    if messages[-1].get("role") == "assistant":
        return {"message": name}
    return {AFTER: name} if again else {}


# Parsing


def _role(message: Object) -> Any:
    role = message.get("role")
    if role not in ROLES:
        raise RequestError(f"the role of a message must be one of {', '.join(ROLES)}")
    return role


def _parts(message: Object) -> list[Object]:
    """The parts of a message; content that is a string counts as one part."""
    parts = message.get("parts")
    if parts is None:
        parts = message.get("content")
    if isinstance(parts, str):
        return [{"type": "text", "text": parts}]
    if parts is not None and not isinstance(parts, list):
        raise RequestError("the parts of a message must be a list")
    if not all(isinstance(part, dict) for part in parts or ()):
        raise RequestError("a part of a message must be an object")
    return parts or []


def _part_text(part: Object) -> str:
    text = part.get("text", part.get("content"))
    return text if isinstance(text, str) else ""


def _text(message: Object) -> str:
    return "".join(_part_text(part) for part in _parts(message) if part.get("type") == "text")


def _content(message: Object) -> str | list[dict[str, Any]]:
    """The content of a person's message: a string, unless there is more than text in it."""
    content: list[dict[str, Any]] = []
    for part in _parts(message):
        if part.get("type") == "text":
            content.append({"type": "text", "text": _part_text(part)})
        elif (file := _file(part)) is not None:
            content.append(file)
    if all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    return content


def _file(part: Object) -> dict[str, Any] | None:
    """A file as a part of a chat completion's message; ``None`` if the part is not a file.

    Raises:
        RequestError: ``unsupported_part``: it is malformed, or no model accepts its type.
    """
    kind = part.get("type")
    if kind == "file":
        media_type, url = part.get("mediaType"), part.get("url")
    elif isinstance(kind, str) and kind in _TYPES:
        source = part.get("source")
        source = source if isinstance(source, dict) else {}
        media_type, url = source.get("mimeType") or _TYPES[kind], source.get("value")
        if source.get("type") == "data":
            url = f"data:{media_type};base64,{url}"
    else:
        return None
    if not isinstance(media_type, str) or not media_type.startswith(_SENT):
        raise RequestError(
            f"a file of type {str(media_type)[:100]} cannot be sent: "
            "send an image, PDF, text, MP3 or WAV",
            code="unsupported_part",
        )
    if not isinstance(url, str):
        raise RequestError("a file must have a URL", code="unsupported_part")
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    inline = url[:5].lower() == "data:"
    if media_type.startswith("audio/"):
        if not inline:
            raise RequestError("audio must have a data: URL", code="unsupported_part")
        audio = {"data": url.partition(",")[2], "format": "wav" if media_type in _WAV else "mp3"}
        return {"type": "input_audio", "input_audio": audio}
    name = part.get("filename")
    named = {"filename": name} if isinstance(name, str) and name else {}
    return {"type": "file", "file": {**named, "file_data" if inline else "file_url": url}}


def _steps(message: Object) -> list[_Step]:
    steps = [_Step()]
    # A message can have thousands of parts: none may cost a walk over the others.
    places: dict[str, int] = {}
    """The numbers of the last steps with a call of each id."""
    for part in _parts(message):
        kind = part.get("type")
        sealed = unseal(part.get("signature")) if kind == "thinking" else {}
        known = (str(call.get("id")) for call in sealed.get(EXTRA, ()))
        of_calls = max((places[one] for one in known if one in places), default=None)
        begins = bool(sealed) and of_calls is None and steps[-1].has_results
        if kind == "step-start" or begins or steps[-1].ends_before(kind):
            steps.append(_Step())
        step = steps[-1 if of_calls is None else of_calls]
        details = _objects(_metadata(part, "providerMetadata").get(DETAILS))
        if details := [*details, *sealed.get(DETAILS, ())]:
            step.fields.setdefault(DETAILS, []).extend(details)
        if kind == "text":
            step.texts.append(_part_text(part))
        elif kind == "file" and isinstance(url := part.get("url"), str):
            step.images.append(image_part(url, len(step.images)))
        elif kind == "tool-result":
            place = places.get(str(part.get("toolCallId")))
            if place is not None:
                _answer(steps[place], part)
        elif executed := _signature(part).get(EXECUTED):
            step.fields.setdefault(EXECUTED, []).extend(executed)
        elif part.get("providerExecuted") is True:
            step.fields.setdefault(EXECUTED, []).extend(_executed(part))
        elif call := _call(part):
            step.calls[call.id] = call
            step.has_results |= call.result is not None
            places[call.id] = len(steps) - 1
    return steps


def _metadata(part: Object, name: str) -> Object:
    """The fields that the hub gave the client with a part (`hub.protocols.aisdk.chunks`)."""
    return as_object(as_object(part.get(name)).get(PROVIDER))


def _signature(part: Object) -> dict[str, list[dict[str, Any]]]:
    """The fields that the hub gave TanStack AI with a call (`hub.protocols.agui.chunks`)."""
    return unseal(as_object(part.get("metadata")).get("thoughtSignature"))


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if type(one) is dict] if isinstance(value, list) else []


def _executed(part: Object) -> list[dict[str, Any]]:
    """What a provider must be shown again of a tool that it ran."""
    output = part.get("output")
    if part.get("state") == "output-error":
        output = part.get("errorText")
        with suppress(orjson.JSONDecodeError):
            output = orjson.loads(output) if isinstance(output, str) else output
    shown = {"arguments": _json(part.get("input")), "output": output}
    # A part is one call: the output of more would be sent once for each.
    tools = _objects(_metadata(part, "callProviderMetadata").get(EXECUTED))[:1]
    return [{**tool, **shown} for tool in tools]


def _answer(step: _Step, part: Object) -> None:
    """Read a result in a part of its own, for a call of this step."""
    error = part.get("error")
    call = step.calls[str(part.get("toolCallId"))]
    call.answer(error or part.get("content"), failed=bool(error))
    step.answered = step.has_results = True


def _call(part: Object) -> _Call | None:
    kind = str(part.get("type"))
    if kind == "tool-call":
        (fields, *_) = _signature(part).get(EXTRA) or ({},)
        held, custom = part.get("arguments"), fields.get(CUSTOM) is True
        arguments = held if custom and isinstance(held, str) else _json(held)
        call = _Call(str(part.get("id")), str(part.get("name")), arguments, custom=custom)
        if isinstance(extra := fields.get(EXTRA), dict):
            call.extra = {EXTRA: extra}
        if "output" in part:
            call.answer(part["output"])
        return call
    if not kind.startswith("tool-") and kind != "dynamic-tool":
        return None
    name = part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")
    metadata = _metadata(part, "callProviderMetadata")
    held = part.get("input", part.get("rawInput"))
    custom = metadata.get(CUSTOM) is True and isinstance(held, str)
    arguments = str(held) if custom else _json(held)
    call = _Call(str(part.get("toolCallId")), str(name), arguments, custom=custom)
    if isinstance(extra := metadata.get(EXTRA), dict):
        call.extra = {EXTRA: extra}
    state = part.get("state")
    if state == "output-available":
        call.answer(part.get("output"))
    elif state == "output-error":
        call.answer(part.get("errorText"), failed=True)
    elif state == "output-denied":
        call.answer(DENIED, failed=True)
    return call


def _json(arguments: object) -> str:
    """A call's arguments as JSON text, which they may be already.

    Text that is not JSON is dropped: the result says so, and few providers would accept it.
    """
    if isinstance(arguments, str):
        try:
            orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return "{}"
        return arguments
    return "{}" if arguments is None else orjson.dumps(arguments).decode()
