"""The configuration: its keys and their meaning (`schema`), where values come from, what is wrong.

=============  ==================================================================
`schema`       every table and key, with its type, range and default
`fields`       the kinds of values that several keys have
`keys`         which keys there are
`source`       the file, and the environment over it
`toml_lines`   the line on which a key stands
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
