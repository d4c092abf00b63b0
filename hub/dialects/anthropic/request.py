"""A prompt as the body of a request to Anthropic's Messages API.

Where the two shapes differ:

- system messages have a field of their own, wherever in the conversation they came. The other
  messages must take turns, so neighbours of one role are joined, and the results of tools are the
  user's;
- empty text is refused, so it is left out;
- ``max_tokens`` is required;
- an answer in JSON needs a schema (``output_config.format``);
- ``reasoning_effort`` is ``output_config.effort`` with adaptive thinking for models that have it.
For
  others it is a budget of tokens, which is added to ``max_tokens`` or, where the client set that,
  takes half of it. A model with a budget must think before it calls a tool, and must be shown those
  thoughts with the results: where the conversation has lost them, no budget is sent until the model
  has answered;
- signed thoughts go back where they came from (`hub.domain.provider_fields`).
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.dialects.request.chat_request import (
    PDF,
    TRANSLATED,
    ChatMessage,
    ChatRequest,
    ChatToolCall,
    File,
    Part,
    Tool,
    no_option,
    present,
    turns,
)
from hub.domain.errors import RequestError
from hub.domain.executed_tools import arguments_of
from hub.domain.json_values import as_object
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ANTHROPIC, woven

__all__ = ["NATIVE", "request_body"]

DIALECT: Final = "anthropic"
NATIVE: Final = (
    "cache_control", "container", "context_management", "inference_geo", "mcp_servers", "thinking",
    "top_k",
)  # fmt: skip
"""Options that only Anthropic has; they are passed on unchanged."""

_TAKES: Final = (
    *NATIVE, *TRANSLATED, "parallel_tool_calls", "temperature", "top_p", "user",
)  # fmt: skip
_EFFORTS: Final[Mapping[str, str]] = {
    "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh",
    "max": "max",
}  # fmt: skip
_BUDGETS: Final[Mapping[str, int]] = {
    "minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576,
    "max": 32_000,
}  # fmt: skip
LEAST: Final = 1_024
"""The smallest budget that Anthropic accepts."""

_CHOICES: Final[Mapping[str, str]] = {"auto": "auto", "required": "any", "none": "none"}
_VERSION: Final = re.compile(r"claude-[a-z]+-([0-9]{1,2})(?:[-.]([0-9]{1,2})(?![0-9]))?(?![0-9])")
# The types of Anthropic's own tools end with a date.
_OWN_TOOL: Final = re.compile(r"_20[0-9]{6}\Z")
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")


def request_body(prompt: Prompt, *, max_tokens: int, thinking: str | None) -> dict[str, Any]:
    """The body; ``max_tokens`` is for a prompt that sets none.

    ``thinking`` is ``adaptive`` or ``budget``, or ``None`` to decide by the model's name.

    Raises:
        RequestError: Anthropic cannot do what the prompt asks for.
    """
    request = ChatRequest(DIALECT, prompt, _TAKES, files=True)
    temperature, output = request.options.get("temperature"), request.output
    if isinstance(temperature, int | float) and temperature > 1:
        raise no_option("temperature", DIALECT, "it must be from 0 to 1")
    if output is not None and output.schema is None:
        raise no_option("response_format", DIALECT, "JSON needs a schema: use json_schema")
    spoken = turns(request.messages, "assistant", _blocks)
    tools, user = _tools(request), request.options.get("user")
    body = request.copied(("temperature", "top_p", *NATIVE)) | present(
        model=request.model,
        messages=[{"role": role, "content": content} for role, content in spoken],
        system=request.system if request.system.strip() else None,
        max_tokens=request.max_tokens or max_tokens,
        stop_sequences=request.stop or None,
        metadata=None if user is None else {"user_id": user},
        tools=tools or None,
        tool_choice=_tool_choice(request) if tools else None,
        output_config=output and {"format": {"type": "json_schema", "schema": output.schema}},
        stream=True,
    )
    _add_thinking(request, body, thinking)
    return body


def _blocks(message: ChatMessage) -> list[dict[str, Any]]:
    content = [_block(part) for part in message.parts if not isinstance(part, str) or part.strip()]
    if message.role == "tool":
        key = _id(message.call_id)
        return [present(type="tool_result", tool_use_id=key, content=content or None)]
    if not message.owned:
        return [*content, *map(_tool_use, message.calls)]
    found: list[dict[str, Any]] = []
    for part in woven(message.text, len(message.calls), message.owned):
        if isinstance(part, str):
            found += [_block(part)] if part.strip() else []
        elif isinstance(part, int):
            found.append(_tool_use(message.calls[part]))
        else:
            found += _own_blocks(part)
    return found


def _tool_use(call: ChatToolCall) -> dict[str, Any]:
    held = {"id": _id(call.id), "name": call.name, "input": dict(call.arguments)}
    return {"type": "tool_use", **held}


def _own_blocks(held: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The blocks that a field was made from, if they were Anthropic's."""
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
        return present(type="document", source=_document(part), title=part.name or None)
    source = {"type": "url", "url": part.url}
    if part.media_type:
        source = {"type": "base64", "media_type": part.media_type, "data": part.base64}
    return {"type": "image", "source": source}


