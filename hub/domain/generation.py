"""A generation: one run of an upstream for one prompt, as a table of states.

::

              Started            Delta
    asked ───────────▶ waiting ─────────▶ streaming ──┐ Delta
      │                   │ ▲ │               │   ▲───┘
      │                   │ └─┘ Other         │
      └───────────────────┴─────────┬─────────┘
                                    ▼  Finished · Failed · Cancelled · Interrupted
                       finished · failed · cancelled · interrupted

Every event of a run goes through `Generation.apply`, which asks the table. What the table
does not hold is a `ValueError`: a mistake of this program, never of a client. So a
generation has exactly one terminal event and nothing after it, because there is no row
that would let a second one through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Other,
    Seconds,
    Started,
    Terminal,
    Usage,
    now,
    to_json,
)
from hub.domain.provider_fields import stamped
from hub.domain.records import Position

__all__ = ["Generation", "State", "cut_off", "is_own"]

_ID: Final = re.compile(r"gen_[0-9a-f]{32}")


class State(StrEnum):
    """Where a generation is."""

    ASKED = "asked"
    WAITING = "waiting"
    STREAMING = "streaming"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


_ENDS: Final[Mapping[type[Event], State]] = {
    Finished: State.FINISHED,
    Failed: State.FAILED,
    Cancelled: State.CANCELLED,
    Interrupted: State.INTERRUPTED,
}

_TABLE: Final[Mapping[State, Mapping[type[Event], State]]] = {
    State.ASKED: {Started: State.WAITING, **_ENDS},
    State.WAITING: {Other: State.WAITING, Delta: State.STREAMING, **_ENDS},
    State.STREAMING: {Delta: State.STREAMING, **_ENDS},
    **{ended: {} for ended in _ENDS.values()},
}


class Generation:
    """One run: its state, what it has used so far, and its terminal event once it has one."""

    __slots__ = (
        "_began",
        "_clock",
        "_deltas",
        "_first",
        "_handed_on",
        "asked",
        "id",
        "model",
        "position",
        "started_at",
        "state",
        "stream",
        "terminal",
        "upstream",
        "usage",
    )

    def __init__(
        self,
        stream: str,
        upstream: str,
        model: str | None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.id = f"gen_{uuid4().hex}"
        self.stream = stream
        self.upstream = upstream
        self.model = model
        self.position: Position | None = None
        """Where in the stream its story begins: the question, or its first event."""
        self.state = State.ASKED
        self.started_at = now()
        self.terminal: Finished | Failed | Cancelled | Interrupted | None = None
        self.usage: Usage | None = None
        """What the upstream itself has said so far."""
        self.asked: int | None = None
        """About how many tokens the prompt has."""
        self._deltas = 0
        self._handed_on = False
        self._clock = clock
        # The time of day may be set meanwhile; this only goes on.
        self._began = clock()
        self._first: float | None = None

    @classmethod
    def told(
        cls, name: str, stream: str, position: Position, events: Iterable[Event]
    ) -> Generation:
        """A generation of an earlier process, from its events; without its terminal, unended."""
        told = cls(stream, "", None)
        told.id, told.position = name, position
        for event in events:
            told.hear(event)
        return told

    def hear(self, event: Event) -> None:
        """Take the next of its events as a reader does, whoever runs it."""
        if isinstance(event, Started):
            self.upstream, self.model = event.upstream or "", event.model
            self.started_at = event.at or self.started_at
        elif self.state is State.ASKED:
            self.state = State.WAITING  # its beginning is no longer kept
        self.state = _TABLE[self.state].get(type(event), self.state)
        if isinstance(event, Finished | Failed | Cancelled | Interrupted):
            self.terminal = event
            self.upstream = event.extra.get("upstream", self.upstream)
            self.model = event.extra.get("model", self.model)

    @property
    def ended(self) -> bool:
        """Whether the terminal event has come."""
        return self.terminal is not None

    def hand_on(self, upstream: str, model: str | None) -> None:
        """From here on another upstream answers; the terminal event says which."""
        self.upstream, self.model = upstream, model
        self._handed_on = True

    def apply(self, event: Event) -> Event:
        """Take the next event of the run and return it as it goes into the stream.

        The generation's id, the time and, on a terminal, the usage and the seconds it took are
        filled in.

        Raises:
            ValueError: the table has no such step.
        """
        after = _TABLE[self.state].get(type(event))
        if after is None:
            raise ValueError(f"{type(event).__name__} cannot follow in state {self.state}")
        self.state = after
        if isinstance(event, Delta):
            if event.extra or event.tool is not None:
                event = stamped(event, self.upstream)
                # What only stands beside the answer is no token of it.
                self._deltas += bool(event.text or event.reasoning or event.tool is not None)
            else:
                self._deltas += 1
            if self._first is None:
                self._first = self._since()
            return Delta(self.id, event.text, event.reasoning, event.tool, event.extra)
        if isinstance(event, Started):
            return replace(
                event,
                generation=self.id,
                upstream=self.upstream,
                model=self.model,
                at=self.started_at,
                usage=self._foreseen(),
            )
        if isinstance(event, Finished | Failed | Cancelled | Interrupted):
            usage = self._used(event)
            took = Seconds(self._first, self._since())
            extra = {**event.extra, **self._answerer()} if self._handed_on else event.extra
            self.terminal = replace(
                event, generation=self.id, usage=usage, seconds=took, at=now(), extra=extra
            )
            return self.terminal
        return event

    def to_json(self) -> dict[str, Any]:
        """The generation as `GET /v1/generations/{id}` shows it."""
        shown: dict[str, Any] = {
            "id": self.id,
            "stream": self.stream,
            "position": None if self.position is None else str(self.position),
            "upstream": self.upstream,
            "model": self.model,
            "state": self.state.value,
            "started_at": self.started_at,
        }
        # A running one shows the usage it would have if it were cancelled now.
        last = to_json(self.terminal or Cancelled(usage=self._used(Cancelled())))
        shown.update(
            {k: last[k] for k in ("reason", "code", "message", "usage", "seconds") if k in last}
        )
        if self.terminal is not None:
            shown["ended_at"] = self.terminal.at
        return shown

    def _answerer(self) -> Mapping[str, str]:
        model = {} if self.model is None else {"model": self.model}
        return {"upstream": self.upstream, **model}

    def _foreseen(self) -> Usage | None:
        return None if self.asked is None else Usage(prompt_tokens=self.asked, estimated=True)

    def _since(self) -> float:
        return round(self._clock() - self._began, 3)

    def _used(self, end: Terminal) -> Usage:
        """What was used, by an end: as the upstream says, and where it does not, an estimate.

        An answer that is whole has the upstream's last word. Of one that broke off there is only
        what it said on the way: the prompt's tokens perhaps, and of the answer's too few.
        """
        said = end.usage or self.usage
        if said is not None and isinstance(end, Finished):
            return said
        # Nobody knows that a prompt was read at all to which nothing was said but that it failed.
        unread = isinstance(end, Failed) and not self._deltas
        return cut_off(said, None if unread else self.asked, self._deltas)


def is_own(generation: str) -> bool:
    """Whether a generation is a hub's: ids of that form are given to no other.

    So it can be told of any, however long ago it ended, wherever its events were copied to.
    """
    return _ID.fullmatch(generation) is not None


def cut_off(said: Usage | None, asked: int | None, deltas: int) -> Usage:
    """What an answer used that has broken off: about a token for each delta, if not told better.

    ``said`` is what the upstream has said, ``asked`` about how many tokens the prompt has.
    """
    said = said or Usage()
    prompt = asked if said.prompt_tokens is None else said.prompt_tokens
    completion = max(said.completion_tokens or 0, deltas)
    told = prompt == said.prompt_tokens and completion == said.completion_tokens
    return replace(
        said,
        prompt_tokens=prompt,
        completion_tokens=completion,
        estimated=said.estimated or not told,
    )
