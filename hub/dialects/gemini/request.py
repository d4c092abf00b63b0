"""A prompt as the path and the body of a request to Gemini's ``streamGenerateContent``.

Where the two shapes part:

- the model stands in the path;
- system messages stand apart; the others are ``user`` and ``model``, and neighbours are
  one, for the results of calls that were made together must come together;
- the result of a call goes by the function's name, not by an id;
- the newest models refuse a call of their own whose signature is missing. One that came
  with the call (``extra_content.google.thought_signature``, as in Google's own
  OpenAI-compatible API) is sent, else what Google gives for calls that have none. Those of
  other parts go back, too (`hub.domain.provider_fields`);
- schemas go as JSON schemas, of which the older fields know only a part;
- ``reasoning_effort`` is a level for models from Gemini 3 on and a budget of tokens before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

import orjson

from hub.dialects.request.chat_request import (
    AUDIO,
    AskedMessage,
    ChatRequest,
    File,
    Part,
    Picture,
    Tool,
    no_option,
)
from hub.domain.errors import RequestError
from hub.domain.json_values import as_object
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import GEMINI, woven

__all__ = ["NATIVE", "request_body", "request_path"]

DIALECT: Final = "gemini"
NATIVE: Final = ("cachedContent", "safetySettings", "thinkingConfig", "top_k")
"""Options of Gemini's own that OpenAI does not have; they are passed on as they are."""

_GENERATION: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "thinkingConfig": "thinkingConfig",
}
_BESIDES: Final[Mapping[str, str]] = {
    "cachedContent": "cachedContent",
    "safetySettings": "safetySettings",
}
_TAKES: Final = (
    *_GENERATION,
    *_BESIDES,
    "max_completion_tokens",
    "modalities",
    "max_tokens",
    "reasoning_effort",
    "response_format",
    "stop",
    "tool_choice",
    "tools",
)
_MODES: Final[Mapping[str, str]] = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
# As Google's own OpenAI-compatible API translates them.
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0,
    "minimal": 1_024,
    "low": 1_024,
    "medium": 8_192,
    "high": 24_576,
    "xhigh": 24_576,
}
_LEVELS: Final[Mapping[str, str]] = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
}
_RUN: Final = frozenset(
    {
        "codeExecution", "code_execution", "googleSearch", "google_search", "googleMaps",
        "google_maps", "urlContext", "url_context", "fileSearch", "file_search",
    }
)  # fmt: skip
_MODEL: Final = re.compile(r"[\w@-][\w.@-]*(?:/[\w@-][\w.@-]*)*", re.ASCII)
_BEFORE_3: Final = re.compile(r"gemini-(?:[12](?![0-9])|pro(?:-vision)?$)")
# What Google's documentation gives for calls that are not the model's own.
UNSIGNED: Final = "skip_thought_signature_validator"
# Where a picture lies elsewhere, its kind has to be told by its name.
_MEDIA: Final[Mapping[str, str]] = {
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
}


def request_path(model: str | None) -> str:
    """The path for a model, a bare name or one such as ``tunedModels/mine``.

    Raises:
        RequestError: there is none, or it cannot stand in a path.
    """
    if model is None:
        raise RequestError("Gemini needs a model: name one, or set `model` of the upstream")
    if not _MODEL.fullmatch(model):
        raise RequestError(f"Gemini has no model with such a name: {model[:60]!a}")
    named = model if "/" in model else f"models/{model}"
    return f"/{named}:streamGenerateContent?alt=sse"


def request_body(prompt: Prompt, *, thoughts: bool) -> dict[str, Any]:
    """The body; ``thoughts`` is whether to ask for thoughts when no effort is asked for.

    Raises:
        RequestError: the prompt asks for what Gemini does not have, or makes no sense.
    """
    asked = ChatRequest(DIALECT, prompt, _TAKES, files=True)
    signature = None if _old(asked.model) else UNSIGNED
    body: dict[str, Any] = {"contents": _contents(asked.messages, signature)}
    if asked.system.strip():
        body["systemInstruction"] = {"parts": [{"text": asked.system}]}
    body.update(asked.copied(_BESIDES))
    if tools := _tools(asked):
        body["tools"] = tools
        if (mode := _tool_mode(asked)) is not None:
            body["toolConfig"] = {"functionCallingConfig": mode}
    if generation := _generation(asked, thoughts):
        body["generationConfig"] = generation
    return body


def _contents(messages: Iterable[AskedMessage], signature: str | None) -> list[dict[str, Any]]:
    spoken = (message for message in messages if message.role != "system")
    made: list[dict[str, Any]] = []
    for role, turn in groupby(spoken, key=_speaker):
        parts = [part for message in turn for part in _parts(message, signature)]
        if not parts:
            continue
        if made and made[-1]["role"] == role:  # what stood in between had nothing in it
            made[-1]["parts"] += parts
        else:
            made.append({"role": role, "parts": parts})
    return made


def _speaker(message: AskedMessage) -> str:
    return "model" if message.role == "assistant" else "user"


def _parts(message: AskedMessage, signature: str | None) -> list[dict[str, Any]]:
    if message.role == "tool":
        return [
            _response(message),
            *[_part(part) for part in message.parts if not isinstance(part, str)],
        ]
    if not message.owned:
        calls = (_called(message, place, signature) for place in range(len(message.calls)))
        return [*(_part(part) for part in message.parts if part), *calls]
    found: list[dict[str, Any]] = []
    for part in woven(message.text, len(message.calls), message.owned):
        if isinstance(part, str):
            found.append({"text": part})
        elif isinstance(part, int):
            found.append(_called(message, part, signature))
        else:
            _add_own(part, found)
    return found


