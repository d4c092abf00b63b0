"""A conversation as the events of its stream tell it, for those who follow the stream."""

from __future__ import annotations

from dataclasses import dataclass, field

from hub.domain.branches import Branches
from hub.domain.events import TYPE_OF, Delta, Event, Message, Started, Terminal
from hub.domain.records import Position

__all__ = ["ConversationView", "Turn"]


@dataclass(slots=True, eq=False)
class Turn:
    """A message, or the reply of a ``generation`` so far.

    ``position`` names it in ``after`` and ``branch`` of `hub.client.Hub.generate`. ``state`` of a
    reply is ``running``, or how it ended: ``finished``, ``failed``, ``cancelled``, ``interrupted``.
    """

    role: str
    position: str
    place: int = field(repr=False)
    """Its number among the turns of all branches."""
    author: str | None = None
    generation: str | None = None
    state: str | None = None
    pieces: list[str] = field(default_factory=list, repr=False)

    @property
    def text(self) -> str:
        self.pieces[:] = [text := "".join(self.pieces)]
        return text


class ConversationView:
    """The messages and replies of a stream, if it is given every event from the stream's start on.

    ::

        chat = ConversationView()
        async for event in (following := hub.follow("chat")):
            if not isinstance(event, Reset | Value):
                chat.hear(event, following.position)
        print([turn.text for turn in chat.turns])

    A conversation has branches, where a reply was asked for again or a message was edited. After a
    `Reset` begin another view, from the stream's start.
    """

    def __init__(self) -> None:
        self._branches: Branches[Turn] = Branches()
        self._replies: dict[str, Turn] = {}

    def hear(self, event: Event, position: str) -> None:
        """Take the next event, and the position after it.

        Raises:
            PositionError: it is not a position.
        """
        after = Position.parse(position)
        if isinstance(event, Message):
            turn = self._turn(event.role, after, event.author)
            turn.pieces.append(event.text)
            names = [event.extra.get("id")]
            self._branches.add(turn, after.offset - 1, names, event.extra)
        elif isinstance(event, Started | Delta | Terminal) and event.generation:
            self._hear_reply(event, after)

    def _hear_reply(self, event: Started | Delta | Terminal, after: Position) -> None:
        turn = self._replies.get(event.generation)
        if turn is None:
            turn = self._replies[event.generation] = self._turn("assistant", after)
            turn.generation, turn.state = event.generation, "running"
            extra = event.extra if isinstance(event, Started) else {}
            names = [event.generation, extra.get("message")]
            self._branches.add(turn, after.offset - 1, names, extra)
        if isinstance(event, Terminal):
            turn.state = TYPE_OF[type(event)]
        elif isinstance(event, Delta) and event.text:
            turn.pieces.append(event.text)

    def _turn(self, role: str, after: Position, author: str | None = None) -> Turn:
        return Turn(role, str(after), self._branches.last + 1, author)

    @property
    def turns(self) -> list[Turn]:
        """The branch that the stream is on, as a prompt that says nothing else continues it."""
        return self._branches.branch(self._branches.last)

    def versions(self, turn: Turn) -> list[Turn]:
        """The turns that follow the same one as this one does, itself among them, oldest first."""
        return self._branches.beside(turn.place)

    def branch(self, turn: Turn) -> list[Turn]:
        """The branch with a turn, up to where it has got to."""
        return self._branches.branch(self._branches.newest(turn.place))
