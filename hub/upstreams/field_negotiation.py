"""Which request fields a server refuses, and what it takes instead.

Servers that copy a provider's API often do not know each of its fields, and providers rename
fields: OpenAI's newer models refuse ``max_tokens``, older servers know nothing else. A dialect says
which fields can be left out or renamed without a change of the answer (`HasAlternatives`). A server
that refuses one of these is asked again at once, with the alternative. What it then accepts is
remembered for the model as long as the process lives. What it refuses both ways is not remembered,
so one bad request does not change the next.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, Final

from hub.dialects import Dialect, HasAlternatives
from hub.domain.errors import UpstreamError
from hub.domain.events import NOTHING

__all__ = ["MODELS", "FieldNegotiation", "LearnedFields"]

MODELS: Final = 100
"""Models of one upstream that are remembered; the oldest is dropped first."""

# A known field with a wrong value ("max_tokens is too large") is not renamed.
_UNKNOWN: Final = re.compile(
    r"(?i)unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected keyword"
    r"|not permitted|not allowed"
)

Alternatives = Mapping[str, str | None]


class LearnedFields:
    """The fields that one upstream is known to refuse, for each model."""

    def __init__(self) -> None:
        self._known: dict[str | None, Alternatives] = {}

    def negotiation(self, model: str | None) -> FieldNegotiation:
        """The negotiation of one reply, which begins with what is known."""
        return FieldNegotiation(self, model, self._known.get(model, NOTHING))

    def remember(self, model: str | None, alternatives: Alternatives) -> None:
        self._known.pop(model, None)
        self._known[model] = alternatives
        if len(self._known) > MODELS:
            del self._known[next(iter(self._known))]


class FieldNegotiation:
    """The fields with which an upstream is asked for one reply, in as many requests as needed."""

    def __init__(
        self, learned: LearnedFields, model: str | None, alternatives: Alternatives
    ) -> None:
        self._learned = learned
        self._model = model
        self._alternatives = alternatives
        self._sent: Collection[str] = ()
        self._tried: set[str | None] = set()

    def body(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body of a request, as it is to be sent."""
        sent = dict(body)
        for field, other in self._alternatives.items():
            if field in sent and other not in sent:
                value = sent.pop(field)
                if other is not None:
                    sent[other] = value
        self._sent = sent
        return sent

    def try_alternative(self, dialect: Dialect, error: UpstreamError) -> bool:
        """Switch to an alternative of the refused field; false if there is none to try."""
        if error.code != "upstream_rejected" or not isinstance(dialect, HasAlternatives):
            return False
        for field, other in dialect.alternatives.items():
            if field not in self._sent or other in self._sent or field in self._tried:
                continue
            words = error.message
            if _named(field).search(words) and (other is None or _UNKNOWN.search(words)):
                self._tried |= {field, other}
                kept = {name: to for name, to in self._alternatives.items() if name != other}
                self._alternatives = {**kept, field: other}
                return True
        return False

    def accepted(self) -> None:
        """The server has accepted the request: later ones begin with the same fields."""
        if self._tried:
            self._learned.remember(self._model, self._alternatives)


@cache
def _named(field: str) -> re.Pattern[str]:
    """Finds a field in a sentence: "stream_options", "Stream options"."""
    return re.compile(rf"(?i)(?<!\w){re.escape(field).replace('_', '[ _]?')}(?!\w)")
