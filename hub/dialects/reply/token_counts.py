"""Counts of tokens that leave something out, made whole by what is said beside them.

``completion_tokens`` holds the reasoning and ``prompt_tokens`` what came from the cache: so
OpenAI has it, and so is `hub.domain.events.Usage`. Others count the reasoning (xAI) or the cache
(Anthropic, and who copies its fields) beside these. That shows where a part is greater than
the whole, or a total greater than the sum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from hub.domain.events import Usage
from hub.domain.json_values import EXACT, as_object

__all__ = ["balanced", "counted", "told_details"]

MOST: Final = 30
"""Details of one usage."""

# Counts that `Usage` has by a name of its own.
_ELSEWHERE: Final = frozenset({"cached_tokens", "reasoning_tokens", "text_tokens"})
# Names that say by themselves what is counted.
_PLAIN: Final = frozenset(
    {"cache_write_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens"}
)


def balanced(
    usage: Usage, *, total: int | None = None, written: int = 0, other: int = 0
) -> Usage | None:
    """The usage with what its two main counts leave out; ``None`` if nothing was counted.

    ``total`` is what the server says of all tokens, ``written`` what it wrote to its cache, and
    ``other`` are tokens of the total that are of neither count.
    """
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if not (prompt or completion):
        return None  # only noughts are a server that does not count
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
        # Where the total does not tell, a part that is more than the whole does.
        completion += missing or (reasoning if reasoning > completion else 0)
    return replace(usage, prompt_tokens=prompt, completion_tokens=completion)


def counted(*places: tuple[str, Any]) -> dict[str, float] | None:
    """What a provider counts besides, by names such as ``output_audio_tokens``.

    Each place is an object of counts and what stands before their names here; a count of
    nothing says nothing. ``None`` if there is none.
    """
    found: dict[str, float] = {}
    for prefix, held in places:
        for name, value in as_object(held).items():
            if name in _ELSEWHERE or type(value) not in (int, float) or not 0 < value < EXACT:
                continue
            if len(found) < MOST:
                found[name if name in _PLAIN else f"{prefix}{name}"] = value
    return found or None


def told_details(usage: Usage | None, prefix: str, *, keep: bool = False) -> dict[str, float]:
    """The details whose names begin so, without that beginning unless it is to be kept."""
    held = (usage.details if usage else None) or {}
    cut = 0 if keep else len(prefix)
    found = {name[cut:]: count for name, count in held.items() if name.startswith(prefix)}
    if prefix == "input_" and "cache_write_tokens" in held:
        found["cache_write_tokens"] = held["cache_write_tokens"]
    return found
