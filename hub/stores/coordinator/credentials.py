"""The credentials in the coordinator's store; see `hub.stores.Credentials`."""

from __future__ import annotations

from collections.abc import Callable

from hub.stores import Credential, Label
from hub.stores.coordinator.client import CoordinatorEngine
from hub.stores.credential_json import as_json, from_json

__all__ = ["CoordinatorCredentials"]


class CoordinatorCredentials:
    """Asks whichever engine ``engine`` gives."""

    def __init__(self, engine: Callable[[], CoordinatorEngine]) -> None:
        self._engine = engine

    async def add(self, credential: Credential) -> None:
        await self._engine().ask("add_credential", as_json(credential))

    async def find(self, kind: str, id_: str) -> Credential | None:
        (found,) = await self._engine().ask("find_credential", kind, id_)
        return None if found is None else from_json(found)

    async def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        (found,) = await self._engine().ask("list_credentials", kind, after, limit)
        return [from_json(one) for one in found]

    async def held(
        self, kind: str, label: Label, after: str, limit: int, now: float
    ) -> list[Credential]:
        (found,) = await self._engine().ask("held_credentials", kind, label, after, limit, now)
        return [from_json(one) for one in found]

    async def count(self, kind: str, label: Label, now: float) -> int:
        (found,) = await self._engine().ask("count_credentials", kind, label, now)
        return int(found)

    async def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        (found,) = await self._engine().ask("revoke_credential", kind, id_, now)
        return None if found is None else from_json(found)
