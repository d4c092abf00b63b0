"""Share links: whoever has one may read one stream, without being anybody.

A link is a secret of 32 random bytes. The store keeps its SHA-256, whose beginning is the link's
id, and as JSON what it shows::

    {"stream": "chat/7", "epoch": 1767225600000, "until": "…", "by": "alice"}

It shows the stream that had the name in ``epoch``: if that is deleted, the link shows nothing, also
of a later stream of the name. With ``until`` it shows what was written before that position and
does not tell whether there is more.

A link belongs to its stream rather than to whoever made it. It lives until it expires or is
revoked. Everybody who may ``share`` the stream sees and revokes all its links, and so do ``admin``
and the stream's owner: one who may share nothing wants to know who else does. What its maker may do
later does not matter to a link. Nobody could tell: grants of a token go with the token, and keys
are replaced.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from hub.access.guard import Guard
from hub.access.hooks import Hooks
from hub.access.permissions import Permissions
from hub.access.revocations import Revocations
from hub.domain.errors import (
    Forbidden,
    Gone,
    LimitExceeded,
    NotFound,
    PositionError,
    RequestError,
    StreamNotFound,
    Unauthorized,
)
from hub.domain.one_line import is_line
from hub.domain.permissions import Grant, Permission, StreamPattern
from hub.domain.principal import LOCAL, Principal, SharedStream
from hub.domain.records import Position
from hub.stores import Credential, Credentials, Label
from hub.streams.history import From
from hub.streams.opened import OpenedStream, StreamRegistry

__all__ = [
    "KIND",
    "LONGEST",
    "NO_LINK",
    "SHORTEST",
    "TITLE_LENGTH",
    "Share",
    "ShareAccess",
    "check_link",
    "check_share",
    "is_link",
    "link_id",
    "new_share",
]

KIND: Final = "share"
"""The kind of credential that a link is."""

OF_ONE_STREAM: Final = 100
"""Links of one stream at a time."""

TITLE_LENGTH: Final = 120

SHORTEST: Final = 60
LONGEST: Final = 10 * 366 * 86_400
"""For how many seconds a link that expires may be valid."""

ID_LENGTH: Final = 12

LOOKED_UP: Final = 20
"""Links that are looked at to make room for a new one."""

NO_LINK: Final = (
    "this link does not work: it was revoked, has expired, or what it showed was deleted. Ask "
    "whoever gave it to you for a new one."
)
"""The same for every link that does not work, so that guessing tells nothing."""

_WRITING: Final[tuple[Permission, ...]] = ("append", "generate")
"""An owner's credential that allows none of these was given to somebody who only reads."""

_LINK: Final = re.compile(r"sl_[A-Za-z0-9_-]{43}")
_FIELDS: Final = frozenset({"stream", "epoch", "until", "by"})


@dataclass(frozen=True, slots=True)
class Share:
    """What is kept of a link: everything but its secret.

    ``by`` is the subject of who made it (`Principal.subject`). Times are in seconds since 1970.
    """

    id: str
    hash: bytes
    stream: str
    epoch: int
    until: Position | None = None
    title: str | None = None
    by: str | None = None
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    @classmethod
    def of(cls, row: Credential) -> Share:
        """The link in a row of the store.

        Raises:
            ValueError: this program does not understand it; it may be meant to show less.
        """
        held = orjson.loads(row.grants or "")
        if not isinstance(held, dict) or not held.keys() <= _FIELDS:
            raise ValueError("it has fields that this program does not know")
        stream, epoch, until, by = (held.get(name) for name in ("stream", "epoch", "until", "by"))
        if not isinstance(stream, str) or type(epoch) is not int or not isinstance(by, str | None):
            raise ValueError("it does not say what it shows")
        if not isinstance(until, str | None):
            raise ValueError("it does not say how much it shows")
        try:
            end = None if until is None else Position.parse(until)
        except PositionError as error:
            raise ValueError(error.message) from None
        return cls(
            row.id,
            row.hash,
            stream,
            epoch,
            end,
            row.name,
            by,
            row.created,
            row.expires,
            row.revoked,
        )

    @property
    def row(self) -> Credential:
        """The link as the store keeps it."""
        held: dict[str, Any] = {"stream": self.stream, "epoch": self.epoch}
        if self.until is not None:
            held["until"] = str(self.until)
        if self.by is not None:
            held["by"] = self.by
        return Credential(
            KIND,
            self.id,
            self.hash,
            name=self.title,
            grants=orjson.dumps(held).decode(),
            created=self.created,
            expires=self.expires,
            revoked=self.revoked,
        )

    @property
    def principal(self) -> Principal:
        """Who presents this link."""
        read = (Grant(frozenset({"read"}), StreamPattern.literal(self.stream)),)
        return Principal(
            grants=read,
            within=read,
            expires=self.expires,
            credential=self.id,
            shared=SharedStream(self.stream, self.epoch, self.until),
        )


