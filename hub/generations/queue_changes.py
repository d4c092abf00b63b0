"""How the queue of a stream is changed, whoever keeps it; nothing here waits or writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from hub.domain import defaults
from hub.domain.errors import Conflict, LimitExceeded, RequestError, Unauthorized
from hub.domain.events import Cancelled, Event, Failed
from hub.domain.fair_share import share
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest, WhenBusy
from hub.domain.queued_prompt import QueuedPrompt

__all__ = [
    "CheckedPrompt",
    "QueueLimits",
    "added",
    "changed",
    "find",
    "holds",
    "kept",
    "not_queued",
    "revoked",
    "waiting",
]

Queue = Sequence[QueuedPrompt]


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """What may wait in one stream: ``prompts``, with together ``size`` bytes."""

    prompts: int = defaults.QUEUED_PROMPTS
    size: int = defaults.QUEUED_BYTES

    def check(
        self, queue: Queue, before: Queue, new: GenerationRequest | None, owner: str | None
    ) -> None:
        """Check that so much may wait, where a ``queue`` was ``before``.

        It differs by a ``new`` request, whose user has its share in the stream of an ``owner``
        (`hub.domain.fair_share`); ``None`` if only the order differs.

        Raises:
            LimitExceeded: ``queue_full``.
            RequestError: the options cannot be written as JSON.
        """
        try:
            size = _size(queue)
        except orjson.JSONEncodeError as error:
            raise RequestError(f"the request cannot be written as JSON: {error}") from None
        if len(queue) > self.prompts:
            raise LimitExceeded(
                f"{self.prompts} prompts wait in this stream, the most that may "
                "(limits.queued_prompts)",
                code="queue_full",
            )
        if size > self.size:
            raise LimitExceeded(
                f"the prompts that wait in a stream have at most {self.size} bytes together "
                "(limits.queued_bytes)",
                code="queue_full",
            )
        user = None if new is None or new.scope is None else new.counted_as or new.scope
        if user is None or user == owner:
            return
        now, then = _of(queue, user), _of(before, user)
        others = len(queue) - len(now), size - _size(now)
        more = len(now) > len(then) and len(now) > share(self.prompts, others[0])
        larger = _size(now) > _size(then) and _size(now) > share(self.size, others[1])
        if more or larger:
            raise LimitExceeded(
                "your prompts take as much of what may wait in this stream as others have left: "
                "wait until one has begun",
                code="queue_full",
            )


@dataclass(frozen=True, slots=True)
class CheckedPrompt:
    """The prompt that somebody was allowed to change, or to drop.

    That was found out before a wait, and its author may be another one by now. With ``whole``
    nothing else of its request may have changed either: a new one was made from it.
    """

    request: GenerationRequest
    whole: bool = False

    def check(self, prompt: QueuedPrompt) -> None:
        """Check that a prompt is still that one, wherever in the queue it is.

        Raises:
            Conflict: ``prompt_changed``.
        """
        before, found = self.request, prompt.request
        if found.scope != before.scope or (
            self.whole and replace(found, when_busy=before.when_busy) != before
        ):
            raise Conflict(
                "somebody else has just changed this prompt: look at it again",
                code="prompt_changed",
            )


def _of(queue: Queue, user: str) -> Queue:
    """The prompts of a user."""
    return [one for one in queue if user in (one.request.counted_as, one.request.scope)]


def _size(queue: Queue) -> int:
    return sum(one.size for one in queue)


def find(queue: Queue, generation: str) -> QueuedPrompt | None:
    """The prompt of a generation, if it waits."""
    return next((one for one in queue if one.generation == generation), None)


def added(queue: Queue, prompt: QueuedPrompt) -> tuple[list[QueuedPrompt], int]:
    """The queue with one more prompt, and its place, which is 1 for the next one.

    It comes before all that wait for the end of an answer if its request says so.
    """
    at = _first(queue) if prompt.goes_first else len(queue)
    return [*queue[:at], prompt, *queue[at:]], at + 1


def changed(
    queue: Queue,
    generation: str,
    *,
    request: GenerationRequest | None = None,
    place: int | None = None,
    now: bool = False,
    checked: CheckedPrompt | None = None,
) -> tuple[list[QueuedPrompt], int]:
    """The queue with another ``request`` or ``place`` of a prompt, and its place then.

    ``now`` moves it before all that wait for the end of an answer.

    Raises:
        Conflict: ``not_queued``: it waits no more; ``prompt_changed``: it is not the one that was
            ``checked``.
        RequestError: the place is below 1.
    """
    prompt = find(queue, generation)
    if prompt is None:
        raise not_queued()
    if checked is not None:
        checked.check(prompt)
    if place is not None and place < 1:
        raise RequestError('the first "place" in a queue is 1', param="place")
    others = [one for one in queue if one is not prompt]
    at = queue.index(prompt)
    if request is not None:
        request = replace(request, when_busy=prompt.request.when_busy)
        prompt = replace(prompt, request=kept(request))
    if now:
        prompt = _when(prompt, "replace")
        at = _first(others)
    elif place is not None:
        prompt = _when(prompt, "queue")
        at = min(max(place - 1, _first(others)), len(others))
    return [*others[:at], prompt, *others[at:]], at + 1


def _first(queue: Queue) -> int:
    """The first place behind the prompts that do not wait for the end of an answer, from 0."""
    return next((at for at, one in enumerate(queue) if not one.goes_first), len(queue))


def _when(prompt: QueuedPrompt, when: WhenBusy) -> QueuedPrompt:
    return replace(prompt, request=replace(prompt.request, when_busy=when))


def kept(request: GenerationRequest) -> GenerationRequest:
    """The part of a request that is kept: its key is used up, and its stream is there."""
    return replace(request, key=None, epoch=None)


def holds(ending: Event, queue: Queue) -> bool:
    """Whether what waits in a stream is held back after an answer that ended so."""
    stopped = isinstance(ending, Cancelled | Failed)
    return stopped and bool(queue) and not queue[0].goes_first


def waiting(stream: str, prompt: QueuedPrompt) -> Generation:
    """The generation of a queued prompt."""
    request = prompt.request
    found = Generation(stream, request.upstream or "", request.model)
    found.id, found.position = prompt.generation, prompt.position
    found.state, found.started_at = State.QUEUED, prompt.at
    return found


def revoked() -> Unauthorized:
    """The error for a prompt whose credential was revoked before its turn."""
    return Unauthorized(
        "the credential with which this was queued has been revoked", code="credential_revoked"
    )


def not_queued() -> Conflict:
    """The error for a prompt that is not in its queue any more."""
    return Conflict("this prompt waits no more: it has begun, or was dropped", code="not_queued")
