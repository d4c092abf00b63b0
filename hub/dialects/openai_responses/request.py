"""A prompt as the request of OpenAI's Responses: messages become items.

Leading system messages become the ``instructions`` of what follows, tool calls and their
results items of their own. ``store`` is false unless it is asked for, so that nothing stays
with the provider, and models that reason are asked for what they thought in the form in which it
can be given back (`hub.domain.provider_fields`). What stands in the form of this API already (its
built-in tools, ``reasoning``, ``text``, ``include`` …) goes through as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Any, Final

from hub.dialects.request.chat_request import (
    AUDIO,
    AskedCall,
    AskedMessage,
    ChatRequest,
    File,
    Part,
    Picture,
    Tool,
)
from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import RESPONSES, woven

__all__ = ["responses_body"]

# The options that the request has under the same name.
_SAME: Final = (
    "temperature", "top_p", "user", "metadata", "parallel_tool_calls", "service_tier",
    "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs",
    "reasoning", "include", "truncation", "max_tool_calls", "previous_response_id",
    "conversation", "instructions", "text", "store", "max_output_tokens",
)  # fmt: skip
_FORMATS: Final = {media_type: form for form, media_type in AUDIO.items()}
_TRANSLATED: Final = (
    "max_tokens", "max_completion_tokens", "tools", "tool_choice", "response_format",
    "reasoning_effort", "verbosity", "logprobs",
)  # fmt: skip

PROBABLE: Final = "message.output_text.logprobs"
SEALED: Final = "reasoning.encrypted_content"
_REASONING: Final = re.compile(r"(?:openai/)?(?:o[1-9]|codex|gpt-(?:[5-9]|oss)(?!.*chat))")


def responses_body(dialect: str, prompt: Prompt) -> dict[str, Any]:
    """The body of the request.

    Raises:
        RequestError: the API cannot take what the prompt asks for.
    """
    asked = ChatRequest(dialect, prompt, (*_SAME, *_TRANSLATED), files=True)
    body: dict[str, Any] = {"store": False, **asked.copied(_SAME)}
    if asked.model is not None:
        body["model"] = asked.model
    leading = list(takewhile(lambda message: message.role == "system", asked.messages))
    if 0 < len(leading) < len(asked.messages) and "instructions" not in body:
        body["instructions"] = "\n\n".join(message.text for message in leading)
    else:
        leading = []
    messages = asked.messages[len(leading) :]
    custom = {call.id for message in messages for call in message.calls if call.text is not None}
    body["input"] = [item for message in messages for item in _items(message, custom)]
    if (most := asked.max_tokens) is not None:
        body["max_output_tokens"] = most
    if tools := asked.options.get("tools"):
        body["tools"] = _tools(asked, tools)
    if (choice := asked.options.get("tool_choice")) is not None:
        body["tool_choice"] = _tool_choice(asked, choice)
    if effort := asked.options.get("reasoning_effort"):
        body["reasoning"] = {**as_object(body.get("reasoning")), "effort": effort}
    if asked.options.get("logprobs"):
        body["include"] = [*(body.get("include") or ()), PROBABLE]
    if not body["store"] and _reasons(body):
        # Nobody else keeps it, and models that do not reason refuse the question.
        body["include"] = list(dict.fromkeys([*(body.get("include") or ()), SEALED]))
    if text := _text(asked):
        body["text"] = {**as_object(body.get("text")), **text}
    body["stream"] = True
    return body


def _reasons(body: Mapping[str, Any]) -> bool:
    """Whether the model reasons, by what is asked of it, or by its name."""
    asked = as_object(body.get("reasoning"))
    if "effort" in asked:
        return bool(asked["effort"] != "none")
    return bool(asked) or _REASONING.match(str(body.get("model"))) is not None


def _items(message: AskedMessage, custom: Collection[str]) -> list[dict[str, Any]]:
    """A message as the items that it is here; ``custom`` are the calls of custom tools."""
    if message.role == "tool":
        output = _content(message) if message.pictures or message.files else message.text
        kind = "custom_tool_call" if message.answers in custom else "function_call"
        return [{"type": f"{kind}_output", "call_id": message.answers, "output": output}]
    if message.owned:
        parts = woven(message.text, len(message.calls), message.owned)
        return [item for part in parts for item in _woven(message, part)]
    found: list[dict[str, Any]] = []
    if message.parts or not message.calls:
        role = message.held.get("role")
        plain = message.role == "assistant" or not (message.pictures or message.files)
        content = message.text if plain else _content(message)
        found.append({"type": "message", "role": role, "content": content})
    return [*found, *map(_call, message.calls)]


def _call(call: AskedCall) -> dict[str, Any]:
    if call.text is not None:
        named = {"call_id": call.id, "name": call.name}
        return {"type": "custom_tool_call", **named, "input": call.text}
    said = {"call_id": call.id, "name": call.name, "arguments": call.arguments_text}
    return {"type": "function_call", **said}


def _woven(message: AskedMessage, part: str | int | Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of a part of an answer that was given by this API."""
    if isinstance(part, str):
        return [{"type": "message", "role": "assistant", "content": part}]
    if isinstance(part, int):
        return [_call(message.calls[part])]
    if part.get("format") != RESPONSES:
        return []
    if isinstance(item := part.get("item"), dict):
        return [item]
    if part.get("type") != "reasoning.encrypted":
        return []
    texts = part.get("summary")
    summary = [{"type": "summary_text", "text": text} for text in texts or ()]
    named = {"id": part["id"]} if part.get("id") else {}
    sealed = {"summary": summary, "encrypted_content": part.get("data")}
    return [{"type": "reasoning", **named, **sealed}]


