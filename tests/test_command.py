"""Which commands may be written down, the words they become, and what their end means."""

from __future__ import annotations

import shlex

import pytest

from runbook.command import CommandSpec, Ended, Ending, facts_of, fit, found, preflight, unit_of
from runbook.errors import JobFailed, Stopped, TimedOut
from runbook.fault import Unfit
from runbook.job import Verdict


class Answers:
    """A door that gives the same end for everything, and remembers the words."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended
        self.asked: list[tuple[str, ...]] = []

    def run(self, argv, timeout, stop=None, env=()):
        self.asked.append(tuple(argv))
        return self.ended

    def close(self) -> None: ...
    def kill(self) -> None: ...


def spec(*argv: str, **more) -> CommandSpec:
    return CommandSpec("mend", argv, unit=unit_of(argv), **more)


# -- what may be written down -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv",
    [
        ["systemctl", "restart", "openalgo"],
        ["systemctl", "--user", "restart", "openalgo"],
        ["/usr/bin/systemctl", "kill", "openalgo"],  # the unit's own, by its name
        ["sudo", "-n", "systemctl", "restart", "openalgo"],
        ["sudo", "-u", "desk", "systemctl", "restart", "openalgo"],
        ["docker", "restart", "openalgo"],
        ["docker", "kill", "openalgo"],
        ["/home/me/bin/mend", "a b", "$HOME"],
        ["python3", "/home/me/mend.py", "-c"][:2],
        ["ssh", "me@10.0.0.5", "systemctl", "restart", "openalgo"],
        ["ssh", "me@10.0.0.5", "sudo", "-n", "systemctl", "restart", "openalgo"],
        ["curl", "-sf", "http://127.0.0.1:5000/api/v1/orderbook"],
    ],
)
def test_what_names_its_one_target_is_taken(argv):
    assert fit(argv) == tuple(argv)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        ("systemctl restart openalgo", "no shell takes it apart"),
        ([], "no list of words"),
        (["systemctl", 5], "no list of words"),
        (["systemctl", ""], "no list of words"),
        (["echo", "a\nb"], "cannot be printed"),
        (["echo"] * 65, "too many"),
        (["sh", "-c", "true"], "is a shell"),
        (["/bin/bash", "mend.sh"], "is a shell"),
        (["env", "sh"], "is a shell"),
        (["env", "A=b", "systemctl"], "starts another program"),
        (["docker", "exec", "openalgo", "sh", "-c", "true"], "is a shell"),
        (["busybox", "killall", "x"], "is a shell"),
        (["pkill", "-f", "openalgo"], "by a pattern"),
        (["/usr/bin/killall", "python"], "by a pattern"),
        (["sudo", "-n", "pkill", "python"], "by a pattern"),
        (["fuser", "-k", "8765/tcp"], "by a pattern"),
        (["kill", "-9", "812"], "by a number"),
        (["sudo", "kill", "812"], "by a number"),
        (["xargs", "kill"], "starts another program"),
        (["find", "/", "-delete"], "starts another program"),
        (["timeout", "5", "systemctl"], "starts another program"),
        (["sudo", "-s"], "sudo -s"),
        (["sudo", "-n", "-i"], "sudo -i"),
        (["sudo"], "without a command"),
        (["sudo", "sudo", "true"], "within"),
        (["python3", "-c", "import os"], "a program within the words"),
        (["perl", "-ne", "1"], "a program within the words"),
        (["python3.11", "-Ic", "1"], "a program within the words"),
        (["node", "--eval=1"], "a program within the words"),
        (["systemctl", "restart", "openalgo*"], "several units"),
        (["ssh", "-o", "ProxyCommand=x", "host", "true"], "another form"),
        (["ssh", "me@host"], "another form"),
        (["ssh", "me@host;x", "true"], "no host"),
        (["ssh", "me@host", "systemctl", "restart", "openalgo;", "true"], "holds ';'"),
        (["ssh", "me@host", "systemctl", "restart", "$(id)"], "holds '$'"),
        (["ssh", "me@host", "pkill", "-f", "openalgo"], "by a pattern on me@host"),
        (["ssh", "me@host", "sudo", "kill", "5"], "by a number"),
        (["ssh", "me@host", "ssh", "other", "true"], "ssh within"),
        (["sudo", "ssh", "me@host", "pkill", "x"], "ssh within"),
        (["curl", "-X", "POST", "http://127.0.0.1:5000/api/v1/placeorder"], "touches orders"),
        (["curl", "http://127.0.0.1:5000/api/v1/closeposition"], "touches orders"),
        (["curl", "http://127.0.0.1:5000/api/v1/analyzer/toggle"], "touches orders"),
        (["curl", "http://127.0.0.1:5000/api/v1/cancelallorder"], "touches orders"),
        (["curl", "http://127.0.0.1:5000/api/v1/optionsmultiorder"], "touches orders"),
        (["ssh", "me@host", "curl", "http://127.0.0.1:5000/api/v1/modifyorder"], "touches orders"),
    ],
)
def test_what_may_meet_something_else_is_refused_with_why(argv, why):
    with pytest.raises(Unfit) as refused:
        fit(argv)
    assert why in str(refused.value)
    assert refused.value.accepted


def test_over_ssh_nobody_is_asked_for_a_password_and_each_word_stays_one():
    words = spec("ssh", "me@host", "systemctl", "restart", "openalgo@1.service").words
    assert words[:-2] == (
        "ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ClearAllForwardings=yes", "--",
    )  # fmt: skip
    assert words[-2] == "me@host"
    assert shlex.split(words[-1]) == ["systemctl", "restart", "openalgo@1.service"]


@pytest.mark.parametrize(
    ("argv", "unit"),
    [
        (["systemctl", "restart", "openalgo"], "openalgo"),
        (["systemctl", "--user", "try-restart", "openalgo"], "openalgo"),
        (["sudo", "-n", "systemctl", "restart", "openalgo"], "openalgo"),
        (["ssh", "me@host", "systemctl", "restart", "openalgo"], "openalgo"),
        (["systemctl", "status", "openalgo"], None),
        (["systemctl", "restart", "a", "b"], None),
        (["docker", "restart", "openalgo"], None),
    ],
)
def test_the_unit_is_read_from_the_words(argv, unit):
    assert unit_of(argv) == unit


# -- preflight ----------------------------------------------------------------------------------------------------------


def test_the_preflight_asks_systemd_for_the_unit_here_or_there():
    door = Answers(Ended(Ending.EXITED, 0))
    assert preflight(spec("systemctl", "restart", "openalgo"), door).present is True
    assert preflight(spec("ssh", "me@host", "systemctl", "restart", "openalgo"), door).present is True
    assert door.asked[0] == ("systemctl", "cat", "--", "openalgo")
    assert door.asked[1][-2:] == ("me@host", "systemctl cat -- openalgo")
    assert preflight(spec("docker", "restart", "openalgo"), door).present is True
    assert len(door.asked) == 2


def test_a_unit_that_never_was_is_told_from_a_host_that_does_not_answer():
    gone = preflight(
        spec("systemctl", "restart", "x"), Answers(Ended(Ending.EXITED, 1, err="No files found for x.service.\n"))
    )
    assert (gone.present, gone.said) == (False, "the unit x does not exist: No files found for x.service.")
    deaf = Ended(Ending.EXITED, 255, err="ssh: connect to host: timed out\n")
    assert preflight(spec("ssh", "me@host", "systemctl", "restart", "x"), Answers(deaf)).present is None
    none = Ended(Ending.NOT_FOUND, fault="there is no `systemctl` on this host")
    assert preflight(spec("systemctl", "restart", "x"), Answers(none)).present is False


# -- what its end means -------------------------------------------------------------------------------------------------


def test_exit_code_0_is_ok_and_the_facts_say_how():
    made = found(spec("mend"), Ended(Ending.EXITED, 0, "one\ntwo\n", "", 1.234))
    assert (made.verdict, made.summary) == (Verdict.OK, "mend: two")
    assert made.facts == {"argv": ["mend"], "ending": "exited", "exit_code": 0, "seconds": 1.23, "output": "one\ntwo"}
    assert found(spec("mend"), Ended(Ending.EXITED, 0, "", "", 2.0)).summary == "mend: exit code 0 after 2.0 s"


def test_another_code_is_a_failure_with_the_last_line_as_its_reason():
    with pytest.raises(JobFailed) as failed:
        found(spec("mend", "it"), Ended(Ending.EXITED, 3, "started\n", "a warning\nno such unit\n", 0.5))
    assert str(failed.value) == "mend: no such unit (exit code 3 after 0.5 s)"
    assert failed.value.hint == "by hand: mend it"
    assert failed.value.facts["output"] == "started\na warning\nno such unit"


def test_a_command_that_ran_out_of_time_or_was_stopped_says_which():
    with pytest.raises(TimedOut, match="still running after"):
        found(spec("mend"), Ended(Ending.TIMED_OUT, 15, seconds=5.0))
    with pytest.raises(Stopped, match="ended by runbook"):
        found(spec("mend"), Ended(Ending.STOPPED, 15, seconds=5.0))


def test_a_last_line_of_json_is_the_result():
    said = 'looking\n{"verdict": "attention", "summary": "disk at 91%", "facts": {"percent": 91}}\n'
    made = found(spec("mend"), Ended(Ending.EXITED, 0, said))
    assert (made.verdict, made.summary, made.facts["said"]) == (Verdict.ATTENTION, "disk at 91%", {"percent": 91})


@pytest.mark.parametrize(
    "line",
    [
        '{"verdict": "fine", "summary": "x"}',
        '{"verdict": "ok"}',
        '{"verdict": "ok", "summary": 5}',
        "{not json",
        '{"verdict": "ok", "summary": "x", "facts": []}',
    ],
)
def test_a_last_line_that_is_no_result_is_only_a_line(line):
    made = found(spec("mend"), Ended(Ending.EXITED, 0, line))
    assert made.verdict is Verdict.OK
    assert "said" not in made.facts


def test_a_row_keeps_the_end_of_a_long_output():
    kept = facts_of(spec("mend"), Ended(Ending.EXITED, 0, "a" * 5000 + "end"))["output"]
    assert len(kept) < 2100
    assert kept.endswith("end")
