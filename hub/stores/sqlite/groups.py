"""Changes that are committed together, and those who wait for the commit."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hub.domain.events import NOTHING
from hub.stores import Appended, Change, Created, Removed

__all__ = ["Group", "Waiter", "notify"]

log = logging.getLogger("hub.store")


class Waiter(NamedTuple):
    """``done`` is called after a commit, ``failed`` if the changes of ``stream`` are rejected."""

    done: Callable[[], None]
    stream: str | None
    failed: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Group:
    """Changes that are committed together, and the waiters for that commit."""

    changes: list[Change] = field(default_factory=list)
    size: int = 0
    streams: set[str] = field(default_factory=set)
    """Streams that load differently once the group is committed."""
    removed: set[str] = field(default_factory=set)
    """Streams that are gone once the group is committed."""
    rejected: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Streams whose changes were not written, and the reason."""
    waiting: list[Waiter] = field(default_factory=list)

    def take(self, change: Change, size: int) -> None:
        self.changes.append(change)
        self.size += size
        self.streams.add(change.stream)
        if type(change) is Appended:
            return  # most changes are
        if isinstance(change, Created):
            self.removed.discard(change.stream)
            # A loaded stream knows the number of its forks.
            if (fork := change.settings.fork) is not None:
                self.streams.add(fork.source)
        elif isinstance(change, Removed):
            self.removed.add(change.stream)
            if change.source is not None:
                self.streams.add(change.source)


def notify(waiting: Iterable[Waiter], rejected: Mapping[str, str]) -> None:
    """Call those who waited for a commit; ``rejected`` are the streams that were not written."""
    for waiter in waiting:
        try:
            if waiter.stream in rejected:
                waiter.failed()
            else:
                waiter.done()
        except Exception:
            log.exception("a callback after a commit failed")
