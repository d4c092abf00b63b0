"""The messages of chat libraries, which are made of parts, in the shape that models are asked in.

Two libraries keep a conversation as messages with ``parts``: the AI SDK (``UIMessage``) and
TanStack AI. They differ in names, hardly in meaning, so one reading serves both::

    what              AI SDK                                    TanStack AI
    text              {type: text, text}                        {type: text, content}
    a picture or file {type: file, mediaType, url, filename}    {type: image | audio | document,
                                                                 source: {type, value, mimeType}}
    a tool call       {type: tool-NAME | dynamic-tool,          {type: tool-call, id, name,
                       toolCallId, input, state, output}         arguments, output}
    its result        in the same part                          {type: tool-result, toolCallId,
                                                                 content}
    a new step        {type: step-start}                        text or a call after a result

Reasoning, sources and what an application adds of its own (``data-…``) are not repeated to a
model, nor are calls that nobody has answered, which providers refuse. But what the model must see
again comes in the metadata of the parts (`hub.protocols.aisdk.chunks`), and is given back.
(Sources: the AI SDK's ``convertToModelMessages``, TanStack AI's ``types.ts``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from hub.domain.conversation import AFTER
from hub.domain.errors import RequestError
from hub.domain.events import NOTHING, Message, now
from hub.domain.provider_fields import DETAILS, EXECUTED, EXTRA, placed

__all__ = ["PROVIDER", "asked", "beside", "name_of", "said"]

Object = Mapping[str, Any]

ROLES: Final = ("system", "user", "assistant")

PROVIDER: Final = "streamhub"
"""The corner of the AI SDK's ``providerMetadata`` in which the hub's fields stand."""

_WAV: Final = ("audio/wav", "audio/x-wav", "audio/wave")
_SENT: Final = ("image/", "application/pdf", "text/", "audio/mpeg", "audio/mp3", *_WAV)
"""How the types of files begin that some models take."""

_TYPES: Final[Mapping[str, str]] = {
    "image": "image/*",
    "audio": "audio/*",
    "video": "video/*",
    "document": "application/pdf",
}
"""What a part of TanStack AI holds that does not say its type."""

DENIED: Final = "the call was not allowed"


@dataclass(slots=True)
class _Call:
    """A tool call that has been answered."""

    id: str
    name: str
    arguments: str
    result: str | None = None
    beside: Object = field(default_factory=lambda: NOTHING)
    told: str | None = None
    """What is to be known of the result: ``json`` if it is no text, or ``failed``."""

    def answer(self, result: object, *, failed: bool = False) -> None:
        """Its result: text as it is, anything else as JSON."""
        self.told = "failed" if failed else None if isinstance(result, str) else "json"
        self.result = result if isinstance(result, str) else orjson.dumps(result).decode()

    def asked(self) -> dict[str, Any]:
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function, **self.beside}


@dataclass(slots=True)
class _Step:
    """What an assistant said before it waited for the results of its calls."""

    texts: list[str] = field(default_factory=list)
    fields: dict[str, list[Any]] = field(default_factory=dict)
    calls: dict[str, _Call] = field(default_factory=dict)
    answered: bool = False
    """A result has come in a part of its own."""

    @property
    def results(self) -> list[_Call]:
        return [call for call in self.calls.values() if call.result is not None]

    def ends_before(self, kind: object) -> bool:
        """Whether a part is of another step: what a model says knowing a result."""
        if kind == "tool-call":
            return self.answered
        return kind == "text" and bool(self.results)

    def asked(self) -> Iterator[dict[str, Any]]:
        text, results = "".join(self.texts), self.results
        if text or results:
            calls = {"tool_calls": [call.asked() for call in results]} if results else {}
            left = [number for number, call in enumerate(self.calls.values()) if call in results]
            fields = {name: placed(held, left) for name, held in self.fields.items()}
            yield {"role": "assistant", "content": text or None, **calls, **fields}
        for call in results:
            yield {"role": "tool", "tool_call_id": call.id, "content": call.result}


def asked(messages: Iterable[Object]) -> tuple[dict[str, Any], ...]:
    """The messages in the OpenAI chat shape.

    Raises:
        RequestError: one is none, or holds a file that is no picture.
    """
    return tuple(one for message in messages for one in _asked(message))


def said(messages: tuple[Object, ...]) -> tuple[Message, ...]:
    """What the last message adds to the conversation: a person's words, or tools' results."""
    last = messages[-1]
    if last.get("role") != "assistant":
        text = "".join(_texts(last))
        return tuple(_message(last, text)) if text or _parts(last) else ()
    steps = _steps(last)
    results = steps[-1].results if steps else []
    named = {"message": name} if (name := name_of(last)) else {}
    return tuple(_result(call, named) for call in results)


def _result(call: _Call, named: Mapping[str, str]) -> Message:
    told = {call.told: True} if call.told else {}
    extra = {"tool_call_id": call.id, "name": call.name, **told, **named}
    return Message("tool", call.result or "", at=now(), extra=extra)


def name_of(message: Object) -> str | None:
    """The id that the client gave a message."""
    found = message.get("id")
    return found if isinstance(found, str) and found else None


def _reply_name(messages: tuple[Object, ...]) -> str | None:
    """The id of the message that the reply goes on with; ``None`` if it begins one."""
    return name_of(messages[-1]) if messages[-1].get("role") == "assistant" else None


def beside(messages: tuple[Object, ...], *, again: bool) -> dict[str, Any]:
    """What the beginning of the reply says beside its own; ``again`` for one that replaces."""
    if goes_on := _reply_name(messages):
        return {"message": goes_on}
    asked = name_of(messages[-1])
    return {AFTER: asked} if again and asked else {}


def _message(message: Object, text: str) -> Iterator[Message]:
    role = _role(message)
    extra: dict[str, Any] = {"id": name} if (name := name_of(message)) else {}
    held = [file["type"] for part in _parts(message) if (file := _file(part))]
    # Not the files: a record is sent to everybody, and is bounded.
    if pictures := held.count("image_url"):
        extra["pictures"] = pictures
    if files := len(held) - pictures:
        extra["files"] = files
    yield Message(role, text, at=now(), extra=extra)


# Reading


def _asked(message: Object) -> Iterator[dict[str, Any]]:
    role = _role(message)
    if role == "assistant":
        for step in _steps(message):
            yield from step.asked()
    elif role == "system":
        yield {"role": "system", "content": "".join(_texts(message))}
    else:
        yield {"role": "user", "content": _content(message)}


def _role(message: Object) -> Any:
    role = message.get("role")
    if role not in ROLES:
        raise RequestError(f"the role of a message is one of {', '.join(ROLES)}")
    return role


def _parts(message: Object) -> list[Object]:
    """The parts of a message; one whose content is a string is one of text."""
    held = message.get("parts")
    if held is None:
        held = message.get("content")
    if isinstance(held, str):
        return [{"type": "text", "text": held}]
    if held is not None and not isinstance(held, list):
        raise RequestError("the parts of a message are a list")
    parts = held or []
    if not all(isinstance(part, dict) for part in parts):
        raise RequestError("a part of a message is an object")
    return parts


def _text(part: Object) -> str:
    found = part.get("text", part.get("content"))
    return found if isinstance(found, str) else ""


def _texts(message: Object) -> list[str]:
    return [_text(part) for part in _parts(message) if part.get("type") == "text"]


def _content(message: Object) -> str | list[dict[str, Any]]:
    """What a person said: a string, unless there is more than text in it."""
    content: list[dict[str, Any]] = []
    for part in _parts(message):
        if part.get("type") == "text":
            content.append({"type": "text", "text": _text(part)})
        elif (held := _file(part)) is not None:
            content.append(held)
    if all(part["type"] == "text" for part in content):
        return "".join(part["text"] for part in content)
    return content


def _file(part: Object) -> dict[str, Any] | None:
    """A file as chat completions have it; ``None`` for what is none.

    Raises:
        RequestError: ``unsupported_part``: no model takes files of its type.
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
        said = str(media_type)[:100]
        raise RequestError(
            f"a file of type {said} cannot be sent: pictures, PDF, text, MP3 and WAV can",
            code="unsupported_part",
        )
    if not isinstance(url, str):
        raise RequestError("a file has a URL", code="unsupported_part")
    if media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    inside = url[:5].lower() == "data:"
    if media_type.startswith("audio/"):
        if not inside:
            raise RequestError("a sound has a data: URL", code="unsupported_part")
        form = "wav" if media_type in _WAV else "mp3"
        sound = {"data": url.partition(",")[2], "format": form}
        return {"type": "input_audio", "input_audio": sound}
    name = part.get("filename")
    named = {"filename": name} if isinstance(name, str) and name else {}
    return {"type": "file", "file": {**named, "file_data" if inside else "file_url": url}}


