"""Operations on generations: start, find, wait for, cancel."""

from __future__ import annotations

from collections.abc import Iterable

from hub.access.permissions import Permission, Permissions
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.principal import LOCAL, Principal
from hub.domain.stream_names import check_name
from hub.generations.runs import Runs
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["GenerationAccess"]


class GenerationAccess:
    """The generations of a hub; stream names have at most ``name_length`` characters."""

    def __init__(
        self, runs: Runs, upstreams: Upstreams, permissions: Permissions, *, name_length: int
    ) -> None:
        self._runs = runs
        self._upstreams = upstreams
        self._permissions = permissions
        self._name_length = name_length

    @property
    def active(self) -> int:
        """The number of running generations."""
        return self._runs.active

    async def start(
        self, asked: GenerationRequest, *, by: Principal = LOCAL, then: Iterable[Permission] = ()
    ) -> Generation:
        """Start a generation, or find the one that was started with the same key.

        ``then`` is what else the caller will do with it, such as ``read`` the reply; without these
        permissions nothing is started. Raises what `hub.generations.runs.Runs.start` does.
        """
        for permission in ("generate", *then):
            self._permissions.check(by, permission, asked.stream)
        return await self._runs.start(asked)

    async def find(self, generation: str, *, by: Principal = LOCAL) -> Generation:
        """A generation by its id; see `hub.generations.runs.Runs.find`."""
        return await self._find(generation, by, "read")

    async def _find(self, generation: str, by: Principal, to: Permission) -> Generation:
        found = await self._runs.find(generation)
        self._permissions.check(by, to, found.stream)
        return found

    def running_in(self, stream: str, *, by: Principal = LOCAL) -> Generation | None:
        """The generation that is running in a stream, or ``None``.

        Raises:
            InvalidName: no stream can have this name.
        """
        check_name(stream, self._name_length)
        self._permissions.check(by, "read", stream)
        return self._runs.running_in(stream)

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
        """
        self._permissions.check(by, "generate")
        return self._upstreams.find(name)
