"""The routes over HTTP as one OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from hub.docs.chunks import CHUNKS
from hub.docs.codes import by_status
from hub.docs.operations import JSON, TEXT, Answer, Operation, Parameter, Schema, Shape, ref
from hub.docs.requests import PARTS
from hub.docs.routes import GROUPS, OPERATIONS
from hub.docs.shapes import ANSWERS, EVENTS, of_model
from hub.protocols import generations, tutorial
from hub.protocols.agui import endpoint as agui
from hub.protocols.aisdk import endpoint as aisdk
from hub.protocols.openai import chat
from hub.protocols.openai.responses_request import ResponseAsked

__all__ = ["document", "schemas"]

VERSION: Final = "1"
"""Of the interface; routes begin with it."""

ABOUT: Final = (
    "A live-streaming hub for LLM output: it reads each upstream reply once and hands every "
    "chunk to every subscriber. The WebSocket is described in `asyncapi.json`, beside this."
)
UNSAFE: Final = (
    "bad_body",
    "unsupported_encoding",
    "body_timeout",
    "origin_not_allowed",
    "limit_exceeded",
)
"""What can happen to any request that changes something."""

_ERRORS: Final[Mapping[Shape, Mapping[str, Schema]]] = {
    "hub": {JSON: ref("Error")},
    "openai": {JSON: ref("OpenAIError")},
    "sentence": {JSON: ref("Sentence")},
    "text": {"text/plain": TEXT},
}

MODELS: Final[dict[str, type[BaseModel]]] = {
    "GenerationRequest": generations.GenerationAsked,
    "CompletionRequest": chat.CompletionAsked,
    "ResponseRequest": ResponseAsked,
    "ChatRequest": aisdk.ChatAsked,
    "ConversationRequest": agui.ConversationAsked,
    "RunRequest": agui.RunAsked,
    "MessagesRequest": tutorial.MessagesAsked,
    "QueryRequest": tutorial.QueryAsked,
}


NAMED: Final = {"x-request-id": "The name of the request: the one that it brought, or a new one."}
PASSED_ON: Final = {
    "Retry-After": "The seconds after which to ask again, where the provider says so.",
    "x-should-retry": "`false` where asking again is pointless, or the hub has done so itself.",
}


def document() -> dict[str, Any]:
    """The document, the same from the same code."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Streamhub",
            "summary": "Read once, streamed to everybody.",
            "version": VERSION,
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://127.0.0.1:7000", "description": "where it listens unasked"}],
        "security": [],
        "tags": [{"name": name, "description": says} for name, says in GROUPS.items()],
        "paths": paths,
        "components": {"schemas": schemas()},
    }


def schemas() -> dict[str, Schema]:
    """Everything that has a name."""
    found: dict[str, Schema] = {}
    for name, model in MODELS.items():
        found.update(of_model(name, model))
    return {**found, **PARTS, **ANSWERS, **CHUNKS, **EVENTS}


def _operation(operation: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": _id(operation),
        "tags": [operation.group],
        "summary": operation.title,
    }
    if operation.says:
        shown["description"] = operation.says
    if operation.parameters:
        shown["parameters"] = [_parameter(one) for one in operation.parameters]
    if operation.body:
        needed = (
            {"required": True} if JSON in operation.body and "$ref" in operation.body[JSON] else {}
        )
        shown["requestBody"] = {**needed, "content": _content(operation.body)}
    return {**shown, "responses": _responses(operation)}


def _id(operation: Operation) -> str:
    words = "".join(c if c.isalnum() else " " for c in operation.path).split()
    return "_".join([operation.method.lower(), *words])


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.says,
        "required": parameter.where == "path",
        "schema": dict(parameter.schema),
    }


def _responses(operation: Operation) -> dict[str, Any]:
    held: dict[str, Any] = {str(one.status): _answer(one) for one in operation.answers}
    error = _content(_ERRORS[operation.wrong])
    more = UNSAFE if operation.method not in ("GET", "HEAD") else ()
    codes = tuple(dict.fromkeys((*operation.errors, "host_not_allowed", *more)))
    for number, phrase, named in by_status(codes):
        said = f"{phrase}: {', '.join(f'`{code}`' for code in named)}"
        held[str(number)] = {"description": said, "x-codes": named, "content": error}
        if operation.beside:
            held[str(number)]["headers"] = _headers(operation.beside)
        if any(code.startswith("upstream_") for code in named):
            held[str(number)].setdefault("headers", {}).update(_headers(PASSED_ON))
    held["default"] = {
        "description": "Any other error; of a provider's refusal, its own status.",
        "content": error,
        "headers": _headers(PASSED_ON),
    }
    for one in held.values():
        one.setdefault("headers", {}).update(_headers(NAMED))
    return held


def _answer(answer: Answer) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": answer.says}
    if answer.headers:
        shown["headers"] = _headers(answer.headers)
    if answer.content:
        shown["content"] = _content(answer.content)
    return shown


def _content(content: Mapping[str, Schema]) -> dict[str, Any]:
    return {kind: {"schema": dict(schema)} if schema else {} for kind, schema in content.items()}


def _headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"description": says, "schema": {"type": "string"}} for name, says in headers.items()
    }