def _document(file: File) -> dict[str, str]:
    """A PDF or a text; an id needs a beta header."""
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
    why = f"it takes PDF and text, not {file.media_type[:60]}"
    raise no_option("a part of type file", DIALECT, why)


def _id(given: str) -> str:
    """An id as Anthropic accepts it; other providers allow more characters."""
    return _NOT_IN_IDS.sub("_", given)


def _tools(request: ChatRequest) -> list[Any]:
    """The tools; those that Anthropic runs itself are passed on unchanged."""
    return [
        tool if _OWN_TOOL.search(str(as_object(tool).get("type"))) else _tool(request.tool(tool))
        for tool in request.raw_tools
    ]


def _tool(tool: Tool) -> dict[str, Any]:
    # The type is required, and often missing for a tool without arguments.
    schema = {"type": "object", **(tool.parameters or {"properties": {}})}
    about = tool.description or None
    return present(
        name=tool.name, description=about, input_schema=schema, strict=tool.strict or None
    )


def _tool_choice(request: ChatRequest) -> dict[str, Any] | None:
    """Which tools to call, and whether one at a time."""
    choice, made = request.tool_choice, dict[str, Any]()
    if isinstance(choice, str):
        made = {"type": _CHOICES[choice]}
    elif choice is not None:
        made = {"type": "tool", "name": choice.name}
    if request.options.get("parallel_tool_calls") is False and choice != "none":
        made = {"type": "auto", **made, "disable_parallel_tool_use": True}
    return made or None


def _add_thinking(request: ChatRequest, body: dict[str, Any], thinking: str | None) -> None:
    """Put the effort of reasoning into the body."""
    effort = request.options.get("reasoning_effort")
    if effort is None:
        return
    if "thinking" in body:
        raise no_option("reasoning_effort", DIALECT, "it excludes thinking: give one of the two")
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif not isinstance(effort, str) or effort not in _EFFORTS:
        words = ", ".join(["none", *_EFFORTS])
        raise no_option("reasoning_effort", DIALECT, f"it must be one of {words}")
    elif (thinking or _thinking_of(request.model)) == "adaptive":
        body["thinking"] = {"type": "adaptive"}
        body.setdefault("output_config", {})["effort"] = _EFFORTS[effort]
    elif not _has_lost_thoughts(request.messages):
        body["thinking"] = {"type": "enabled", "budget_tokens": _budget(request, body, effort)}


def _has_lost_thoughts(messages: Iterable[ChatMessage]) -> bool:
    """Whether the model's last message was a call, and the thoughts before it are not known."""
    said = [message for message in messages if message.role == "assistant"]
    return bool(said and said[-1].calls) and not any(map(_own_blocks, said[-1].owned))


def _thinking_of(model: str | None) -> str:
    """How a model is asked to think: adaptively from Claude 4.6 on, before that by a budget."""
    found = _VERSION.search(model or "")
    version = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
    return "adaptive" if version >= (4, 6) else "budget"


def _budget(request: ChatRequest, body: dict[str, Any], effort: str) -> int:
    budget = _BUDGETS[effort]
    if request.max_tokens is None:
        body["max_tokens"] += budget
        return budget
    if request.max_tokens < 2 * LEAST:
        why = f"thinking takes at least {LEAST} tokens: raise max_tokens to {2 * LEAST}"
        raise no_option("reasoning_effort", DIALECT, why)
    return min(budget, request.max_tokens // 2)
