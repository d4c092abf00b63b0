"""What a Redis server has, and what was said on its channels, as lines of JSON.

It is kept without the times at which keys expire: a fixture is read for years.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

__all__ = ["Said", "dumped", "heard", "load", "said_in", "say"]


class Said(NamedTuple):
    """A message on a channel."""

    channel: str
    message: bytes


async def dumped(port: int) -> list[bytes]:
    """A line for each key."""
    async with Redis(port=port) as server:
        keys = [key.decode() for key in await _done(server, "KEYS", "*")]
        return [await _dumped(server, key) for key in sorted(keys)]


async def _done(server: Redis, *words: Any) -> Any:
    return await server.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py's


async def _dumped(server: Redis, key: str) -> bytes:
    kind = (await _done(server, "TYPE", key)).decode()
    reading: dict[str, tuple[str | int, ...]] = {
        "string": ("GET", key),
        "hash": ("HGETALL", key),
        "list": ("LRANGE", key, 0, -1),
        "set": ("SMEMBERS", key),
        "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
        "stream": ("XRANGE", key, "-", "+"),
    }
    found = await _done(server, *reading[kind])
    if kind == "hash":
        found = [part for pair in sorted(found.items()) for part in pair]
    elif kind == "set":
        found = sorted(found)
    elif kind == "zset":
        found = [part for member, score in found for part in (repr(score), member)]
    elif kind == "stream":
        found = [[id_, *(part for pair in body.items() for part in pair)] for id_, body in found]
    return orjson.dumps({"key": key, "kind": kind, "value": _text(found)})


def _text(value: Any) -> Any:
    """Bytes as text, or as base64 where they are none."""
    if isinstance(value, list):
        return [_text(one) for one in value]
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(value).decode()}


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes(one) for one in value]
    return b64decode(value["base64"]) if isinstance(value, dict) else value


async def load(port: int, lines: Iterable[bytes]) -> None:
    """Put back all keys."""
    writing = {"hash": "HSET", "list": "RPUSH", "set": "SADD", "zset": "ZADD"}
    async with Redis(port=port) as server:
        for line in lines:
            found = orjson.loads(line)
            if "key" not in found:
                continue
            key, kind, value = found["key"], found["kind"], _bytes(found["value"])
            if kind == "string":
                await _done(server, "SET", key, value)
            elif kind == "stream":
                for id_, *body in value:
                    await _done(server, "XADD", key, id_, *body)
            else:
                await _done(server, writing[kind], key, *value)


@asynccontextmanager
async def heard(port: int) -> AsyncIterator[list[bytes]]:
    """A line for each message that is published meanwhile, but for those of a beat."""
    lines: list[bytes] = []
    async with Redis(port=port) as server, server.pubsub() as channels:
        await channels.psubscribe("*")

        async def listen() -> None:
            async for one in channels.listen():
                if one["type"] == "pmessage" and b"beat:" not in one["channel"]:
                    said = {"channel": one["channel"].decode(), "message": _text(one["data"])}
                    lines.append(orjson.dumps(said))

        listening = asyncio.create_task(listen())
        try:
            yield lines
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def said_in(lines: Iterable[bytes]) -> list[Said]:
    """The messages among the lines."""
    found = [orjson.loads(line) for line in lines]
    messages = [(one["channel"], _bytes(one["message"])) for one in found if "channel" in one]
    return [Said(name, text.encode() if isinstance(text, str) else text) for name, text in messages]


async def say(port: int, channel: str, message: bytes) -> None:
    """Publish a message."""
    async with Redis(port=port) as server:
        await server.publish(channel, message)
