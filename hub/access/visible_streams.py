"""The streams that a principal may list, page by page, without a look at all the others.

Its grants say how the names begin, and an index knows its own streams. Only a pattern such as
``*/news`` leaves names in between that are not its. Of these a request looks at a bounded number;
then its page ends early, and the next one goes on where it stopped. That may be at the name of
somebody else's stream, so the principal gets a word that stands for it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from os.path import commonprefix
from typing import Final

from hub.access.permissions import Permissions
from hub.domain.errors import RequestError
from hub.domain.owned_cache import OwnedCache
from hub.domain.permissions import Grant
from hub.domain.principal import Principal
from hub.stores import Listed
from hub.streams.opened import StreamRegistry

__all__ = ["CURSOR", "VisibleStreams"]

CURSOR: Final = "!"
"""What a cursor begins with, and no name."""

PAGE: Final = 1000
ROWS: Final = 5000
"""Streams that are read at a time, and that one request looks at, besides the principal's own."""

RANGES: Final = 16
"""Beginnings of names that are looked for one by one; more are looked for together."""

REMEMBERED: Final = 10_000
"""Cursors at one time; the one that was used least recently is forgotten first."""

OF_ONE: Final = 500
"""Cursors of one principal, so that nobody has those of others forgotten."""


class VisibleStreams:
    """The streams of a hub as its principals see them."""

    def __init__(self, streams: StreamRegistry, permissions: Permissions) -> None:
        self._streams = streams
        self._permissions = permissions
        self._cursors: OwnedCache[str, tuple[str | None, str, str]] = OwnedCache(REMEMBERED, OF_ONE)

    async def page(
        self, by: Principal, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], str | None]:
        """Up to ``limit`` streams by name, and ``after`` of the next page, if there is one.

        The names begin with ``prefix`` and come after ``after``, a name or a cursor.

        Raises:
            RequestError: ``bad_cursor``: the cursor is not known, or not for this principal.
        """
        if after.startswith(CURSOR):
            after = self._place(after, by, prefix)
        own, own_end = await self._own(by, prefix, after, limit)
        granted, end = await self._granted(by, prefix, after, limit)
        ends = [one for one in (own_end, end) if one is not None]
        last = min(ends, default=None)
        seen = {one.name: one for one in (*granted, *own) if last is None or one.name <= last}
        names = sorted(seen)
        found = [seen[name] for name in names[:limit]]
        if len(names) > limit:
            return found, names[limit - 1]
        if last is None or (names and names[-1] == last):
            return found, last
        return found, self._cursor(by, prefix, last)

    async def _own(
        self, by: Principal, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], str | None]:
        """Its own streams, and the last name that was looked at, if there may be more."""
        if by.subject is None:
            return [], None
        found, more = await self._streams.owned(by.subject, prefix, after, limit)
        return list(self._listable(found, by)), found[-1].name if more else None

    async def _granted(
        self, by: Principal, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], str | None]:
        """Streams that grants let it list, and the last name that was looked at, as `_own`."""
        shown: list[Listed] = []
        looked, size = 0, limit
        for beginning in _beginnings(by, prefix):
            more = True
            while more:
                if len(shown) >= limit or looked >= ROWS:
                    return shown, after
                found, more = await self._streams.listed(beginning, after, size)
                if found:
                    after = found[-1].name
                looked, size = looked + len(found), PAGE
                shown += self._listable(found, by)
        return shown, None

    def _listable(self, found: Iterable[Listed], by: Principal) -> Iterator[Listed]:
        allows = self._permissions.allows
        return (one for one in found if allows(by, "list", one.name, one.owner))

    def _cursor(self, by: Principal, prefix: str, after: str) -> str:
        cursor = CURSOR + secrets.token_urlsafe(16)
        self._cursors.put(by.counted_as or "", cursor, (by.scope, prefix, after))
        return cursor

    def _place(self, cursor: str, by: Principal, prefix: str) -> str:
        scope, its_prefix, after = self._cursors.get(cursor) or ("", "", "")
        if not after or (scope, its_prefix) != (by.scope, prefix):
            raise RequestError("this cursor is not known: begin anew", code="bad_cursor")
        return after


def _beginnings(by: Principal, prefix: str) -> list[str]:
    """How the names begin that grants let a principal list: in order, none within another."""
    found = set(_joined(_literals(by.grants), {prefix}))
    if by.within is not None:
        found = set(_joined(found, _literals(by.within)))
    apart: list[str] = []
    for one in sorted(found):
        if not apart or not one.startswith(apart[-1]):
            apart.append(one)
    if len(apart) <= RANGES:
        return apart
    return [commonprefix(apart)]  # noqa: RUF071 - of names, which are not paths


def _joined(some: Iterable[str], others: Iterable[str]) -> Iterator[str]:
    """The beginnings of the names that begin with one of each."""
    others = tuple(others)
    for one in some:
        for other in others:
            if one.startswith(other):
                yield one
            elif other.startswith(one):
                yield other


def _literals(grants: Iterable[Grant]) -> set[str]:
    return {grant.match.beginning for grant in grants if "list" in grant.can}
