"""A prompt as the path and the body of a request to Gemini's ``streamGenerateContent``.

Where the two shapes differ:

- the model is part of the path;
- system messages have a field of their own; the others are ``user`` and ``model``, and neighbours
  are joined, because the results of calls that were made together must come together;
- the result of a call refers to the function's name, not to an id;
- the newest models refuse a call of their own without its signature. One that came with the call
  (``extra_content.google.thought_signature``, as in Google's own OpenAI-compatible API) is sent,
  and for others the placeholder that Google documents. Signatures of other parts go back, too
  (`hub.domain.provider_fields`);
- schemas are sent as JSON schemas; the older fields support only a part of these;
- ``reasoning_effort`` is a level for models from Gemini 3 on, and a budget of tokens for older
ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from hub.dialects.request.chat_request import (
    AUDIO,
    TRANSLATED,
    ChatMessage,
    ChatRequest,
    File,
    Part,
    Picture,
    Tool,
    no_option,
    present,
    turns,
)
from hub.domain.errors import RequestError
from hub.domain.json_values import as_list, as_object, as_string
from hub.domain.media import DATA_URL, IMAGES
from hub.domain.prompt import Prompt
from hub.domain.provider_fields import GEMINI, woven

__all__ = ["NATIVE", "request_body", "request_path"]

DIALECT: Final = "gemini"
NATIVE: Final = ("cachedContent", "safetySettings", "thinkingConfig", "top_k")
"""Options that only Gemini has; they are passed on unchanged."""

_GENERATION: Final[Mapping[str, str]] = {
    "temperature": "temperature", "top_p": "topP", "top_k": "topK", "seed": "seed",
    "logprobs": "responseLogprobs", "top_logprobs": "logprobs",
    "presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty",
    "thinkingConfig": "thinkingConfig",
}  # fmt: skip
_TOP: Final = ("cachedContent", "safetySettings")
_TAKES: Final = (*_GENERATION, *_TOP, *TRANSLATED, "modalities")
_MODES: Final[Mapping[str, str]] = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
# Budgets and levels are those of Google's own OpenAI-compatible API.
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0, "minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576,
}  # fmt: skip
_LEVELS: Final[Mapping[str, str]] = {
    "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high",
}  # fmt: skip
# Tools that Google runs itself.
_RUN: Final = frozenset(
    {
        "codeExecution", "code_execution", "googleSearch", "google_search", "googleMaps",
        "google_maps", "urlContext", "url_context", "fileSearch", "file_search",
    }
)  # fmt: skip
_MODEL: Final = re.compile(r"[\w@-][\w.@-]*(?:/[\w@-][\w.@-]*)*", re.ASCII)
_BEFORE_3: Final = re.compile(r"gemini-(?:[12](?![0-9])|pro(?:-vision)?$)")
# The documented signature for calls that the model has not made.
UNSIGNED: Final = "skip_thought_signature_validator"
# The media type of a picture elsewhere is guessed from its name.
_MEDIA: Final[Mapping[str, str]] = {
    "jpg": "image/jpeg",
    **{kind: f"image/{kind}" for kind in ("gif", "heic", "heif", "jpeg", "png", "webp")},
}


def request_path(model: str | None) -> str:
    """The path for a model, a bare name or one such as ``tunedModels/mine``.

    Raises:
        RequestError: there is no model, or its name cannot stand in a path.
    """
    if model is None:
        raise RequestError("Gemini needs a model: name one, or set `model` of the upstream")
    if not _MODEL.fullmatch(model):
        raise RequestError(f"Gemini has no model with such a name: {model[:60]!a}")
    named = model if "/" in model else f"models/{model}"
    return f"/{named}:streamGenerateContent?alt=sse"


def request_body(prompt: Prompt, *, thoughts: bool) -> dict[str, Any]:
    """The body; with ``thoughts``, thoughts are asked for even if no effort is.

    Raises:
        RequestError: Gemini cannot do what the prompt asks for.
    """
    request = ChatRequest(DIALECT, prompt, _TAKES, files=True)
    unsigned = None if _is_old(request.model) else UNSIGNED
    spoken = turns(request.messages, "model", lambda message: _parts(message, unsigned))
    system, tools = request.system, _tools(request)
    mode = _tool_mode(request) if tools else None
    return request.copied(_TOP) | present(
        contents=[{"role": role, "parts": parts} for role, parts in spoken],
        systemInstruction={"parts": [{"text": system}]} if system.strip() else None,
        tools=tools or None,
        toolConfig=mode and {"functionCallingConfig": mode},
        generationConfig=_generation(request, thoughts) or None,
    )


def _parts(message: ChatMessage, unsigned: str | None) -> list[dict[str, Any]]:
    """The parts of a message; ``unsigned`` is the signature of calls that have none."""
    if message.role == "tool":
        beside = [_part(part) for part in message.parts if not isinstance(part, str)]
        return [_response(message), *beside]
    if not message.owned:
        calls = (_call(message, place, unsigned) for place in range(len(message.calls)))
        return [*(_part(part) for part in message.parts if part), *calls]
    found: list[dict[str, Any]] = []
    pictures = _pictures(message)
    for part in woven(message.text, len(message.calls), message.owned):
        if isinstance(part, str):
            found.append({"text": part})
        elif isinstance(part, int):
            found.append(_call(message, part, unsigned))
        elif (index := part.get("media")) is None:
            _add_own(part, found)
        elif part.get("format") == GEMINI:
            found += _signed_picture(pictures, index, part)
    return found


def _pictures(message: ChatMessage) -> dict[int, re.Match[str]]:
    """The beginnings of the ``data:`` URLs of the pictures in a message, by their indexes."""
    found: dict[int, re.Match[str]] = {}
    for image in map(as_object, as_list(message.raw.get(IMAGES))):
        url, index = as_object(image.get("image_url")).get("url"), image.get("index")
        if isinstance(index, int) and isinstance(url, str) and (head := DATA_URL.match(url)):
            found.setdefault(index, head)
    return found


def _signed_picture(
    pictures: dict[int, re.Match[str]], index: Any, held: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A picture that the model has made, with its signature; nothing if it was left out.

    It is taken out of ``pictures``: each is sent once, however many signatures name it.
    """
    head = pictures.pop(index, None) if isinstance(index, int) else None
    if head is None:
        return []
    inline = {"mimeType": held.get("media_type") or head[1], "data": head.string[head.end() :]}
    return [{"inlineData": inline, "thoughtSignature": held.get("data")}]


