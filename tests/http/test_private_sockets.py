"""A private socket is its owner's, wherever it lies, and takes the place of nothing else."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from hub.http.private_sockets import address, listen_privately


@pytest.mark.parametrize("folder", ["a", "long" * 40])
def test_only_its_owner_may_connect(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "socket"
    path.parent.mkdir()
    with listen_privately(path) as listening:
        listening.setblocking(True)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client, address(path) as where:
            client.connect(where)


def test_a_socket_of_before_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listen_privately(path).close()
    listen_privately(path).close()
    path.unlink()
    path.write_text("a file")
    with pytest.raises(FileExistsError):
        listen_privately(path)
    assert path.read_text() == "a file"
