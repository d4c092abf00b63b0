"""The body of `POST /v1/responses`, to messages and options of the OpenAI chat API.

Responses have items where chat completions have messages, and other names for the same options.
A function call becomes a message of the assistant, its output one of the tool. Reasoning that a
client sends back goes to the provider that it came from if the hub has sealed it
(`hub.domain.provider_fields`); other reasoning is left out, as no provider accepts another's.
Options without a counterpart (stored prompts …) are refused by name, and so are built-in tools
and their items, unless the upstream is ``native``: it speaks this API itself. Those that
ask for nothing (null, an empty list, the default) are ignored, and so is ``max_tool_calls``,
which counts calls of built-in tools. (Source: OpenAI API reference, "Responses".)
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

from hub.domain.errors import RequestError
from hub.domain.integers import EXACT
from hub.domain.json_values import as_object
from hub.domain.media import IMAGES, image_part
from hub.domain.provider_fields import (
    EXECUTED,
    EXTRA,
    ITEM,
    LISTS,
    RESPONSES,
    is_signed_media,
    unseal,
)
from hub.http.json_models import Few, Integer, fail_fast, integral

__all__ = ["ResponseAsked"]

Message = dict[str, Any]

# Options that have the same name in both APIs.
_SAME: Final = (
    "temperature", "top_p", "user", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention",
)  # fmt: skip
# The id of an item for a tool that a provider ran. Clients need not send it back: it is sealed.
_EXECUTED_ITEM: Final = re.compile(r"(?:ws|ci|fs|mcp|ig)_[0-9a-f]{32}[0-9]+")
SEALED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"
_PARTS: Final = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_ROLES: Final = ("user", "assistant", "system", "developer")


_AtLeastOne = Annotated[int, Strict(), Field(ge=1, lt=EXACT), integral]


class ResponseAsked(BaseModel):
    """The body of a POST."""

    # Other fields are read to refuse them by name, unless they are null.
    model_config = ConfigDict(
        frozen=True, extra="allow", json_schema_extra={"additionalProperties": False}
    )

    model: str
    input: Any
    instructions: str | None = None
    tools: Annotated[list[dict[str, Any]] | None, fail_fast] = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    max_output_tokens: _AtLeastOne | None = None
    temperature: float | None = None
    top_p: float | None = None
    metadata: Annotated[dict[str, str] | None, Few] = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    top_logprobs: Annotated[int, Strict(), Field(ge=0, le=20), integral] | None = None
    include: Annotated[list[str] | None, fail_fast] = None
    truncation: Literal["auto", "disabled"] | None = None
    max_tool_calls: _AtLeastOne | None = None
    seed: Integer | None = None
    stop: Annotated[str | list[str] | None, Few] = None
    stream_options: dict[str, Any] | None = None
    """Ignored: it only says how a stream is padded."""

    @property
    def kept(self) -> bool:
        """Whether the response can be retrieved later."""
        return self.store is not False

    @property
    def count(self) -> int:
        """The number of its input items."""
        return len(self.input) if isinstance(self.input, list) else 1

    def check(self) -> None:
        """Refuse options that the hub does not have.

        Raises:
            RequestError: ``unsupported_option``, with its name.
        """
        for name, value in (self.model_extra or {}).items():
            if value is not None:
                raise _refused(name)
        for name in self.reasoning or {}:
            if name not in ("effort", "summary", "generate_summary"):
                raise _refused(f"reasoning.{name}")
        if self.background and not self.kept:
            raise RequestError("background also needs store: true")

    def messages(self, *, native: bool = False) -> list[Message]:
        """The input as messages.

        Raises:
            RequestError: it is neither text nor items, or an item has an unknown type.
        """
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        if not isinstance(self.input, list) or not all(isinstance(i, dict) for i in self.input):
            raise RequestError("input must be text or a list of items")
        return _messages(self.input, native=native)

    def options(self, *, native: bool = False) -> dict[str, Any]:
        """The options, by their names in the OpenAI chat API.

        Raises:
            RequestError: a tool or a format has an unknown type.
        """
        options = {name: value for name in _SAME if (value := getattr(self, name)) is not None}
        # OpenAI's Responses lack these two, but chat completions of the same upstreams have them.
        options |= {name: value for name in ("seed", "stop") if (value := getattr(self, name))}
        if self.truncation == "auto":
            options["truncation"] = "auto"
        if self.max_output_tokens is not None:
            options["max_tokens"] = self.max_output_tokens
        if self.tools:
            options["tools"] = [_tool(tool, native=native) for tool in self.tools]
            if self.parallel_tool_calls is False:
                options["parallel_tool_calls"] = False
            if self.tool_choice is not None:
                options["tool_choice"] = _tool_choice(self.tool_choice, native=native)
        if self.service_tier not in (None, "auto", "default"):
            options["service_tier"] = self.service_tier
        if self.top_logprobs:
            options |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        include = self.include or []
        if LOGPROBS in include:
            options["logprobs"] = True
        # Sealed reasoning is always included.
        if other := [name for name in include if name not in (SEALED, LOGPROBS)]:
            options["include"] = other
        if effort := (self.reasoning or {}).get("effort"):
            options["reasoning_effort"] = effort
        return {**options, **_text(self.text or {})}

    def repeated(self) -> dict[str, Any]:
        """The fields of the request that a response repeats."""
        reasoning = self.reasoning or {}
        return {
            "background": bool(self.background),
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "store": self.kept,
            "temperature": self.temperature,
            "text": self.text or {"format": {"type": "text"}},
            "tool_choice": self.tool_choice or "auto",
            "tools": self.tools or [],
            "top_p": self.top_p,
            "truncation": self.truncation or "disabled",
            "max_tool_calls": self.max_tool_calls,
            "user": self.user,
        }


def _refused(name: str) -> RequestError:
    return RequestError(
        f"{name[:100]}: this hub does not support it in a response: leave it out",
        code="unsupported_option",
    )


# Items


def _messages(items: Iterable[Mapping[str, Any]], *, native: bool) -> list[Message]:
    items = list(items)
    sealed_items = _sealed_items(items) if native else set()
    messages = _Messages()
    extras: dict[str, deque[Any]] = {}
    """Unsealed fields of calls, by their ids; each is for one call."""
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning":
            sealed = unseal(item.get("encrypted_content"))
            for one in sealed.pop(EXTRA, ()):
                extras.setdefault(str(one.get("id")), deque()).append(one.get(EXTRA))
            messages.add_fields(sealed)
        elif kind == "message":
            messages.add(_message(item))
        elif kind in ("function_call", "custom_tool_call"):
            messages.add_call(_call(item))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            call_id = _required(item, "call_id", kind)
            output = _content(item.get("output"), "function_call_output")
            messages.add_result({"role": "tool", "tool_call_id": call_id, "content": output})
        elif _EXECUTED_ITEM.fullmatch(str(item.get("id"))):
            if isinstance(data := item.get("result"), str):
                messages.add_image(f"data:image/png;base64,{data}")
        elif _identity(item) in sealed_items:
            continue
        elif not native:
            raise _refused(f"input: an item of type {kind}")
        elif str(kind).endswith(("_output", "_response")):
            messages.begin_answer_of_fields()
            call_id = item.get("call_id") or item.get("approval_request_id") or kind
            result = {"role": "tool", "tool_call_id": str(call_id), "content": "", ITEM: dict(item)}
            messages.add_result(result)
        else:
            messages.add_item(item)
    done = messages.end()
    for call in [call for message in done for call in message.get("tool_calls", ())]:
        if (left := extras.get(call["id"])) and isinstance(extra := left.popleft(), dict):
            call[EXTRA] = extra
    return done


def _identity(item: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(str(item.get(name)) for name in ("type", "id", "call_id"))


def _sealed_items(items: Iterable[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
    """The identities of the items in sealed reasoning, which clients send back besides it."""
    return {
        _identity(as_object(call.get("item")))
        for item in items
        if item.get("type") == "reasoning"
        for call in unseal(item.get("encrypted_content")).get(EXECUTED, ())
    }


class _Messages:
    """Messages, made of one item after another.

    What the last one has is counted as it comes, and its text is joined at its end: to look
    through it or to copy it for each item would take longer with each.
    """

    def __init__(self) -> None:
        self._done: list[Message] = []
        self._fields: dict[str, list[Any]] = {}
        """Unsealed fields of the assistant's next message or, if there is none, of its last one."""
        self._signed = False
        """Whether these sign an image."""
        self._texts: list[str] = []
        """The text of the last message, if it is text."""
        self._characters = 0
        """Of that text."""
        self._index = 0
        """Of what the last message has next in its lists."""

    def add(self, message: Message) -> None:
        """Add a message, or join it to the last one if sealed reasoning shows that they are one."""
        last = self._done[-1] if self._done else {}
        if message["role"] == last.get("role") == "assistant" and any(
            name in each for each in (self._fields, last) for name in LISTS
        ):
            self._add_text(message["content"])
        else:
            if message["role"] != "assistant":
                self._add_answer_of_images()
            self._append(message)
        self._move_fields()

    def add_call(self, call: dict[str, Any]) -> None:
        """Add a call. Calls in a row, and the text before them, are one message."""
        self._begin_assistant()
        self._done[-1].setdefault("tool_calls", []).append(call)
        self._move_fields()

    def add_result(self, message: Message) -> None:
        """Add the result of a call."""
        self._move_fields()
        self._append(message)

    def add_item(self, item: Mapping[str, Any]) -> None:
        """Add an item that only its provider understands, after everything before it."""
        self._begin_assistant()
        self._move_fields()
        last = self._done[-1]
        call = {
            "name": str(item.get("type")),
            "item": dict(item),
            "format": RESPONSES,
            "index": self._index,
            "at": {"text": self._characters, "calls": len(last.get("tool_calls", ()))},
        }
        last.setdefault(EXECUTED, []).append(call)
        self._index += 1

    def add_fields(self, fields: Mapping[str, list[Any]]) -> None:
        """Add unsealed fields, whose message may be still to come."""
        for name, values in fields.items():
            self._fields.setdefault(name, []).extend(values)
        self._signed = self._signed or is_signed_media(fields)

    def add_image(self, url: str) -> None:
        images = self._fields.setdefault(IMAGES, [])
        images.append(image_part(url, len(images)))

    def begin_answer_of_fields(self) -> None:
        """Begin a message of the assistant if there are fields that need one."""
        self._drop_unsigned_images()
        if self._fields:
            self._begin_assistant()

    def end(self) -> list[Message]:
        """All messages, when there are no more items."""
        self._add_answer_of_images()
        self._join()
        return self._done

    def _append(self, message: Message) -> None:
        self._join()
        self._done.append(message)
        self._texts, self._characters, self._index = [], 0, 0
        if isinstance(message["content"], str):
            self._add_text(message["content"])

    def _add_text(self, text: str) -> None:
        self._texts.append(text)
        self._characters += len(text)

    def _join(self) -> None:
        if self._texts:
            self._done[-1]["content"] = "".join(self._texts)

    def _begin_assistant(self) -> None:
        """Begin a message of the assistant, unless the last one is the assistant's."""
        if not (self._done and self._done[-1]["role"] == "assistant"):
            self._append({"role": "assistant", "content": None})

    def _move_fields(self) -> None:
        """Move the fields into the last message, if it is the assistant's."""
        if self._done and self._done[-1]["role"] == "assistant":
            self._drop_unsigned_images()
            for name, values in self._fields.items():
                self._done[-1].setdefault(name, []).extend(values)
            places = [one.get("index") for name in LISTS for one in self._fields.get(name, ())]
            after = [place + 1 for place in places if type(place) is int]
            self._index = max(self._index, *after, 0)
            self._fields.clear()
            self._signed = False

    def _drop_unsigned_images(self) -> None:
        """Leave out images without a signature, which do not go back to the model."""
        if not self._signed:
            self._fields.pop(IMAGES, None)

    def _add_answer_of_images(self) -> None:
        """Add the fields at the end of an answer, which may have nothing but images."""
        self._drop_unsigned_images()
        if IMAGES in self._fields:
            self._begin_assistant()
        self._move_fields()


