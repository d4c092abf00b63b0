"""The configuration: its keys, the sources of their values, and messages about mistakes.

=============  ==================================================================
`schema`       every table and key, with its type, range and default
`fields`       types of values that several keys share
`keys`         a walk over all keys
`source`       the file, overridden by the environment
`toml_lines`   the line number of each key
=============  ==================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.lazy_imports import lazy

if TYPE_CHECKING:
    from hub.config.schema import Config
else:
    __getattr__, __dir__ = lazy(__name__, {"Config": "hub.config.schema"})

__all__ = ["Config"]
