"""A prompt as the body of a request to Anthropic's Messages API.

Where the two shapes part:

- system messages stand apart, wherever in the conversation they came; what is left must
  take turns, so neighbours of one role are one message, and the results of tools are said
  by the user;
- empty text is refused there, so it is left out here;
- ``max_tokens`` must be there;
- an answer in JSON needs a schema (``output_config.format``); without one it is refused;
- ``reasoning_effort`` is ``output_config.effort`` with adaptive thinking for the models
  that have it, and for others a budget of tokens, which grows ``max_tokens`` or, where the
  client set that, takes half of it. A model with a budget must think before it calls a
  tool, and is to be shown that together with the results: where the conversation has lost it,
  no budget is sent until the model has answered;
- what the model has thought goes back where it stood, if it is signed
(`hub.domain.provider_fields`).
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from hub.dialects.request.chat_request import (
    PDF,
    AskedCall,
    AskedMessage,
    ChatRequest,
    File,
    Part,
    Picture,
    Tool,
    no_option,
)
from hub.domain.errors import RequestError
from hub.domain.executed_tools import arguments_of
from hub.domain.json_values import as_object
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ANTHROPIC, woven

__all__ = ["NATIVE", "request_body"]

DIALECT: Final = "anthropic"
NATIVE: Final = (
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "thinking",
    "top_k",
)
"""Options of Anthropic's own that OpenAI does not have; they are passed on as they are."""

_TAKES: Final = (
    *NATIVE,
    "max_completion_tokens",
    "max_tokens",
    "parallel_tool_calls",
    "reasoning_effort",
    "response_format",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
    "user",
)
_EFFORTS: Final[Mapping[str, str]] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 24_576,
    "max": 32_000,
}
# Anthropic takes no smaller budget.
LEAST: Final = 1_024

_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "required": "any", "none": "none"}
_VERSION: Final = re.compile(r"claude-[a-z]+-([0-9]{1,2})(?:[-.]([0-9]{1,2})(?![0-9]))?(?![0-9])")
# The types of Anthropic's own tools end with a date.
_RUN: Final = re.compile(r"_20[0-9]{6}\Z")
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")


def request_body(prompt: Prompt, *, max_tokens: int, thinking: str | None) -> dict[str, Any]:
    """The body; ``max_tokens`` is for a prompt that sets none.

    ``thinking`` is ``adaptive`` or ``budget``, or ``None`` to go by the model's name.

    Raises:
        RequestError: the prompt asks for what Anthropic does not have, or makes no sense.
    """
    asked = ChatRequest(DIALECT, prompt, _TAKES, files=True)
    body: dict[str, Any] = {
        "messages": _messages(asked.messages),
        "max_tokens": asked.max_tokens or max_tokens,
        "stream": True,
    }
    if asked.model is not None:
        body["model"] = asked.model
    if asked.system.strip():
        body["system"] = asked.system
    body.update(asked.copied({name: name for name in ("temperature", "top_p", *NATIVE)}))
    _check_temperature(body.get("temperature"))
    if asked.stop:
        body["stop_sequences"] = asked.stop
    if (user := asked.options.get("user")) is not None:
        body["metadata"] = {"user_id": user}
    if tools := _tools(asked):
        body["tools"] = tools
        if (choice := _tool_choice(asked)) is not None:
            body["tool_choice"] = choice
    if (schema := _schema(asked)) is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    _think(asked, body, thinking)
    return body


def _messages(messages: Iterable[AskedMessage]) -> list[dict[str, Any]]:
    spoken = (message for message in messages if message.role != "system")
    made: list[dict[str, Any]] = []
    for role, turn in groupby(spoken, key=_speaker):
        content = [block for message in turn for block in _blocks(message)]
        if not content:
            continue
        if made and made[-1]["role"] == role:  # what stood in between had nothing in it
            made[-1]["content"] += content
        else:
            made.append({"role": role, "content": content})
    return made


def _speaker(message: AskedMessage) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _blocks(message: AskedMessage) -> list[dict[str, Any]]:
    content = [_block(part) for part in message.parts if not isinstance(part, str) or part.strip()]
    if message.role == "tool":
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(message.answers)}
        if content:
            result["content"] = content
        return [result]
    if not message.owned:
        return [*content, *map(_called, message.calls)]
    found: list[dict[str, Any]] = []
    for part in woven(message.text, len(message.calls), message.owned):
        if isinstance(part, str):
            found += [_block(part)] if part.strip() else []
        elif isinstance(part, int):
            found.append(_called(message.calls[part]))
        else:
            found += _own(part)
    return found


def _called(call: AskedCall) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": _id(call.id),
        "name": call.name,
        "input": dict(call.arguments),
    }


