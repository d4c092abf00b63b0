"""The queue of a stream as its events tell it, for those who follow the stream."""

from __future__ import annotations

from dataclasses import replace

from hub.domain.events import TERMINALS, Dropped, Event, Queued, Started

__all__ = ["QueueView"]


class QueueView:
    """The prompts that wait in ``stream``, if it is given every event from the stream's start on.

    ::

        queue = QueueView("chat")
        async for event in hub.follow("chat"):
            if queue.hear(event):
                print([prompt.text for prompt in queue.prompts])
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.held = False
        """Whether they wait until somebody sends one, because the last answer did not finish."""
        self._prompts: list[Queued] = []

    @property
    def prompts(self) -> tuple[Queued, ...]:
        """The prompts, the next one first, with their present places."""
        return tuple(replace(one, place=at) for at, one in enumerate(self._prompts, start=1))

    def hear(self, event: Event) -> bool:
        """Take the next event; returns whether it changed what waits, or whether it is held."""
        before = (self.held, len(self._prompts))
        if isinstance(event, Queued):
            # A fork has the events of its source, whose prompts do not wait in it.
            if event.stream == self.stream:
                self._put(event)
                return True
        elif isinstance(event, Started | Dropped):
            self._prompts = [one for one in self._prompts if one.generation != event.generation]
            self.held = self.held and not isinstance(event, Started)
        if isinstance(event, (Dropped, *TERMINALS)) and event.extra.get("held") is True:
            self.held = True
        self.held = self.held and bool(self._prompts)
        return before != (self.held, len(self._prompts))

    def _put(self, event: Queued) -> None:
        places = [at for at, one in enumerate(self._prompts) if one.generation == event.generation]
        for at in places:
            del self._prompts[at]
        end = places[0] if places else len(self._prompts)
        self._prompts.insert(end if event.place is None else event.place - 1, event)
