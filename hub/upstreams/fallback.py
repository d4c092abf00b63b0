"""Which upstream is asked next, where one has given no answer.

Only a failure of the upstream counts, one that another need not share: no connection, an
overload, a 5xx, a 429 that no wait within bounds ends, a silence. A refusal of what was asked
(a 400, 404 or 413) would be the other's as well. A 401 or 403 says that the key here is
wrong: falling back would hide for good what somebody has to mend, while another is paid.

The other is asked for its own configured model, because names of models differ between
providers; one without any is asked for the model that the client named. One whose dialect
cannot take the prompt is passed over.
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
        "upstream_dns",
        "upstream_error",
        "upstream_overloaded",
        "upstream_rate_limited",
        "upstream_refused",
        "upstream_reset",
        "upstream_stalled",
        "upstream_timeout",
        "upstream_truncated",
        "upstream_unreachable",
    }
)


def is_no_answer(error: UpstreamError) -> bool:
    """Whether another upstream is to be asked after this error, if no content has come."""
    return error.code in _NO_ANSWER


def stand_ins(upstream: Upstream, prompt: Prompt) -> Iterator[tuple[Upstream, Prompt]]:
    """Those that may answer in an upstream's place, each with what it is asked."""
    for other in upstream.fallback:
        asked = replace(prompt, model=other.model or prompt.model)
        try:
            other.check(asked)
        except RequestError:
            continue
        yield other, asked