def new_share(
    stream: str,
    epoch: int,
    *,
    until: Position | None = None,
    title: str | None = None,
    by: str | None = None,
    expires: float | None = None,
    now: float | None = None,
) -> tuple[Share, str]:
    """A new link to a stream in one of its epochs, and its secret.

    Raises:
        RequestError: ``bad_title``: the title is not one line, or is too long.
    """
    if title is not None and not is_line(title, TITLE_LENGTH):
        raise RequestError(
            f"a title is one line of 1 to {TITLE_LENGTH} characters",
            code="bad_title",
            param="title",
        )
    secret = secrets.token_urlsafe(32)
    digest = _digest(f"sl_{secret}")
    created = time.time() if now is None else now
    return Share(_id(digest), digest, stream, epoch, until, title, by, created, expires), secret


def is_link(token: str) -> bool:
    """Whether a credential claims to be a share link: ``sl_`` and its secret."""
    return token.startswith("sl_")


def link_id(token: str) -> str | None:
    """The id of a link; ``None`` if it does not have a link's form."""
    return _id(_digest(token)) if _LINK.fullmatch(token) else None


def check_link(token: str, row: Credential | None, now: float) -> Share:
    """The link in a row of the store, if it is the one presented and still holds.

    Raises:
        Unauthorized: ``link_ended``: there is none, it was revoked, or it has expired.
    """
    # Compared in any case: the time tells nothing about which links there are.
    same = hmac.compare_digest(_digest(token), row.hash if row is not None else bytes(32))
    if row is None or not same:
        raise Unauthorized(NO_LINK, code="link_ended")
    return check_share(row, now)


def check_share(row: Credential | None, now: float) -> Share:
    """The link in a row of the store, if it still holds.

    Raises:
        Unauthorized: as `check_link`.
    """
    if row is not None and row.ended > now:
        try:
            return Share.of(row)
        except ValueError:
            pass
    raise Unauthorized(NO_LINK, code="link_ended")


