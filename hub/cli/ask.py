"""``streamhub ask``: send one prompt and print the answer as it comes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, suppress
from typing import Annotated, Any, Final

import typer

from hub.cli.output import Answer, Progress, say, say_error, say_reset, while_read, write_json
from hub.cli.remote import DEFAULT_URL, TokenFile, Url, credential, shown
from hub.client import Generation, Hub
from hub.client.tokens import Token
from hub.domain import json_text
from hub.domain.errors import HubError, RequestError

__all__ = ["ask"]

# Seconds that Ctrl-C waits for the hub to confirm the cancellation.
CANCEL_WAIT: Final = 5.0

_ENDS: Final = ("finished", "failed", "cancelled", "interrupted")


def ask(
    prompt: Annotated[str, typer.Argument(help="The prompt; - for standard input.")],
    upstream: Annotated[
        str | None, typer.Option(help="The upstream to use instead of the default.")
    ] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Continue the conversation in this stream.")
    ] = None,
    url: Url = DEFAULT_URL,
    token_file: TokenFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write each event as JSON.")] = False,
) -> int:
    """Ask for an answer and print it as it comes. Ctrl-C cancels it."""
    if prompt == "-":
        prompt = _standard_input()
    given = credential(token_file)
    with given.explained():
        return asyncio.run(_ask(url, given.token, prompt, upstream, stream, as_json=as_json))


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise RequestError("the prompt on standard input must be UTF-8 text") from None


async def _ask(
    url: str,
    token: Token | None,
    prompt: str,
    upstream: str | None,
    stream: str | None,
    *,
    as_json: bool,
) -> int:
    with Progress() as progress:
        async with Hub(url, token=token) as hub:
            progress.show("waiting for the answer")
            asking = hub.generate(prompt, upstream=upstream, stream=stream)
            generation = await _begun(hub, asyncio.create_task(asking))
            try:
                # Closing standard output does not cancel: others may be reading.
                async with while_read():
                    return await _show(hub, generation, progress, as_json=as_json)
            except asyncio.CancelledError:
                progress.show("cancelling")
                await _cancel(hub, generation)
                raise


async def _begun(hub: Hub, beginning: asyncio.Task[Generation]) -> Generation:
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        # The hub may have begun already, and only its answer has the id to cancel.
        with suppress(HubError, TimeoutError):
            async with asyncio.timeout(CANCEL_WAIT):
                generation = await beginning
            await _cancel(hub, generation)
        raise


async def _cancel(hub: Hub, generation: Generation) -> None:
    try:
        async with asyncio.timeout(CANCEL_WAIT):
            await hub.cancel(generation.id)
    except (HubError, TimeoutError) as error:
        reason = str(error) or "the hub does not answer"
        say_error(f"the generation may go on: {reason}", "not_cancelled")


async def _show(hub: Hub, generation: Generation, progress: Progress, *, as_json: bool) -> int:
    """Print the generation's answer; returns the exit code for its end."""
    following = shown(hub, generation.stream, generation.position or "start", progress)
    async with aclosing(following) as all_heard:
        with Answer() as answer:
            async for heard in all_heard:
                event = json_text.loads(heard.body)
                if heard.reset:
                    say_reset(answer)
                if not isinstance(event, dict) or event.get("generation") != generation.id:
                    continue
                if as_json:
                    write_json(heard.body)
                else:
                    answer.event(event)
                if event["type"] in _ENDS:
                    return _ended(event)
    raise HubError("the stream closed before the answer was complete", code="stream_closed")


def _ended(event: dict[str, Any]) -> int:
    if event["type"] == "finished":
        if event.get("reason", "stop") != "stop":
            say(f"the answer ended early: {event['reason']}")
        return 0
    messages = {
        "failed": event.get("message") or "the upstream failed",
        "cancelled": "somebody cancelled the answer",
        "interrupted": "the hub stopped before the answer was complete",
    }
    say_error(messages[event["type"]], event.get("code") or event["type"])
    return 1
