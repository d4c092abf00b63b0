"""The documents as text: those that the package carries, or else made from the code.

The build of the package makes them. A checkout has none: there they are made when they are
first asked for, so that they always describe the code beside them.
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
    return _read(folder / OPENAPI) or _made(OPENAPI)


def asyncapi(folder: Path = HERE) -> str:
    """The AsyncAPI document in JSON, read from ``folder`` if it is there."""
    return _read(folder / ASYNCAPI) or _made(ASYNCAPI)


def write(folder: Path) -> list[Path]:
    """Make both documents from the code; the files that now hold them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / OPENAPI, folder / ASYNCAPI]
    for path in paths:
        path.write_text(_made(path.name), "utf-8")
    return paths


def recipes() -> Path:
    """Inside the package where it was installed, beside it in a checkout."""
    installed = HERE / RECIPES
    return installed if installed.is_file() else HERE.parents[1] / RECIPES


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def _made(name: str) -> str:
    # They import all protocols: whoever has the files does not wait for that.
    from hub.docs import asyncapi, openapi

    document: dict[str, Any] = {OPENAPI: openapi.document, ASYNCAPI: asyncapi.document}[name]()
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
