"""Real answers held against the documents: what is asked of a hub is looked up in them."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any, Final

from aiohttp import ClientResponse
from jsonschema import Draft202012Validator

from hub.docs import files
from tests.conftest import Running

__all__ = ["ROUTES", "ask", "asyncapi_document", "openapi_document", "operation", "validator"]

ROUTES: Final = {
    "FollowRequest": "/v1/follow",
    "GenerationRequest": "/v1/generations",
    "ShareRequest": "/v1/shares",
    "TicketRequest": "/v1/tickets",
    "CompletionRequest": "/v1/chat/completions",
    "ResponseRequest": "/v1/responses",
    "ChatRequest": "/api/chat",
    "ConversationRequest": "/api/chat/chat-2",
    "RunRequest": "/api/agent",
    "MessagesRequest": "/stream_data_to_frontend_test",
    "QueryRequest": "/stream_faq_data_to_frontend_test",
}
"""Where each body of a POST goes, by the name of its schema."""

STANDARD = {
    "connection", "content-length", "content-type", "date", "server", "transfer-encoding",
    "cache-control", "vary", "etag", "allow", "retry-after", "upgrade", "last-modified",
    "accept-ranges", "content-range", "content-encoding", "x-content-type-options",
    "x-accel-buffering", "content-security-policy", "referrer-policy", "permissions-policy",
    "cross-origin-opener-policy", "cross-origin-resource-policy",
}  # fmt: skip
"""Headers of HTTP itself, and those that guard a page."""


@cache
def openapi_document() -> dict[str, Any]:
    """The OpenAPI document; it takes a while to make."""
    document: dict[str, Any] = json.loads(files.openapi())
    return document


@cache
def asyncapi_document() -> dict[str, Any]:
    """The AsyncAPI document."""
    document: dict[str, Any] = json.loads(files.asyncapi())
    return document


def validator(document: dict[str, Any], name: str) -> Any:
    """For the schema of this name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return Draft202012Validator(schema)


def operation(method: str, path: str) -> dict[str, Any]:
    """What the document says of this method at this address; a fixed path goes first."""
    found: list[tuple[int, dict[str, Any]]] = []
    for template, methods in openapi_document()["paths"].items():
        pattern = re.sub(r"{name}", ".+", re.sub(r"{(?!name)\w+}", "[^/]+", template))
        if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in methods:
            found.append((template.count("{"), methods[method.lower()]))
    assert found, f"{method} {path} is not described"
    return min(found, key=lambda one: one[0])[1]


async def ask(hub: Running, method: str, path: str, **more: Any) -> ClientResponse:
    """Ask, and check that the answer is one of those that the document tells of."""
    answer = await hub.client.request(method, path, allow_redirects=False, **more)
    body = await answer.read()
    told = operation(method, path)["responses"]
    where = f"{method} {path} -> {answer.status}"
    assert str(answer.status) in told or answer.status >= 400, f"{where} is not described: {body!r}"
    response = told.get(str(answer.status), told["default"])
    unknown = {name.lower() for name in answer.headers} - STANDARD
    assert unknown <= {name.lower() for name in response.get("headers", ())}, where
    if not body:
        return answer
    media = answer.content_type
    content = response.get("content", {})
    assert media in content or "*/*" in content, f"{where}: {media} is not described"
    schema = content.get(media, {}).get("schema")
    if media == "application/json" and schema:
        for held in _objects(body):
            Draft202012Validator(
                {**schema, "components": openapi_document()["components"]}
            ).validate(held)
            if answer.status >= 400 and str(answer.status) in told and "x-codes" in response:
                code = held["code"] if "code" in held else held["error"]["code"]
                assert code in response["x-codes"], where
    return answer


def _objects(body: bytes) -> list[Any]:
    """The JSON values in a body, one after another."""
    text, found, reader = body.decode().strip(), [], json.JSONDecoder()
    while text:
        held, end = reader.raw_decode(text)
        found.append(held)
        text = text[end:].lstrip()
    return found
