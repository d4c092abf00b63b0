"""What clients may write: only the hub speaks for itself and for its generations.

The events of a generation are its `started`, its deltas and its terminal event. Anyone may write
such events without a generation's id, such as text that a program adds to a stream. Those with an
id are the hub's, which guarantees exactly one terminal event, always last. With
``foreign_generations`` programs may run generations of their own, under ids that no hub assigns
(`hub.domain.generation.is_own`), and must guarantee that themselves.
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

__all__ = ["CONTROL", "GENERATION_EVENTS", "WritePermissions", "object_of"]

CONTROL: Final = frozenset({"position", "reset", "closed", "beat", "retrying"})
"""Types of what the hub itself sends between events, which nobody may imitate."""

GENERATION_EVENTS: Final = frozenset(name for kind, name in TYPE_OF.items() if kind is not Message)
"""The types of a generation's events."""


class WritePermissions:
    """Checks what clients write."""

    def __init__(self, *, foreign_generations: bool) -> None:
        self._foreign = foreign_generations

    def check(self, settings: StreamSettings, bodies: Iterable[Body]) -> None:
        """Refuse records that only the hub may write in a stream with these settings.

        Raises:
            RequestError: ``bad_event``: it looks like what the hub sends between events.
            Conflict: ``generation_owned``: it is an event of a hub's generation.
            Forbidden: ``foreign_generation``: it is an event of another generation, and these
                are not allowed.
        """
        if not settings.is_json:
            return
        for body, event in bodies:
            kind = event.object.get("type") if isinstance(event, Other) else None
            if isinstance(kind, str) and kind in CONTROL:
                raise RequestError(f'only the hub writes the type "{kind}"', code="bad_event")
            generation = _generation_of(body, event)
            if not generation:
                continue
            if is_own(generation):
                raise Conflict(
                    "only the hub writes the events of its generations", code="generation_owned"
                )
            if not self._foreign:
                raise Forbidden(
                    'this hub takes no events of other generations: leave out "generation", or '
                    "set streams.foreign_generations in its configuration",
                    code="foreign_generation",
                )


def _generation_of(body: bytes, event: Event | None) -> str:
    """The generation of a record; empty if it has none.

    Also for an object with the type of an event that is not valid as one: it passes through, and
    readers may be less strict.
    """
    if event is not None and not isinstance(event, Other):
        return getattr(event, "generation", "")
    found = object_of(body) if event is None else event.object
    kind, generation = found.get("type"), found.get("generation")
    known = isinstance(kind, str) and kind in GENERATION_EVENTS
    return generation if known and isinstance(generation, str) else ""


def object_of(body: bytes) -> Mapping[str, Any]:
    """The JSON object in a record; empty if there is none."""
    if not body.lstrip().startswith(b"{"):
        return {}
    try:
        # orjson refuses half a surrogate pair, which browsers accept.
        found: Mapping[str, Any] = json.loads(body, parse_int=str)
    except ValueError:
        return {}
    return found
