"""The layers, and the sizes of files."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HUB = Path(__file__).parents[1] / "hub"
FILES = sorted(HUB.rglob("*.py"))
LINES = 600

# Every module stands on one floor; imports go down or stay. A package stands as a whole.
FLOORS = {
    0: ["anyjson", "errors", "events", "records", "prompt", "counts", "meta", "names", "config",
        "configfile", "configkeys", "configvalues", "defaults", "tomllines", "headers",
        "unchanging", "logs", "spread", "allowance"],
    1: ["framing", "dialects", "ask", "generation", "encoders", "merge", "commands",
        "conversation", "answers", "complaint", "failures", "durable_sse", "jsonvalue",
        "messages", "producers", "presence", "options", "anthropic_request", "gemini_request",
        "partialargs", "responses_items", "responses_request", "rejection", "callids", "calls",
        "openai_errors", "completions", "response_asked", "response_input", "manner",
        "response_told", "response_events", "uichunks", "uimessages", "aguichunks", "view",
        "options_asked", "requested", "speech", "surrogates", "thinking", "toolcalls", "lives",
        "callarguments", "counting", "padding", "removals"],
    2: ["alarm", "background", "stores", "fanout", "forks", "history", "stream", "awaited",
        "kept", "listing", "moment", "streams", "pipeline", "steps", "source", "intake",
        "delivery", "wire"],
    3: ["upstream_request", "upstream_body", "dialer", "fallback", "client", "upstream",
        "progress", "subscription", "standby", "participants", "connection", "keys", "relay",
        "runs", "waiting", "callers", "hub", "authors", "recall"],
    4: ["transports", "docs", "statuses", "bodies", "durable_answers", "durable_headers",
        "origins", "hosts", "admission", "responses", "openai_answers", "models", "replies",
        "view_reading", "chat_answers", "ranges", "request_ids"],
    5: ["app", "door", "farewell", "listeners", "serving", "systemd", "cli", "__main__",
        "__init__"],
}  # fmt: skip
FLOOR_OF = {module: floor for floor, modules in FLOORS.items() for module in modules}
SIBLINGS = ("dialects", "stores", "transports")

# Who speaks to other servers.
DIALLING = ("upstream_request", "upstream_body", "dialer", "client")
# What only some files may import, and which.
ONLY: dict[str, Callable[[str], bool]] = {
    "aiohttp.web": lambda module: FLOOR_OF[module] >= 4,
    "aiohttp": lambda module: FLOOR_OF[module] >= 4 or module in DIALLING,
    "asyncio": lambda module: FLOOR_OF[module] >= 2,
    "sqlite3": lambda module: module == "stores",
    "apsw": lambda module: module == "stores",
    "hub.config": lambda module: FLOOR_OF[module] == 5 or module.startswith("config"),
}


def module_of(path: Path) -> str:
    """The name by which a file stands in FLOORS: its package under hub/, or its stem."""
    parts = path.relative_to(HUB).with_suffix("").parts
    return parts[0]


def imports_of(path: Path) -> Iterator[str]:
    """Every module a file imports, in full, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            # `from hub import dialects` imports a module, `from hub.errors import X` does not.
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def stem_of(imported: str) -> str | None:
    """The hub module in an imported name, if it is one."""
    parts = imported.split(".")
    if parts[0] != "hub" or len(parts) == 1:
        return None
    return parts[1] if parts[1] in FLOOR_OF else None


def by_name(path: Path) -> str:
    return str(path.relative_to(HUB))


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_stands_on_a_floor(path: Path) -> None:
    assert module_of(path) in FLOOR_OF, f"give {path.name} a floor in {__file__}"


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_imports_go_down(path: Path) -> None:
    floor = FLOOR_OF[module_of(path)]
    for imported in imports_of(path):
        below = stem_of(imported)
        if below is not None:
            assert FLOOR_OF[below] <= floor, f"{path.name} reaches up to {imported}"


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_siblings_do_not_know_each_other(path: Path) -> None:
    package = module_of(path)
    if package not in SIBLINGS or path.stem == "__init__":
        return
    own = f"hub.{package}."
    others = {
        f"{own}{other.stem}" for other in path.parent.glob("*.py") if other.stem != "__init__"
    } - {own + path.stem}
    assert not others & set(imports_of(path))


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_only_some_may_import(path: Path) -> None:
    module = module_of(path)
    for imported in imports_of(path):
        for what, may in ONLY.items():
            if imported == what or imported.startswith(f"{what}."):
                assert may(module), f"{path.name} may not import {imported}"


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_size(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LINES


def test_no_file_imports_in_a_circle() -> None:
    """On one floor too, what a file needs stands before it; type hints alone may look back."""
    needs = {path: set(_needed(path)) for path in FILES}
    while needs:
        free = {path for path, needed in needs.items() if not needed & set(needs) - {path}}
        assert free, f"circle among {sorted(by_name(path) for path in needs)}"
        for path in free:
            del needs[path]


def _needed(path: Path) -> Iterator[Path]:
    tree = ast.parse(path.read_text("utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in guarded and node.module:
            for name in [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]:
                file = HUB.parent / Path(*name.split("."))
                for candidate in (file.with_suffix(".py"), file / "__init__.py"):
                    if name.startswith("hub.") and candidate.is_file():
                        yield candidate
