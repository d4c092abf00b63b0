"""The documents as they are kept beside this file: written by `__main__`, served as they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["ASYNCAPI", "OPENAPI", "STYLE", "as_text", "recipes", "write"]

HERE: Final = Path(__file__).parent
OPENAPI: Final = HERE / "openapi.json"
ASYNCAPI: Final = HERE / "asyncapi.json"
STYLE: Final = HERE / "docs.css"
RECIPES: Final = "RECIPES.md"


def as_text(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def write(path: Path, document: Callable[[], dict[str, Any]]) -> bool:
    """Write a document anew; whether it has changed."""
    text = as_text(document())
    if path.is_file() and path.read_text("utf-8") == text:
        return False
    path.write_text(text, "utf-8")
    return True


def recipes() -> Path:
    """Inside the package where it was installed, beside it in a checkout."""
    installed = HERE / RECIPES
    return installed if installed.is_file() else HERE.parents[1] / RECIPES
