"""``streamhub ask``: one prompt, its answer as it comes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, suppress
from typing import Annotated, Any, Final

import orjson
import typer

from hub.cli.calls import DEFAULT_URL, Url, call
from hub.cli.follow import follow
from hub.cli.output import Answer, Progress, say, say_error, say_reset, while_read, write_json
from hub.errors import HubError, RequestError
from hub.remote import Remote

__all__ = ["ask"]

# How long Ctrl-C waits for the hub to say that the generation is cancelled, in seconds.
CANCEL_WAIT: Final = 5.0

_ENDS: Final = ("finished", "failed", "cancelled", "interrupted")


def ask(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    upstream: Annotated[str | None, typer.Option(help="Which upstream; else the default.")] = None,
    stream: Annotated[
        str | None, typer.Option(metavar="NAME", help="Go on with the conversation in this stream.")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Write each event as JSON.")] = False,
) -> int:
    """Ask for an answer and print it as it comes. Ctrl-C cancels it."""
    if prompt == "-":
        prompt = _standard_input()
    asked = {"prompt": prompt, "upstream": upstream, "stream": stream}
    body = {key: value for key, value in asked.items() if value is not None}
    return asyncio.run(_ask(url, body, as_json=as_json))


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise RequestError("the prompt on standard input must be UTF-8 text") from None


async def _ask(url: str, body: dict[str, Any], *, as_json: bool) -> int:
    with Progress() as progress:
        async with Remote(url) as remote:
            progress.show("waiting for the answer")
            generation = await _begin(remote, body)
            try:
                # Whoever only stops reading does not cancel: others may read on.
                async with while_read():
                    return await _show(remote, generation, progress, as_json=as_json)
            except asyncio.CancelledError:
                progress.show("cancelling")
                await _cancel(remote, generation["id"])
                raise


async def _begin(remote: Remote, body: dict[str, Any]) -> dict[str, Any]:
    beginning = asyncio.create_task(call(remote, "POST", "/v1/generations", body))
    try:
        return await asyncio.shield(beginning)
    except asyncio.CancelledError:
        # The hub may have begun already: only its answer tells what to cancel.
        with suppress(HubError, TimeoutError):
            async with asyncio.timeout(CANCEL_WAIT):
                generation = await beginning
            await _cancel(remote, generation["id"])
        raise


async def _cancel(remote: Remote, generation: str) -> None:
    try:
        async with asyncio.timeout(CANCEL_WAIT):
            await call(remote, "DELETE", f"/v1/generations/{generation}")
    except (HubError, TimeoutError) as error:
        say_error(
            f"the generation may go on: {str(error) or 'the hub does not answer'}", "not_cancelled"
        )


async def _show(
    remote: Remote, generation: dict[str, Any], progress: Progress, *, as_json: bool
) -> int:
    """Print what the generation says; the exit code that its end stands for."""
    start = generation["position"] or "start"
    following = follow(remote, generation["stream"], start, progress)
    async with aclosing(following) as chunks:
        with Answer() as answer:
            async for chunk in chunks:
                event = orjson.loads(chunk.data)
                if chunk.event == "reset":
                    say_reset(answer)
                if not isinstance(event, dict) or event.get("generation") != generation["id"]:
                    continue
                if as_json:
                    write_json(chunk.data)
                else:
                    answer.event(event)
                if event["type"] in _ENDS:
                    return _ended(event)
    raise HubError("the stream closed before the answer was whole", code="stream_closed")


def _ended(event: dict[str, Any]) -> int:
    if event["type"] == "finished":
        if event.get("reason", "stop") != "stop":
            say(f"the answer ended early: {event['reason']}")
        return 0
    said = {
        "failed": event.get("message") or "the upstream failed",
        "cancelled": "somebody cancelled the answer",
        "interrupted": "the hub stopped before the answer was whole",
    }
    say_error(said[event["type"]], event.get("code") or event["type"])
    return 1
