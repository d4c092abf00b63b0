"""An upstream without a network: it brings what a test says, when the test says it.

::

    puppet = Puppet([said("Hel"), said("lo"), END])      # one list for each time it is asked
    puppet = Puppet([refused(retry_after=0)], [said("Hi"), END])

The bytes are those of the `demo` dialect. A number is a pause in seconds, an event is
waited for, a function is called; an error is raised: as the first step of a list when the
upstream is asked, later in the middle of the body.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final

import orjson

from hub.dialects import Dialect, MakeDialect
from hub.dialects.demo.reader import Demo
from hub.domain.errors import UpstreamError
from hub.domain.prompt import Prompt
from hub.upstreams.field_negotiation import FieldNegotiation
from hub.upstreams.upstream import Body, Dialer, Upstream

__all__ = ["END", "FOREVER", "FakeUpstream", "Step", "ended", "refused", "said"]

Step = bytes | float | asyncio.Event | Exception | Callable[[], None]

FOREVER: Final = 86_400.0


def said(text: str) -> bytes:
    """A piece of text."""
    return orjson.dumps({"text": text}) + b"\n"


def ended(**usage: int) -> bytes:
    """The provider's word that the reply is complete."""
    return orjson.dumps({"end": "stop", **({"usage": usage} if usage else {})}) + b"\n"


END: Final = ended()


def refused(
    *, code: str = "upstream_overloaded", retryable: bool = True, retry_after: float | None = 0.0
) -> UpstreamError:
    """An upstream's refusal."""
    return UpstreamError("no", code=code, retryable=retryable, retry_after=retry_after)


class FakeUpstream(Upstream):
    """``prompts`` are those it was asked; ``open_now`` how many bodies are open."""

    def __init__(
        self,
        *scripts: list[Step],
        name: str = "fake_upstream",
        dialect: MakeDialect = Demo,
        delimited: bool = True,
        **options: Any,
    ) -> None:
        # The address is never called.
        super().__init__(name, dialect, Dialer(), url="http://127.0.0.1:9", **options)
        self.prompts: list[Prompt] = []
        self.open_now = 0
        self._scripts = list(scripts)
        self._delimited = delimited

    def open(
        self, dialect: Dialect, prompt: Prompt, fields: FieldNegotiation | None = None
    ) -> AbstractAsyncContextManager[Body]:
        self.prompts.append(prompt)
        steps = self._scripts.pop(0) if len(self._scripts) > 1 else list(self._scripts[0])
        return self._opened(steps)

    @asynccontextmanager
    async def _opened(self, steps: list[Step]) -> AsyncIterator[Body]:
        if steps and isinstance(steps[0], Exception):
            raise steps[0]
        self.open_now += 1
        try:
            async with aclosing(_played(steps)) as pieces:
                yield Body(pieces, delimited=self._delimited)
        finally:
            self.open_now -= 1


async def _played(steps: list[Step]) -> AsyncGenerator[bytes, None]:
    for step in steps:
        if isinstance(step, bytes):
            yield step
        elif isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, Exception):
            raise step
        elif callable(step):
            step()
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(step)
