"""Commands and remedies in a real engine on a real ledger, with real children; systemd is a script of that name."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbook.adapters.commands import ChildCommands
from runbook.command import CommandSpec, step
from runbook.engine.approvals import Question
from runbook.errors import JobFailed
from runbook.job import Found, JobSpec, OnAbandoned, Verdict
from runbook.people.asks import answer
from runbook.redact import Redactor
from runbook.remedy import Action, Checked, Did, Remedy, Said, When
from runbook.run import State
from tests.adapters.test_commands import alive, pid_in, script
from tests.engine_world import OK, World, job
from tests.engine_world import make as make_world
from tests.fakes import MONDAY, TUESDAY, at, until

__all__ = ["make_world"]

UNIT = "openalgo"


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `systemctl` that knows one unit and writes down what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = tmp_path / "systemctl.log"
    script(
        folder,
        f'echo "$@" >> {said}\ncase "$1 $*" in\n  cat*{UNIT}) exit 0;;\n  cat*) echo "No files found for $3." >&2; exit 1;;\nesac\n'
        f"[ -e {tmp_path}/broken ] && {{ echo 'Job for the unit failed.' >&2; exit 1; }}\nexit 0",
        "systemctl",
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return said


def asked(systemd: Path) -> list[str]:
    """What systemd was asked to do."""
    lines = systemd.read_text().splitlines() if systemd.exists() else []
    return [line for line in lines if not line.startswith("cat ")]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[ChildCommands]:
    made = ChildCommands(Redactor(), tmp_path, grace=0.4)
    yield made
    made.close()


RESTART = CommandSpec("restart_openalgo", ("systemctl", "restart", UNIT), 10.0, UNIT)
REMEDY = Remedy("restart_openalgo", "job.failed", RESTART, "check", When.MARKET_CLOSED)


@pytest.fixture
def make(make_world, door: ChildCommands) -> Callable[..., World]:
    """A desk at 08:00 whose step `mine` fails at 08:15, an hour before the open; `check` is what a remedy is verified by."""

    def made(remedy: Remedy = REMEDY, *jobs: JobSpec, **changes: Any) -> World:
        more = {"commands": door, "allowed": (remedy.command,), "remedies": (remedy,)}
        w: World = make_world(
            job("mine", "open-60m"), job("check", "open-30m", "close-1h"), *jobs, more=more, **changes
        )
        w.steps.does["mine"] = broken
        return w

    return made


def broken(_: object) -> Found:
    raise JobFailed("no answer")


def actions(w: World) -> list[Action]:
    with w.store.read() as books:
        return books.actions.of_session(w.calendar.today(w.clock.now()))


def looked_for(w: World) -> None:
    until(lambda: w.engine._remedies._seen, "the unit is not looked for")
    w.turn()


def concluded(w: World, count: int = 1) -> Action:
    """The last of `count` actions, once nothing of it is open."""
    until(lambda: len(actions(w)) == count and not actions(w)[-1].open, f"no {count} actions: {actions(w)}")
    return actions(w)[-1]


def state(w: World) -> str:
    w.turn()
    return str(w.engine._remedies.states.get("restart_openalgo", ""))


def hand(w: World, name: str = "restart_openalgo") -> str:
    with w.store.write() as books:
        number = books.desk.ask("remedy", {"name": name}, "cli:me", w.clock.now())
    w.turn()
    with w.store.read() as books:
        asked = books.desk.request(number)
    assert asked is not None
    return asked.answer or "not answered"


# -- a command as a step ------------------------------------------------------------------------------------------------


def command_job(spec: CommandSpec, **changes: Any) -> JobSpec:
    made = job("act", "open-30m", command=spec.name, acts=True, on_abandoned=OnAbandoned.FAIL, timeout=spec.timeout)
    return replace(made, **changes)


def acting(make_world, door: ChildCommands, spec: CommandSpec, **changes: Any) -> World:
    w: World = make_world(command_job(spec, **changes), job("beside", "open-30m"), steps_of=None)
    w.engine._p.steps["act"] = step(spec, door)  # type: ignore[index]
    return w


def test_a_command_is_a_step_with_its_words_code_and_output_in_the_row(make_world, door, tmp_path):
    program = script(tmp_path, 'echo "$1"; echo done')
    w = acting(make_world, door, CommandSpec("act", (program, "a b")))
    w.start()
    w.go("08:45")
    row = w.entry("act", "open-30m")
    assert (row.state, row.verdict, row.reason) == (State.SUCCEEDED, Verdict.OK, "act: done")
    assert row.last is not None
    assert row.last.facts["argv"] == [program, "a b"]
    assert (row.last.facts["exit_code"], row.last.facts["output"]) == (0, "a b\ndone")


def test_a_command_that_fails_keeps_its_facts_and_its_last_line_is_the_reason(make_world, door, tmp_path):
    w = acting(make_world, door, CommandSpec("act", (script(tmp_path, "echo before; echo it broke >&2; exit 4"),)))
    w.start()
    w.go("08:45")
    row = w.entry("act", "open-30m")
    assert (row.state, row.verdict) == (State.FAILED, Verdict.UNKNOWN)
    assert row.reason.startswith("act: it broke (exit code 4 ")
    assert row.last is not None
    assert row.last.facts["exit_code"] == 4


def test_a_command_that_hangs_is_a_row_delays_nobody_and_leaves_no_child(make_world, door, tmp_path):
    mark = tmp_path / "pid"
    spec = CommandSpec("act", (script(tmp_path, f"trap '' TERM\necho $$ > {mark}\nwhile :; do sleep 0.02; done"),), 0.5)
    w = acting(make_world, door, spec)
    w.engine.start()
    w.turn()
    w.clock.jump_to(at("08:45"))
    until(lambda: w.states()["beside open-30m"] is State.SUCCEEDED, "the step beside it waits")
    assert w.states()["act open-30m"] is State.RUNNING
    w.settle()
    row = w.entry("act", "open-30m")
    assert row.state is State.TIMED_OUT
    assert "still running after" in row.reason
    until(lambda: not alive(pid_in(mark)), "the child lives on")
    w.turn()
    assert w.engine.lost is None


def test_three_commands_that_hang_are_no_threads_that_hang(make_world, tmp_path):
    door = ChildCommands(Redactor(), tmp_path, grace=1.0)  # they outlive the moment at which their rows are given up
    program = script(tmp_path, "trap '' TERM\nwhile :; do sleep 0.02; done")
    specs = [CommandSpec(f"act{n}", (program,), 0.5) for n in range(3)]
    w = make_world(*(replace(command_job(s), name=s.name) for s in specs))
    for spec in specs:
        w.engine._p.steps[spec.name] = step(spec, door)
    w.start()
    w.go("08:45")
    assert set(w.states().values()) == {State.TIMED_OUT}
    w.turn()
    assert w.engine.lost is None


def test_a_stop_ends_the_child_and_the_row_says_that_it_was_cut_off(make_world, door, tmp_path):
    mark = tmp_path / "pid"
    w = acting(make_world, door, CommandSpec("act", (script(tmp_path, f"echo $$ > {mark}\nexec sleep 600"),), 600.0))
    w.engine.start()
    w.turn()
    w.clock.jump_to(at("08:45"))
    w.engine.wake()
    pid = pid_in(mark)
    door.close()
    w.engine.stop()
    assert not alive(pid)
    row = w.entry("act", "open-30m")
    assert (row.state, row.reason) == (State.ABANDONED, "runbook was stopped while this ran")
    again = w.again("08:50").start()
    assert again.entry("act", "open-30m").state is State.ABANDONED  # what acts is not run again by itself


# -- remedies -----------------------------------------------------------------------------------------------------------


def test_an_alert_before_the_open_brings_the_command_about_and_the_verify_says_it_helped(make, systemd):
    w = make().start()
    looked_for(w)
    w.go("08:15")
    done = concluded(w)
    assert asked(systemd) == [f"restart {UNIT}"]
    assert (done.did, done.exit_code, done.checked) == (Did.DONE, 0, Checked.OK)
    assert (done.by, done.cause, done.argv) == ("remedy:restart_openalgo", "#1", ("systemctl", "restart", UNIT))
    assert done.reason.startswith("check was ok")
    assert [t.actor for t in w.entry("check", "open-30m").tries] == ["remedy:restart_openalgo"]
    assert w.states()["check open-30m"] is State.PLANNED  # its own time is still to come
    assert [t for t in w.told() if "restart_openalgo" in t] == ["[OK] restart_openalgo helped"]
    w.go("08:30", "09:00")
    assert len(actions(w)) == 1  # the alert is still open, and one run is what it gets
    assert state(w).startswith("rests: it ran")


def test_a_verify_that_stays_red_asks_a_person_and_never_tries_again(make, systemd):
    w = make()
    w.steps.does["check"] = lambda _: Found(Verdict.BAD, "still dead")
    w.start()
    looked_for(w)
    w.go("08:15")
    until(lambda: actions(w) and actions(w)[0].verifying, "no verify")
    for clock in ("08:15:15", "08:15:30", "08:15:45", "08:16:30"):
        w.go(clock)
    done = concluded(w)
    assert (done.did, done.checked) == (Did.DONE, Checked.FAILED)
    assert done.reason == "check was not ok within 60 s of it"
    assert len(w.entry("check", "open-30m").tries) >= 3  # it was looked at again and again
    w.go("08:30", "08:40", "09:00")
    assert asked(systemd) == [f"restart {UNIT}"]
    assert [t for t in w.told() if "restart_openalgo" in t] == ["[ASK] restart_openalgo #1"]
    assert "did not help" in w.message("[ASK]").message.body.replace("\n  ", " ")


def test_a_command_that_fails_is_not_verified_and_a_person_is_asked(make, systemd, tmp_path):
    (tmp_path / "broken").touch()
    w = make().start()
    looked_for(w)
    w.go("08:15")
    done = concluded(w)
    assert (done.did, done.exit_code, done.checked) == (Did.FAILED, 1, None)
    assert done.reason.startswith("Job for the unit failed. (exit code 1")
    w.go("08:30")
    assert asked(systemd) == [f"restart {UNIT}"]
    assert w.entry("check", "open-30m").tries == ()
    assert [t for t in w.told() if "restart_openalgo" in t] == ["[ASK] restart_openalgo #1"]


def test_while_the_exchange_is_open_a_remedy_for_closed_hours_waits_and_says_until_when(make, systemd):
    w = make(replace(REMEDY, alert="job.overran"), job("slow", "open+5m", timeout=0.05))
    gate = threading.Event()
    w.steps.does |= {"slow": lambda _: gate.wait(20), "mine": lambda _: OK}
    w.start()
    looked_for(w)
    w.go("09:20")
    assert state(w) == "waits: NFO is open until 15:40"
    assert actions(w) == []
    gate.set()
    w.go("15:40:01")
    assert concluded(w).good
    assert asked(systemd) == [f"restart {UNIT}"]


def test_one_that_needs_an_approval_asks_once_and_runs_when_a_person_says_so(make, systemd):
    w = make(replace(REMEDY, when=When.APPROVED)).start()
    looked_for(w)
    w.go("08:15", "08:20", "08:30")
    assert [t for t in w.told() if "restart_openalgo" in t] == ["[ASK] restart_openalgo #1"]
    assert "runbook answer 1 restart | leave" in w.message("[ASK]").message.body
    assert actions(w) == []
    assert hand(w).startswith("started as action 1: systemctl restart openalgo")
    done = concluded(w)
    assert (done.by, done.cause, done.good) == ("cli:me", "#1", True)
    w.go("08:50", "09:00")
    assert [t for t in w.told() if "[ASK]" in t] == ["[ASK] restart_openalgo #1"]  # it helped: nothing is asked again


def test_an_answer_to_the_question_lets_it_run(make, systemd):
    w = make(replace(REMEDY, when=When.APPROVED)).start()
    looked_for(w)
    w.go("08:15")
    with w.store.write() as books:
        answer(books, 1, "restart", "", "telegram:7", w.clock.now())
    w.settle()
    assert (concluded(w).by, concluded(w).ask) == ("telegram:7", 1)


def test_a_run_by_hand_takes_the_question_back(make, systemd):
    w = make(replace(REMEDY, when=When.APPROVED)).start()
    looked_for(w)
    w.go("08:15")
    assert hand(w).startswith("started")
    concluded(w)
    w.settle()
    with w.store.read() as books:
        (ask,) = books.asks.newest(5)
    assert (str(ask.state), ask.note) == ("void", "it is no longer the question")


class Answers:
    """Where questions go in these tests; `said` are the answers by the key's beginning."""

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.said: dict[str, Said] = {}

    def ask(self, books, question, now):
        self.questions.append(question)

    def answer(self, books, key):
        return self.said.get(key)

    def stale(self, books, name, keep):
        return False

    def withdraw(self, books, name, keep, why, now): ...


