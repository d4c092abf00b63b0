"""Each given reply of an upstream becomes what it must become, however cut, on every output."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, get_args

import aiohttp
import pytest

from tests.cases.outputs import OUTPUTS, Seen, events_of, follow, joined
from tests.cases.upstreams import CASES, Case, Cut, serving, tables
from tests.support.loopback_hub import hub_on_loopback
from tests.support.patience import PATIENCE

each_case = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


def only(expected: Any, found: Any) -> Any:
    """What was found of the fields that are expected."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return {name: only(held, found.get(name)) for name, held in expected.items()}
    return found


def matches(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> None:
    shown = [only(held, event) for held, event in zip(expected, found, strict=False)]
    assert [*shown, *found[len(expected) :]] == expected


def seen(session_of: Any, case: Case, cut: Cut) -> Any:
    async def run() -> Any:
        async with (
            serving(case, cut) as url,
            hub_on_loopback(**tables(case, url)) as hub,
            aiohttp.ClientSession() as session,
            asyncio.timeout(PATIENCE),
        ):
            return await session_of(session, f"http://127.0.0.1:{hub.port}")

    return asyncio.run(run())


@each_case
@pytest.mark.parametrize("cut", get_args(Cut))
def test_the_events(case: Case, cut: Cut) -> None:
    matches(case.expected, joined(seen(follow, case, cut)))


@each_case
@pytest.mark.parametrize("output", [name for name in OUTPUTS if name != "live"])
def test_every_output_says_the_same(case: Case, output: str) -> None:
    expected = events_of(case.expected)
    found = seen(OUTPUTS[output], case, "random")
    assert isinstance(found, Seen)
    assert _read(found) == _read(expected)


def _read(held: Seen) -> Seen:
    """With the arguments as values: white space is not the same on every output."""
    return Seen(
        held.text, held.reasoning, [(name, json.loads(said)) for name, said in held.tools], held.end
    )
