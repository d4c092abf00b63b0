"""The Python client: follow streams, begin and cancel generations, append, from anywhere.

::

    from hub.client import Hub

    async with Hub("http://127.0.0.1:7000") as hub:
        generation = await hub.generate("Tell me everything", stream="first")
        async for event in hub.answer(generation):
            if isinstance(event, Delta):
                print(event.text, end="")

A connection that is lost is made again, and goes on at the position where it was: each event
comes once, in order, or an explicit `Reset` says where to go on. `SyncHub` is the same
without ``async``.
"""

from __future__ import annotations

from hub.client.blocking import SyncFollowing, SyncHub
from hub.client.following import Following, Reset, Value
from hub.client.hub import Generation, Hub, StreamInfo
from hub.errors import HubError
from hub.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Started,
    ToolCall,
    Usage,
)

__all__ = [
    "Cancelled",
    "Delta",
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
    "Reset",
    "Started",
    "StreamInfo",
    "SyncFollowing",
    "SyncHub",
    "ToolCall",
    "Usage",
    "Value",
]
