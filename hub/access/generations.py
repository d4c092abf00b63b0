"""Operations on generations: start, find, wait for, cancel; and on prompts that wait for one.

Whoever has queued a prompt may change and drop it, with a credential that may ``generate``: with a
ticket or a key that only reads, nobody may. The prompts of others need ``cancel``, and so does it
to stop the answer that runs for a prompt that goes first. Whoever edits a prompt becomes
its author, and must be allowed to ask for it. What a principal may do is checked when the prompt is
queued. One whose credential was revoked before its turn is dropped then
(`hub.generations.prompt_queues`); that it has expired does not matter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from hub.access.authorship import author_of, authored_messages
from hub.access.guard import TRIES, Allowed, Guard
from hub.access.hooks import Hooks
from hub.access.permissions import Permission, Permissions
from hub.access.revocations import Revocations
from hub.domain.errors import Forbidden, GenerationNotFound, Gone, NotFound, StreamNotFound
from hub.domain.generation import Generation, State
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import LOCAL, Principal
from hub.domain.queued_prompt import QueuedPrompt
from hub.domain.stream_names import check_name
from hub.generations.admission import too_many
from hub.generations.operations import GenerationOperations
from hub.generations.queue_changes import CheckedPrompt
from hub.streams.opened import ABSENT, OpenedStream, StreamRegistry
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["GenerationAccess"]


class GenerationAccess:
    """The generations of a hub; stream names have at most ``name_length`` characters."""

    def __init__(
        self,
        streams: StreamRegistry,
        runs: GenerationOperations,
        upstreams: Upstreams,
        permissions: Permissions,
        revocations: Revocations,
        *,
        name_length: int,
        prompt_messages: int,
        hooks: Hooks | None = None,
    ) -> None:
        self._guard = Guard(streams, permissions, revocations, hooks)
        self._hooks = hooks
        self._revocations = revocations
        self._streams = streams
        self._runs = runs
        self._upstreams = upstreams
        self._permissions = permissions
        self._name_length = name_length
        self._prompt_messages = prompt_messages

    @property
    def active(self) -> int:
        """The number of running generations."""
        return self._runs.active

    async def check(
        self,
        stream: str | None,
        *,
        messages: int,
        by: Principal = LOCAL,
        chat: bool = False,
    ) -> None:
        """Check that a principal may generate in a stream, or in one of its own for ``None``.

        ``messages`` is how many of a conversation it sends.

        `start` checks the same, and more. This is for callers who have to make a request of
        what a client sends, which they do for nobody who may not ask for it. The application is
        not asked.

        Raises:
            InvalidName, Unauthorized, StreamNotFound, Forbidden: as
                `hub.access.permissions.Permissions.check`.
            TooLarge: they are too many.
        """
        await self._allowed(by, ("generate",), stream, chat=chat, ask=False)
        if messages > self._prompt_messages:
            raise too_many(self._prompt_messages)

    async def start(
        self,
        asked: GenerationRequest,
        *,
        by: Principal = LOCAL,
        then: Iterable[Permission] = (),
        chat: bool = False,
    ) -> Generation:
        """Start a generation, or find the one that was started with the same key.

        ``then`` is what else the caller will do with it, such as ``read`` the reply; without these
        permissions nothing is started. A ``chat`` that does not exist begins as the principal's
        own, whatever its grants say of the name
        (`hub.access.permissions.Permissions.may_begin`). Raises what
        `hub.generations.runs.Runs.start` and `hub.access.permissions.Permissions.generation` do.
        """
        needs: tuple[Permission, ...] = ("generate", *then)
        if asked.when_busy in ("steer", "replace"):
            needs = (*needs, "cancel")
        if asked.after or asked.branch:
            # The answer tells whether something is called this.
            needs = (*needs, "read")
        name = asked.stream
        allowed = await self._allowed(by, needs, name, chat=chat)
        if by.scope is None:
            return await self._runs.start(asked)
        own = self._own(by, asked, allowed)
        asks = await self._ask(by, name, asked.upstream, asked.model)
        if asks and name is not None and allowed.epoch not in (None, ABSENT):
            # It was one stream for which this was allowed.
            allowed = await self._guard.recheck(by, needs, name)
            own = self._own(by, asked, allowed)
        if name is None:
            return await self._runs.start(own)
        for _ in range(TRIES):
            try:
                return await self._runs.start(own)
            except StreamNotFound:
                # As in `Guard.perform`.
                before = allowed
                allowed = await self._allowed(by, needs, name, chat=chat, ask=False)
                if allowed.epoch == before.epoch:
                    raise
                own = self._own(by, asked, allowed)
        raise StreamNotFound.named(name)

    def _own(self, by: Principal, asked: GenerationRequest, allowed: Allowed) -> GenerationRequest:
        """A request as the principal may make it, in its name."""
        return replace(
            self._permitted(by, asked, allowed.owner),
            author=author_of(asked.author, by) if asked.prompt is not None else asked.author,
            said=authored_messages(asked.said, by),
            owner=by.subject,
            scope=by.scope,
            credential=by.credential,
            counted_as=by.counted_as,
            epoch=allowed.epoch,
        )

    async def _ask(
        self, by: Principal, stream: str | None, upstream: str | None, model: str | None
    ) -> bool:
        """Ask the application whether a principal may generate; false if none is asked.

        Raises:
            HubError: as `hub.access.hooks.Hooks.generate`.
            Unauthorized: the principal's credential was revoked meanwhile.
        """
        if self._hooks is None:
            return False
        name, model = self._named(upstream, model)
        await self._hooks.generate(by, stream, name, model)
        self._revocations.check(by)
        return True

    def _named(self, upstream: str | None, model: str | None) -> tuple[str, str | None]:
        """The names of the upstream and the model that a request means."""
        name = upstream or self._upstreams.default
        found = self._upstreams.get(name)
        return name, model or (None if found is None else found.model)

    async def _allowed(
        self,
        by: Principal,
        needs: tuple[Permission, ...],
        stream: str | None,
        *,
        chat: bool,
        ask: bool = True,
    ) -> Allowed:
        """For which stream a principal is allowed this, also for a new one.

        Raises:
            Unauthorized, StreamNotFound, Forbidden: as `Guard.check`.
        """
        if stream is None:
            for permission in needs:
                self._permissions.check(by, permission)
            return Allowed()
        check = self._guard.check if ask else self._guard.recheck
        try:
            return await check(by, needs, stream)
        except StreamNotFound:
            if not (chat and self._permissions.may_begin(by, stream)):
                raise
            for permission in needs:
                self._permissions.check(by, permission, stream, by.subject)
            return Allowed(epoch=ABSENT, owner=by.subject)

    def _permitted(
        self, by: Principal, asked: GenerationRequest, owner: str | None
    ) -> GenerationRequest:
        """The request as the principal may make it, with the fallbacks that it may be sent to."""
        name, model = self._named(asked.upstream, asked.model)
        upstream = self._upstreams.get(name)
        permitted = self._permissions.generation(by, asked, name, model, owner)
        if upstream is None or not upstream.fallback:
            return permitted
        fallbacks = frozenset(
            other.name
            for other in upstream.fallback
            if self._may_be_sent(by, permitted, other, owner)
        )
        return replace(permitted, fallbacks=fallbacks)

    def _may_be_sent(
        self, by: Principal, asked: GenerationRequest, other: Upstream, owner: str | None
    ) -> bool:
        """Whether a request may also be sent to another upstream, as it is."""
        model = other.model or asked.model
        try:
            permitted = self._permissions.generation(by, asked, other.name, model, owner)
        except Forbidden:
            return False
        return permitted.options == asked.options

    async def find(self, generation: str, *, by: Principal = LOCAL) -> Generation:
        """A generation by its id; see `hub.generations.runs.Runs.find`.

        A share link up to a position shows none: its state is of now.
        """
        return await self._find(generation, by, "read")

    async def _find(self, generation: str, by: Principal, to: Permission) -> Generation:
        try:
            found = await self._runs.find(generation)
        except GenerationNotFound:
            if not by.may_new(to):
                # Somebody without a credential is not told which generations there are.
                self._permissions.check_credential(by)
            raise
        try:
            allowed = await self._guard.check(by, (to,), found.stream)
        except StreamNotFound:
            raise _unknown(generation) from None
        if allowed.stream is not None and not await self._holds(allowed.stream, found):
            # Its stream was deleted, and this one has the name now.
            raise _unknown(generation)
        if by.shared is not None and by.shared.until is not None:
            raise _unknown(generation)
        return found

    async def _holds(self, stream: OpenedStream, generation: Generation) -> bool:
        """Whether a generation is in a stream, and not in an earlier one of its name."""
        if await self._runs.running_in(stream.name) is generation:
            return True
        position = generation.position
        return position is not None and self._streams.is_same(stream, position.epoch)

    async def running_in(self, stream: str, *, by: Principal = LOCAL) -> Generation | None:
        """The generation that is running in a stream, or ``None``.

        A chat that the principal could begin is like one that does not exist yet, if it is
        somebody else's. A share link up to a position shows none.

        Raises:
            InvalidName: no stream can have this name.
            Unauthorized, StreamNotFound, Forbidden: as
                `hub.access.permissions.Permissions.check`.
            StoreError: the store cannot be read.
        """
        check_name(stream, self._name_length)
        found = await self._runs.running_in(stream)
        loaded = None if found is None else self._streams.loaded(stream)
        try:
            owner = None if loaded is None else loaded.settings.owner
            self._permissions.check(by, "read", stream, owner)
        except StreamNotFound:
            if not self._permissions.may_begin(by, stream):
                raise
            return None
        shared = by.shared
        if shared is None or loaded is None:
            return found
        live = shared.until is None and self._streams.is_same(loaded, shared.epoch)
        return found if live else None

    async def cancel(self, generation: str, *, by: Principal = LOCAL) -> Generation:
        """Stop a generation; see `hub.generations.runs.Runs.cancel`."""
        try:
            await self._find(generation, by, "cancel")
        except Forbidden:
            own = await self._own_queued(generation, by)
            if own is None:
                raise
            # Only from the queue: once it runs, more is needed to stop it.
            return await self._runs.drop(generation, checked=CheckedPrompt(own.request))
        return await self._runs.cancel(generation)

    async def _own_queued(self, generation: str, by: Principal) -> QueuedPrompt | None:
        """The prompt of a generation that waits, if it is the principal's own."""
        found = await self._find(generation, by, "read")
        if found.state is not State.QUEUED:
            return None
        queued = await self._runs.queued(generation)
        return queued if _is_own(queued, found.stream, by) else None

    async def queue(
        self, stream: str, *, by: Principal = LOCAL
    ) -> tuple[tuple[QueuedPrompt, ...], bool]:
        """The prompts that wait in a stream, the next one first, and whether they are held.

        A share link up to a position shows none: they are of now.

        Raises:
            InvalidName, StreamNotFound, Gone: as `hub.streams.registry.Streams.open`.
            Unauthorized: as `hub.access.permissions.Permissions.check`.
        """
        allowed = await self._guard.check(by, ("read",), stream)
        if by.shared is not None and by.shared.until is not None:
            return (), False
        found = await self._guard.opened(allowed, stream)
        return found.queue, found.held

    async def requeue(
        self,
        generation: str,
        *,
        prompt: str | None = None,
        place: int | None = None,
        now: bool = False,
        by: Principal = LOCAL,
    ) -> Generation:
        """Change the text of a queued prompt, or its place, or send it ``now``.

        Raises what `hub.generations.runs.Runs.requeue` and
        `hub.access.permissions.Permissions.generation` do.
        """
        found = await self._find(generation, by, "read")
        queued = await self._runs.queued(generation)
        own = _is_own(queued, found.stream, by)
        if not own:
            await self._guard.check(by, ("cancel",), found.stream)
        request = checked = None
        if prompt is not None:
            needs: tuple[Permission, ...] = ("generate",) if own else ("generate", "cancel")
            request = replace(queued.request, prompt=prompt)
            if by.scope is not None:
                request = await self._edited(by, request, needs, found.stream)
            checked = CheckedPrompt(queued.request, whole=True)
        elif own and by.scope is not None:
            checked = CheckedPrompt(queued.request)
        return await self._runs.requeue(
            generation,
            request=request,
            place=place,
            now=now,
            may_stop=not now or await self._may_cancel(found.stream, by),
            checked=checked,
        )

    async def _edited(
        self, by: Principal, request: GenerationRequest, needs: tuple[Permission, ...], stream: str
    ) -> GenerationRequest:
        """The request of a queued prompt that a principal has edited, as its own."""
        allowed = await self._guard.check(by, needs, stream)
        permitted = self._permitted(by, request, allowed.owner)
        if await self._ask(by, stream, request.upstream, request.model):
            allowed = await self._guard.recheck(by, needs, stream)
            permitted = self._permitted(by, request, allowed.owner)
        return replace(
            permitted,
            author=author_of(None, by),
            scope=by.scope,
            credential=by.credential,
            counted_as=by.counted_as,
        )

    async def _may_cancel(self, stream: str, by: Principal) -> bool:
        try:
            await self._guard.check(by, ("cancel",), stream)
        except Forbidden:
            return False
        return True

    def stop(self, generation: str) -> None:
        """Stop a generation without waiting for it; see `hub.generations.runs.Runs.stop`.

        Permissions are not checked: this is for callers who started it with ``cancel`` in ``then``.
        """
        self._runs.stop(generation)

    async def wait(self, generation: str, *, by: Principal = LOCAL) -> Generation:
        """Wait until a generation has ended; see `hub.generations.runs.Runs.wait`.

        Raises:
            Unauthorized: the principal's credential was revoked meanwhile.
            GenerationNotFound: its stream was given to somebody else meanwhile.
        """
        await self._find(generation, by, "read")
        ended = await self._runs.wait(generation)
        try:
            stream = await self._streams.open(ended.stream)
        except (NotFound, Gone):
            stream = None  # it was deleted meanwhile, which has ended it
        self._revocations.check(by)
        owner = None if stream is None else stream.settings.owner
        if stream is not None and not self._permissions.allows(by, "read", stream.name, owner):
            raise _unknown(generation)
        return ended

    @asynccontextmanager
    async def relaying(
        self, asked: GenerationRequest, *, by: Principal = LOCAL
    ) -> AsyncIterator[Upstream]:
        """The upstream to send a request to directly, which counts as a generation while it lasts.

        Raises what `start` does; Forbidden: ``max_tokens_not_permitted``.
        """
        self._permissions.check(by, "generate")
        if by.scope is not None:
            if self._permitted(by, asked, None).options:
                raise Forbidden(
                    "your credential limits the length of answers, which cannot be done here",
                    code="max_tokens_not_permitted",
                )
            await self._ask(by, None, asked.upstream, asked.model)
            asked = replace(asked, counted_as=by.counted_as)
        async with self._runs.relaying(asked) as upstream:
            yield upstream

    def may_ask(self, upstream: str, model: str | None = None, *, by: Principal = LOCAL) -> bool:
        """Whether a principal may ask an upstream for a model; ``None``: its configured one."""
        return self._permissions.may_ask(by, *self._named(upstream, model))


def _is_own(queued: QueuedPrompt, stream: str, by: Principal) -> bool:
    if by.scope is None:
        return True
    own = by.subject is not None and queued.request.scope == by.scope
    return own and by.credential_allows("generate", stream)


def _unknown(generation: str) -> GenerationNotFound:
    """The same sentence as for a generation that never was."""
    return GenerationNotFound(f'no generation is called "{generation[:100]}"')
