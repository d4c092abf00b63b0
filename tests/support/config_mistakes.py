"""What loading a configuration says about its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config.schema import Config
from hub.domain.errors import ConfigError

SECRET = "sk-verysecret"


def told(path: Path | None, **environ: str) -> list[str]:
    """The lines of the error that loading ends in, with the file's folder left out."""
    with pytest.raises(ConfigError) as caught:
        Config.load(path, environ)
    assert caught.value.code == "config_invalid"
    folder = f"{path.parent}/" if path else "/"
    return caught.value.message.replace(folder, "").split("\n")
