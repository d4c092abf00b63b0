"""What an import loads: nothing that it has no use for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.patience import PATIENCE

SERVER = ("aiohttp.web", "hub.app", "hub.hub")
STORE = ("apsw", "hub.stores.sqlite.store")
HEAVY = ("pydantic", "prometheus_client")
CLIENT = ("aiohttp",)

# What a program imports, and what must not be loaded by that.
LIGHT = {
    "hub": (*SERVER, *STORE, *HEAVY, *CLIENT, "orjson"),
    "hub.domain.events": (*SERVER, *STORE, *HEAVY, *CLIENT, "asyncio"),
    "hub.domain.errors": (*SERVER, *STORE, *HEAVY, *CLIENT, "asyncio"),
    "hub.framing": (*SERVER, *STORE, *HEAVY, *CLIENT, "asyncio"),
    "hub.dialects": (*SERVER, *STORE, *HEAVY, *CLIENT, "asyncio"),
    "hub.dialects.openai_chat": (*SERVER, *STORE, *HEAVY, *CLIENT, "asyncio"),
    "hub.client": (*SERVER, *STORE, *HEAVY),
    "hub.client.hub": (*SERVER, *STORE, *HEAVY),
    "hub.pipeline": (*SERVER, *STORE, *HEAVY, *CLIENT),
    "hub.config": (*SERVER, *STORE, *HEAVY, *CLIENT),
    "hub.config.schema": (*SERVER, *STORE, *CLIENT, "prometheus_client"),
    "hub.stores": (*SERVER, *STORE, *HEAVY, *CLIENT),
    "hub.stores.sqlite": (*SERVER, *STORE, *HEAVY, *CLIENT),
    "hub.stores.sqlite.store": (*SERVER, *HEAVY, *CLIENT),
    "hub.streams.registry": (*SERVER, "apsw", *HEAVY, *CLIENT),
    "hub.cli": (*SERVER, *STORE, *HEAVY, *CLIENT),
}

# CPU seconds; the rest of what a machine does is no matter of ours.
VERSION_SECONDS = 0.25

SHOW = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*sorted(set(sys.modules) & set(sys.argv[2:])))
"""


def python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=True, text=True, timeout=PATIENCE
    ).stdout


@pytest.mark.parametrize("module", LIGHT)
def test_an_import_loads_nothing_that_it_has_no_use_for(module: str) -> None:
    assert python("-c", SHOW, module, *LIGHT[module]).split() == []


def test_what_a_client_exports_loads_no_server() -> None:
    unwanted = (*SERVER, *STORE, *HEAVY)
    script = (
        "import sys; from hub.client import *; print(*sorted(set(sys.modules) & set(sys.argv)))"
    )
    assert python("-c", script, *unwanted).split() == []


def test_the_version_is_said_at_once() -> None:
    """The least of several: what else runs on the machine shows in a single one."""
    script = """
import resource, subprocess, sys
from tests.support.patience import PATIENCE
subprocess.run([sys.executable, "-m", "hub", "--version"], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
"""
    assert min(float(python("-c", script)) for _ in range(5)) <= VERSION_SECONDS
