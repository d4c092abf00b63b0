"""Which requests for a generation are valid, and how many may run at all and of a principal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from hub.domain import defaults
from hub.domain.at_once import AtOnce
from hub.domain.errors import (
    Draining,
    LimitExceeded,
    NotFound,
    RateLimited,
    RequestError,
    TooLarge,
)
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.prompt import bulk_of
from hub.generations.conversations import Messages
from hub.generations.queue_changes import QueueLimits
from hub.streams.shared_limits import SharedLimits
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["Admission", "RunLimits", "too_many"]

MODEL_LENGTH: Final = 200
"""Characters."""

ALL: Final = "all"
"""Under which all generations are counted together."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits of generations; none runs longer than ``seconds``."""

    generations: int = defaults.GENERATIONS
    seconds: float = defaults.GENERATION
    prompt_bytes: int = defaults.PROMPT_BYTES
    prompt_messages: int = defaults.PROMPT_MESSAGES
    keys: int = defaults.IDEMPOTENCY_KEYS
    of_one: int = 0
    """Of one principal at a time; 0 is no limit."""
    queue: QueueLimits = field(default_factory=QueueLimits)
    """What may wait in a stream."""


def too_many(most: int) -> TooLarge:
    """The refusal of a prompt of too many messages."""
    return TooLarge(f"a prompt has at most {most} messages (limits.prompt_messages)")


class Admission:
    """Checks requests, and counts what runs: generations and relays, in all and of each principal.

    With ``shared`` those of other hubs count as well.
    """

    def __init__(
        self, upstreams: Upstreams, limits: RunLimits, shared: SharedLimits | None = None
    ) -> None:
        self._upstreams = upstreams
        self._limits = limits
        self._shared = shared
        self.draining = False
        """Whether nothing more may begin."""
        self._all = AtOnce(
            limits.generations,
            lambda: LimitExceeded("too many generations are running: try again later"),
        )
        self._running = AtOnce(
            limits.of_one,
            lambda: RateLimited(
                f"{limits.of_one} of your generations are running, the most that may at a "
                "time (auth.limits.generations): wait for the end of one"
            ),
        )
        if shared is not None:
            shared.share("all_generations", self._all)
            shared.share("generations", self._running)

    def check(self, request: GenerationRequest) -> None:
        """Check that the request is valid.

        Raises:
            RequestError, TooLarge: it is not.
        """
        again = request.after is not None and request.prompt is None and request.messages is None
        if not again and (request.prompt is None) == (request.messages is None):
            raise RequestError('a generation needs either "prompt" or "messages"')
        if not (again or request.prompt or request.messages):
            raise RequestError("the prompt is empty: say something")
        if request.stream is None and (request.after, request.branch) != (None, None):
            raise RequestError('"after" and "branch" are places in a "stream": name it')
        if request.branch is not None and (request.prompt is None or request.after is not None):
            raise RequestError('a "branch" is continued by a "prompt", without "after"')
        if request.when_busy != "refuse" and request.prompt is None:
            raise RequestError('only a "prompt" can wait: "messages" would lack the answer before')
        most = self._limits.prompt_bytes
        if request.size() > most:
            raise TooLarge(f"a prompt has at most {most} bytes (limits.prompt_bytes)")
        many = self._limits.prompt_messages
        if request.messages is not None and len(request.messages) > many:
            raise too_many(many)
        if request.model is not None and len(request.model) > MODEL_LENGTH:
            raise RequestError(f"the name of a model has at most {MODEL_LENGTH} characters")

    def check_past(self, request: GenerationRequest, past: Messages) -> None:
        """Check that the prompt and the conversation before it are within the limit.

        Raises:
            TooLarge: they are not.
        """
        size, most = request.size() + sum(map(bulk_of, past)), self._limits.prompt_bytes
        if past and size > most:
            raise TooLarge(
                f"the prompt and its conversation have {size} bytes, more than {most}"
                " (limits.prompt_bytes): begin another conversation"
            )

    def upstream(self, request: GenerationRequest) -> Upstream:
        """The upstream of a request.

        Raises:
            UpstreamNotFound: there is no such upstream.
            NotFound: ``model_not_found``: it has no such model.
        """
        upstream = self._upstreams.find(request.upstream)
        if not upstream.knows(request.model):
            raise NotFound(
                f'"{upstream.name}" has no model called "{(request.model or "")[:100]}"',
                code="model_not_found",
                param="model",
            )
        return upstream

    def admit_work(self) -> None:
        """Check that something may begin now.

        Raises:
            Draining: the hub is shutting down.
        """
        if self.draining:
            raise Draining("the hub is shutting down: try again in a moment")

    def admit_any(self) -> None:
        """Check that another generation may run now, whosoever it is.

        Raises:
            Draining: as `admit_work`.
            LimitExceeded: as many run as may.
        """
        self.admit_work()
        self._all.check(ALL)

    def admit(self, name: str | None) -> None:
        """Check that another generation of a principal may run now.

        Raises:
            Draining, LimitExceeded: as `admit_any`.
            RateLimited: as many of this principal run as may.
        """
        self.admit_any()
        self._running.check(name)

    def count(self, name: str | None) -> None:
        """Count a generation of a principal, until `uncount`; raises what `admit` does."""
        self.admit(name)
        self._all.take(ALL)
        self._running.take(name)

    async def count_for_all(self, name: str | None) -> None:
        """As `count`; returns once other hubs count it, too.

        Raises: as `count`, also if others have begun as many before.
        """
        self.count(name)
        if self._shared is not None:
            await self._shared.agree(partial(self._confirm, name), partial(self.uncount, name))

    def _confirm(self, name: str | None) -> None:
        self._all.confirm(ALL)
        self._running.confirm(name)

    def uncount(self, name: str | None) -> None:
        """A generation of a principal runs no longer."""
        self._all.give(ALL)
        self._running.give(name)

    @asynccontextmanager
    async def relaying(
        self, request: GenerationRequest, allowance: MemoryBudget
    ) -> AsyncIterator[Upstream]:
        """Count a reply that is read without a generation, for as long as it lasts.

        Raises what `check`, `upstream` and `admit` do; LimitExceeded: no memory is left for it.
        """
        self.check(request)
        upstream = self.upstream(request)
        await self.count_for_all(request.counted_as)
        try:
            with allowance.taken(request.memory(), request.counted_as):
                yield upstream
        finally:
            self.uncount(request.counted_as)
