"""The admin socket of a hub: what the command line asks of it, while it runs.

It lies beside the store's file, such as ``data/streamhub.db.admin``. Only its owner may connect to
it (mode 0600), and whoever may can also change the file. A request is one line of JSON, and so is
its reply; then the connection ends::

    {"do": "add", "credential": {"kind": "key", "id": "…", "hash": "…", …}}
    {"do": "revoke", "kind": "key", "id": "…", "now": 1893456000.0}

    {"credential": {…}}
    {"error": {"code": "credential_exists", "message": "…"}}

A secret never comes through it, only its hash.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import orjson

from hub.auth.api_keys import is_id
from hub.auth.stored_keys import KIND, LATEST, TEXT_LENGTH, key_of
from hub.domain.errors import CommandError, HubError
from hub.stores import Credential, Credentials

__all__ = ["LINE_BYTES", "AdminSocket", "address", "admin_path", "as_json", "from_json"]

log = logging.getLogger("hub")

LINE_BYTES: Final = 64 * 1024
"""The longest request and the longest reply."""

REQUEST_SECONDS: Final = 10.0
"""How long a request may take to arrive."""

ADDRESS_BYTES: Final = 100
"""Longer paths cannot be the address of a socket: 103 bytes on macOS, 107 on Linux."""

BACKLOG: Final = 16


def admin_path(store_url: str) -> Path | None:
    """Where the admin socket of a hub with this ``store.url`` is; ``None`` if it has no file."""
    kind, _, path = store_url.partition(":")
    return Path(f"{path}.admin") if kind == "sqlite" else None


@contextmanager
def address(path: Path) -> Iterator[str]:
    """The address to listen on or connect to, for a socket at ``path``.

    Linux has another name for a path that is too long, for as long as its folder is open.

    Raises:
        OSError: the folder cannot be opened.
    """
    if len(os.fsencode(path)) <= ADDRESS_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def as_json(one: Credential) -> dict[str, Any]:
    """A credential as JSON values."""
    return {**asdict(one), "hash": one.hash.hex()}


def from_json(held: object) -> Credential:
    """A credential from its JSON values.

    Raises:
        CommandError: they are none.
    """
    names = {field.name for field in fields(Credential)}
    if not isinstance(held, dict) or not held.keys() <= names:
        raise CommandError("this is not a credential that this hub knows")
    texts = ("kind", "id", "hash", "name", "user", "tenant", "grants")
    for name, value in held.items():
        wanted = str if name in texts else (int, float)
        if value is not None and (not isinstance(value, wanted) or value is True):
            raise CommandError(f'the field "{name}" of a credential has another type')
    for name in ("kind", "id", "hash", "created"):
        if held.get(name) is None:
            raise CommandError(f'a credential needs the field "{name}"')
    try:
        return Credential(**{**held, "hash": bytes.fromhex(held["hash"])})
    except ValueError:
        raise CommandError("the hash of a credential is not hexadecimal") from None


class AdminSocket:
    """Listens at ``path`` and changes ``credentials``. A hub also runs without it.

    ``revoked`` is called with the id of each credential that was revoked.
    """

    def __init__(
        self, path: Path, credentials: Credentials, revoked: Callable[[str], None]
    ) -> None:
        self._path = path
        self._credentials = credentials
        self._revoked = revoked
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; replaces the socket of a dead hub. If that is not possible, it is logged."""
        try:
            listening = _listen(self._path)
        except OSError as error:
            log.warning(
                "the command line cannot reach this hub: cannot listen on %s: %s",
                self._path,
                error.strerror or error,
            )
            return
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listening, limit=LINE_BYTES
        )

    async def close(self) -> None:
        """End all connections and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        with suppress(OSError):
            self._path.unlink()
        self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="admin")
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                line = await reader.readline()
            writer.write(orjson.dumps(await self._reply(line)) + b"\n")
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
        except (OSError, TimeoutError, ValueError):  # a ValueError is a line that is too long
            pass
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> Mapping[str, Any]:
        try:
            return {"credential": await self._do(line)}
        except HubError as error:
            return {"error": {"code": error.code, "message": error.message}}
        except Exception:
            log.exception("a request at the admin socket failed")
            return {"error": {"code": "internal", "message": "the hub failed: see its log"}}

    async def _do(self, line: bytes) -> dict[str, Any] | None:
        try:
            asked = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise CommandError("this is not a line of JSON") from None
        if not isinstance(asked, dict):
            raise CommandError("this is not a JSON object")
        match asked:
            case {"do": "add", "credential": held}:
                one = from_json(held)
                _check(one)
                await self._credentials.add(one)
                log.info("added the %s %s", one.kind, one.id)
                return as_json(one)
            case {"do": "revoke", "kind": str(kind), "id": str(id_), "now": float(now)}:
                found = await self._credentials.revoke(kind, id_, now)
                if found is not None:
                    log.info("revoked the %s %s", kind, id_)
                    self._revoked(id_)
                return None if found is None else as_json(found)
        raise CommandError("this hub does not know this request: use its own streamhub command")


def _check(one: Credential) -> None:
    """Refuse what this hub could not use; a newer command line may send it."""
    if one.kind != KIND:
        raise CommandError(f'this hub knows no credentials of the kind "{one.kind}"')
    if not is_id(one.id) or len(one.hash) != 32:
        raise CommandError("this is not the id, or not the hash, of a key")
    for text in (one.name, one.user, one.tenant):
        if text is not None and not (0 < len(text) <= TEXT_LENGTH and text.isprintable()):
            raise CommandError(f"a name is one line of 1 to {TEXT_LENGTH} characters")
    for at in (one.created, one.expires, one.revoked, one.last_used):
        if at is not None and not 0 <= at <= LATEST:
            raise CommandError("a time is before 1970 or after 9999")
    try:
        key_of(one)
    except ValueError as error:
        raise CommandError(f"this hub does not know these grants: {error}") from None


def _listen(path: Path) -> socket.socket:
    """A socket that listens at ``path``, for its owner alone.

    Raises:
        OSError: it is not possible to listen there, or there is something else.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(0, "there is something else with this name")
        path.unlink()  # the store's lock is ours, so its hub is dead
    except FileNotFoundError:
        pass
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # With a chmod after it, others could connect in between.
    mask = os.umask(0o177)
    try:
        with address(path) as where:
            made.bind(where)
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    finally:
        os.umask(mask)
    return made
