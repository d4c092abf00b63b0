"""A generation: one run of an upstream for one prompt, as a table of states.

::

              Started            Delta
    asked ───────────▶ waiting ─────────▶ streaming ──┐ Delta
      │                   │ ▲ │               │   ▲───┘
      │                   │ └─┘ Other         │
      └───────────────────┴─────────┬─────────┘
                                    ▼  Finished · Failed · Cancelled · Interrupted
                       finished · failed · cancelled · interrupted

A prompt that waits for its turn has a generation, too: it is `queued` until it is asked, or
`dropped`.

Every event of a run goes through `Generation.apply`, which consults the table. An event that the
table does not allow is a `ValueError`: a bug in this program, never a client's mistake. So a
generation has exactly one terminal event and nothing after it, because no row allows a second one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from time import monotonic
from typing import Any, Final
from uuid import uuid4

from hub.domain.events import (
    TERMINALS,
    Cancelled,
    Delta,
    Dropped,
    Event,
    Failed,
    Finished,
    Interrupted,
    Other,
    Queued,
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
    QUEUED = "queued"
    ASKED = "asked"
    WAITING = "waiting"
    STREAMING = "streaming"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    DROPPED = "dropped"


_ENDS: Final[Mapping[type[Event], State]] = {
    Finished: State.FINISHED,
    Failed: State.FAILED,
    Cancelled: State.CANCELLED,
    Interrupted: State.INTERRUPTED,
}

_TABLE: Final[Mapping[State, Mapping[type[Event], State]]] = {
    State.QUEUED: {Queued: State.QUEUED, Started: State.WAITING, Dropped: State.DROPPED},
    State.ASKED: {Queued: State.QUEUED, Started: State.WAITING, **_ENDS},
    State.WAITING: {Other: State.WAITING, Delta: State.STREAMING, **_ENDS},
    State.STREAMING: {Delta: State.STREAMING, **_ENDS},
    **{ended: {} for ended in (*_ENDS.values(), State.DROPPED)},
}


@dataclass(slots=True, eq=False, repr=False, weakref_slot=True)
class Generation:
    """One run: its state, its usage so far, and its terminal event once there is one."""

    stream: str
    upstream: str
    model: str | None
    clock: Callable[[], float] = monotonic
    """Monotonic, unlike the time of day, which may be set."""
    id: str = field(default_factory=lambda: f"gen_{uuid4().hex}", init=False)
    position: Position | None = field(default=None, init=False)
    """Where it begins in the stream: at its question, or else at its first event."""
    state: State = field(default=State.ASKED, init=False)
    started_at: str = field(default_factory=now, init=False)
    terminal: Terminal | None = field(default=None, init=False)
    usage: Usage | None = field(default=None, init=False)
    """The usage that the upstream has reported so far."""
    yields: bool = field(default=False, init=False)
    """Whether it is to stop where a sentence ends, because another prompt goes first."""
    asked: int | None = field(default=None, init=False)
    """An estimate of the prompt's tokens."""
    _deltas: int = field(default=0, init=False)
    _handed_on: bool = field(default=False, init=False)
    _began: float = field(init=False)
    _first: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @classmethod
    def told(
        cls, name: str, stream: str, position: Position, events: Iterable[Event]
    ) -> Generation:
        """Restore another process's generation from its events, which may lack the terminal."""
        generation = cls(stream, "", None)
        generation.id, generation.position = name, position
        for event in events:
            generation.hear(event)
        return generation

    def hear(self, event: Event) -> None:
        """Follow the next event of a generation that runs elsewhere."""
        if isinstance(event, Started):
            self.upstream, self.model = event.upstream or "", event.model
            self.started_at = event.at or self.started_at
            self.asked = None if event.usage is None else event.usage.prompt_tokens
        elif self.state is State.ASKED and not isinstance(event, Queued | Dropped):
            self.state = State.WAITING  # its first events are no longer kept
        self._deltas += isinstance(event, Delta)
        self.state = _TABLE[self.state].get(type(event), self.state)
        if isinstance(event, TERMINALS):
            self.terminal = event
            self.upstream = event.extra.get("upstream", self.upstream)
            self.model = event.extra.get("model", self.model)

    @property
    def ended(self) -> bool:
        return self.terminal is not None or self.state is State.DROPPED

    def take_turn(self, upstream: str, model: str | None) -> None:
        """Go from the queue to the upstream: its time counts from now."""
        self.upstream, self.model = upstream, model
        self._began, self.started_at = self.clock(), now()

    def hand_on(self, upstream: str, model: str | None) -> None:
        """Switch to another upstream, which the terminal event will name."""
        self.upstream, self.model = upstream, model
        self._handed_on = True

    def apply(self, event: Event) -> Event:
        """Apply the next event of the run, and return it as the stream gets it.

        That adds the generation's id, the time and, for a terminal, the usage and the duration.

        Raises:
            ValueError: the table does not allow this event.
        """
        after = _TABLE[self.state].get(type(event))
        if after is None:
            raise ValueError(f"{type(event).__name__} cannot follow in state {self.state}")
        self.state = after
        if isinstance(event, Delta):
            if event.extra or event.tool is not None:
                event = stamped(event, self.upstream)
                # A delta without text, reasoning or a call has no token of the reply.
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
                usage=self._prompt_usage(),
            )
        if isinstance(event, TERMINALS):
            extra = dict(event.extra)
            if self._handed_on:
                extra["upstream"] = self.upstream
                if self.model is not None:
                    extra["model"] = self.model
            self.terminal = replace(
                event,
                generation=self.id,
                usage=self._used(event),
                seconds=Seconds(self._first, self._since()),
                at=now(),
                extra=extra,
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
        # While it runs, it shows the usage that it would have if it were cancelled now.
        last = to_json(self.terminal or Cancelled(usage=self._used(Cancelled())))
        shown.update(
            {k: last[k] for k in ("reason", "code", "message", "usage", "seconds") if k in last}
        )
        if self.terminal is not None:
            shown["ended_at"] = self.terminal.at
        return shown

    def _prompt_usage(self) -> Usage | None:
        return None if self.asked is None else Usage(prompt_tokens=self.asked, estimated=True)

    def _since(self) -> float:
        return round(self.clock() - self._began, 3)

    def _used(self, end: Terminal) -> Usage:
        """The usage with this end: as the upstream reported it, otherwise estimated.

        A complete reply has the upstream's final report. An incomplete one has only reports from
        before its end: perhaps of the prompt's tokens, and of too few of the reply's.
        """
        reported = end.usage or self.usage
        if reported is not None and isinstance(end, Finished):
            return reported
        # If the only response was a failure, the upstream may never have read the prompt.
        unread = isinstance(end, Failed) and not self._deltas
        return cut_off(reported, None if unread else self.asked, self._deltas)


def is_own(generation: str) -> bool:
    """Whether an id has the form of a hub's, which no other generation may have.

    This works for any generation, however long ago it ended and wherever its events were copied.
    """
    return _ID.fullmatch(generation) is not None


def cut_off(reported: Usage | None, asked: int | None, deltas: int) -> Usage:
    """The usage of an incomplete reply: about one token a delta, unless more was reported.

    ``reported`` is the upstream's last report, ``asked`` an estimate of the prompt's tokens.
    """
    reported = reported or Usage()
    prompt = asked if reported.prompt_tokens is None else reported.prompt_tokens
    completion = max(reported.completion_tokens or 0, deltas)
    exact = prompt == reported.prompt_tokens and completion == reported.completion_tokens
    return replace(
        reported,
        prompt_tokens=prompt,
        completion_tokens=completion,
        estimated=reported.estimated or not exact,
    )
