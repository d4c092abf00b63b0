"""What a supervisor hands over and is told; processes: `tests.faults.test_a13_restart`."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hub.domain.errors import ConfigError
from hub.server.systemd import inherited, notify

HERE = str(os.getpid())


def test_without_variables_nothing_is_inherited() -> None:
    for environ in ({}, {"LISTEN_FDS": "1"}, {"LISTEN_PID": HERE}):
        assert inherited(dict(environ), notsent_lowat=1) == []


def test_what_is_for_another_process_is_left_alone_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "http", "OTHER": "x"}
    assert inherited(environ, notsent_lowat=1) == []
    assert environ == {"OTHER": "x"}, "children are not to take it for theirs"
    assert "'1', which is not this one" in caplog.text


@pytest.mark.parametrize("count", ["", "x", "-1", "1.0", "65", "\u0663"])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    with pytest.raises(ConfigError) as caught:
        inherited({"LISTEN_PID": HERE, "LISTEN_FDS": count}, notsent_lowat=1)
    assert caught.value.code == "bad_socket"


@pytest.mark.parametrize("abstract", [False, True])
def test_the_supervisor_is_told(tmp_path: Path, *, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        name = f"{tmp_path}/notify"
        there.bind(f"\0{name}" if abstract else name)
        notify({"NOTIFY_SOCKET": f"@{name}" if abstract else name}, "READY=1", "STATUS=here")
        assert there.recv(100) == b"READY=1\nSTATUS=here"


def test_nobody_who_listens_is_no_reason_to_fail(tmp_path: Path) -> None:
    for environ in ({}, {"NOTIFY_SOCKET": f"{tmp_path}/none"}, {"NOTIFY_SOCKET": "vsock:2:1"}):
        notify(dict(environ), "READY=1")
