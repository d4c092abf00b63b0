"""What can be done with generations, whoever runs them: this process alone, or several hubs."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.queued_prompt import QueuedPrompt
from hub.generations.queue_changes import CheckedPrompt
from hub.upstreams.upstream import Upstream

__all__ = ["GenerationOperations"]


class GenerationOperations(Protocol):
    """Starts, finds and stops generations, and keeps prompts that wait for one."""

    @property
    def active(self) -> int:
        """The number of generations that run in this process."""

    def running(self) -> dict[str, str]:
        """The id of the running generation by the name of its stream, as far as it is known here
        without asking anybody.
        """

    async def running_in(self, stream: str) -> Generation | None:
        """The running generation of a stream, if there is one.

        Raises:
            StoreError: the store cannot be read.
        """

    async def find(self, generation: str) -> Generation:
        """A generation by its id.

        Raises:
            GenerationNotFound: it is unknown, or its end is no longer kept.
            StoreError: the store cannot be read.
        """

    async def start(self, request: GenerationRequest) -> Generation:
        """Begin a generation, or find the one that was begun with the same key.

        If the stream answers another prompt and the request does not refuse that, it is queued.

        Raises:
            RequestError: neither or both of prompt and messages are given, or one is not valid.
            TooLarge: the prompt exceeds its limit.
            UpstreamNotFound: there is no such upstream.
            NotFound: ``model_not_found``: the upstream has no such model.
            KeyReused: the key was used for another request.
            StreamBusy: another generation runs in that stream.
            StreamClosed: the stream takes no more records.
            LimitExceeded: too many generations run; `RateLimited`: of this principal;
                ``queue_full``: too many prompts wait.
            StreamNotFound: the stream is not the one of ``request.epoch``, or there is none in
                which it could continue something.
            MessageNotFound: nothing has the name of what it is to follow.
            Draining: the hub is shutting down.
            StoreError: the store cannot write at the moment.
            Gone: the generation of the key is no longer kept, or was deleted.
        """

    def relaying(self, request: GenerationRequest) -> AbstractAsyncContextManager[Upstream]:
        """The upstream for a reply that is read without a generation, which counts as one.

        Raises what `start` does, except for what the store and the stream raise.
        """

    def stop(self, generation: str) -> None:
        """Stop a generation without waiting for its end; does nothing if it is not running."""

    async def cancel(self, generation: str) -> Generation:
        """Stop a generation and wait for its end; one that has ended stays as it is.

        One that is queued is dropped.

        Raises:
            GenerationNotFound: there is none.
            StoreError: the store failed to write the end.
        """

    async def wait(self, generation: str) -> Generation:
        """Wait until a generation has ended and its end is stored and shown.

        Cancelling this does not affect the generation.

        Raises:
            GenerationNotFound: there is none.
            StoreError: the store failed to write the end.
        """

    async def leave(self, stream: str) -> None:
        """Stop the generations of a stream and wait for their ends."""

    async def queued(self, generation: str) -> QueuedPrompt:
        """The prompt of a generation that waits.

        Raises:
            GenerationNotFound: there is no such generation.
            Conflict: ``not_queued``: it waits no more.
        """

    async def requeue(
        self,
        generation: str,
        *,
        request: GenerationRequest | None = None,
        place: int | None = None,
        now: bool = False,
        may_stop: bool = True,
        checked: CheckedPrompt | None = None,
    ) -> Generation:
        """Change a queued prompt; see `hub.generations.queue_changes.changed`.

        With ``now`` the answer that runs is stopped for it, unless it ``may_stop`` none.

        Raises:
            GenerationNotFound: there is no such generation.
            Conflict, LimitExceeded, RequestError: as `hub.generations.queue_changes.changed`, and
                ``queue_full``.
            Forbidden: ``not_permitted``: it would stop an answer.
            TooLarge: the prompt exceeds its limit.
            StoreError: the store cannot write at the moment.
        """

    async def drop(self, generation: str, *, checked: CheckedPrompt | None = None) -> Generation:
        """Take a prompt out of the queue that it waits in.

        Raises:
            GenerationNotFound, StreamNotFound, Gone: there is no such generation.
            Conflict: ``not_queued``: it waits no more; ``prompt_changed``: it is not the one that
                was ``checked``.
            StoreError: the store failed to write its end.
        """
