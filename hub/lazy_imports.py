"""Packages that import what they export when it is first asked for (PEP 562).

Whoever imports one module of a package runs its ``__init__``, and should not pay for the others:
``import hub.client`` needs no server, no SQLite and no pydantic. A type checker sees ordinary
imports, under ``TYPE_CHECKING``; at run time `lazy` gives the package its ``__getattr__``.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy", "moved"]


def lazy(
    package: str, names: Mapping[str, str], deprecated: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package.

    ``names`` are the modules of what it exports, by name; ``deprecated`` are old names, each with
    the place of what it meant: ``module:name``.
    """
    old = deprecated or {}

    def get(name: str) -> Any:
        if name in names:
            value = getattr(import_module(names[name]), name)
            setattr(sys.modules[package], name, value)
            return value
        if name in old:
            module, _, new = old[name].partition(":")
            _warn(f"{package}.{name}", f"{module}.{new}")
            return getattr(import_module(module), new)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names_of() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return get, names_of


def moved(
    old: str, new: str, renamed: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a module that has moved: all it had is at ``new``.

    ``renamed`` are new names by their old ones.
    """
    names = renamed or {}

    def get(name: str) -> Any:
        now = names.get(name, name)
        module = import_module(new)
        if not name.startswith("__") and hasattr(module, now):
            _warn(f"{old}.{name}", f"{new}.{now}")
            return getattr(module, now)
        if name == "__all__":
            return module.__all__
        raise AttributeError(f"module {old!r} has no attribute {name!r}")

    def names_of() -> list[str]:
        return dir(import_module(new))

    return get, names_of


def _warn(old: str, new: str) -> None:
    # Whoever asked; warnings leave out the frames of the import system.
    warnings.warn(f"{old} is now {new}", DeprecationWarning, stacklevel=3)