def _own(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The block that a field was made from, if that was one of Anthropic's."""
    kind, text, signature = held.get("type"), held.get("text", ""), held.get("signature")
    if held.get("format") != ANTHROPIC:
        return []
    if kind == "reasoning.text" and signature:
        return [{"type": "thinking", "thinking": text, "signature": signature}]
    if kind == "reasoning.encrypted":
        return [{"type": "redacted_thinking", "data": held.get("data")}]
    item = as_object(held.get("item"))
    use, result = as_object(item.get("use")), as_object(item.get("result"))
    if not use:
        return []
    run = [{**use, "input": arguments_of(held)}]
    return [*run, {**result, "content": held.get("output")}] if result else run


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if isinstance(part, File):
        titled = {"title": part.name} if part.name else {}
        return {"type": "document", "source": _document(part), **titled}
    return {"type": "image", "source": _source(part)}


def _document(file: File) -> dict[str, str]:
    """A PDF or a text, as they are read there; a file by its id needs a beta header."""
    if file.id:
        return {"type": "file", "file_id": file.id}
    if file.url and file.media_type in (PDF, ""):
        return {"type": "url", "url": file.url}
    if file.base64 and file.media_type == PDF:
        return {"type": "base64", "media_type": PDF, "data": file.base64}
    if file.base64 and file.media_type.startswith("text/"):
        try:
            text = b64decode(file.base64).decode("utf-8", "replace")
        except ValueError:
            raise RequestError("the data of a file must be base64") from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    told = f"files of type {file.media_type[:60]} are not taken there: PDF and text are"
    raise no_option("a part of type file", DIALECT, told)


def _source(picture: Picture) -> dict[str, str]:
    if not picture.media_type:
        return {"type": "url", "url": picture.url}
    return {"type": "base64", "media_type": picture.media_type, "data": picture.base64}


def _id(given: str) -> str:
    """An id as Anthropic takes it: those of other providers may hold more than it allows."""
    return _NOT_IN_IDS.sub("_", given)


def _tools(asked: ChatRequest) -> list[Any]:
    """The tools; those that Anthropic runs itself stand in its own form, and are passed on."""
    return [
        tool if _RUN.search(str(as_object(tool).get("type"))) else _tool(asked.tool(tool))
        for tool in asked.held_tools
    ]


def _tool(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    # Its type must be said there, and for a tool without arguments often is not.
    made["input_schema"] = {"type": "object", **(tool.parameters or {"properties": {}})}
    if tool.strict:
        made["strict"] = True
    return made


def _tool_choice(asked: ChatRequest) -> dict[str, Any] | None:
    """Which tools to call, and whether one at a time, which Anthropic has in one place."""
    choice, made = asked.tool_choice, dict[str, Any]()
    if isinstance(choice, str):
        made = {"type": _CHOICES[choice]}
    elif choice is not None:
        made = {"type": "tool", "name": choice.name}
    if asked.options.get("parallel_tool_calls") is False and choice != "none":
        made = {"type": "auto", **made, "disable_parallel_tool_use": True}
    return made or None


def _schema(asked: ChatRequest) -> Mapping[str, Any] | None:
    if asked.output is None:
        return None
    if asked.output.schema is None:
        raise no_option("response_format", DIALECT, "JSON needs a schema there: say json_schema")
    return asked.output.schema


def _check_temperature(temperature: Any) -> None:
    if isinstance(temperature, int | float) and temperature > 1:
        raise no_option("temperature", DIALECT, "it must be from 0 to 1 there")


def _think(asked: ChatRequest, body: dict[str, Any], thinking: str | None) -> None:
    """Put the effort of reasoning into the body."""
    effort = asked.options.get("reasoning_effort")
    if effort is None:
        return
    if "thinking" in body:
        raise no_option("reasoning_effort", DIALECT, "it goes with thinking: say one of the two")
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif not isinstance(effort, str) or effort not in _EFFORTS:
        words = ", ".join(["none", *_EFFORTS])
        raise no_option("reasoning_effort", DIALECT, f"it must be one of {words}")
    elif (thinking or _thinks(asked.model)) == "adaptive":
        body["thinking"] = {"type": "adaptive"}
        body.setdefault("output_config", {})["effort"] = _EFFORTS[effort]
    elif not _forgot(asked.messages):
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(asked, body, effort)}


def _forgot(messages: Iterable[AskedMessage]) -> bool:
    """Whether the last that the model said was a call, and nobody knows what it thought before."""
    said = [message for message in messages if message.role == "assistant"]
    return bool(said and said[-1].calls) and not any(map(_own, said[-1].owned))


def _thinks(model: str | None) -> str:
    """How a model is told to think: adaptively from Claude 4.6 on, else by a budget."""
    found = _VERSION.search(model or "")
    version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    return "adaptive" if version >= (4, 6) else "budget"


def _budget(asked: ChatRequest, body: dict[str, Any], effort: str) -> int:
    budget = _BUDGETS[effort]
    if asked.max_tokens is None:
        body["max_tokens"] += budget
        return budget
    if asked.max_tokens < 2 * LEAST:
        why = f"thinking takes at least {LEAST} tokens: raise max_tokens to {2 * LEAST}"
        raise no_option("reasoning_effort", DIALECT, why)
    return min(budget, asked.max_tokens // 2)
