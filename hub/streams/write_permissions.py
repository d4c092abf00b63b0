"""Who may write what: the hub alone speaks for itself and for its generations.

A generation's events are its `started`, its deltas and its terminal event. Those that name none
are nobody's and may be written by anyone: so is text that a program adds to a stream. Those that
name one are the hub's, which sees to it that there is one terminal event and that nothing comes
after it; with ``foreign_generations`` programs may run generations of their own, under ids that
no hub gives (`hub.domain.generation.is_own`), and have to see to that themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hub.domain.errors import Conflict, Forbidden, RequestError
from hub.domain.events import TYPE_OF, Event, Message, Other
from hub.domain.generation import is_own
from hub.domain.records import Body
from hub.domain.stream_settings import StreamSettings

__all__ = ["WritePermissions"]

CONTROL: Final = frozenset({"position", "reset", "closed", "beat", "retrying"})
"""What the hub itself says between events: nobody else may seem to."""

TOLD: Final = frozenset(name for kind, name in TYPE_OF.items() if kind is not Message)
"""The types of what is told of a generation."""


class WritePermissions:
    """What others than the hub may write, with generations of their own or without."""

    def __init__(self, *, foreign_generations: bool) -> None:
        self._foreign = foreign_generations

    def check(self, settings: StreamSettings, bodies: Iterable[Body]) -> None:
        """Refuse records that would speak for the hub, in a stream of such a kind.

        Raises:
            RequestError: ``bad_event``: it looks like what the hub says between events.
            Conflict: ``generation_owned``: it is told of a generation of a hub.
            Forbidden: ``foreign_generation``: it is told of one that nobody may run but a hub.
        """
        if not settings.is_json:
            return
        for body, event in bodies:
            said = event.object.get("type") if isinstance(event, Other) else None
            if isinstance(said, str) and said in CONTROL:
                raise RequestError(f'only the hub says "{said}" in a stream', code="bad_event")
            named = _generation_in(body, event)
            if not named:
                continue
            if is_own(named):
                raise Conflict(
                    "only the hub writes the events of its generations", code="generation_owned"
                )
            if not self._foreign:
                raise Forbidden(
                    "only the hub runs generations here: leave out the field "
                    '"generation", or set streams.foreign_generations in the configuration',
                    code="foreign_generation",
                )


def _generation_in(body: bytes, event: Event | None) -> str:
    """The generation that a record is told of; an empty name if of none.

    Also of what has the type of an event and is none, for a field of a wrong kind: it passes
    through, and a reader may be less strict.
    """
    if event is not None and not isinstance(event, Other):
        return getattr(event, "generation", "")
    held = _object(body) if event is None else event.object
    kind, named = held.get("type"), held.get("generation")
    return named if isinstance(named, str) and isinstance(kind, str) and kind in TOLD else ""


def _object(body: bytes) -> Mapping[str, Any]:
    if not body.lstrip().startswith(b"{"):
        return {}
    try:
        # orjson refuses half a surrogate pair, which a browser takes.
        held: Mapping[str, Any] = json.loads(body, parse_int=str)
    except ValueError:
        return {}
    return held