def _message(item: Mapping[str, Any]) -> Message:
    role = item.get("role")
    if role not in _ROLES:
        raise RequestError(f"the role of a message must be one of {', '.join(_ROLES)}")
    content = _content(item.get("content"), "message")
    if role == "assistant" and isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return {"role": role, "content": content}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    if item.get("type") == "custom_tool_call":
        kind, arguments = "custom", {"input": item.get("input") or ""}
    else:
        kind, arguments = "function", {"arguments": item.get("arguments") or "{}"}
    named = {"name": _required(item, "name", f"{kind}_call")}
    call_id = _required(item, "call_id", f"{kind}_call")
    return {"id": call_id, "type": kind, kind: named | arguments}


def _required(item: Mapping[str, Any], name: str, kind: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise RequestError(f"an item of type {kind} must have a {name}")
    return value


def _content(value: Any, kind: str) -> str | list[dict[str, Any]]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RequestError(f"the content of a {kind} must be text or a list of parts")
    parts = [_part(as_object(part)) for part in value]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if isinstance(kind, str) and kind in _PARTS:
        text = part.get(_PARTS[kind])
        if not isinstance(text, str):
            raise RequestError(f"a part of type {kind} must have a {_PARTS[kind]}")
        return {"type": "text", "text": text}
    if kind == "input_file":
        names = ("filename", "file_data", "file_url", "file_id")
        return {"type": "file", "file": {n: part[n] for n in names if part.get(n) is not None}}
    if kind == "input_audio":
        return {"type": "input_audio", "input_audio": part.get("input_audio")}
    url = part.get("image_url")
    if kind != "input_image" or not isinstance(url, str):
        raise _refused("input_image without an image_url" if kind == "input_image" else str(kind))
    detail = part.get("detail")
    image = {"url": url} if detail in (None, "auto") else {"url": url, "detail": detail}
    return {"type": "image_url", "image_url": image}


# Options


def _tool(tool: Mapping[str, Any], *, native: bool) -> dict[str, Any]:
    if tool.get("type") == "custom":
        return {"type": "custom", "custom": {n: value for n, value in tool.items() if n != "type"}}
    if tool.get("type") != "function":
        if native:
            return dict(tool)
        raise _refused(f"tools: one of type {tool.get('type')}")
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(choice: str | Mapping[str, Any], *, native: bool) -> str | dict[str, Any]:
    if isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "allowed_tools":
        allowed = choice.get("tools")
        if not isinstance(allowed, list):
            raise RequestError("allowed_tools must have a list of tools", param="tool_choice")
        tools = [_tool_choice(as_object(tool), native=native) for tool in allowed]
        return {"type": kind, kind: {"mode": choice.get("mode", "auto"), "tools": tools}}
    if kind not in ("custom", "function"):
        if native:
            return dict(choice)
        raise _refused(f"tool_choice: one of type {kind}")
    return {"type": kind, kind: {"name": choice.get("name")}}


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in text.items():
        if name == "verbosity" and value is not None:
            options["verbosity"] = value
        elif name not in ("format", "verbosity"):
            raise _refused(f"text.{name}")
    form = as_object(text.get("format"))
    kind = form.get("type", "text")
    if kind == "json_object":
        options["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        names = ("name", "description", "schema", "strict")
        schema = {name: form[name] for name in names if form.get(name) is not None}
        options["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind != "text":
        raise _refused(f"text.format: one of type {kind}")
    return options
