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

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.client.blocking import SyncFollowing, SyncHub
    from hub.client.following import Following, Reset, Value
    from hub.client.hub import Generation, Hub, StreamInfo
    from hub.domain.errors import HubError
    from hub.domain.events import (
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
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "SyncFollowing": "hub.client.blocking",
            "SyncHub": "hub.client.blocking",
            "Following": "hub.client.following",
            "Reset": "hub.client.following",
            "Value": "hub.client.following",
            "Generation": "hub.client.hub",
            "Hub": "hub.client.hub",
            "StreamInfo": "hub.client.hub",
            "HubError": "hub.domain.errors",
            "Cancelled": "hub.domain.events",
            "Delta": "hub.domain.events",
            "Event": "hub.domain.events",
            "Failed": "hub.domain.events",
            "Finished": "hub.domain.events",
            "Interrupted": "hub.domain.events",
            "Message": "hub.domain.events",
            "Other": "hub.domain.events",
            "Started": "hub.domain.events",
            "ToolCall": "hub.domain.events",
            "Usage": "hub.domain.events",
        },
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
