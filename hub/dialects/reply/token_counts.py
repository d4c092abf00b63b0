"""Token counts that leave something out, completed from the other counts of the same reply.

In OpenAI's counts, and so in `hub.domain.events.Usage`, ``completion_tokens`` includes the
reasoning and ``prompt_tokens`` what came from the cache. xAI counts the reasoning separately, and
Anthropic and its imitators the cache. It shows where a part is greater than the whole, or where the
total is greater than the sum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hub.domain.events import Usage
from hub.domain.integers import EXACT
from hub.domain.json_values import as_object

__all__ = ["balanced", "counted", "details_of"]

MOST: Final = 30
"""Details of one usage."""

# Counts that have a field of their own in `Usage`.
_ELSEWHERE: Final = frozenset({"cached_tokens", "reasoning_tokens", "text_tokens"})
# Names that need no prefix.
_PLAIN: Final = frozenset(
    {"cache_write_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)


def balanced(
    usage: Usage, *, total: int | None = None, written: int = 0, other: int = 0
) -> Usage | None:
    """The usage with its two main counts completed; ``None`` if nothing was counted.

    ``total`` is the server's count of all tokens, ``written`` the tokens written to its cache, and
    ``other`` those of the total that belong to neither main count.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if not (prompt or completion):
        return None  # a server that sends only zeros does not count
    reasoning, cached = usage.reasoning_tokens or 0, usage.cached_tokens or 0
    missing = 0
    if total is not None and prompt is not None and completion is not None:
        missing = max(0, total - other - prompt - completion)
    beside = cached + written
    if (
        prompt is not None
        and beside
        and (cached > prompt or missing in (beside, beside + reasoning))
    ):
        missing = max(0, missing - beside)
        prompt += beside
    if completion is not None:
        # Where the total says nothing, a part greater than the whole does.
        completion += missing or (reasoning if reasoning > completion else 0)
    return replace(usage, prompt_tokens=prompt, completion_tokens=completion)


def counted(*places: tuple[str, Any]) -> dict[str, float] | None:
    """A provider's further counts, by names such as ``output_audio_tokens``; ``None`` if none.

    Each place is an object of counts and the prefix of their names here. Zeros are left out.
    """
    found: dict[str, float] = {}
    for prefix, held in places:
        for name, value in as_object(held).items():
            if name in _ELSEWHERE or type(value) not in (int, float) or not 0 < value < EXACT:
                continue
            if len(found) < MOST:
                found[name if name in _PLAIN else f"{prefix}{name}"] = value
    return found or None


def details_of(usage: Usage | None, prefix: str, *, keep: bool = False) -> dict[str, float]:
    """The details whose names begin with a prefix, without it unless it is to be kept."""
    held = (usage.details if usage else None) or {}
    cut = 0 if keep else len(prefix)
    found = {name[cut:]: count for name, count in held.items() if name.startswith(prefix)}
    if prefix == "input_" and "cache_write_tokens" in held:
        found["cache_write_tokens"] = held["cache_write_tokens"]
    return found