def _called(message: AskedMessage, place: int, signature: str | None) -> dict[str, Any]:
    call = message.calls[place]
    made: dict[str, Any] = {"functionCall": {"name": call.name, "args": dict(call.arguments)}}
    # Of calls that were made together only the first is signed.
    if signed := _signature(message, place) or (None if place else signature):
        made["thoughtSignature"] = signed
    return made


def _add_own(held: Mapping[str, Any], parts: list[dict[str, Any]]) -> None:
    """Put a signature back at the part that it came with."""
    if held.get("format") != GEMINI:
        return
    if held.get("type") == "reasoning.text":
        thought = {"text": held.get("text"), "thought": True}
        parts.append({**thought, "thoughtSignature": held.get("signature")})
        return
    if "name" in held:
        item = held.get("item")
        parts += [part for part in item if isinstance(part, dict)] if isinstance(item, list) else []
        return
    if not (parts and "text" in parts[-1] and "thoughtSignature" not in parts[-1]):
        parts.append({"text": ""})
    parts[-1]["thoughtSignature"] = held.get("data")


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, str):
        return {"text": part}
    return _file(part) if isinstance(part, File) else _picture(part)


def _file(file: File) -> dict[str, Any]:
    media_type = "audio/mp3" if file.media_type == AUDIO["mp3"] else file.media_type
    if file.id:
        raise no_option("a file_id", DIALECT, "send the file's data, or its URL as file_url")
    if file.base64:
        return {"inlineData": {"mimeType": media_type, "data": file.base64}}
    told = {"mimeType": media_type} if media_type else {}
    return {"fileData": {**told, "fileUri": file.url}}


def _picture(picture: Picture) -> dict[str, Any]:
    if picture.media_type:
        return {"inlineData": {"mimeType": picture.media_type, "data": picture.base64}}
    path = picture.url.partition("?")[0].partition("#")[0]
    media = _MEDIA.get(path.rpartition(".")[2].lower())
    file = {"fileUri": picture.url}
    return {"fileData": {"mimeType": media, **file} if media else file}


def _response(message: AskedMessage) -> dict[str, Any]:
    if not message.name:
        raise RequestError(
            "the result of a tool must answer a call in the conversation, or name its function"
        )
    return {"functionResponse": {"name": message.name, "response": _output(message.text)}}


def _output(text: str) -> Any:
    """What a function returned, which must be an object."""
    try:
        held = orjson.loads(text)
    except orjson.JSONDecodeError:
        held = None
    return held if isinstance(held, dict) else {"output": text}


def _signature(message: AskedMessage, place: int) -> str | None:
    """The signature that came with a call, if the client kept it."""
    held = as_object(message.held.get("tool_calls", ())[place])
    google = as_object(as_object(held.get("extra_content")).get("google"))
    signature = google.get("thought_signature")
    return signature if isinstance(signature, str) and signature else None


def _tools(asked: ChatRequest) -> list[Any]:
    """The tools; those that Google runs itself stand in its own form, and are passed on."""
    held = asked.held_tools
    run = [tool for tool in held if _RUN & as_object(tool).keys()]
    declared = [_declared(asked.tool(tool)) for tool in held if tool not in run]
    return [*([{"functionDeclarations": declared}] if declared else []), *run]


def _declared(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    if tool.parameters:
        made["parametersJsonSchema"] = tool.parameters
    return made


def _tool_mode(asked: ChatRequest) -> dict[str, Any] | None:
    choice = asked.tool_choice
    if choice is None:
        return None
    if isinstance(choice, str):
        return {"mode": _MODES[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice.name]}


def _generation(asked: ChatRequest, thoughts: bool) -> dict[str, Any]:
    made = asked.copied(_GENERATION)
    if asked.max_tokens is not None:
        made["maxOutputTokens"] = asked.max_tokens
    if isinstance(modalities := asked.options.get("modalities"), list):
        made["responseModalities"] = [str(one).upper() for one in modalities]
    if asked.stop:
        made["stopSequences"] = asked.stop
    if asked.output is not None:
        made["responseMimeType"] = "application/json"
        if asked.output.schema is not None:
            made["responseJsonSchema"] = asked.output.schema
    if (thinking := _thinking(asked, thoughts)) is not None:
        made["thinkingConfig"] = thinking
    return made


def _thinking(asked: ChatRequest, thoughts: bool) -> dict[str, Any] | None:
    effort = asked.options.get("reasoning_effort")
    if effort is None:
        wanted = thoughts and "thinkingConfig" not in asked.options
        return {"includeThoughts": True} if wanted else None
    if "thinkingConfig" in asked.options:
        why = "it goes with thinkingConfig: say one of the two"
        raise no_option("reasoning_effort", DIALECT, why)
    if _old(asked.model):
        budget = _BUDGETS.get(effort) if isinstance(effort, str) else None
        if budget is None:
            raise _no_effort(_BUDGETS)
        return {"thinkingBudget": budget, "includeThoughts": budget > 0}
    level = _LEVELS.get(effort) if isinstance(effort, str) else None
    if level is None:
        raise _no_effort(_LEVELS)
    return {"thinkingLevel": level, "includeThoughts": True}


def _no_effort(words: Iterable[str]) -> RequestError:
    return no_option("reasoning_effort", DIALECT, f"for this model say one of {', '.join(words)}")


def _old(model: str | None) -> bool:
    """Whether a model is older than Gemini 3; a name that does not say is of the newest."""
    return bool(_BEFORE_3.search(model or ""))
