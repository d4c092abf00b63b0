"""The answer to a request that failed, in OpenAI's shape: the hub's own, put into those words.

What OpenAI's clients call and a hub does not have is answered by name, with what to use.
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

_ANSWERS: Final = "a hub answers at /v1/chat/completions and /v1/responses"
LACKING: Final[Mapping[str, str]] = {
    "/v1/completions": f"{_ANSWERS}, prompts of one text as a message of the user",
    "/v1/embeddings": f"{_ANSWERS}: ask the provider itself for embeddings",
    "/v1/conversations": f"{_ANSWERS}: go on with previous_response_id",
    "/v1/responses/compact": f"{_ANSWERS}, and compacts nothing",
    "/v1/responses/input_tokens": f"{_ANSWERS}: a response says its tokens in usage",
    "/v1/chat/completions/": f"{_ANSWERS}: what is to be asked for later is a response",
    **{
        f"/v1/{name}": f"{_ANSWERS}: ask the provider itself for {name}"
        for name in (
            "assistants", "audio", "batches", "containers", "evals", "files", "fine_tuning",
            "images", "moderations", "realtime", "rerank", "threads", "uploads", "vector_stores",
            "videos",
        )
    },
}  # fmt: skip
"""What to use instead, by how the path begins."""

ROOTLESS: Final = ("/chat/completions", "/responses", "/models", "/completions", "/v1/v1/")
"""Where clients call whose base URL is wrong."""


OURS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/models")
"""Routes whose clients expect OpenAI's shape also where the method is wrong."""


def openai_answer_to(error: Exception, request: web.Request) -> web.Response:
    """As `hub.http.errors.answer_to`, for the routes that OpenAI's clients call.

    Raises:
        web.HTTPRedirection: as it came.
    """
    answer = answer_to(error, request)
    if not isinstance(error, HubError):
        told = orjson.loads(answer.text or "")["error"]
        error = HubError(**told)
    answer.body = orjson.dumps(error_object(error, answer.status))
    return answer


@web.middleware
def lacking(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Answer what OpenAI's clients call and no hub has. All else passes by, without a frame."""
    error = request.match_info.http_exception
    if error is None:
        return handler(request)
    path = request.path
    if path.startswith(ROOTLESS):
        return _absent(path, "the base URL of a hub ends with /v1")
    instead = next((says for begins, says in LACKING.items() if path.startswith(begins)), None)
    if instead is not None:
        return _absent(path, instead)
    return _refused(request, error) if path.startswith(OURS) else handler(request)


async def _refused(request: web.Request, error: web.HTTPException) -> web.Response:
    return openai_answer_to(error, request)


async def _absent(path: str, instead: str) -> web.Response:
    told = error_object(NotFound(f"nothing is at {path[:200]}: {instead}"), 404)
    headers = {"X-Content-Type-Options": "nosniff"}
    return web.json_response(told, status=404, headers=headers)
