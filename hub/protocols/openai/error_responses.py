"""Responses to requests that failed, in OpenAI's format.

For routes of OpenAI that a hub does not have, the error says what to use instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import orjson
from aiohttp import web

from hub.domain.errors import HubError, NotFound
from hub.http.errors import answer_to
from hub.protocols.openai.errors import error_object

__all__ = ["lacking", "openai_answer_to"]

_ROUTES: Final = "a hub has /v1/chat/completions and /v1/responses"
LACKING: Final[Mapping[str, str]] = {
    "/v1/completions": f"{_ROUTES}: send the prompt as a message of the user",
    "/v1/embeddings": f"{_ROUTES}: ask the provider itself for embeddings",
    "/v1/conversations": f"{_ROUTES}: use previous_response_id",
    "/v1/responses/compact": f"{_ROUTES}, and does not compact responses",
    "/v1/responses/input_tokens": f"{_ROUTES}: the usage of a response has its tokens",
    "/v1/chat/completions/": f"{_ROUTES}: use a response to ask for it later",
    **{
        f"/v1/{name}": f"{_ROUTES}: ask the provider itself for {name}"
        for name in (
            "assistants", "audio", "batches", "containers", "evals", "files", "fine_tuning",
            "images", "moderations", "realtime", "rerank", "threads", "uploads", "vector_stores",
            "videos",
        )
    },
}  # fmt: skip
"""What to use instead, by the beginning of the path."""

WRONG_BASE: Final = ("/chat/completions", "/responses", "/models", "/completions", "/v1/v1/")
"""Paths of clients whose base URL is wrong."""

OURS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/models")
"""Routes whose clients expect OpenAI's format even if the method is wrong."""


def openai_answer_to(error: Exception, request: web.Request) -> web.Response:
    """As `hub.http.errors.answer_to`, for the routes that OpenAI's clients call."""
    response = answer_to(error, request)
    if not isinstance(error, HubError):
        error = HubError(**orjson.loads(response.text or "")["error"])
    response.body = orjson.dumps(error_object(error, response.status))
    return response


@web.middleware
def lacking(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Answer requests for routes that OpenAI has and a hub does not.

    It is not a coroutine, so a response that lasts keeps no frame of it.
    """
    error = request.match_info.http_exception
    if error is None:
        return handler(request)
    path = request.path
    instead = next((text for start, text in LACKING.items() if path.startswith(start)), None)
    if path.startswith(WRONG_BASE):
        instead = "the base URL of a hub ends with /v1"
    if instead is not None:
        return _error(request, NotFound(f"nothing is at {path[:200]}: {instead}"))
    return _error(request, error) if path.startswith(OURS) else handler(request)


async def _error(request: web.Request, error: Exception) -> web.Response:
    response = openai_answer_to(error, request)
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
