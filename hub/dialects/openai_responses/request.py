"""A prompt as the request of OpenAI's Responses: messages become items.

Leading system messages become the ``instructions``; tool calls and their results become items of
their own. ``store`` is false unless it is asked for, so that nothing is kept by the provider, and
reasoning models are asked for their thoughts in the encrypted form in which these can be given back
(`hub.domain.provider_fields`). Whatever already has the form of this API (its built-in tools,
``reasoning``, ``text``, ``include`` …) is passed on unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import takewhile
from typing import Any, Final

from hub.dialects.request.chat_request import (
    AUDIO,
    TRANSLATED,
    ChatMessage,
    ChatRequest,
    ChatToolCall,
    Part,
    Picture,
    Tool,
    present,
)
from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import ITEM, RESPONSES, woven

__all__ = ["responses_body"]

# Options that have the same name in the request.
_SAME: Final = (
    "temperature", "top_p", "user", "metadata", "parallel_tool_calls", "service_tier",
    "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "top_logprobs",
    "reasoning", "include", "truncation", "max_tool_calls", "previous_response_id",
    "conversation", "instructions", "text", "store", "max_output_tokens",
)  # fmt: skip
_TRANSLATED: Final = (*TRANSLATED, "verbosity", "logprobs")
_AUDIO_FORMATS: Final = {media_type: form for form, media_type in AUDIO.items()}

LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED: Final = "reasoning.encrypted_content"
_REASONING: Final = re.compile(r"(?:openai/)?(?:o[1-9]|codex|gpt-(?:[5-9]|oss)(?!.*chat))")


def responses_body(dialect: str, prompt: Prompt) -> dict[str, Any]:
    """The body of the request.

    Raises:
        RequestError: the API cannot do what the prompt asks for.
    """
    request = ChatRequest(dialect, prompt, (*_SAME, *_TRANSLATED), files=True)
    leading = list(takewhile(lambda message: message.role == "system", request.messages))
    if not 0 < len(leading) < len(request.messages) or "instructions" in request.options:
        leading = []
    messages = request.messages[len(leading) :]
    custom = {call.id for message in messages for call in message.calls if call.text is not None}
    tools, choice = request.options.get("tools") or [], request.options.get("tool_choice")
    if not isinstance(tools, list):
        raise RequestError("tools must be a list")
    body = {"store": False, **request.copied(_SAME)} | present(
        model=request.model,
        instructions="\n\n".join(message.text for message in leading) if leading else None,
        input=[item for message in messages for item in _items(message, custom)],
        max_output_tokens=request.max_tokens,
        tools=[_tool(request, tool) for tool in tools] or None,
        tool_choice=None if choice is None else _tool_choice(request, choice),
        stream=True,
    )
    if effort := request.options.get("reasoning_effort"):
        body["reasoning"] = {**as_object(body.get("reasoning")), "effort": effort}
    if request.options.get("logprobs"):
        body["include"] = [*(body.get("include") or ()), LOGPROBS]
    if not body["store"] and _reasons(body):
        # Models that do not reason refuse this.
        body["include"] = list(dict.fromkeys([*(body.get("include") or ()), ENCRYPTED]))
    if text := _text(request):
        body["text"] = {**as_object(body.get("text")), **text}
    return body


def _reasons(body: Mapping[str, Any]) -> bool:
    """Whether the model reasons, by the request or by its name."""
    reasoning = as_object(body.get("reasoning"))
    if "effort" in reasoning:
        return bool(reasoning["effort"] != "none")
    return bool(reasoning) or _REASONING.match(str(body.get("model"))) is not None


def _items(message: ChatMessage, custom: Collection[str]) -> list[dict[str, Any]]:
    """The items of a message; ``custom`` are the ids of the calls of custom tools."""
    if isinstance(item := message.raw.get(ITEM), dict):
        return [item]
    mixed = bool(message.pictures or message.files)
    if message.role == "tool":
        output = [_part(part) for part in message.parts] if mixed else message.text
        kind = "custom_tool_call" if message.call_id in custom else "function_call"
        return [{"type": f"{kind}_output", "call_id": message.call_id, "output": output}]
    if message.owned:
        parts = woven(message.text, len(message.calls), message.owned)
        return [item for part in parts for item in _own_items(message, part)]
    calls = [_call(call) for call in message.calls]
    if calls and not message.parts:
        return calls
    plain = message.role == "assistant" or not mixed
    content = message.text if plain else [_part(part) for part in message.parts]
    return [{"type": "message", "role": message.raw.get("role"), "content": content}, *calls]


def _call(call: ChatToolCall) -> dict[str, Any]:
    made: dict[str, Any] = {"call_id": call.id, "name": call.name}
    if call.text is not None:
        return {"type": "custom_tool_call", **made, "input": call.text}
    return {"type": "function_call", **made, "arguments": call.arguments_text}


def _own_items(message: ChatMessage, part: str | int | Mapping[str, Any]) -> list[dict[str, Any]]:
    """The items of one part of an answer that this API has given."""
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
    return [
        present(
            type="reasoning",
            id=part.get("id") or None,
            summary=[{"type": "summary_text", "text": text} for text in part.get("summary") or ()],
            encrypted_content=part.get("data"),
        )
    ]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "input_text", "text": part}
    if isinstance(part, Picture):
        return {"type": "input_image", "image_url": part.url, "detail": part.detail or "auto"}
    form = _AUDIO_FORMATS.get(part.media_type)
    if form is not None and part.base64:
        return {"type": "input_audio", "input_audio": {"data": part.base64, "format": form}}
    if part.id:
        return {"type": "input_file", "file_id": part.id}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    # Data without a name is refused.
    name = part.name or "file"
    return {"type": "input_file", "filename": name, "file_data": part.data_url}


def _tool(request: ChatRequest, held: Any) -> Any:
    """A tool; one that already has the form of this API is passed on."""
    if "function" in as_object(held):
        tool = request.tool(held)
        schema = tool.parameters or {"type": "object", "properties": {}}
        named = present(type="function", name=tool.name, description=tool.description)
        # Unlike in chat completions, functions are strict unless this says otherwise.
        return {**named, "parameters": schema, "strict": bool(tool.strict)}
    custom = _custom(held)
    return {"type": "custom", **custom} if custom else held


def _custom(held: Any) -> Mapping[str, Any]:
    """The custom tool of chat completions that a tool is; empty for any other."""
    return as_object(as_object(held).get("custom"))


def _tool_choice(request: ChatRequest, held: Any) -> Any:
    if isinstance(held, dict) and isinstance(custom := held.get("custom"), dict):
        return {"type": "custom", **custom}
    if isinstance(held, dict) and not {"function", "allowed_tools"} & set(held):
        return held
    if request.allowed is not None:
        custom = {_custom(tool).get("name") for tool in request.raw_tools}
        named = [
            {"type": "custom" if name in custom else "function", "name": name}
            for name in request.allowed
        ]
        return {"type": "allowed_tools", "mode": request.tool_choice or "auto", "tools": named}
    choice = request.tool_choice
    return {"type": "function", "name": choice.name} if isinstance(choice, Tool) else choice


def _text(request: ChatRequest) -> dict[str, Any]:
    found = request.copied(("verbosity",))
    output = request.output
    if output is None:
        return found
    if output.schema is None:
        return {**found, "format": {"type": "json_object"}}
    about = present(strict=output.strict, description=output.description)
    schema = {"type": "json_schema", "name": output.name, "schema": output.schema}
    return {**found, "format": {**schema, **about}}
