"""The admin socket of a hub: what the command line asks of it, while it runs.

It lies beside the store's file, such as ``data/streamhub.db.admin``. Only its owner may connect to
it (mode 0600), and whoever may can also change the file. A request is one line of JSON, and so is
its reply; then the connection ends::

    {"do": "add", "credential": {"kind": "key", "id": "…", "hash": "…", …}}
    {"do": "revoke", "kind": "key", "id": "…", "now": 1893456000.0}

    {"do": "chown", "match": "chat/**", "owner": "acme/ann", "after": ""}

    {"credential": {…}}
    {"changed": 12, "after": "chat/7"}
    {"error": {"code": "credential_exists", "message": "…"}}

A secret never comes through it, only its hash.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import orjson

from hub.access import shares
from hub.auth import login_links, sessions
from hub.auth.api_keys import is_id
from hub.auth.stored_keys import KIND, LATEST, key_of
from hub.domain.errors import CommandError, HubError
from hub.domain.one_line import USER_LENGTH, is_line, is_user
from hub.domain.permissions import StreamPattern
from hub.http.private_sockets import listen_privately
from hub.stores import Credential, Credentials, credential_json
from hub.stores.credential_json import as_json

__all__ = ["LINE_BYTES", "AdminSocket", "admin_path", "from_json"]

log = logging.getLogger("hub")

LINE_BYTES: Final = 64 * 1024
"""The longest request and the longest reply."""

REQUEST_SECONDS: Final = 10.0
"""How long a request may take to arrive."""

REVOKED: Final = frozenset({KIND, login_links.KIND, sessions.KIND, shares.KIND})
"""The kinds of credentials that can be revoked: not the secrets of the hub itself, whose rows hold
more than a hash."""


def admin_path(store_url: str) -> Path | None:
    """Where the admin socket of a hub with this ``store.url`` is; ``None`` if it has no file."""
    kind, _, path = store_url.partition(":")
    return Path(f"{path}.admin") if kind == "sqlite" else None


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
        return credential_json.from_json(held)
    except ValueError:
        raise CommandError("the hash of a credential is not hexadecimal") from None


ChangeOwner = Callable[
    [str | StreamPattern, str | None, str], Awaitable[tuple[list[str], str | None]]
]
"""See `hub.hub.Hub.change_owner`."""


class AdminSocket:
    """Listens at ``path`` and changes ``credentials``. A hub also runs without it.

    ``revoked`` is called with the id of each credential that was revoked (`hub.hub.Hub.revoke`),
    ``change_owner`` for streams that are to belong to somebody else.
    """

    def __init__(
        self,
        path: Path,
        credentials: Credentials,
        revoked: Callable[[str], Awaitable[None] | None],
        change_owner: ChangeOwner | None = None,
    ) -> None:
        self._path = path
        self._credentials = credentials
        self._revoked = revoked
        self._change_owner = change_owner
        self._server: asyncio.Server | None = None
        self._inode = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen; replaces the socket of a dead hub. If that is not possible, it is logged."""
        try:
            listening = listen_privately(self._path)
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
        with suppress(OSError):
            self._inode = self._path.stat().st_ino

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
            # A worker that replaces this one has a socket of its own there.
            if self._path.stat().st_ino == self._inode:
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
            return await self._do(line)
        except HubError as error:
            return {"error": {"code": error.code, "message": error.message}}
        except Exception:
            log.exception("a request at the admin socket failed")
            return {"error": {"code": "internal", "message": "the hub failed: see its log"}}

    async def _do(self, line: bytes) -> dict[str, Any]:
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
                return {"credential": as_json(one)}
            case {"do": "revoke", "kind": str(kind), "id": str(id_), "now": float(now)}:
                if kind not in REVOKED:
                    raise CommandError(f'no credentials of the kind "{kind}" can be revoked here')
                found = await self._credentials.revoke(kind, id_, now)
                if found is not None:
                    log.info("revoked the %s %s", kind, id_)
                    if (told := self._revoked(id_)) is not None:
                        await told
                return {"credential": None if found is None else as_json(found)}
            case {"do": "chown", "owner": str() | None as owner, "stream": str(name)}:
                return await self._chown(name, owner, "")
            case {"do": "chown", "owner": str() | None as owner, "match": str(match)}:
                return await self._chown(_pattern(match), owner, str(asked.get("after", "")))
        raise CommandError("this hub does not know this request: use its own streamhub command")

    async def _chown(
        self, which: str | StreamPattern, owner: str | None, after: str
    ) -> dict[str, Any]:
        if self._change_owner is None:
            raise CommandError("this hub does not change owners")
        changed, following = await self._change_owner(which, owner, after)
        for name in changed:
            log.info("the stream %s belongs to %s now", name, owner or "nobody")
        return {"changed": len(changed), "after": following}


def _pattern(text: str) -> StreamPattern:
    try:
        return StreamPattern.parse(text)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _check(one: Credential) -> None:
    """Refuse what this hub could not use; a newer command line may send it."""
    if one.kind not in (KIND, login_links.KIND, shares.KIND):
        raise CommandError(f'this hub knows no credentials of the kind "{one.kind}"')
    if one.kind == login_links.KIND and (one.user is None or one.expires is None):
        raise CommandError("a sign-in link is for a user, and expires")
    if not is_id(one.id) or len(one.hash) != 32:
        raise CommandError("this is not the id, or not the hash, of a credential")
    if one.name is not None and not is_line(one.name, USER_LENGTH):
        raise CommandError(f"a name is one line of 1 to {USER_LENGTH} characters")
    for text in (one.user, one.tenant):
        if text is not None and not is_user(text):
            raise CommandError(f"a user is one line of 1 to {USER_LENGTH} printable characters")
    for at in (one.created, one.expires, one.revoked):
        if at is not None and not 0 <= at <= LATEST:
            raise CommandError("a time is before 1970 or after 9999")
    try:
        if one.kind == shares.KIND:
            shares.Share.of(one)
        else:
            key_of(one)
    except ValueError as error:
        raise CommandError(f"this hub does not know these grants: {error}") from None
