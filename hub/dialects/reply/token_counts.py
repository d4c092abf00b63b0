"""Counts of tokens that leave something out, made whole by what is said beside them.

``completion_tokens`` holds the reasoning and ``prompt_tokens`` what came from the cache: so
OpenAI has it, and so is `hub.domain.events.Usage`. Others count the reasoning (xAI) or the cache
(Anthropic, and who copies its fields) beside these. That shows where a part is greater than
the whole, or a total greater than the sum.
"""

from __future__ import annotations

from hub.domain.events import Usage

__all__ = ["balanced"]


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
    return Usage(prompt, completion, usage.reasoning_tokens, usage.cached_tokens)
