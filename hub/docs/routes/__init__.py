"""Every HTTP route, in the order in which the documents show them."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import Group
from hub.docs.routes import (
    chat,
    durable,
    generations,
    openai,
    operator,
    shares,
    signing_in,
    streams,
    tutorial,
)

__all__ = ["GROUPS"]

GROUPS: Final[tuple[Group, ...]] = (
    streams.GROUP,
    generations.GROUP,
    shares.GROUP,
    openai.GROUP,
    chat.GROUP,
    durable.GROUP,
    signing_in.GROUP,
    *operator.GROUPS,
    tutorial.GROUP,
)
