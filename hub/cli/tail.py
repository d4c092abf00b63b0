"""``streamhub tail``: follow a stream until it closes."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Annotated

import typer

from hub.cli.output import Answer, Progress, say_reset, while_read, write_json
from hub.cli.remote import DEFAULT_URL, TokenFile, Url, credential, shown
from hub.client import Hub
from hub.client.tokens import Token
from hub.domain import json_text

__all__ = ["tail"]


def tail(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="The name of the stream.")],
    start: Annotated[str, typer.Option("--from", metavar="start|now|POSITION")] = "start",
    url: Url = DEFAULT_URL,
    token_file: TokenFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write each event as JSON.")] = False,
) -> None:
    """Print the answers in a stream as they come, until the stream closes."""
    given = credential(token_file)
    with given.explained():
        asyncio.run(_tail(url, given.token, stream, start, as_json=as_json))


async def _tail(url: str, token: Token | None, stream: str, start: str, *, as_json: bool) -> None:
    with Progress() as progress, Answer() as answer:
        async with (
            while_read(),
            Hub(url, token=token) as hub,
            aclosing(shown(hub, stream, start, progress)) as all_heard,
        ):
            async for heard in all_heard:
                if heard.reset:
                    say_reset(answer)
                if as_json:
                    write_json(heard.body)
                else:
                    answer.event(json_text.loads(heard.body))
