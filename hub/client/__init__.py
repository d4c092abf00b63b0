"""The Python client: follow streams, start and cancel generations, append events.

::

    from hub.client import Hub

    async with Hub("http://127.0.0.1:7000") as hub:
        generation = await hub.generate("Tell me everything", stream="first")
        async for event in hub.answer(generation):
            if isinstance(event, Delta):
                print(event.text, end="")

A lost connection is made again and continues at its position: each event comes once, in order,
or an explicit `Reset` says where the stream continues. `SyncHub` is the same without ``async``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.client.blocking import SyncFollowing, SyncHub
    from hub.client.following import Following, Reset, Value
    from hub.client.hub import Generation, Hub, Queue, ShareLink, StreamInfo, Ticket
    from hub.domain.conversation_view import ConversationView, Turn
    from hub.domain.errors import HubError
    from hub.domain.events import (
        Cancelled,
        Delta,
        Dropped,
        Event,
        Failed,
        Finished,
        Interrupted,
        Message,
        Other,
        Queued,
        Started,
        ToolCall,
        Usage,
    )
    from hub.domain.queue_view import QueueView
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            **dict.fromkeys(("SyncFollowing", "SyncHub"), "hub.client.blocking"),
            **dict.fromkeys(("Following", "Reset", "Value"), "hub.client.following"),
            **dict.fromkeys(
                ("Generation", "Hub", "Queue", "ShareLink", "StreamInfo", "Ticket"),
                "hub.client.hub",
            ),
            "HubError": "hub.domain.errors",
            **dict.fromkeys(("Cancelled", "Delta", "Event", "Failed"), "hub.domain.events"),
            **dict.fromkeys(("Finished", "Interrupted", "Message", "Other"), "hub.domain.events"),
            **dict.fromkeys(("Started", "ToolCall", "Usage"), "hub.domain.events"),
            **dict.fromkeys(("Dropped", "Queued"), "hub.domain.events"),
            "QueueView": "hub.domain.queue_view",
            **dict.fromkeys(("ConversationView", "Turn"), "hub.domain.conversation_view"),
        },
    )

__all__ = [
    "Cancelled",
    "ConversationView",
    "Delta",
    "Dropped",
    "Event",
    "Failed",
    "Finished",
    "Following",
    "Generation",
    "Hub",
    "HubError",
    "Interrupted",
    "Message",
    "Other",
    "Queue",
    "QueueView",
    "Queued",
    "Reset",
    "ShareLink",
    "Started",
    "StreamInfo",
    "SyncFollowing",
    "SyncHub",
    "Ticket",
    "ToolCall",
    "Turn",
    "Usage",
    "Value",
]