def test_each_answer_counts_for_one_run(make, systemd):
    w, desk = make(replace(REMEDY, when=When.APPROVED, min_gap=timedelta(minutes=1))), Answers()
    w.engine._remedies._approvals = desk
    w.steps.does["check"] = lambda _: Found(Verdict.BAD, "still dead")
    w.start()
    looked_for(w)
    w.go("08:15")
    (first,) = desk.questions
    assert (first.choices, first.default) == (("restart", "leave"), "leave")
    assert first.evidence["argv"] == ["systemctl", "restart", UNIT]
    desk.said[first.key] = Said("restart", "telegram:7")
    w.turn()
    until(lambda: actions(w) and actions(w)[0].verifying, "it does not run")
    w.go("08:17", "08:17:05")
    assert concluded(w).by == "telegram:7"
    w.go("08:18", "08:19")
    assert len(actions(w)) == 1
    (_, second) = desk.questions
    assert second.key != first.key
    assert "did not help" in second.text
    desk.said[second.key] = Said("leave", "cli:me")
    w.go("08:20", "08:30")
    assert state(w) == "rests: cli:me said: leave"
    assert len(actions(w)) == 1
    assert len(desk.questions) == 2


def test_a_spent_budget_says_so_once(make, systemd, tmp_path):
    w, desk = make(replace(REMEDY, budget=1, min_gap=timedelta(seconds=1))), Answers()
    (tmp_path / "broken").touch()
    w.engine._remedies._approvals = desk
    w.start()
    looked_for(w)
    w.go("08:15")
    concluded(w)
    w.go("08:20", "08:30", "08:40")
    assert [t for t in w.told() if "restart_openalgo" in t] == ["[WARN] restart_openalgo does not run"]
    assert "1 of 1 runs" in w.message("does not run").message.body
    assert desk.questions == []  # nobody can let it run any more
    assert hand(w) == "not started: 1 of 1 runs of 2026-11-23 used"


