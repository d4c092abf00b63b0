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
    "hub.app": ("hub.docs.page", "hub.docs.openapi", "markdown_it"),
}

# All of the hub that says its version; of other packages, what reads a command line.
VERSION = {
    "hub",
    "hub.cli",
    "hub.cli.output",
    "hub.domain",
    "hub.domain.errors",
    "hub.lazy_imports",
}

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
    """It takes what is imported for it: another module of the hub may bring seconds of others."""
    script = """
import sys
from hub.cli import main
try:
    main()
finally:
    print(*sys.modules)
"""
    said, loaded = python("-c", script, "--version").splitlines()
    assert said.startswith("streamhub ")
    modules = set(loaded.split())
    assert {name for name in modules if name.partition(".")[0] == "hub"} == VERSION
    assert not modules & {*SERVER, *STORE, *HEAVY, *CLIENT, "rich"}
