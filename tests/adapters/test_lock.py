"""One daemon to a database: the kernel holds the lock, and frees it when the holder dies."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from runbook.adapters.lock import DatabaseLock
from runbook.errors import AlreadyRunning

HOLDS = """
import sys
from pathlib import Path
from runbook.adapters.lock import DatabaseLock
DatabaseLock(Path(sys.argv[1])).take("pid 812 on desk since 08:00")
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_second_taker_is_refused_and_told_who_holds_it(tmp_path):
    first, second = DatabaseLock(tmp_path / "runbook.db"), DatabaseLock(tmp_path / "runbook.db")
    assert not second.held()
    first.take("pid 1 on desk")
    assert second.held()
    with pytest.raises(AlreadyRunning, match="holds this database: pid 1 on desk") as caught:
        second.take("pid 2 on desk")
    assert "runbook status" in (caught.value.hint or "")
    first.release()
    first.release()  # a second time is nothing
    assert not second.held()
    second.take("a much shorter life")
    assert second.path.read_text() == "a much shorter life"
    second.release()


def test_a_shorter_name_leaves_nothing_of_a_longer_one(tmp_path):
    lock = DatabaseLock(tmp_path / "deep" / "runbook.db")
    for who in ("a holder with a long name", "short"):
        lock.take(who)
        assert lock.path.read_text() == who
        lock.release()


def test_a_lock_that_says_nothing_is_refused_all_the_same(tmp_path):
    first, second = DatabaseLock(tmp_path / "runbook.db"), DatabaseLock(tmp_path / "runbook.db")
    first.take("")
    with pytest.raises(AlreadyRunning, match="it does not say which"):
        second.take("x")
    first.release()


def test_a_kill_frees_the_lock(tmp_path):
    lock = DatabaseLock(tmp_path / "runbook.db")
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "runbook.db")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning, match="pid 812 on desk since 08:00"):
            lock.take("x")
        assert lock.held()
        other.send_signal(signal.SIGKILL)
        other.wait(10.0)
    assert not lock.held()
    lock.take("y")
    lock.release()


def test_a_child_does_not_inherit_the_lock(tmp_path):
    """Children outlive their daemon by seconds (a calendar, a message): none of them may keep the next one out."""
    lock = DatabaseLock(tmp_path / "runbook.db")
    lock.take("x")
    code = "import sys; print('up', flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        lock.release()
        assert not lock.held()
        child.kill()