def test_the_gap_holds_for_a_person_too(make, systemd):
    w = make(replace(REMEDY, when=When.APPROVED)).start()
    looked_for(w)
    assert hand(w).startswith("started")
    assert concluded(w).cause == "by hand"
    assert hand(w) == "not started: the last run is less than 10 min ago"
    w.go("08:11")
    assert hand(w).startswith("started")


def test_a_unit_that_does_not_exist_is_told_at_the_start_and_its_remedy_rests(make, systemd):
    wrong = CommandSpec("restart_openalgo", ("systemctl", "restart", "openalgo-websocket"), 10.0, "openalgo-websocket")
    w = make(replace(REMEDY, command=wrong)).start()
    looked_for(w)
    (title,) = w.told()
    assert title == "[WARN] a command cannot work here"
    assert "No files found for openalgo-websocket." in w.message("cannot work").message.body.replace("\n  ", " ")
    w.go("08:15", "08:30", "08:45")
    assert asked(systemd) == []
    assert w.told().count("[WARN] a command cannot work here") == 1
    assert w.told().count("[WARN] restart_openalgo does not run") == 1
    assert "does not exist" in hand(w)


def test_a_unit_that_has_gone_since_the_start_is_noticed_before_the_run(make, systemd, tmp_path):
    w = make().start()
    looked_for(w)
    unit = tmp_path / "bin" / "systemctl"
    unit.write_text(f'#!/bin/sh\necho "$@" >> {systemd}\necho "No files found." >&2\nexit 1\n')
    w.go("08:15")
    done = concluded(w)
    assert (done.did, done.exit_code) == (Did.FAILED, None)
    assert "does not exist: No files found." in done.reason
    assert asked(systemd) == []


