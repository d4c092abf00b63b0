"""What the commands ask of a hub, and what its refusals say."""

from __future__ import annotations

from typing import Annotated, Any, Final

import orjson
import typer

from hub.errors import HubError
from hub.remote import Remote

__all__ = ["DEFAULT_URL", "Url", "call", "refusal"]

DEFAULT_URL: Final = "http://127.0.0.1:7000"

Url = Annotated[str, typer.Option("--url", help="Where the hub is.")]


async def call(remote: Remote, method: str, path: str, json: Any = None) -> Any:
    """Ask the hub for something and give what it answers.

    Raises:
        HubError: it refuses, or does not answer.
    """
    status, held = await remote.request(method, path, json=json)
    if status >= 400:
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
        return HubError(error["message"], code=str(error.get("code")))
    return HubError(f"what answers there is no hub: HTTP status {status}", code="hub_malformed")
