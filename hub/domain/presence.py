"""The members of a stream, and what has changed since a reader's last update.

Members join, change their state and leave, any number of times between two updates. `publish`
makes a *view*: the members, each with the number of the view in which it last changed. All that
the hub keeps of a reader is the last view that it was sent; its next update is the difference
between that view and the current one, however many lie between. So a slow reader costs one view and
not a history of changes, and readers with the same view are sent the same difference.

The obvious alternative, a list of changes with a cursor for each reader, grows without bound while
one reader does not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["NOBODY", "Difference", "Presence", "View"]


@dataclass(frozen=True, slots=True)
class View:
    """The members at one time, each with the number of the view in which it last changed."""

    number: int = 0
    members: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


NOBODY: Final = View()
"""The view of a reader that has been sent nothing."""


class Difference(NamedTuple):
    """An update from one view to another: members that joined or changed, and those that left."""

    joined: list[tuple[str, bytes]]
    left: list[str]


class Presence:
    """The members of one stream; their states are encoded JSON."""

    __slots__ = ("_members", "_states", "_touched", "view")

    def __init__(self) -> None:
        self.view = NOBODY
        """The current view."""
        self._members: dict[str, bytes] = {}
        """The states as they are now, published or not."""
        self._states: dict[str, bytes] = {}
        """The states in the current view."""
        self._touched: dict[str, None] = {}
        """The members that may differ between the two."""

    def __len__(self) -> int:
        return len(self._members)

    def put(self, member: str, state: bytes) -> None:
        """Add a member, or change its state."""
        self._members[member] = state
        self._touched[member] = None

    def remove(self, member: str) -> None:
        if self._members.pop(member, None) is not None:
            self._touched[member] = None

    def publish(self) -> bool:
        """Make a view of the current members; false if nothing has changed since the last one."""
        changed = [m for m in self._touched if self._members.get(m) != self._states.get(m)]
        self._touched.clear()
        if not changed:
            return False
        number = self.view.number + 1
        members = dict(self.view.members)
        for member in changed:
            state = self._members.get(member)
            if state is None:
                del members[member], self._states[member]
            else:
                members[member] = number
                self._states[member] = state
        self.view = View(number, members)
        return True

    def since(self, known: View) -> Difference:
        """The update from one of this presence's views to the current one."""
        now = self.view.members
        return Difference(
            [
                (member, self._states[member])
                for member, number in now.items()
                if known.members.get(member) != number
            ],
            [member for member in known.members if member not in now],
        )
