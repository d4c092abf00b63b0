"""What a hub refuses, as the error that it was there."""

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
    UnsupportedType,
)

__all__ = ["ABSENT", "call", "malformed", "refusal"]

ABSENT: Final = frozenset({502, 503, 504})
"""What a proxy answers for a hub that is not there."""

# For codes that are finer than a class: what the status says.
_STATUSES: Final[Mapping[int, type[HubError]]] = {
    400: RequestError,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: UnsupportedType,
    429: LimitExceeded,
}


async def call(
    wire: Transport,
    method: str,
    path: str,
    json: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Ask the hub for something and give what it answers.

    Raises:
        HubError: it refuses, by the class that the hub itself raised, or does not answer.
    """
    status, held = await wire.request(method, path, json=json, headers=headers)
    if status >= 300:
        raise _told(status, held)
    return held


def refusal(status: int, body: bytes) -> HubError:
    """The error in the body of a reply, as well as it can be made out."""
    try:
        return _told(status, orjson.loads(body))
    except orjson.JSONDecodeError:
        return _told(status, None)


def _told(status: int, held: object) -> HubError:
    error = held.get("error") if isinstance(held, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        code = str(error.get("code"))
        kind = _CLASSES.get(code) or _STATUSES.get(status, HubError)
        return kind(error["message"], code=code)
    if status in ABSENT:
        return HubError(f"no hub is there: a proxy answers with status {status}", code="hub_lost")
    return malformed(f"it answers with the HTTP status {status}")


def malformed(why: str) -> HubError:
    """The error of an answer that no hub gives."""
    return HubError(f"what answers there is no hub: {why}", code="hub_malformed")


def _classes(root: type[HubError]) -> Iterator[type[HubError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _classes(kind)


_CLASSES: Final[Mapping[str, type[HubError]]] = {
    kind.default_code: kind for kind in _classes(HubError)
}
