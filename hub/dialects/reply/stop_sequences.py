"""Stop sequences for upstreams whose API has none: the hub ends the text itself.

The text ends before the sequence that is complete first, and of several that end at the same
character before the longest, so that it does not matter how the text is cut into pieces. The end of
the text that may be the beginning of a sequence is held back, and with it what came after it. A
tool call lets it go: no sequence goes across one. Reasoning and refusals are never searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hub.domain.events import TERMINALS, Delta, Event, Finished

__all__ = ["StopSequences"]


class StopSequences:
    """Ends one reply at the first of its stop sequences."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held: list[Event] = []
        self.found = False
        """Whether the reply was ended; nothing may follow."""

    def cut(self, events: Iterable[Event]) -> list[Event]:
        """The events that may be given out, up to the end if a sequence is complete.

        The provider's end, if it comes with the sequence, gives its usage to the new one.
        """
        given: list[Event] = []
        events = [*events]
        if not self._sequences:
            return events
        for event in () if self.found else events:
            if isinstance(event, TERMINALS) or (isinstance(event, Delta) and event.tool):
                given += [*self.rest(), event]
                continue
            self._held.append(event)
            if not _text(event):
                continue
            text = "".join(map(_text, self._held))
            if (start := self._find(text)) is not None:
                given += _split(self._held, start)[0]
                end = next((one for one in events if isinstance(one, Finished)), Finished())
                self.found, self._held = True, []
                return [*given, Finished(reason="stop", usage=end.usage, extra=end.extra)]
            before, self._held = _split(self._held, len(text) - self._begun(text))
            given += before
        if not any(map(_text, self._held)):
            given += self.rest()
        return given

    def rest(self) -> list[Event]:
        """What was held back, where no sequence can follow it."""
        held, self._held = self._held, []
        return held

    def _find(self, text: str) -> int | None:
        """Where the first sequence to be complete begins."""
        places = ((text.find(sequence), sequence) for sequence in self._sequences)
        found = [(at + len(sequence), at) for at, sequence in places if at >= 0]
        return min(found)[1] if found else None

    def _begun(self, text: str) -> int:
        """How many of the last characters may be the beginning of a sequence."""
        most = min(max(map(len, self._sequences)) - 1, len(text))
        for length in range(most, 0, -1):
            end = text[-length:]
            if any(len(one) > length and one.startswith(end) for one in self._sequences):
                return length
        return 0


def _text(event: Event) -> str:
    """The text of an event in which a sequence may be."""
    searched = isinstance(event, Delta) and event.extra.get("refusal") is not True
    return event.text if searched and isinstance(event, Delta) else ""


def _split(events: Sequence[Event], at: int) -> tuple[list[Event], list[Event]]:
    """The events before and after so many characters of their text."""
    before: list[Event] = []
    for place, event in enumerate(events):
        text = _text(event)
        if at >= len(text) and (at or not text):
            before.append(event)
            at -= len(text)
        elif isinstance(event, Delta):
            first = [Delta(event.generation, text[:at], event.reasoning, None, event.extra)]
            rest = Delta(event.generation, text[at:]) if at else event
            return [*before, *(first if at else [])], [rest, *events[place + 1 :]]
    return before, []