def _content(message: AskedMessage) -> list[dict[str, Any]]:
    return [_part(part) for part in message.parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if isinstance(part, Picture):
        return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
    form = _FORMATS.get(part.media_type)
    if form is not None and part.base64:
        return {"type": "input_audio", "input_audio": {"data": part.base64, "format": form}}
    return {"type": "input_file", **_file(part)}


def _file(file: File) -> dict[str, str]:
    if file.id:
        return {"file_id": file.id}
    if file.url:
        return {"file_url": file.url}
    # It is refused there without a name.
    return {"filename": file.name or "file", "file_data": file.data_url}


def _tools(asked: ChatRequest, held: Any) -> list[Any]:
    """The tools; what is no function, or stands in the form of this API, is passed on."""
    if not isinstance(held, list):
        raise RequestError("tools must be a list")
    return [_tool(asked, tool) for tool in held]


def _tool(asked: ChatRequest, held: Any) -> Any:
    if "function" in as_object(held):
        return _function(asked.tool(held))
    custom = _custom(held)
    return {"type": "custom", **custom} if custom else held


def _custom(held: Any) -> Mapping[str, Any]:
    """What a custom tool of chat completions is; nothing for any other."""
    return as_object(as_object(held).get("custom"))


def _function(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        made["description"] = tool.description
    made["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    # Unlike with chat completions, a function is strict here unless this is said.
    made["strict"] = bool(tool.strict)
    return made


def _tool_choice(asked: ChatRequest, held: Any) -> Any:
    if isinstance(held, dict) and isinstance(custom := held.get("custom"), dict):
        return {"type": "custom", **custom}
    if isinstance(held, dict) and not {"function", "allowed_tools"} & set(held):
        return held
    if asked.allowed is not None:
        custom = {_custom(tool).get("name") for tool in asked.held_tools}
        named = [
            {"type": "custom" if name in custom else "function", "name": name}
            for name in asked.allowed
        ]
        return {"type": "allowed_tools", "mode": asked.tool_choice or "auto", "tools": named}
    choice = asked.tool_choice
    return {"type": "function", "name": choice.name} if isinstance(choice, Tool) else choice


def _text(asked: ChatRequest) -> dict[str, Any]:
    found = asked.copied(("verbosity",))
    output = asked.output
    if output is None:
        return found
    if output.schema is None:
        return {**found, "format": {"type": "json_object"}}
    said: dict[str, Any] = {"name": output.name, "schema": output.schema}
    if output.strict is not None:
        said["strict"] = output.strict
    if output.description is not None:
        said["description"] = output.description
    return {**found, "format": {"type": "json_schema", **said}}
