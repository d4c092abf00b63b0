"""The Lua scripts in ``lua/``: each checks and does one thing to a stream, in one step.

All begin with ``prelude.lua``, except for those in `ALONE`. Their first arguments are the primary's
replication id, the partition's incarnation as the hub knows it, and how long an incarnation
settles, in milliseconds. Their keys are those of the partition and the stream, in the order of
`hub.stores.redis.engine`. The comment at the top of each names its other arguments, and its
replies. The first item of a reply says what came of it; each script may also reply:

    incarnation     the server is not in the one that the hub knows: nothing was done
    settling, ms    others may still put back what the server lost: ask again after so long
    none            there is no such stream
    gone            it was deleted, and is only kept for its forks

Nothing is undone when a script fails. So the first command that changes something is the one that
may fail, if the server has no memory left; after it, all others are allowed.

Numbers in Lua are floating point, exact up to 2**53, but written with 14 digits by default: hence
``text`` in the prelude.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from hub.stores.redis.codec import VERSION

__all__ = ["scripts"]

NAMES: Final = (
    "begin",
    "cancel",
    "create",
    "delete",
    "due",
    "end",
    "heal",
    "hold",
    "keep",
    "list",
    "load",
    "own",
    "queue",
    "read",
    "release",
    "restore",
    "tick",
    "touch",
    "write",
)

ALONE: Final = (
    "adopt",
    "credential_add",
    "credential_replace",
    "enlist",
    "forget",
    "permitted",
    "renew",
)
"""Scripts without the prelude: ``adopt`` makes the incarnation that the others compare; leases,
credentials and permissions are of no stream."""

CONSTANTS: Final = {
    "VERSION": VERSION,
    # Of epochs, see `hub.domain.epochs`.
    "MOST_EPOCHS": 1000,
    # Removed streams that a partition remembers, so that no hub puts them back; and names that were
    # used, so that no fork goes on from another stream (`hub.domain.removed_names`).
    "MOST_REMOVED": 1000,
    # Generations that begin in a stream until those that were trimmed are looked for.
    "MOST_GENERATIONS": 1000,
    # After so many milliseconds it is looked whether a fork has begun for which a source was held.
    "HOLD_MS": 60_000,
}


def scripts(publish: str = "PUBLISH") -> dict[str, str]:
    """The text of each script by its name; ``publish`` is the command that tells the hubs."""
    constants = "".join(f"local {name} = {value}\n" for name, value in CONSTANTS.items())
    constants += f"local PUBLISH = '{publish}'\n"
    prelude = constants + _text("prelude")
    alone = {name: _text(name) for name in ALONE}
    return {**alone, **{name: prelude + _text(name) for name in NAMES}}


def _text(name: str) -> str:
    return files("hub.stores.redis").joinpath("lua", f"{name}.lua").read_text("utf-8")
