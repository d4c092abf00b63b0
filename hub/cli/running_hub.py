"""Changes of credentials: by the hub that uses the store, or in its file if none does.

A hub may start, stop or be killed meanwhile. So a change is tried until a hub has answered or the
file was ours; a change that was made twice is made once, because credentials have ids.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import orjson

from hub.domain.errors import HubError, StoreError
from hub.server.admin import LINE_BYTES, address, as_json, from_json
from hub.stores import Credential
from hub.stores.sqlite.maintenance import Maintenance

__all__ = ["add", "revoke"]

PATIENCE_SECONDS: Final = 10.0
"""How long a hub may take to start or to stop, and so to listen or to release the file."""

REPLY_SECONDS: Final = 15.0
"""A hub answers after 10 s if its store cannot write."""

LOOK_SECONDS: Final = 0.05


class _Gone(Exception):
    """The hub ended before it answered."""


def add(path: Path, credential: Credential) -> None:
    """Keep a new credential in the store at ``path``.

    Raises:
        HubError: it is not kept; the message says why.
    """
    lost = False

    def offline(store: Maintenance) -> None:
        store.add_credential(credential)

    def gone() -> None:
        nonlocal lost
        lost = True

    try:
        _change(path, {"do": "add", "credential": as_json(credential)}, offline, gone)
    except HubError as error:
        # Ids are random: what is there is what a hub kept before it was killed.
        if not (lost and error.code == "credential_exists"):
            raise


def revoke(path: Path, kind: str, id_: str) -> Credential | None:
    """Revoke a credential in the store at ``path``; returns it, ``None`` if there is none.

    Raises:
        HubError: it is not revoked; the message says why.
    """
    now = time.time()
    return _change(
        path,
        {"do": "revoke", "kind": kind, "id": id_, "now": now},
        lambda store: store.revoke_credential(kind, id_, now),
        lambda: None,
    )


def _change(
    path: Path,
    request: Mapping[str, Any],
    offline: Callable[[Maintenance], Credential | None],
    gone: Callable[[], None],
) -> Credential | None:
    """Have a hub do it, or do it; ``gone`` is called when a hub ended before it answered."""
    socket_path = Path(f"{path}.admin")
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            reply = _ask(socket_path, request)
        except _Gone:
            gone()
            reply = None
        if reply is not None:
            return _credential(reply)
        try:
            with Maintenance(path) as store:
                return offline(store)
        except StoreError as error:
            if error.code != "store_locked":
                raise
            if time.monotonic() >= end:
                raise StoreError(
                    f"{error.message}; it does not listen on {socket_path} (only "
                    "`streamhub serve` does)",
                    code="store_locked",
                ) from None
        time.sleep(LOOK_SECONDS)


def _ask(path: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """The reply of the hub that listens at ``path``; ``None`` if none does.

    Raises:
        HubError: this user may not ask it, or it does not answer.
        _Gone: it ended before it answered.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(REPLY_SECONDS)
        try:
            with address(path) as where:
                asking.connect(where)
        except PermissionError:
            raise HubError(
                f"this user may not connect to {path}: run the command as the hub's user",
                code="admin_not_allowed",
            ) from None
        except OSError:
            # Nobody listens, or the path is too long to listen there.
            return None
        try:
            asking.sendall(orjson.dumps(request) + b"\n")
            reply = _line(asking)
        except TimeoutError:
            raise HubError(
                f"the hub that listens on {path} does not answer: whether it has done this is "
                "not known; see `streamhub token list`",
                code="admin_timeout",
            ) from None
        except OSError:
            raise _Gone from None
    with suppress(orjson.JSONDecodeError):
        held = orjson.loads(reply)
        if isinstance(held, dict):
            return held
    raise _Gone


def _line(asking: socket.socket) -> bytes:
    held = b""
    while not held.endswith(b"\n") and len(held) <= LINE_BYTES:
        piece = asking.recv(65536)
        if not piece:
            break
        held += piece
    return held


def _credential(reply: Mapping[str, Any]) -> Credential | None:
    match reply:
        case {"error": {"code": str(code), "message": str(message)}}:
            raise HubError(message, code=code)
        case {"credential": None}:
            return None
        case {"credential": held}:
            return from_json(held)
    raise HubError("the hub answers what this command does not know", code="admin_unknown")
