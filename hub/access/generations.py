"""Operations on generations: start, find, wait for, cancel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hub.access.authorship import author_of, authored_messages
from hub.access.guard import Guard, epoch_of
from hub.access.permissions import Permission, Permissions
from hub.domain.errors import Forbidden, GenerationNotFound, StreamNotFound
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import LOCAL, Principal
from hub.domain.stream_names import check_name
from hub.generations.runs import Runs
from hub.streams.registry import ABSENT, Streams
from hub.streams.stream import Stream
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["GenerationAccess"]


class GenerationAccess:
    """The generations of a hub; stream names have at most ``name_length`` characters."""

    def __init__(
        self,
        streams: Streams,
        runs: Runs,
        upstreams: Upstreams,
        permissions: Permissions,
        *,
        name_length: int,
    ) -> None:
        self._guard = Guard(streams, permissions)
        self._streams = streams
        self._runs = runs
        self._upstreams = upstreams
        self._permissions = permissions
        self._name_length = name_length

    @property
    def active(self) -> int:
        """The number of running generations."""
        return self._runs.active

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
        if asked.stream is None:
            epoch = owner = None
            for permission in needs:
                self._permissions.check(by, permission)
        else:
            epoch, owner = await self._check(by, needs, asked.stream, chat=chat)
        if by.scope is not None:
            asked = replace(
                self._permitted(by, asked, owner),
                author=author_of(asked.author, by) if asked.prompt is not None else asked.author,
                said=authored_messages(asked.said, by),
                owner=by.subject,
                scope=by.scope,
                counted_as=by.counted_as,
                epoch=epoch,
            )
        return await self._runs.start(asked)

    async def _check(
        self, by: Principal, needs: tuple[Permission, ...], stream: str, *, chat: bool
    ) -> tuple[int | None, str | None]:
        """The epoch that the stream must be in, if any, and the owner of the stream, if it matters.

        Raises:
            Unauthorized, StreamNotFound, Forbidden: as `Guard.check`.
        """
        try:
            allowed = await self._guard.check(by, needs, stream)
        except StreamNotFound:
            if not (chat and self._permissions.may_begin(by, stream)):
                raise
            for permission in needs:
                self._permissions.check(by, permission, stream, by.subject)
            return ABSENT, by.subject
        return epoch_of(allowed), None if allowed is None else allowed.settings.owner

    def _permitted(
        self, by: Principal, asked: GenerationRequest, owner: str | None
    ) -> GenerationRequest:
        """The request as the principal may make it, with the fallbacks that it may be sent to."""
        name = asked.upstream or self._upstreams.default
        upstream = self._upstreams.get(name)
        model = asked.model or (None if upstream is None else upstream.model)
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
        """A generation by its id; see `hub.generations.runs.Runs.find`."""
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
        if allowed is not None and not await self._holds(allowed, found):
            # Its stream was deleted, and this one has the name now.
            raise _unknown(generation)
        return found

    async def _holds(self, stream: Stream, generation: Generation) -> bool:
        """Whether a generation is in a stream, and not in an earlier one of its name."""
        if self._runs.running_in(stream.name) is generation:
            return True
        start = stream.head if generation.position is None else generation.position.offset
        async for event in stream.events(max(start, stream.head)):
            if getattr(event, "generation", None) == generation.id:
                return True
        return False

    def running_in(self, stream: str, *, by: Principal = LOCAL) -> Generation | None:
        """The generation that is running in a stream, or ``None``.

        A chat that the principal could begin is like one that does not exist yet, if it is
        somebody else's.

        Raises:
            InvalidName: no stream can have this name.
            Unauthorized, StreamNotFound, Forbidden: as
                `hub.access.permissions.Permissions.check`.
        """
        check_name(stream, self._name_length)
        found = self._runs.running_in(stream)
        loaded = None if found is None else self._streams.loaded(stream)
        try:
            owner = None if loaded is None else loaded.settings.owner
            self._permissions.check(by, "read", stream, owner)
        except StreamNotFound:
            if not self._permissions.may_begin(by, stream):
                raise
            return None
        return found

    async def cancel(self, generation: str, *, by: Principal = LOCAL) -> Generation:
        """Stop a generation; see `hub.generations.runs.Runs.cancel`."""
        await self._find(generation, by, "cancel")
        return await self._runs.cancel(generation)

    def stop(self, generation: str) -> None:
        """Stop a generation without waiting for it; see `hub.generations.runs.Runs.stop`.

        Permissions are not checked: this is for callers who started it with ``cancel`` in ``then``.
        """
        self._runs.stop(generation)

    async def wait(self, generation: str, *, by: Principal = LOCAL) -> Generation:
        """Wait until a generation has ended; see `hub.generations.runs.Runs.wait`."""
        await self._find(generation, by, "read")
        return await self._runs.wait(generation)

    def upstream(self, name: str | None, *, by: Principal = LOCAL) -> Upstream:
        """An upstream to send a request to directly, without a generation.

        Raises:
            UpstreamNotFound: as `hub.upstreams.registry.Upstreams.find`.
            Unauthorized, Forbidden: as `start`.
        """
        self._permissions.check(by, "generate")
        if by.scope is not None:
            asked = GenerationRequest(prompt="", upstream=name)
            if self._permitted(by, asked, None).options:
                raise Forbidden(
                    "your credential limits the length of answers, which cannot be done here",
                    code="max_tokens_not_permitted",
                )
        return self._upstreams.find(name)

    def may_ask(self, upstream: str, model: str | None = None, *, by: Principal = LOCAL) -> bool:
        """Whether a principal may ask an upstream for a model; ``None``: its configured one."""
        found = self._upstreams.get(upstream)
        named = model or (None if found is None else found.model)
        return self._permissions.may_ask(by, upstream, named)


def _unknown(generation: str) -> GenerationNotFound:
    """The same sentence as for a generation that never was."""
    return GenerationNotFound(f'no generation is called "{generation[:100]}"')