def test_a_unit_that_comes_back_is_noticed(make, systemd, tmp_path):
    unit = tmp_path / "bin" / "systemctl"
    good = unit.read_text()
    unit.write_text("#!/bin/sh\nexit 1\n")
    w = make().start()
    looked_for(w)
    w.go("08:05")
    unit.write_text(good)
    w.go("08:11")
    until(lambda: w.engine._remedies._seen["restart_openalgo"].present, "not looked at again")
    w.go("08:15")
    assert concluded(w).good


def test_a_crash_while_it_ran_leaves_it_unknown_and_asks(make, systemd, door):
    w = make()
    w.start()
    looked_for(w)
    with w.store.write() as books:  # what a process leaves that was killed in mid-run
        books.actions.begin(
            Action(
                0, "restart_openalgo", MONDAY, "#1", ("systemctl",), "remedy:restart_openalgo", w.clock.now(), epoch=1
            )
        )
    w.stop()
    again = w.again("08:15")
    again.steps.does["mine"] = broken
    again.start()
    looked_for(again)
    again.settle()
    done = concluded(again)
    assert (done.did, done.checked) == (Did.ABANDONED, None)
    assert "whether it took effect is not known" in done.reason
    assert asked(systemd) == []
    assert again.told().count("[WARN] restart_openalgo: not known whether it helped") == 1
    assert again.told().count("[ASK] restart_openalgo #1") == 1


