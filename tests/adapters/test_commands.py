"""The door to commands, with real children: their groups, their output, their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.adapters.commands import MOST, ChildCommands
from runbook.clock import host_monotonic
from runbook.command import Ended, Ending
from runbook.ports import Commands
from runbook.redact import Redactor
from tests.fakes import until

ROOT = Path(__file__).parents[2]
SECRET = "key-of-the-desk-0123456789abcdef-xyz"  # of a length by which no cut is a whole number of them


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ChildCommands]:
    made = ChildCommands(Redactor([SECRET]), tmp_path, grace=0.4)
    yield made
    made.close()


def python(code: str, *words: str) -> list[str]:
    return [sys.executable, "-c", code, *words]


def script(folder: Path, text: str, name: str = "program") -> str:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pid_in(file: Path) -> int:
    until(lambda: file.exists() and file.read_text().strip(), f"nobody wrote {file.name}")
    return int(file.read_text())


def test_a_command_that_ends_gives_its_code_and_what_it_printed(door):
    done = door.run(python("import sys; print('well'); print('hm', file=sys.stderr); sys.exit(3)"), 20)
    assert (done.ending, done.code, done.out, done.err) == (Ending.EXITED, 3, "well\n", "hm\n")
    assert not done.good
    assert door.run(["true"], 20).good


def test_words_reach_the_program_as_they_are_and_no_shell_reads_them(door):
    words = ["$HOME", "a b", "; touch x", "*", "`id`"]
    done = door.run(python("import json, sys; print(json.dumps(sys.argv[1:]))", *words), 20)
    assert json.loads(done.out) == words


def test_nothing_is_read_from_our_input_and_no_file_of_ours_stays_open(door, tmp_path):
    with (tmp_path / "held").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        code = "import os, sys; print(repr(sys.stdin.read()), sorted(int(n) for n in os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')))"
        done = door.run(python(code), 20)
    assert done.out == "'' [0, 1, 2] 4\n"  # the fourth is the listing itself


def test_the_environment_is_small_and_holds_no_secret_of_ours(door, monkeypatch):
    monkeypatch.setenv("OPENALGO_API_KEY", SECRET)
    monkeypatch.setenv("ASKED", "yes")
    monkeypatch.setenv("OTHER", "no")
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    held = json.loads(door.run(python(code), 20, None, ["ASKED", "OPENALGO_API_KEY"]).out)
    assert held["ASKED"] == "yes"
    assert held["PATH"] == os.environ["PATH"]
    assert not {"OTHER", "OPENALGO_API_KEY"} & held.keys()


def test_a_program_that_is_not_there_is_said(door, tmp_path):
    done = door.run(["no-such-program-here"], 5)
    assert (done.ending, done.fault) == (Ending.NOT_FOUND, "there is no `no-such-program-here` on this host")
    (tmp_path / "plain").write_text("text")
    assert "cannot be run" in door.run([str(tmp_path / "plain")], 5).fault


def test_what_is_too_slow_gets_a_term_and_may_say_its_last_word(door, tmp_path):
    done = door.run([script(tmp_path, "trap 'echo bye; exit 0' TERM\necho up\nwhile :; do sleep 0.02; done")], 0.5)
    assert done.ending is Ending.TIMED_OUT
    assert done.out == "up\nbye\n"
    assert done.code == 0


def test_what_does_not_hear_a_term_is_killed_with_everything_it_started(door, tmp_path):
    child = tmp_path / "child"
    text = (
        f"trap '' TERM\n(trap '' TERM; while :; do sleep 0.05; done) &\necho $! > {child}\nwhile :; do sleep 0.05; done"
    )
    began = host_monotonic()
    done = door.run([script(tmp_path, text)], 0.5)
    assert (done.ending, done.code) == (Ending.TIMED_OUT, signal.SIGKILL)
    assert host_monotonic() - began >= 0.5 + 0.4
    until(lambda: not alive(pid_in(child)), "the grandchild lives on")


def test_a_grandchild_that_holds_the_pipe_hangs_nobody_and_ends_with_its_command(door, tmp_path):
    child = tmp_path / "child"
    began = host_monotonic()
    done = door.run([script(tmp_path, f"sleep 600 &\necho $! > {child}\necho done")], 60)
    assert (done.ending, done.code, done.out) == (Ending.EXITED, 0, "done\n")
    assert host_monotonic() - began < 30
    until(lambda: not alive(pid_in(child)), "the grandchild lives on")


def test_a_grandchild_in_a_session_of_its_own_hangs_nobody_either(door, tmp_path):
    child = tmp_path / "child"
    code = f"import os, time; os.setsid(); open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    text = f'{sys.executable} -c "{code}" &\nwhile [ ! -s {child} ]; do sleep 0.02; done\necho done'
    done = door.run([script(tmp_path, text)], 60)
    assert (done.ending, done.out) == (Ending.EXITED, "done\n")
    os.kill(pid_in(child), signal.SIGKILL)  # this is the one that goes on, and it is ours


def test_a_stop_ends_it_before_its_time(door, tmp_path):
    mark, stop, results = tmp_path / "pid", threading.Event(), list[Ended]()
    text = f"echo $$ > {mark}\nexec sleep 600"
    thread = threading.Thread(target=lambda: results.append(door.run([script(tmp_path, text)], 600, stop)))
    thread.start()
    pid = pid_in(mark)
    stop.set()
    thread.join(10)
    assert results[0].ending is Ending.STOPPED
    assert not alive(pid)


def test_closing_the_door_ends_all_and_starts_nothing_more(door, tmp_path):
    files = [tmp_path / f"pid{n}" for n in range(3)]
    results: list[Ended] = []
    threads = [
        threading.Thread(
            target=lambda f=f: results.append(
                door.run([script(tmp_path, f"echo $$ > {f}\nexec sleep 600", f"p{f.name}")], 600)
            )
        )
        for f in files
    ]
    for thread in threads:
        thread.start()
    pids = [pid_in(file) for file in files]
    door.close()
    assert not any(map(alive, pids))
    for thread in threads:
        thread.join(10)
    assert {done.ending for done in results} == {Ending.STOPPED}
    assert door.run(["true"], 5).ending is Ending.STOPPED


def test_a_command_that_is_killed_by_another_hand_says_by_which_signal(door, tmp_path):
    done = door.run([script(tmp_path, "kill -KILL $$")], 20)
    assert (done.ending, done.code) == (Ending.SIGNALLED, signal.SIGKILL)


def test_of_ten_megabytes_the_beginning_and_the_end_are_kept(door):
    code = "import sys; print('first'); sys.stdout.write('x' * 79 + '\\n') if 0 else [sys.stdout.write('x' * 79 + '\\n') for _ in range(131072)]; print('last')"
    done = door.run(python(code), 60)
    assert done.good
    assert done.out.startswith("first\n")
    assert done.out.endswith("last\n")
    assert " bytes left out " in done.out
    assert len(done.out) < MOST


def test_an_output_without_end_is_ended_with_its_time(door):
    done = door.run(["yes"], 0.5)
    assert done.ending is Ending.TIMED_OUT
    assert len(done.out) < MOST


def test_a_secret_is_masked_wherever_it_stands_in_the_output(door):
    done = door.run(python(f"import sys; print('key', {SECRET!r}); print({SECRET!r}, file=sys.stderr)"), 20)
    assert (done.out, done.err) == ("key ***\n", "***\n")


def test_a_secret_across_a_cut_is_not_shown_by_halves(door):
    """The stream is nothing but the secret, so every place at which it could be cut lies within one."""
    done = door.run(python(f"import sys; [sys.stdout.write({SECRET!r}) for _ in range(20000)]"), 60)
    words = done.out.replace("***", "").replace("\n", " ").split()
    assert "left" in words  # it was cut
    assert not [w for w in words if w in SECRET and not w.isdigit() and w != "left"], words


def test_many_commands_at_once_do_not_wait_for_each_other(door, tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    text = f"touch {gate}/$1\nwhile [ $(ls {gate} | wc -l) -lt 4 ]; do sleep 0.02; done"
    program, results = script(tmp_path, text), list[Ended]()
    threads = [threading.Thread(target=lambda n=n: results.append(door.run([program, str(n)], 30))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert [done.good for done in results] == [True] * 4  # each ended only since all four ran


def _typed(tmp_path: Path) -> Commands:
    """Holds the door against its port; mypy reads it, nobody calls it."""
    return ChildCommands(Redactor(), tmp_path)


OWNER = """
import sys, threading
from pathlib import Path
from runbook.adapters.commands import ChildCommands
from tests.fakes import until
folder = Path(sys.argv[1])
door = ChildCommands(str, folder, grace=0.3)
other = threading.Thread(target=lambda: (folder / "ended").write_text(repr(door.run(sys.argv[2:], 60))))
other.start()
until((folder / "child.pid").exists, "the command does not begin")
door.run(["true"], 20)  # one begins after the other: by now the first has its guard
(folder / "begun").touch()
other.join()
"""
KEEPS_ON = "trap '' TERM\nsleep 60 & echo $! > grandchild.pid; echo $$ > child.pid; wait; wait"
HEARS = (
    "trap 'echo heard > heard; kill $!; exit 0' TERM\nsleep 60 & echo $! > grandchild.pid; echo $$ > child.pid; wait"
)


def owner(folder: Path, text: str) -> subprocess.Popen[bytes]:
    """A process of its own that runs a command, as runbook does; the command writes child.pid."""
    made = subprocess.Popen([sys.executable, "-c", OWNER, str(folder), script(folder, text)], cwd=ROOT)
    until((folder / "begun").exists, "the command does not begin")
    return made


@pytest.mark.parametrize("text", [KEEPS_ON, HEARS])
def test_when_runbook_is_killed_its_command_ends_with_everything_it_started(tmp_path, text):
    killed = owner(tmp_path, text)
    pids = [pid_in(tmp_path / "child.pid"), pid_in(tmp_path / "grandchild.pid")]
    killed.kill()
    killed.wait(10)
    until(lambda: not any(map(alive, pids)), f"one of {pids} lives on")
    assert (tmp_path / "heard").exists() == (text is HEARS), "it was asked before it was made to"


def test_a_command_whose_guard_was_killed_runs_on_and_ends_as_ever(tmp_path):
    held = owner(tmp_path, "echo $$ > child.pid; until [ -e go ]; do sleep 0.02; done; echo done")
    guards = [pid for pid in children_of(held.pid) if b"commands_guard.py" in words_of(pid)]
    assert len(guards) == 1
    os.kill(guards[0], signal.SIGKILL)
    (tmp_path / "go").touch()
    assert held.wait(20) == 0
    assert "out='done" in (tmp_path / "ended").read_text()


def test_no_guard_is_left_when_commands_are_over(door):
    before = set(children_of(os.getpid()))
    door.run(["true"], 20)
    door.run(["no-such-program"], 20)
    door.run(python("import time; time.sleep(60)"), 0.1)
    assert set(children_of(os.getpid())) == before


def test_a_stopped_runbook_is_not_a_dead_one(tmp_path):
    """SIGSTOP, a suspended laptop: the command goes on, as its time does."""
    held = owner(tmp_path, "echo $$ > child.pid; until [ -e go ]; do sleep 0.02; done; echo on > on")
    held.send_signal(signal.SIGSTOP)
    (tmp_path / "go").touch()
    until((tmp_path / "on").exists, "the command does not go on")
    held.send_signal(signal.SIGCONT)
    assert held.wait(20) == 0
    assert "out='" in (tmp_path / "ended").read_text()


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for file in found for word in file.read_text(encoding="utf-8").split()]


def words_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
