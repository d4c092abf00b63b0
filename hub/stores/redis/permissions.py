"""What a user of the server has to be allowed (its ACL), and what of it a user lacks.

The server itself is asked, by a script that does nothing else: whoever may run scripts, which a hub
has to, may ask what else is allowed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from typing import Final

import orjson
from redis.exceptions import NoPermissionError, ResponseError

from hub.stores.redis.acknowledgements import Acknowledge
from hub.stores.redis.client import Commands, unavailable
from hub.stores.redis.keys import PARTITIONS, Keys
from hub.stores.redis.scripts import scripts
from hub.stores.redis.server import explained

__all__ = ["lacking", "rules"]

DIRECT: Final = (
    *("EVALSHA", "GET", "HGET", "HMGET", "INFO", "LPUSH", "LRANGE", "LTRIM", "PING", "PUBLISH"),
    *("PUBSUB NUMSUB", "SCRIPT LOAD", "SET", "SMEMBERS", "SREM", "SUBSCRIBE", "TIME"),
    *("UNSUBSCRIBE", "ZCOUNT", "ZRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE"),
)
"""Commands that are sent; those in scripts are found in these."""

SHARDED: Final = {
    "PUBSUB NUMSUB": "PUBSUB SHARDNUMSUB",
    "PUBLISH": "SPUBLISH",
    "SUBSCRIBE": "SSUBSCRIBE",
    "UNSUBSCRIBE": "SUNSUBSCRIBE",
}
"""What is sent to servers of a cluster instead."""

TO_CLUSTER: Final = "CLUSTER NODES"
"""What is sent to those alone."""

WAITS: Final = {"memory": (), "replica": ("WAIT",), "disk": ("WAITAOF",)}

WITHOUT_NAMES: Final = (
    *("INFO", "PING", "PUBSUB NUMSUB", "PUBSUB SHARDNUMSUB", "SCRIPT LOAD", "SUNSUBSCRIBE", "TIME"),
    *("UNSUBSCRIBE", "WAIT", "WAITAOF", TO_CLUSTER),
)
OF_CHANNELS: Final = ("PUBLISH", "SPUBLISH", "SSUBSCRIBE", "SUBSCRIBE")

REFUSED: Final = re.compile(r"'([\w|]+)' command")
"""The command that the server says may not be run."""

ANSWER_SECONDS: Final = 10.0


def _commands(acknowledge: Acknowledge, *, clustered: bool) -> list[str]:
    """All commands that a hub uses."""
    called = re.findall(r"redis\.p?call\('?([A-Z]+)", "".join(scripts().values()))
    # Which of its commands that is, a script is told.
    used = {*DIRECT, *called, *WAITS[acknowledge]} - {"PUBSUB"}
    if clustered:
        used = {TO_CLUSTER, *(SHARDED.get(one, one) for one in used)}
    return sorted(used)


def rules(keys: Keys, acknowledge: Acknowledge = "memory", *, clustered: bool = False) -> list[str]:
    """The rules of an ACL with all that a hub needs, and nothing else."""
    commands = _commands(acknowledge, clustered=clustered)
    return [*map(_rule, commands), f"~{keys.pattern}", f"&{keys.pattern}"]


async def lacking(
    url: str, keys: Keys, acknowledge: Acknowledge = "memory", *, clustered: bool = False
) -> list[str]:
    """Those `rules` that the user of a server lacks; ``clustered`` if it is one of a cluster.

    Raises:
        StoreError: the server cannot be asked.
    """
    commands = Commands(url)
    try:
        await commands.open()
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _lacking(commands, keys, _commands(acknowledge, clustered=clustered))
    except TimeoutError:
        raise unavailable("it does not answer") from None
    except ResponseError as error:
        refused = REFUSED.search(str(error)) if isinstance(error, NoPermissionError) else None
        if refused is None:
            raise explained(error) from None
        return [f"+{refused[1]}"]  # without it nothing else can be asked
    finally:
        await commands.close()


async def _lacking(commands: Commands, keys: Keys, needed: Sequence[str]) -> list[str]:
    sha = await commands.ask("SCRIPT", "LOAD", scripts()["permitted"])

    async def permitted(asked: Iterable[list[str]]) -> list[bool]:
        found = await commands.ask("EVALSHA", sha, 0, orjson.dumps(list(asked)))
        return list(map(bool, found))

    async def refused(used: Sequence[str], names: Sequence[str], pattern: str) -> list[str]:
        """The rules that are lacking for some commands on some keys or channels."""
        tried = [(command, name) for command in used for name in names]
        answers = await permitted(_words(command, name) for command, name in tried)
        may = dict(zip(tried, answers, strict=True))
        # Where no command is allowed it is for the name; nothing is known of the commands there.
        named = [name for name in names if any(may[command, name] for command in used)]
        found = [one for one in used if not all(may[one, name] for name in named)]
        return [*map(_rule, found), *([pattern] if len(named) < len(names) else [])]

    alone = [one for one in needed if one in WITHOUT_NAMES]
    of_channels = [one for one in needed if one in OF_CHANNELS]
    of_keys = [one for one in needed if one not in (*WITHOUT_NAMES, *OF_CHANNELS)]
    answers = await permitted(one.split() for one in alone)
    return [
        *(_rule(one) for one, may in zip(alone, answers, strict=True) if not may),
        *await refused(of_keys, _keys_of(keys), f"~{keys.pattern}"),
        *await refused(of_channels, _channels_of(keys), f"&{keys.pattern}"),
    ]


def _rule(command: str) -> str:
    return "+" + command.lower().replace(" ", "|")


def _words(command: str, name: str) -> list[str]:
    """A command as a hub would send it, as far as it says what is used."""
    return [command, "0", "1", name] if command == "EVALSHA" else [command, name]


def _keys_of(keys: Keys) -> list[str]:
    """A key of each kind and each partition."""
    alone = [keys.nodes, keys.generation("0"), keys.claim("0"), keys.credentials("0").values]
    return [*alone, *(keys.partition(number).names for number in range(PARTITIONS))]


def _channels_of(keys: Keys) -> list[str]:
    """A channel of each kind."""
    return [keys.topic("0"), keys.beat("0"), keys.of("0").channel]
