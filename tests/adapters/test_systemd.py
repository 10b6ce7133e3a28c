"""The door to systemd, on real datagram sockets."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.adapters.systemd import Systemd
from tests.manager import Manager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify") if request.param == "path" else f"@runbook-test-{os.getpid()}")
    yield made
    made.socket.close()


def test_a_path_and_an_abstract_socket_hear_each_word_with_its_status(manager: Manager):
    door = Systemd(manager.environment)
    door.ready("started")
    assert manager.heard() == ["READY=1", "STATUS=started"]
    door.alive("NFO open")
    assert manager.heard() == ["WATCHDOG=1", "STATUS=NFO open"]
    door.reloading()
    first, stamp = manager.heard()
    assert first == "RELOADING=1"
    assert int(stamp.removeprefix("MONOTONIC_USEC=")) > 0
    door.stopping()
    assert manager.heard() == ["STOPPING=1"]


def test_a_status_of_several_lines_cannot_say_another_word(manager: Manager):
    Systemd(manager.environment).ready("a\nSTOPPING=1")
    assert manager.heard() == ["READY=1", "STATUS=a STOPPING=1"]


@pytest.mark.parametrize(
    "changed", [{"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_PID": "1"}]
)
def test_a_watchdog_that_is_not_ours_is_not_fed(changed: dict[str, str], tmp_path: Path):
    manager = Manager(str(tmp_path / "notify"))
    door = Systemd(manager.environment | changed)
    door.alive("well")
    door.alive()
    assert manager.all() == ["STATUS=well"]
    manager.socket.close()


def test_without_a_service_manager_nothing_is_said_and_nothing_is_wrong():
    door = Systemd({})
    door.ready()
    door.alive()
    assert not door.listens


def test_a_socket_that_is_gone_is_told_of_once_and_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    door = Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"})
    for _ in range(3):
        door.alive()
    assert len(caplog.records) == 1


def test_a_manager_that_does_not_read_does_not_hold_up_the_pulse(tmp_path: Path):
    manager = Manager(str(tmp_path / "notify"))
    door = Systemd(manager.environment)
    done = threading.Event()

    def flood() -> None:
        for _ in range(2000):
            door.alive("x" * 500)
        done.set()

    threading.Thread(target=flood, daemon=True).start()
    assert done.wait(10)
    manager.socket.close()