def _steps(message: Object) -> list[_Step]:
    steps = [_Step()]
    for part in _parts(message):
        kind = part.get("type")
        if kind == "step-start" or steps[-1].ends_before(kind):
            steps.append(_Step())
        step = steps[-1]
        if isinstance(held := _given_back(part, "providerMetadata").get(DETAILS), list):
            step.fields.setdefault(DETAILS, []).extend(one for one in held if type(one) is dict)
        if kind == "text":
            step.texts.append(_text(part))
        elif kind == "tool-result":
            _answer(steps, part)
        elif part.get("providerExecuted") is True:
            step.fields.setdefault(EXECUTED, []).extend(_executed(part))
        elif call := _call(part):
            step.calls[call.id] = call
    return steps


def _given_back(part: Object, name: str) -> Object:
    """What the hub has told of a part, beside what is in it (`hub.protocols.aisdk.chunks`)."""
    held = part.get(name)
    ours = held.get(PROVIDER) if isinstance(held, dict) else None
    return ours if isinstance(ours, dict) else NOTHING


def _executed(part: Object) -> list[dict[str, Any]]:
    """What its provider must see again of a tool that it has run."""
    held = _given_back(part, "callProviderMetadata").get(EXECUTED)
    output = part.get("output")
    if part.get("state") == "output-error":
        output = _value(part.get("errorText"))
    shown = {"arguments": _json(part.get("input")), "output": output}
    return [
        {**one, **shown} for one in (held if isinstance(held, list) else ()) if type(one) is dict
    ]


