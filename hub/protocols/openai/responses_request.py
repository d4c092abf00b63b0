"""What `POST /v1/responses` asks for, in the words that every dialect is translated from.

OpenAI's Responses know items where chat completions know messages, and other names for the
same options. Items become messages: a function call one of the assistant's, its output one of
the tool's. Of reasoning that a client hands back, what the hub has sealed goes to the provider
that it came from (`hub.domain.provider_fields`); all other is left out, since no provider takes
another's. What has no counterpart here (built-in tools, stored prompts …) is refused by name, and
what asks for nothing (null, an empty list, the default) is taken for absent. So is
``max_tool_calls``, which counts calls of built-in tools. (Source: OpenAI API reference,
"Responses".)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.provider_fields import EXTRA, LISTS, unseal

__all__ = ["ResponseAsked"]

Message = dict[str, Any]

# Fields that go on under the same name, and those that only this side needs.
_SAME: Final = (
    "temperature", "top_p", "user", "safety_identifier", "prompt_cache_key",
    "prompt_cache_retention",
)  # fmt: skip
_IGNORED: Final = frozenset({"stream_options"})  # it says only how a stream is padded
# The id of an item that shows what a provider has run; what goes back of it is sealed.
_SHOWN: Final = re.compile(r"(?:ws|ci|fs|mcp|ig)_[0-9a-f]{32}[0-9]+")
SEALED: Final = "reasoning.encrypted_content"
PROBABLE: Final = "message.output_text.logprobs"
_PARTS: Final = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
_ROLES: Final = ("user", "assistant", "system", "developer")


class ResponseAsked(BaseModel):
    """The body of a POST."""

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str
    input: Any
    instructions: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = None
    top_p: float | None = None
    metadata: dict[str, str] | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    background: bool | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    max_tool_calls: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None

    @property
    def kept(self) -> bool:
        """Whether the response can be asked for again."""
        return self.store is not False

    def check(self) -> None:
        """Refuse what cannot be done here.

        Raises:
            RequestError: ``unsupported_option``, with its name.
        """
        for name, held in (self.model_extra or {}).items():
            if held is not None and name not in _IGNORED:
                raise _refused(name)
        for name in self.reasoning or {}:
            if name not in ("effort", "summary", "generate_summary"):
                raise _refused(f"reasoning.{name}")
        if self.background and not self.kept:
            raise RequestError("background: a response that is not stored cannot be asked for")

    def messages(self) -> list[Message]:
        """The input as messages.

        Raises:
            RequestError: it is neither text nor items, or an item is none that there is here.
        """
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        if not isinstance(self.input, list) or not all(isinstance(i, dict) for i in self.input):
            raise RequestError("input must be text or a list of items")
        return _messages(self.input)

    def options(self) -> dict[str, Any]:
        """The options, by the names that chat completions have for them.

        Raises:
            RequestError: a tool or a format is none that there is here.
        """
        found = {name: held for name in _SAME if (held := getattr(self, name)) is not None}
        # Not OpenAI's here, but what chat completions take on the same upstream.
        found |= {name: held for name in ("seed", "stop") if (held := getattr(self, name))}
        if self.truncation == "auto":
            found["truncation"] = "auto"
        if self.max_output_tokens is not None:
            found["max_tokens"] = self.max_output_tokens
        if self.tools:
            found["tools"] = [_tool(tool) for tool in self.tools]
            if self.parallel_tool_calls is False:
                found["parallel_tool_calls"] = False
        if self.tool_choice is not None and self.tools:
            found["tool_choice"] = _tool_choice(self.tool_choice)
        if self.service_tier not in (None, "auto", "default"):
            found["service_tier"] = self.service_tier
        if self.top_logprobs:
            found |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        # What can be given back always stands there.
        included = [name for name in self.include or () if name != SEALED]
        if PROBABLE in included:
            included.remove(PROBABLE)
            found["logprobs"] = True
        if included:
            found["include"] = included
        if effort := (self.reasoning or {}).get("effort"):
            found["reasoning_effort"] = effort
        return {**found, **_text(self.text or {})}

    def shown(self) -> dict[str, Any]:
        """What a response repeats of what was asked."""
        reasoning = self.reasoning or {}
        return {
            "background": bool(self.background),
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata or {},
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "previous_response_id": self.previous_response_id,
            "reasoning": {
                "effort": reasoning.get("effort"),
                "summary": reasoning.get("summary"),
            },
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
        f"{name[:100]}: this hub cannot do that for a response: leave it out",
        code="unsupported_option",
    )


# Items


def _messages(items: Iterable[Mapping[str, Any]]) -> list[Message]:
    found: list[Message] = []
    fields: dict[str, list[Any]] = {}
    """What the next of the assistant's words or calls go back with, or the last."""
    beside: dict[Any, Any] = {}
    """The same of calls, by their ids."""
    for item in items:
        kind = item.get("type", "message")
        if kind == "reasoning":
            sealed = unseal(item.get("encrypted_content"))
            beside |= {str(held.get("id")): held.get(EXTRA) for held in sealed.pop(EXTRA, ())}
            for name, held in sealed.items():
                fields.setdefault(name, []).extend(held)
        elif kind == "message":
            _add_message(found, _message(item), fields)
        elif kind in ("function_call", "custom_tool_call"):
            _add_call(found, item)
            _add_fields(found[-1], fields)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            _add_fields(found[-1] if found else {}, fields)
            found.append(
                {
                    "role": "tool",
                    "tool_call_id": _text_in(item, "call_id", kind),
                    "content": _content(item.get("output"), "function_call_output"),
                }
            )
        elif not _SHOWN.fullmatch(str(item.get("id"))):
            raise _refused(f"input: an item of type {kind}")
    _add_fields(found[-1] if found else {}, fields)
    for call in [call for message in found for call in message.get("tool_calls", ())]:
        if isinstance(extra := beside.get(call["id"]), dict):
            call[EXTRA] = extra
    return found