class ShareAccess:
    """The share links of a hub.

    Of one principal there are ``of_one`` at a time (0: no limit). ``revoked`` is called with the id
    of each that is revoked, to end its readers (`hub.hub.Hub.revoke`). ``clock`` counts seconds
    since 1970.
    """

    def __init__(
        self,
        streams: StreamRegistry,
        credentials: Credentials,
        permissions: Permissions,
        revocations: Revocations,
        revoked: Callable[[str], Awaitable[None] | None],
        *,
        of_one: int = 0,
        hooks: Hooks | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._of_one = of_one
        self._guard = Guard(streams, permissions, revocations, hooks)
        self._streams = streams
        self._credentials = credentials
        self._permissions = permissions
        self._revoked = revoked
        self._clock = clock
        self._adding = asyncio.Lock()

    async def create(
        self,
        stream: str,
        *,
        until: From | None = None,
        expires_in: int | None = None,
        title: str | None = None,
        by: Principal = LOCAL,
    ) -> tuple[Share, str]:
        """A new link to a stream, and its secret: up to a position, or else live.

        ``expires_in`` is in seconds; ``None``: it does not expire.

        Raises:
            InvalidName, StreamNotFound, Gone: as `hub.streams.registry.Streams.open`.
            RequestError: ``bad_position``: the stream has no such position; ``bad_expiry``,
                ``bad_title``.
            LimitExceeded: ``too_many_shares``: the stream has `OF_ONE_STREAM`, or the principal
                ``of_one``; ``too_many_credentials``: the hub has too many.
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """
        if expires_in is not None and not SHORTEST <= expires_in <= LONGEST:
            raise RequestError(
                f"expires_in is from {SHORTEST} to {LONGEST} seconds",
                code="bad_expiry",
                param="expires_in",
            )
        allowed = await self._guard.check(by, ("read", "share"), stream)
        found = await self._guard.opened(allowed, stream)
        end = None
        if until is not None:
            place = found.place(until)
            if place.reset is not None:
                raise RequestError(
                    f'"{stream}" has no such position', code="bad_position", param="until"
                )
            end = found.position_at(place.offset)
        now = self._clock()
        share, secret = new_share(
            stream,
            found.epoch,
            until=end,
            title=title,
            by=by.subject,
            expires=None if expires_in is None else now + expires_in,
            now=now,
        )
        # What is not on the disk yet could be lost, and other records get its place.
        await self._streams.committed(stream)
        async with self._adding:
            await self._check_number(share, by)
            # All this took a while.
            allowed = await self._guard.recheck(by, ("read", "share"), stream)
            now_there = await self._guard.opened(allowed, stream)
            if not self._streams.is_same(now_there, found.epoch):
                raise StreamNotFound.named(stream)
            await self._add(share)
        return share, secret

    async def _check_number(self, share: Share, by: Principal) -> None:
        """Check that there may be one more link like this.

        Raises:
            LimitExceeded: ``too_many_shares``.
        """
        credentials, now = self._credentials, share.created
        of_stream = await credentials.count(KIND, Label("stream", share.stream), now)
        if of_stream >= OF_ONE_STREAM:
            raise LimitExceeded(
                f"a stream has at most {OF_ONE_STREAM} links: revoke some", code="too_many_shares"
            )
        if not self._of_one or by.scope is None:
            return
        own = Label("maker", by.scope)  # all without a name are one
        if await credentials.count(KIND, own, now) < self._of_one:
            return
        page = partial(credentials.held, KIND, own, now=now)
        if not await self._revoke_dead(page, now):
            raise LimitExceeded(
                f"you have made {self._of_one} links that work, as many as one user may at a time "
                "(auth.limits.shares): revoke some, as GET /v1/shares lists them",
                code="too_many_shares",
            )

    async def _add(self, share: Share) -> None:
        credentials = self._credentials
        try:
            await credentials.add(share.row)
        except LimitExceeded:
            await self._revoke_dead(partial(credentials.listed, KIND), share.created)
            await credentials.add(share.row)

    async def _revoke_dead(
        self, page: Callable[[str, int], Awaitable[list[Credential]]], now: float
    ) -> int:
        """Revoke links of deleted streams, which are of no use; returns how many.

        ``page`` gives links after an id. Only some, from anywhere, because each is looked up.
        """
        rows = await page(secrets.token_hex(ID_LENGTH // 2), LOOKED_UP)
        if len(rows) < LOOKED_UP:
            rows = await page("", LOOKED_UP)
        revoked = 0
        for row in rows:
            with suppress(Unauthorized):
                share = check_share(row, now)
                if not await self._streams.exists(share.stream, share.epoch):
                    await self._credentials.revoke(KIND, row.id, now)
                    revoked += 1
        return revoked

    async def listed(
        self, stream: str | None, after: str, limit: int, *, by: Principal = LOCAL
    ) -> tuple[list[Share], bool]:
        """Up to ``limit`` links by id that still hold, after an id, and whether there are more.

        Those of a stream, for whoever may share it, or owns it and may write to it. Without a
        stream those that the principal made; whoever may ``admin`` is shown all.

        Raises:
            InvalidName, StreamNotFound, Gone, StoreError: as `create`.
        """
        if stream is None:
            self._permissions.check_credential(by)
            if self._permissions.allows(by, "admin"):
                return await self._page(None, after, limit, lambda _: True)
            if by.subject is None:
                return [], False
            own = Label("maker", by.subject)
            return await self._page(own, after, limit, lambda one: _made(one, by))
        found = await self._shared(stream, by)
        its = Label("stream", stream)
        return await self._page(
            its, after, limit, lambda one: self._streams.is_same(found, one.epoch)
        )

    async def _shared(self, stream: str, by: Principal) -> OpenedStream:
        """A stream whose links a principal may see."""
        try:
            allowed = await self._guard.check(by, ("share",), stream)
        except (StreamNotFound, Forbidden):
            found = await self._own(stream, by)
            if found is None:
                raise
            return found
        return await self._guard.opened(allowed, stream)

    async def _own(self, stream: str, by: Principal) -> OpenedStream | None:
        """A principal's own stream, if it may write to it."""
        for permission in _WRITING:
            with suppress(StreamNotFound, Gone, Forbidden):
                allowed = await self._guard.check(by, (permission,), stream)
                found = await self._guard.opened(allowed, stream)
                return found if self._permissions.owns(by, found.settings.owner) else None
        return None

    async def _page(
        self, label: Label | None, after: str, limit: int, shown: Callable[[Share], bool]
    ) -> tuple[list[Share], bool]:
        """Up to ``limit`` of those with a label, or of all, and whether there are more."""
        held: list[Share] = []
        now = self._clock()
        size = limit + 1
        while True:
            rows = await self._rows(label, after, size, now)
            for row in rows:
                with suppress(Unauthorized):
                    one = check_share(row, now)
                    held += [one] if shown(one) else []
            if len(held) > limit or len(rows) < size:
                return held[:limit], len(held) > limit
            after = rows[-1].id

    async def _rows(
        self, label: Label | None, after: str, size: int, now: float
    ) -> list[Credential]:
        credentials = self._credentials
        if label is None:
            return await credentials.listed(KIND, after, size)
        return await credentials.held(KIND, label, after, size, now)

    async def revoke(self, id_: str, *, by: Principal = LOCAL) -> Share:
        """Revoke a link; its readers end within two seconds.

        Raises:
            NotFound: ``share_not_found``: there is no such link, or somebody else's.
            StoreError: as `create`.
        """
        share = await self.find(id_)
        try:
            await self._guard.check(by, ("share",), share.stream)
        except (StreamNotFound, Forbidden):
            # It may be of a stream that was deleted.
            theirs = self._permissions.allows(by, "admin") or _made(share, by)
            if not theirs and await self._own(share.stream, by) is None:
                raise _unknown() from None
        await self._credentials.revoke(KIND, id_, self._clock())
        if (told := self._revoked(id_)) is not None:
            await told
        return share

    async def find(self, id_: str) -> Share:
        """A link by its id, also one that does not hold any more.

        Raises:
            NotFound: ``share_not_found``.
            StoreError: the store cannot be read.
        """
        row = await self._credentials.find(KIND, id_)
        if row is not None:
            try:
                return Share.of(row)
            except ValueError:
                pass
        raise _unknown()


def _made(share: Share, by: Principal) -> bool:
    """Whether a principal made a link, and has not shown a credential that is for less."""
    mine = by.subject is not None and share.by == by.subject
    return mine and by.credential_allows("share", share.stream)


def _unknown() -> NotFound:
    return NotFound("there is no such share link", code="share_not_found")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _id(digest: bytes) -> str:
    return digest.hex()[:ID_LENGTH]
