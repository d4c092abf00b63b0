"""Incarnations: timelines of a server, in each of which it has lost nothing.

A server may come back with less than it had: it was killed before its file was written, a replica
that lagged was promoted, or somebody emptied it. What it then accepts must not be taken for what it
had accepted at the same offsets before. So each timeline has a number, higher than all before it. A
stream's first append in an incarnation raises its epoch (`hub.domain.epochs`), which tells readers
whether what they have seen is still true.

A timeline is known by two ids that Redis makes up: one for each start of the process, and one for
each time that it becomes a primary. Nothing in a process changes the number while both stay the
same, except that somebody removes the key it is kept in, by emptying the server: then a new one is
made, too.

Each partition has its own, because in a cluster each may be on another server. Whoever connects
first after a loss makes the new number; the key is only changed if it is as it was read. For a
while the incarnation is *settling*: only hubs that have records which the server lost may write,
to put them back.
"""

from __future__ import annotations

from typing import NamedTuple, Self

__all__ = ["Incarnation", "Timeline", "present"]


class Timeline(NamedTuple):
    """What tells one timeline of a server from the next."""

    run: str
    """``run_id``: another one after each start of the process."""
    replication: str
    """``master_replid``: another one after each promotion."""


class Incarnation(NamedTuple):
    """The number of a timeline, and since when it has it (the server's clock, ms since 1970)."""

    number: int
    since: int
    timeline: Timeline

    def __str__(self) -> str:
        return ":".join([str(self.number), str(self.since), *self.timeline])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what ``str`` gave.

        Raises:
            ValueError: it did not.
        """
        number, since, run, replication = text.split(":")
        return cls(int(number), int(since), Timeline(run, replication))


def present(
    stored: Incarnation | None, timeline: Timeline, known: int, now: int, least: int = 0
) -> Incarnation:
    """The incarnation that a server is in: the stored one, or a new one to be stored.

    ``known`` is the highest number that this hub has seen there, ``now`` the server's clock; a new
    one is at least ``least``.
    """
    if stored is not None and stored.timeline == timeline and stored.number >= known:
        return stored
    last = known if stored is None else max(known, stored.number)
    return Incarnation(max(last + 1, now, least), now, timeline)