def _message(item: Mapping[str, Any]) -> Message:
    role = item.get("role")
    if role not in _ROLES:
        raise RequestError(f"the role of a message must be one of {', '.join(_ROLES)}")
    content = _content(item.get("content"), "message")
    if role == "assistant" and isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return {"role": role, "content": content}


def _add_message(found: list[Message], message: Message, fields: dict[str, list[Any]]) -> None:
    """Words between what is given back are those of one answer."""
    last = found[-1] if found else {}
    both = [each.get("content") or "" for each in (last, message)]
    if (
        message["role"] == last.get("role") == "assistant"
        and any(name in held for held in (fields, last) for name in LISTS)
        and all(isinstance(text, str) for text in both)
    ):
        last["content"] = "".join(both)
    else:
        if message["role"] != "assistant":
            _add_fields(last, fields)
        found.append(message)
    _add_fields(found[-1], fields)


def _add_fields(message: Message, fields: dict[str, list[Any]]) -> None:
    if message.get("role") != "assistant":
        return
    for name, held in fields.items():
        message.setdefault(name, []).extend(held)
    fields.clear()


def _add_call(found: list[Message], item: Mapping[str, Any]) -> None:
    """Calls in a row, and what was said before them, are one message."""
    if not (found and found[-1]["role"] == "assistant"):
        found.append({"role": "assistant", "content": None})
    custom = item.get("type") == "custom_tool_call"
    kind = "custom" if custom else "function"
    told = {"name": _text_in(item, "name", f"{kind}_call")}
    told |= {"input": item.get("input") or ""} if custom else {}
    told |= {} if custom else {"arguments": item.get("arguments") or "{}"}
    call = {"id": _text_in(item, "call_id", f"{kind}_call"), "type": kind, kind: told}
    found[-1].setdefault("tool_calls", []).append(call)


def _text_in(item: Mapping[str, Any], name: str, kind: str) -> str:
    held = item.get(name)
    if not isinstance(held, str) or not held:
        raise RequestError(f"an item of type {kind} must have a {name}")
    return held


def _content(held: Any, kind: str) -> str | list[dict[str, Any]]:
    if isinstance(held, str):
        return held
    if not isinstance(held, list):
        raise RequestError(f"the content of a {kind} must be text or a list of parts")
    parts = [_part(as_object(part)) for part in held]
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


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") == "custom":
        return {"type": "custom", "custom": {n: held for n, held in tool.items() if n != "type"}}
    if tool.get("type") != "function":
        raise _refused(f"tools: one of type {tool.get('type')}")
    names = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in names if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _tool_choice(held: str | Mapping[str, Any]) -> str | dict[str, Any]:
    if isinstance(held, str):
        return held
    if held.get("type") == "allowed_tools":
        named = held.get("tools")
        if not isinstance(named, list):
            raise RequestError("allowed_tools must have a list of tools", param="tool_choice")
        tools = [_tool_choice(as_object(tool)) for tool in named]
        allowed = {"mode": held.get("mode", "auto"), "tools": tools}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    if held.get("type") == "custom":
        return {"type": "custom", "custom": {"name": held.get("name")}}
    if held.get("type") != "function":
        raise _refused(f"tool_choice: one of type {held.get('type')}")
    return {"type": "function", "function": {"name": held.get("name")}}


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, held in text.items():
        if name == "verbosity" and held is not None:
            found["verbosity"] = held
        elif name not in ("format", "verbosity"):
            raise _refused(f"text.{name}")
    form = as_object(text.get("format"))
    kind = form.get("type", "text")
    if kind == "json_object":
        found["response_format"] = {"type": "json_object"}
    elif kind == "json_schema":
        names = ("name", "description", "schema", "strict")
        schema = {name: form[name] for name in names if form.get(name) is not None}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif kind != "text":
        raise _refused(f"text.format: one of type {kind}")
    return found
