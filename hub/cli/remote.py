"""What the commands that connect to a hub share."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Final

import typer

from hub.cli.output import Progress
from hub.client import Hub
from hub.client.following import Heard, hear

__all__ = ["DEFAULT_URL", "Url", "shown"]

DEFAULT_URL: Final = "http://127.0.0.1:7000"

Url = Annotated[str, typer.Option("--url", help="The URL of the hub.")]


async def shown(
    hub: Hub, stream: str, start: str, progress: Progress
) -> AsyncGenerator[Heard, None]:
    """The events of a stream; ``progress`` shows the waits between connections.

    Raises:
        HubError: as `hub.client.following.hear`.
    """

    def waits(seconds: float) -> None:
        progress.show(f"the connection was lost; retrying in {seconds:.1f} s")

    async for heard in hear(hub.wire, stream, start, waits=waits):
        progress.clear()
        yield heard
