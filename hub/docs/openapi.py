"""The HTTP routes as an OpenAPI 3.1 document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from hub.docs.chunks import CHUNKS
from hub.docs.codes import by_status
from hub.docs.frames import FOLLOWED
from hub.docs.json_schema import TEXT, Schema, ref
from hub.docs.operations import JSON, ErrorFormat, Operation
from hub.docs.requests import PARTS
from hub.docs.routes import GROUPS
from hub.docs.shapes import EVENTS, RESPONSES, of_model
from hub.protocols import follow, generations, shares, tutorial
from hub.protocols.agui import endpoint as agui
from hub.protocols.aisdk import endpoint as aisdk
from hub.protocols.openai import chat
from hub.protocols.openai.responses_request import ResponseAsked

__all__ = ["REQUEST_ID", "document"]

ABOUT: Final = (
    "A live-streaming hub for LLM output: it reads each upstream reply once and sends every chunk "
    "to every subscriber. `asyncapi.json`, beside this document, describes the WebSocket."
)

_UNSAFE_ERRORS: Final = (
    "bad_body unsupported_encoding body_timeout origin_not_allowed limit_exceeded"
)
"""What any request that changes something can cause."""

_CREDENTIAL_ERRORS: Final = (
    "unauthorized invalid_credential invalid_api_key invalid_token token_expired session_ended "
    "invalid_ticket link_ended not_permitted rate_limit_exceeded key_set_unavailable "
    "webhook_unavailable"
)
"""What any request that needs a credential can cause, if the hub has authentication."""

BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key or a JSON Web Token, if the hub has authentication.",
}

_ERROR_CONTENT: Final[Mapping[ErrorFormat, Mapping[str, Schema]]] = {
    "hub": {JSON: ref("Error")},
    "openai": {JSON: ref("OpenAIError")},
    "page": {"text/html": TEXT},
    "sentence": {JSON: ref("Sentence")},
    "text": {"text/plain": TEXT},
}

MODELS: Final[dict[str, type[BaseModel]]] = {
    "GenerationRequest": generations.GenerationAsked,
    "QueueChange": generations.QueueChange,
    "ShareRequest": shares.ShareAsked,
    "TicketRequest": shares.TicketAsked,
    "FollowRequest": follow.FollowAsked,
    "CompletionRequest": chat.CompletionAsked,
    "ResponseRequest": ResponseAsked,
    "ChatRequest": aisdk.ChatAsked,
    "ConversationRequest": agui.ConversationAsked,
    "RunRequest": agui.RunAsked,
    "MessagesRequest": tutorial.MessagesAsked,
    "QueryRequest": tutorial.QueryAsked,
}

REQUEST_ID: Final = {"x-request-id": "The request's id: its own `x-request-id`, or a new one."}
_FROM_PROVIDER: Final = {
    "Retry-After": "After how many seconds to retry, if the provider says so.",
    "x-should-retry": "`false` if a retry is pointless or the hub has already retried.",
}


def document() -> dict[str, Any]:
    """The document; the same code always makes the same one."""
    paths: dict[str, dict[str, Any]] = {}
    for group in GROUPS:
        for one in group.operations:
            paths.setdefault(one.path, {})[one.method.lower()] = _operation(group.name, one)
    models: dict[str, Schema] = {}
    for name, model in MODELS.items():
        models.update(of_model(name, model))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Streamhub",
            "summary": "Read once, streamed to everybody.",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://127.0.0.1:7000", "description": "The default address."}],
        "security": [{"bearer": []}, {}],
        "tags": [{"name": group.name, "description": group.description} for group in GROUPS],
        "paths": paths,
        "components": {
            "schemas": {**models, **PARTS, **RESPONSES, **CHUNKS, **FOLLOWED, **EVENTS},
            "securitySchemes": {"bearer": BEARER},
        },
    }


def _operation(group: str, operation: Operation) -> dict[str, Any]:
    words = "".join(c if c.isalnum() else " " for c in operation.path).split()
    shown: dict[str, Any] = {
        "operationId": "_".join([operation.method.lower(), *words]),
        "tags": [group],
        "summary": operation.title,
    }
    if operation.public:
        shown["security"] = []
    if operation.description:
        shown["description"] = operation.description
    if operation.parameters:
        shown["parameters"] = [
            {
                "name": one.name,
                "in": one.where,
                "description": one.description,
                "required": one.where == "path",
                "schema": one.schema,
            }
            for one in operation.parameters
        ]
    if operation.body:
        required = {"required": True} if "$ref" in operation.body.get(JSON, {}) else {}
        shown["requestBody"] = {**required, "content": _content(operation.body)}
    return {**shown, "responses": _responses(operation)}


def _responses(operation: Operation) -> dict[str, Any]:
    responses = {
        str(one.status): _response(one.description, one.headers, content=_content(one.content))
        for one in operation.responses
    }
    content = _content(_ERROR_CONTENT[operation.error_format])
    unsafe = "" if operation.method in ("GET", "HEAD") else _UNSAFE_ERRORS
    credential = "" if operation.public else _CREDENTIAL_ERRORS
    codes = dict.fromkeys(f"{operation.errors} host_not_allowed {unsafe} {credential}".split())
    for number, phrase, named in by_status(codes):
        headers = dict(operation.error_headers)
        if any(code.startswith("upstream_") for code in named):
            headers |= _FROM_PROVIDER
        description = f"{phrase}: {', '.join(f'`{code}`' for code in named)}"
        fields = {"x-codes": named, "content": content}
        responses[str(number)] = _response(description, headers, **fields)
    responses["default"] = _response(
        "Any other error. If the provider refused the request, its status.",
        _FROM_PROVIDER,
        content=content,
    )
    return responses


def _response(description: str, headers: Mapping[str, str], **fields: Any) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {
            name: {"description": text, "schema": TEXT}
            for name, text in {**headers, **REQUEST_ID}.items()
        },
        **{name: value for name, value in fields.items() if value},
    }


def _content(content: Mapping[str, Schema]) -> dict[str, Any]:
    return {kind: {"schema": schema} if schema else {} for kind, schema in content.items()}