def _value(text: object) -> object:
    try:
        return orjson.loads(text) if isinstance(text, str) else text
    except orjson.JSONDecodeError:
        return text


def _answer(steps: list[_Step], part: Object) -> None:
    """A result in a part of its own, for a call of this step or an earlier one."""
    for step in reversed(steps):
        call = step.calls.get(str(part.get("toolCallId")))
        if call is not None:
            error = part.get("error")
            call.answer(error or part.get("content"), failed=bool(error))
            step.answered = True
            return


def _call(part: Object) -> _Call | None:
    kind = str(part.get("type"))
    if kind == "tool-call":
        call = _Call(str(part.get("id")), str(part.get("name")), _json(part.get("arguments")))
        if "output" in part:
            call.answer(part["output"])
        return call
    if not kind.startswith("tool-") and kind != "dynamic-tool":
        return None
    name = part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")
    given = part.get("input", part.get("rawInput"))
    call = _Call(str(part.get("toolCallId")), str(name), _json(given))
    beside = _given_back(part, "callProviderMetadata").get(EXTRA)
    call.beside = {EXTRA: beside} if isinstance(beside, dict) else NOTHING
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

    Those that are not JSON are left out: its result says so, and few providers would take them.
    """
    if isinstance(arguments, str):
        try:
            orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return "{}"
        return arguments
    return "{}" if arguments is None else orjson.dumps(arguments).decode()
