"""In what manner a server wants to be asked: which fields it refuses, and what it takes instead.

Of those that copy a provider's API many do not know each of its fields, and the provider gives
new names to old ones: OpenAI's newer models refuse ``max_tokens``, older servers know nothing
else. What a dialect can do without, or say by another name, is its own to say (`HasAlternatives`).
A server that refuses such a field is asked once more, at once, in the other manner: no answer
is different for it. What it then takes is remembered for this model, as long as the process
lives; what it refuses both ways is not, so that nobody's bad request changes another's.
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
"""Models of one upstream of which a manner is remembered; the oldest goes first."""

# A field that is known, and whose value is wrong ("max_tokens is too large"), is not renamed.
_UNKNOWN: Final = re.compile(
    r"(?i)unsupported|not support|n't support|unrecogni[sz]ed|unknown|unexpected keyword"
    r"|not permitted|not allowed"
)

Swaps = Mapping[str, str | None]


class LearnedFields:
    """What one upstream is known to refuse, for each model."""

    def __init__(self) -> None:
        self._known: dict[str | None, Swaps] = {}

    def of(self, model: str | None) -> FieldNegotiation:
        """How to ask for this model, to begin with."""
        return FieldNegotiation(self, model, self._known.get(model, NOTHING))

    def remember(self, model: str | None, swaps: Swaps) -> None:
        self._known.pop(model, None)
        self._known[model] = swaps
        if len(self._known) > MODELS:
            del self._known[next(iter(self._known))]


class FieldNegotiation:
    """How an upstream is asked for one reply, in as many requests as it takes."""

    def __init__(self, manners: LearnedFields, model: str | None, swaps: Swaps) -> None:
        self._manners = manners
        self._model = model
        self._swaps = swaps
        self._sent: Collection[str] = ()
        self._yielded: set[str | None] = set()

    def body(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The body of a request, as it is to be sent."""
        said = dict(body)
        for field, other in self._swaps.items():
            if field in said and other not in said:
                held = said.pop(field)
                if other is not None:
                    said[other] = held
        self._sent = said
        return said

    def yields(self, dialect: Dialect, error: UpstreamError) -> bool:
        """Whether to ask once more, as what was refused can be asked in another manner."""
        if error.code != "upstream_rejected" or not isinstance(dialect, HasAlternatives):
            return False
        for field, other in dialect.alternatives.items():
            if field not in self._sent or other in self._sent or field in self._yielded:
                continue
            if _refuses(error.message, field, renamed=other is not None):
                self._yielded |= {field, other}
                kept = {name: held for name, held in self._swaps.items() if name != other}
                self._swaps = {**kept, field: other}
                return True
        return False

    def taken(self) -> None:
        """The server has taken the request: the next one begins in this manner."""
        if self._yielded:
            self._manners.remember(self._model, self._swaps)


def _refuses(words: str, field: str, *, renamed: bool) -> bool:
    return bool(_naming(field).search(words) and (_UNKNOWN.search(words) or not renamed))


@cache
def _naming(field: str) -> re.Pattern[str]:
    """The field as it is written in sentences: "stream_options", "Stream options"."""
    return re.compile(rf"(?i)(?<!\w){re.escape(field).replace('_', '[ _]?')}(?!\w)")
