"""Which upstream is asked next after one has given no answer.

Only failures count that another upstream need not share: no connection, an overload, a 5xx, a 429
that lasts longer than the hub may wait, silence. A refusal of the request itself (400, 404, 413)
would come from the other one, too. After a 401 or 403 the configured key is wrong: a fallback would
hide that from the operator while the other upstream is paid.

The other upstream is asked for its own configured model, because names of models differ between
providers; without one it is asked for the model that the client named. One whose dialect cannot
take the prompt is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from hub.domain.errors import RequestError, UpstreamError
from hub.domain.prompt import Prompt
from hub.upstreams.upstream import Upstream

__all__ = ["is_no_answer", "stand_ins"]

_NO_ANSWER: Final = frozenset(
    {
        "upstream_dns", "upstream_error", "upstream_overloaded", "upstream_rate_limited",
        "upstream_refused", "upstream_reset", "upstream_stalled", "upstream_timeout",
        "upstream_truncated", "upstream_unreachable",
    }
)  # fmt: skip


def is_no_answer(error: UpstreamError) -> bool:
    """Whether another upstream is to be asked after this error, if no content has come."""
    return error.code in _NO_ANSWER


def stand_ins(
    upstream: Upstream, prompt: Prompt, allowed: frozenset[str] | None = None
) -> Iterator[tuple[Upstream, Prompt]]:
    """The upstreams that may answer instead, each with the prompt for it.

    Only those that are ``allowed``; ``None``: all.
    """
    for other in upstream.fallback:
        if allowed is not None and other.name not in allowed:
            continue
        asked = replace(prompt, model=other.model or prompt.model)
        try:
            other.check(asked)
        except RequestError:
            continue
        yield other, asked