def _call(message: ChatMessage, place: int, unsigned: str | None) -> dict[str, Any]:
    call = message.calls[place]
    made: dict[str, Any] = {"functionCall": {"name": call.name, "args": dict(call.arguments)}}
    extra = as_object(as_object(message.raw.get("tool_calls", ())[place]).get("extra_content"))
    signature = as_string(as_object(extra.get("google")).get("thought_signature"))
    # Of calls that were made together only the first is signed.
    if signed := signature or (None if place else unsigned):
        made["thoughtSignature"] = signed
    return made


def _add_own(held: Mapping[str, Any], parts: list[dict[str, Any]]) -> None:
    """Put a field of Gemini's own back where it came from."""
    if held.get("format") != GEMINI:
        return
    if held.get("type") == "reasoning.text":
        thought = {"text": held.get("text"), "thought": True}
        parts.append({**thought, "thoughtSignature": held.get("signature")})
    elif "name" in held:
        parts += [part for part in as_list(held.get("item")) if isinstance(part, dict)]
    else:
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
    return _file_data(file.url, media_type)


def _picture(picture: Picture) -> dict[str, Any]:
    if picture.media_type:
        return {"inlineData": {"mimeType": picture.media_type, "data": picture.base64}}
    path = picture.url.partition("?")[0].partition("#")[0]
    return _file_data(picture.url, _MEDIA.get(path.rpartition(".")[2].lower()))


def _file_data(url: str, media_type: str | None) -> dict[str, Any]:
    return {"fileData": present(mimeType=media_type or None, fileUri=url)}


def _response(message: ChatMessage) -> dict[str, Any]:
    """The result of a function, which must be an object."""
    if not message.name:
        raise RequestError(
            "the result of a tool must answer a call in the conversation, or name its function"
        )
    try:
        output = orjson.loads(message.text)
    except orjson.JSONDecodeError:
        output = None
    output = output if isinstance(output, dict) else {"output": message.text}
    return {"functionResponse": {"name": message.name, "response": output}}


def _tools(request: ChatRequest) -> list[Any]:
    """The tools; those that Google runs itself are passed on unchanged."""
    held = request.raw_tools
    run: list[Any] = []
    declared: list[dict[str, Any]] = []
    for tool in held:
        if _RUN & as_object(tool).keys():
            run.append(tool)
        else:
            declared.append(_declaration(request.tool(tool)))
    return [*([{"functionDeclarations": declared}] if declared else []), *run]


def _declaration(tool: Tool) -> dict[str, Any]:
    about, schema = tool.description or None, tool.parameters or None
    return present(name=tool.name, description=about, parametersJsonSchema=schema)


def _tool_mode(request: ChatRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    if isinstance(choice, Tool):
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return None if choice is None else {"mode": _MODES[choice]}


def _generation(request: ChatRequest, thoughts: bool) -> dict[str, Any]:
    modalities, output = request.options.get("modalities"), request.output
    if isinstance(modalities, list):
        modalities = [str(one).upper() for one in modalities]
    return request.copied(_GENERATION) | present(
        maxOutputTokens=request.max_tokens,
        responseModalities=modalities if isinstance(modalities, list) else None,
        stopSequences=request.stop or None,
        responseMimeType=output and "application/json",
        responseJsonSchema=output and output.schema,
        thinkingConfig=_thinking(request, thoughts),
    )


def _thinking(request: ChatRequest, thoughts: bool) -> dict[str, Any] | None:
    effort = request.options.get("reasoning_effort")
    if effort is None:
        wanted = thoughts and "thinkingConfig" not in request.options
        return {"includeThoughts": True} if wanted else None
    if "thinkingConfig" in request.options:
        why = "it excludes thinkingConfig: give one of the two"
        raise no_option("reasoning_effort", DIALECT, why)
    efforts: Mapping[str, int | str] = _BUDGETS if _is_old(request.model) else _LEVELS
    chosen = efforts.get(effort) if isinstance(effort, str) else None
    if chosen is None:
        why = f"this model takes one of {', '.join(efforts)}"
        raise no_option("reasoning_effort", DIALECT, why)
    if efforts is _LEVELS:
        return {"thinkingLevel": chosen, "includeThoughts": True}
    return {"thinkingBudget": chosen, "includeThoughts": chosen != 0}


def _is_old(model: str | None) -> bool:
    """Whether a model is older than Gemini 3; other names count as the newest."""
    return bool(_BEFORE_3.search(model or ""))
