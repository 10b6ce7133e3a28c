"""A live daemon asks, a person answers on the command line, and the daemon looks again; in real time, on real sockets."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from runbook.cli import main
from runbook.run import State
from runbook.simulator import Simulator
from tests.scenarios.serving import Serving, Site, wait_until

pytestmark = pytest.mark.soak  # a daemon in real time, which is mostly waiting

_ASK = """\
jobs:
  - name: plan_streams
    kind: manual
    at: [open]
    ask: {question: Does the plan include streaming?, how: [look at the broker's page], contact: the broker,
          default: not_done, deadline: close, verify: verify_broker, verify_after: 1s}
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, Serving]]:
    with Simulator(seed=8, mode="analyze") as sim:
        site = Site(tmp_path_factory.mktemp("people") / "desk", sim, extra=_ASK)
        serving = site.serve().ready()
        yield site, serving
        serving.kill()
        site.phone.stop()


class Said(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Said]


@pytest.fixture
def run(desk: tuple[Site, Serving], capsys: pytest.CaptureFixture[str]) -> Run:
    """A command of the command line, in this process: the daemon is the other one."""

    def said(*words: str) -> Said:
        capsys.readouterr()
        code = main(["--site", str(desk[0].folder), *words])
        return Said(code, *capsys.readouterr())

    return said


def listed(run: Run, *words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def test_an_ask_is_opened_told_answered_and_verified_again(desk: tuple[Site, Serving], run: Run):
    site, _ = desk
    wait_until("it is asked and told", lambda: site.facts().asks and site.heard("[ASK] plan_streams"))
    (asked,) = listed(run, "asks")
    assert (asked["name"], asked["state"], asked["choices"]) == ("plan_streams", "open", ["done", "not_done"])
    number = str(asked["number"])
    assert f"runbook answer {number} done | not_done" in run("asks").stdout
    told = next(one for one in site.phone.received if "[ASK]" in one.title)
    assert "Does the plan include streaming?" in told.body
    assert f"answer: runbook answer {number} done" in told.body
    status = run("status")
    assert status.returncode == 1, "what waits for a person is not green"
    assert "plan_streams waits for your answer" in " ".join(status.stdout.split())

    wrong = run("answer", number, "yes")
    assert (wrong.returncode, "accepted: done or not_done" in wrong.stderr) == (2, True)
    done = run("answer", number, "done", "--note", "asked them by phone")
    assert (done.returncode, done.stdout) == (0, f"ask {number}, plan_streams: done; verify_broker looks again in 1s\n")
    twice = run("answer", number, "done")
    assert (twice.returncode, "an answer counts once" in twice.stderr) == (2, True)

    (row,) = [e for e in site.facts().entries if e.key.job == "plan_streams"]
    assert row.state is State.SUCCEEDED
    assert row.tries[-1].actor.startswith("cli:")
    wait_until("the daemon has looked again", lambda: site.facts().asks[0].verified.startswith("ok: "), 25)
    looks = [
        t for e in site.facts().entries if e.key.job == "verify_broker" for t in e.tries if t.actor == f"ask:{number}"
    ]
    assert len(looks) == 1
    report = listed(run, "report")["asks"]
    assert [(a["answer"], a["note"]) for a in report] == [("done", "asked them by phone")]
    assert "asked them by phone" in run("asks", "--all").stdout
    assert listed(run, "asks") == []


def test_a_step_is_paused_resumed_and_skipped_beside_the_daemon(desk: tuple[Site, Serving], run: Run):
    site, _ = desk
    done = run("pause", "check_feed", "--until", "30m", "--reason", "the broker's maintenance")
    assert done.returncode == 0, done.stderr
    assert "paused by cli:" in run("status").stdout
    assert "the broker's maintenance" in run("plan", "--date", str(site.today)).stdout
    assert run("resume", "check_feed").returncode == 0
    again = run("resume", "check_feed")
    assert (again.returncode, "check_feed is not paused" in again.stderr) == (2, True)
    assert run("skip", "report_day", "--reason", "not today").returncode == 0
    (row,) = [e for e in site.facts().entries if e.key.job == "report_day"]
    assert row.state is State.SKIPPED
    assert row.reason.endswith("not today")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["answer", "99", "done"], "there is no ask 99; open: none"),
        (["pause", "chek_feed", "--reason", "x"], "did you mean check_feed?"),
        (["pause", "check_feed", "--until", "30", "--reason", "x"], "for example 30m or 15:30"),
        (["skip", "all", "--reason", "x"], "skip takes one step"),
        (["run", "plan_streams"], "plan_streams is done by a person"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_is_accepted(run: Run, words: list[str], said: str):
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_recheck_gives_the_daemon_s_verdict_and_without_a_daemon_says_what_to_do(desk: tuple[Site, Serving], run: Run):
    """Keep this test last: it ends the daemon."""
    site, serving = desk
    site.sim.switch("session_revoked")
    bad = run("recheck")
    assert bad.returncode == 1
    assert "log in" in bad.stdout
    serving.end(signal.SIGTERM)
    gone = run("recheck")
    assert gone.returncode == 2
    assert "no daemon runs" in gone.stderr
    assert "runbook doctor" in gone.stderr
