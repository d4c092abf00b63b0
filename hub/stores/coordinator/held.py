"""A stream in a coordinator's memory: all that decides whether a write is allowed, no records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

from hub.domain.epochs import Epochs
from hub.domain.producers import Producers, Stamp
from hub.domain.queued_prompt import encode_queue
from hub.domain.stream_settings import StreamSettings
from hub.stores.sequenced import Counted, Kept
from hub.stores.shared import Entry, State, Written, queue_version

__all__ = ["UNLIMITED", "Held"]

UNLIMITED: Final = 2**63
"""Producers of a stream: whoever writes brings the limit."""

_SAME: Final = (
    *("settings", "born", "life", "head", "tail", "change", "closed", "closed_by", "sequence"),
    *("hidden", "expires", "running", "node", "number", "began", "queue", "prompts"),
)
"""Fields that are those of a state as they are."""


@dataclass(slots=True, eq=False)
class Held:
    """The fields are those of `hub.stores.shared.State`, unless they say otherwise."""

    name: str
    settings: StreamSettings
    born: int
    epochs: Epochs
    life: int
    head: int
    tail: int
    change: int
    producers: Producers
    closed: bool = False
    closed_by: Stamp | None = None
    sequence: str | None = None
    hidden: bool = False
    expires: int | None = None
    running: str | None = None
    node: str = ""
    number: int = 0
    began: str = ""
    queue: str = ""
    prompts: str = ""
    cancelled: bool = False
    """Somebody has asked for the generation to stop."""
    forks: set[str] = field(default_factory=set)
    """Their names."""
    holds: dict[str, float] = field(default_factory=dict)
    """Forks that are about to begin, and until when they have to (`time.monotonic`)."""
    used: float = 0.0
    """When it was used last (`time.monotonic`)."""

    @classmethod
    def put_back(cls, name: str, state: State) -> Self:
        """A stream as a hub still has it, without its forks."""
        return cls(
            name=name,
            **{same: getattr(state, same) for same in _SAME},
            epochs=Epochs(state.epochs),
            producers=Producers(dict(state.producers), most=UNLIMITED),
        )

    @classmethod
    def of(cls, name: str, kept: Kept) -> Self:
        """A stream as the store has it."""
        saved, counted, running = kept.saved, kept.counted, kept.running
        if counted is None:
            counted = Counted(name, saved.epochs[0][0], 0, 0)
        held = cls(
            name=name,
            settings=saved.settings,
            born=counted.born,
            epochs=Epochs(saved.epochs),
            life=counted.life,
            head=saved.head,
            tail=saved.tail,
            change=counted.change,
            producers=Producers(dict(saved.producers), most=UNLIMITED),
            closed=saved.closed,
            closed_by=saved.closed_by,
            sequence=saved.sequence,
            hidden=saved.hidden,
            expires=None if saved.expires is None else round(saved.expires * 1000),
            forks=set(kept.forks),
        )
        held.prompts, _ = encode_queue(saved.queue)
        held.queue = queue_version(held.prompts, held=saved.held)
        if running is not None:
            held.running, held.node, held.number = running.generation, counted.node, counted.number
            held.began = f"{running.epoch}:{running.first}:{running.started}"
            held.cancelled = counted.cancelled
        return held

    @property
    def epoch(self) -> int:
        return self.epochs.last[0]

    @property
    def needed(self) -> bool:
        """Whether forks of it need its records."""
        return bool(self.forks or self.holds)

    @property
    def counted(self) -> Counted:
        return Counted(
            *(self.name, self.born, self.life, self.change, self.number, self.node, self.cancelled)
        )

    def written(self, *, duplicate: bool = False, number: int | None = None) -> Written:
        return Written(self.epoch, self.tail, self.change, self.closed, duplicate, number)

    def state(self, entries: Sequence[Entry] = ()) -> State:
        return State(
            **{name: getattr(self, name) for name in _SAME},
            epochs=tuple(self.epochs),
            entries=entries,
            producers=dict(self.producers.all),
            forks=len(self.forks | self.holds.keys()),
        )

    def stop_running(self) -> None:
        """Forget the generation: it has an end."""
        self.running, self.node, self.number, self.began = None, "", 0, ""
        self.cancelled = False