def test_only_the_named_hop_is_met(make, systemd):
    w = make(replace(REMEDY, hop="H2"))
    w.steps.does["mine"] = lambda _: (_ for _ in ()).throw(JobFailed("first broken hop: H3 the broker's ticks"))
    w.start()
    looked_for(w)
    w.go("08:15")
    assert (actions(w), state(w)) == ([], "")
    other = make(replace(REMEDY, hop="H3"), day=TUESDAY)
    other.steps.does["mine"] = w.steps.does["mine"]
    other.start()
    looked_for(other)
    other.go("08:15", day=TUESDAY)
    assert concluded(other).cause.startswith("#")


def test_a_remedy_that_is_not_there_is_named(make, systemd):
    w = make().start()
    looked_for(w)
    assert hand(w, "restart_all") == "no remedy 'restart_all'; accepted: restart_openalgo"


def test_a_restart_that_takes_long_delays_no_step(make, systemd, tmp_path):
    mark = tmp_path / "pid"
    program = script(tmp_path, f"echo $$ > {mark}\nwhile :; do sleep 0.02; done")
    w = make(replace(REMEDY, command=CommandSpec("restart_openalgo", (program,), 60.0)), job("beside", "open-59m"))
    w.start()
    looked_for(w)
    w.clock.jump_to(at("08:15"))
    w.turn()
    pid = pid_in(mark)
    assert not w.engine.idle  # whoever would put another engine in its place waits
    w.clock.jump_to(at("08:16"))
    w.turn()
    until(lambda: w.states()["beside open-59m"] is State.SUCCEEDED, "the step beside it waits")
    assert alive(pid)
    assert state(w) == "runs"
    os.kill(pid, signal.SIGKILL)  # by another hand
    done = concluded(w)
    assert (done.did, done.exit_code) == (Did.FAILED, signal.SIGKILL)
    assert done.reason.startswith("ended by signal 9")


def test_a_restart_that_does_not_end_is_ended_and_said_to_be(make, systemd, tmp_path):
    mark = tmp_path / "pid"
    program = script(tmp_path, f"trap '' TERM\necho $$ > {mark}\nwhile :; do sleep 0.02; done")
    w = make(replace(REMEDY, command=CommandSpec("restart_openalgo", (program,), 0.2)))
    w.start()
    looked_for(w)
    w.go("08:15")
    done = concluded(w)
    assert (done.did, done.exit_code) == (Did.TIMED_OUT, signal.SIGKILL)
    assert not alive(pid_in(mark))
