"""The documents as text: read from the package, or else generated from the code.

The package build generates the files. A checkout has none, so there the documents are generated at
the first request and always describe the current code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["ASYNCAPI", "OPENAPI", "STYLE", "asyncapi", "openapi", "recipes", "write"]

HERE: Final = Path(__file__).parent
OPENAPI: Final = "openapi.json"
ASYNCAPI: Final = "asyncapi.json"
STYLE: Final = HERE / "docs.css"
RECIPES: Final = "RECIPES.md"


def openapi(folder: Path = HERE) -> str:
    """The OpenAPI document in JSON, read from ``folder`` if it is there."""
    return _read_or_generate(folder / OPENAPI)


def asyncapi(folder: Path = HERE) -> str:
    """The AsyncAPI document in JSON, read from ``folder`` if it is there."""
    return _read_or_generate(folder / ASYNCAPI)


def write(folder: Path) -> list[Path]:
    """Generate both documents into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / OPENAPI, folder / ASYNCAPI]
    for path in paths:
        path.write_text(_generate(path.name), "utf-8")
    return paths


def recipes() -> Path:
    """The path of ``RECIPES.md``: in the installed package, or at the root of a checkout."""
    installed = HERE / RECIPES
    return installed if installed.is_file() else HERE.parents[1] / RECIPES


def _read_or_generate(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else _generate(path.name)


def _generate(name: str) -> str:
    # These import every protocol, which is slow; it is not necessary if the files exist.
    from hub.docs import asyncapi, openapi

    document: dict[str, Any] = {OPENAPI: openapi.document, ASYNCAPI: asyncapi.document}[name]()
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
