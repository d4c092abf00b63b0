"""What other people's programs import stays importable, with a warning that says the new name."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import hub

# Old module, name -> new module, name.
MOVED = {
    ("hub", "Ask"): ("hub.domain.generation_request", "GenerationRequest"),
    ("hub.dialects", "Yielding"): ("hub.dialects", "HasAlternatives"),
    ("hub.events", "Delta"): ("hub.domain.events", "Delta"),
    ("hub.errors", "UpstreamError"): ("hub.domain.errors", "UpstreamError"),
    ("hub.prompt", "Prompt"): ("hub.domain.prompt", "Prompt"),
    ("hub.options", "Options"): ("hub.dialects.request.dialect_options", "Options"),
}

# What stays where it was, without a warning.
STAYS = {
    "hub": [
        "FAREWELL", "HUB", "Config", "Hub", "HubError", "Pipeline", "Position", "make_app", "setup",
    ],
    "hub.client": [
        "Cancelled", "Delta", "Event", "Failed", "Finished", "Following", "Generation", "Hub",
        "HubError", "Interrupted", "Message", "Other", "Reset", "Started", "StreamInfo",
        "SyncFollowing", "SyncHub", "ToolCall", "Usage", "Value",
    ],
    "hub.config": ["Config"],
    "hub.dialects": [
        "BEARER", "Call", "Dialect", "KeyHeader", "Knowing", "Local", "MakeDialect", "Reasoning",
        "find", "names",
    ],
    "hub.dialects.anthropic": ["Anthropic"],
    "hub.dialects.demo": ["Demo"],
    "hub.dialects.gemini": ["Gemini"],
    "hub.dialects.openai_responses": ["OpenAIResponses"],
    "hub.framing": [
        "DEFAULT_LIMIT", "NDJSON", "SSE", "Chunk", "ConcatenatedJSON", "Framing", "JSONArray",
        "JSONSeq", "Sniffed", "Text", "for_content_type",
    ],
    "hub.pipeline": ["Appendable", "Pipeline"],
    "hub.stores": ["Store"],
    "hub.stores.memory": ["MemoryStore"],
    "hub.stores.sqlite": ["SQLiteStore"],
}  # fmt: skip

# The imports of a dialect in a package of its own, as they were before.
DIALECT = """
from hub.dialects import Call, KeyHeader, Yielding
from hub.errors import UpstreamError
from hub.events import Delta, Finished
from hub.framing import NDJSON
from hub.options import Options
from hub.prompt import Prompt
"""


@pytest.mark.parametrize(("old", "new"), MOVED.items(), ids=".".join)
def test_an_old_name_means_the_new_one_and_warns(
    old: tuple[str, str], new: tuple[str, str]
) -> None:
    found = getattr(importlib.import_module(new[0]), new[1])
    with pytest.warns(DeprecationWarning, match=f"{'.'.join(old)} is now {'.'.join(new)}"):
        assert getattr(importlib.import_module(old[0]), old[1]) is found


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in STAYS.items() for name in names]
)
def test_a_public_name_stays_where_it_was(module: str, name: str) -> None:
    assert getattr(importlib.import_module(module), name) is not None


def test_a_name_that_never_was_is_none() -> None:
    for module in ("hub", "hub.events", "hub.client"):
        assert not hasattr(importlib.import_module(module), "Nothing")


def test_a_package_lists_what_it_exports() -> None:
    assert set(hub.__all__) <= set(dir(hub))


def test_a_dialect_of_another_package_may_import_as_before() -> None:
    said = subprocess.run(
        [sys.executable, "-W", "default", "-c", DIALECT], capture_output=True, check=True, text=True
    )
    warned = [line for line in said.stderr.splitlines() if "DeprecationWarning" in line]
    assert len(warned) == 6
    assert all(line.startswith("<string>:") for line in warned)
