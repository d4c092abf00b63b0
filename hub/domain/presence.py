"""Who takes part in a stream now, and what has changed since somebody was last told.

Members come, change what they say of themselves, and go, in any number between two looks.
`publish` takes a *view*: which members there are, and at which view each was last changed.
A reader is only ever a view that it has been told; what it has missed is the difference
between that one and the present one, however many lie between. So a slow reader costs a
view, not the history of the changes, and readers who were told the same view are sent the
same difference.

The obvious alternative, a list of changes of which each reader has read so much, grows
without bound while one reader does not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["NOBODY", "Difference", "Presence", "View"]


@dataclass(frozen=True, slots=True)
class View:
    """The members at one look, each with the number of the view that it last changed in."""

    number: int = 0
    members: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


NOBODY: Final = View()
"""What has been told to somebody who has been told nothing."""


class Difference(NamedTuple):
    """What makes one view of another: who came or changed, with their state, and who went."""

    joined: list[tuple[str, bytes]]
    left: list[str]


class Presence:
    """The members of one stream; their states are JSON, encoded."""

    __slots__ = ("_members", "_states", "_touched", "view")

    def __init__(self) -> None:
        self.view = NOBODY
        """The present view, which `since` leads to."""
        self._members: dict[str, bytes] = {}
        """As they are, looked at or not."""
        self._states: dict[str, bytes] = {}
        """As they were at the present view."""
        self._touched: dict[str, None] = {}
        """Who may differ between the two."""

    def __len__(self) -> int:
        return len(self._members)

    def put(self, member: str, state: bytes) -> None:
        """A member comes, or is in another state."""
        self._members[member] = state
        self._touched[member] = None

    def remove(self, member: str) -> None:
        """A member goes."""
        if self._members.pop(member, None) is not None:
            self._touched[member] = None

    def publish(self) -> bool:
        """Make what is now the present view; false if nothing has changed since the last."""
        changed = [
            member
            for member in self._touched
            if self._members.get(member) != self._states.get(member)
        ]
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

    def since(self, told: View) -> Difference:
        """What somebody who was told a view, of this presence, has to be told now."""
        now = self.view.members
        return Difference(
            [
                (member, self._states[member])
                for member, number in now.items()
                if told.members.get(member) != number
            ],
            [member for member in told.members if member not in now],
        )
