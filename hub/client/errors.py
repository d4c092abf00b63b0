"""The errors that a hub answers with, as the exceptions that they are in the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from hub.client.transport import Transport
from hub.domain.errors import (
    Conflict,
    Forbidden,
    Gone,
    HubError,
    LimitExceeded,
    NotFound,
    RequestError,
    TooLarge,
    Unauthorized,
    UnsupportedType,
)

__all__ = ["ABSENT", "call", "malformed", "refusal", "replied"]

ABSENT: Final = frozenset({502, 503, 504})
"""Statuses with which a proxy answers for a hub that is down."""

# For codes that have no class of their own.
_STATUSES: Final[Mapping[int, type[HubError]]] = {
    400: RequestError,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: UnsupportedType,
    429: LimitExceeded,
}


# For those of these codes that come without a status.
_CODES: Final[Mapping[str, type[HubError]]] = {
    **dict.fromkeys(("invalid_api_key", "invalid_credential", "invalid_token"), Unauthorized),
    **dict.fromkeys(("link_ended", "token_expired"), Unauthorized),
    **dict.fromkeys(("not_permitted", "author_not_permitted", "foreign_generation"), Forbidden),
}


async def call(
    wire: Transport,
    method: str,
    path: str,
    json: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send a request to the hub; returns the decoded JSON of its answer.

    Raises:
        HubError: the hub refuses, with the class that the hub itself raised, or does not answer.
    """
    status, answer = await wire.request(method, path, json=json, headers=headers)
    if status >= 300:
        raise _error(status, answer)
    return answer


def refusal(status: int, body: bytes) -> HubError:
    """The error in the body of an answer, as far as it can be read."""
    try:
        return _error(status, orjson.loads(body))
    except orjson.JSONDecodeError:
        return _error(status, None)


def _error(status: int, answer: object) -> HubError:
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        code = str(error.get("code"))
        kind = _CLASSES.get(code) or _STATUSES.get(status, HubError)
        return kind(error["message"], code=code)
    if status in ABSENT:
        return HubError(
            f"the hub is not reachable: a proxy answers with status {status}", code="hub_lost"
        )
    return malformed(f"it answers with the HTTP status {status}")


def replied(message: Mapping[str, Any]) -> HubError:
    """The error in a message of the WebSocket, which has no status."""
    code = str(message.get("code"))
    kind = _CLASSES.get(code) or _CODES.get(code, HubError)
    return kind(str(message.get("message")), code=code)


def malformed(why: str) -> HubError:
    """The error for an answer that no hub gives."""
    return HubError(f"the server is not a hub: {why}", code="hub_malformed")


def _classes(root: type[HubError]) -> Iterator[type[HubError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _classes(kind)


_CLASSES: Final[Mapping[str, type[HubError]]] = {
    kind.default_code: kind for kind in _classes(HubError)
}
