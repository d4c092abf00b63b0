"""Changes of credentials and owners: by the hub that uses the store, or in its file if none does.

A hub may start, stop or be killed meanwhile. So a change is tried until a hub has answered or the
file was ours; a change that was made twice is made once, because credentials have ids.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from hub.domain.errors import HubError, StoreError
from hub.domain.permissions import StreamPattern
from hub.http.private_sockets import address
from hub.server.admin import LINE_BYTES, from_json
from hub.stores import Credential
from hub.stores.credential_json import as_json
from hub.stores.sqlite.maintenance import Maintenance

__all__ = ["add", "change_owner", "revoke"]

BATCH: Final = 500
"""Streams of one transaction in the file."""

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

    def offline(store: Maintenance) -> Mapping[str, Any]:
        store.add_credential(credential)
        return _reply(credential)

    def gone() -> None:
        nonlocal lost
        lost = True

    try:
        request = {"do": "add", "credential": as_json(credential)}
        _credential(_change(path, request, offline, gone))
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
    reply = _change(
        path,
        {"do": "revoke", "kind": kind, "id": id_, "now": now},
        lambda store: _reply(store.revoke_credential(kind, id_, now)),
        lambda: None,
    )
    return _credential(reply)


def change_owner(path: Path, which: str | StreamPattern, owner: str | None) -> Iterator[int]:
    """Give the streams of the store at ``path`` that ``which`` names to a subject, or to nobody.

    Yields after each batch how many have changed hands in it.

    Raises:
        HubError: the rest has not; the message says why.
    """
    after: str | None = ""
    while after is not None:
        batch = partial(_change_owner, which=which, owner=owner, after=after)
        where = {"stream": which} if isinstance(which, str) else {"match": str(which)}
        request = {"do": "chown", **where, "owner": owner, "after": after}
        match _change(path, request, batch, lambda: None):
            case {"changed": int(changed), "after": str() | None as after}:
                yield changed
            case _:
                raise _unknown()


def _change_owner(
    store: Maintenance, which: str | StreamPattern, owner: str | None, after: str
) -> Mapping[str, Any]:
    changed, following = store.change_owner(which, owner, after, BATCH)
    return {"changed": len(changed), "after": following}


def _change(
    path: Path,
    request: Mapping[str, Any],
    offline: Callable[[Maintenance], Mapping[str, Any]],
    gone: Callable[[], None],
) -> Mapping[str, Any]:
    """Have a hub do it, or do it; ``gone`` is called when a hub ended before it answered.

    Raises:
        HubError: the hub refuses, or it cannot be done.
    """
    socket_path = Path(f"{path}.admin")
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            reply = _ask(socket_path, request)
        except _Gone:
            gone()
            reply = None
        if reply is not None:
            _check(reply)
            return reply
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


def _check(reply: Mapping[str, Any]) -> None:
    match reply:
        case {"error": {"code": str(code), "message": str(message)}}:
            raise HubError(message, code=code)


def _reply(credential: Credential | None) -> Mapping[str, Any]:
    return {"credential": None if credential is None else as_json(credential)}


def _credential(reply: Mapping[str, Any]) -> Credential | None:
    match reply:
        case {"credential": None}:
            return None
        case {"credential": held}:
            return from_json(held)
    raise _unknown()


def _unknown() -> HubError:
    return HubError("the hub answers what this command does not know", code="admin_unknown")
