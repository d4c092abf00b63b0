"""What an engine over Redis keeps beside streams: nodes, generations by id, claims, messages."""

from __future__ import annotations

from typing import Final

from hub.domain.records import Position
from hub.stores import GenerationLocation
from hub.stores.redis.connection import RedisConnection
from hub.stores.redis.state import parse_claim
from hub.stores.shared import CONNECTED_LEASES, Claim, node_topic

__all__ = ["RedisNodes"]

FIRST_LEASE: Final = 5000
"""Milliseconds in which a node must renew its lease that is not known, or was lost."""

LOCATED_SECONDS: Final = 30 * 86_400
"""How long a generation can be found by its id alone."""


class RedisNodes(RedisConnection):
    """The part of a `hub.stores.shared.SharedEngine` that is of no single stream."""

    async def renew(self, node: str, seconds: float) -> list[str]:
        keys = (self.keys.nodes, self.keys.seen)
        lease = round(seconds * 1000)
        numsub = self._at(self.keys.nodes).numsub
        words = (node, lease, lease * CONNECTED_LEASES, self.keys.topic(node_topic("")), numsub)
        found = await self.run_alone("renew", keys, words)
        return [other.decode() for other in found]

    async def nodes(self) -> list[str]:
        return [node.decode() for node in await self.ask("ZRANGE", self.keys.nodes, 0, -1)]

    async def forget(self, node: str) -> bool:
        keys = (self.keys.nodes, self.keys.runs(node))
        return bool(await self.run_alone("forget", keys, (node,)))

    async def enlist(self, node: str, stream: str, generation: str) -> None:
        await self.note_waiting(stream, generation)
        keys = (self.keys.nodes, self.keys.runs(node))
        words = (node, f"{generation}:{stream}", FIRST_LEASE)
        await self.run_alone("enlist", keys, words)

    async def locate(self, generation: str) -> GenerationLocation | None:
        stream = await self.waiting_in(generation)
        if stream is None:
            return None
        found = await self.ask("HGET", self.keys.of(stream).generations, generation)
        if found is None:
            return None
        epoch, first, started, *ended = map(int, found.split(b":"))
        return GenerationLocation(
            stream, Position(epoch, first), started, ended[0] if ended else None
        )

    async def strike(self, node: str, stream: str, generation: str) -> None:
        await self.ask("SREM", self.keys.runs(node), f"{generation}:{stream}")

    async def runs(self, node: str) -> list[tuple[str, str]]:
        found = await self.ask("SMEMBERS", self.keys.runs(node))
        pairs = [member.decode().partition(":") for member in found]
        return [(stream, generation) for generation, _, stream in pairs]

    async def claimed(self, key: str) -> Claim | None:
        found = await self.ask("GET", self.keys.claim(key))
        return None if found is None else parse_claim(found)

    async def claim(self, key: str, claim: Claim, seconds: float) -> Claim:
        said = f"{claim.fingerprint.hex()}:{claim.born}:{claim.stream}"
        name = self.keys.claim(key)
        found = await self.ask("SET", name, said, "NX", "GET", "PX", round(seconds * 1000))
        return claim if found is None else parse_claim(found)

    async def waiting_in(self, generation: str) -> str | None:
        found = await self.ask("GET", self.keys.generation(generation))
        return None if found is None else found.decode()

    async def note_waiting(self, stream: str, generation: str) -> None:
        await self.ask("SET", self.keys.generation(generation), stream, "EX", LOCATED_SECONDS)

    async def say(self, topic: str, message: bytes, *, keep: int = 0) -> None:
        if keep:
            kept = self.keys.said(topic)
            await self.ask("LPUSH", kept, message)
            await self.ask("LTRIM", kept, 0, keep - 1)
        await self.publish(self.keys.topic(topic), message)

    async def said(self, topic: str) -> list[bytes]:
        return list(await self.ask("LRANGE", self.keys.said(topic), 0, -1))
