"""Every route over HTTP, in the order in which the documents show them."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import Operation
from hub.docs.routes import chat, durable, generations, openai, operator, streams, tutorial

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    **streams.GROUPS,
    **generations.GROUPS,
    **openai.GROUPS,
    **chat.GROUPS,
    **durable.GROUPS,
    **operator.GROUPS,
    **tutorial.GROUPS,
}
"""What belongs together, and what it is about."""

OPERATIONS: Final[tuple[Operation, ...]] = (
    *streams.OPERATIONS,
    *generations.OPERATIONS,
    *openai.OPERATIONS,
    *chat.OPERATIONS,
    *durable.OPERATIONS,
    *operator.OPERATIONS,
    *tutorial.OPERATIONS,
)
