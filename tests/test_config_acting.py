"""What acts, in config.yaml: the allow-list, the jobs that run it, the remedies; and how no secret gets out by it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from runbook.job import IfLate, OnAbandoned
from runbook.remedy import When
from tests.test_config import ENV, MINIMAL, fault, faults, read, site

__all__ = ["site"]

RESTART = "commands: {restart_openalgo: {argv: [systemctl, restart, openalgo]}}\n"
JOB = "jobs: [{name: mend, kind: command, command: restart_openalgo, at: close+30m, acts: true%s}]\n"
REMEDY = "remedies: [{alert: feed.blind, command: restart_openalgo, verify: verify_broker%s}]\n"


def test_a_command_is_named_once_and_used_by_jobs_and_remedies(site: Path):
    config = read(MINIMAL + RESTART + JOB % "" + REMEDY % "", site)
    held = config.commands["restart_openalgo"]
    assert (held.argv, held.timeout, held.unit) == (("systemctl", "restart", "openalgo"), 30.0, "openalgo")
    (remedy,) = config.remedies
    assert (remedy.name, remedy.alert, remedy.command, remedy.verify) == (
        "restart_openalgo",
        "feed.blind",
        held,
        "verify_broker",
    )
    assert (remedy.when, remedy.budget) == (When.APPROVED, 2)
    assert (remedy.min_gap, remedy.within) == (timedelta(minutes=10), timedelta(seconds=60))


def test_a_command_is_not_run_by_itself_again_unless_that_is_said(site: Path):
    job = read(MINIMAL + RESTART + JOB % "", site).job("mend")
    assert job is not None
    assert (job.command, job.acts) == ("restart_openalgo", True)
    assert (job.if_late, job.on_abandoned) == (IfLate.SKIP, OnAbandoned.FAIL)
    looks = JOB.replace("acts: true", "acts: false") % ", if_late: run, on_abandoned: rerun"
    job = read(MINIMAL + RESTART + looks, site).job("mend")
    assert job is not None
    assert (job.if_late, job.on_abandoned) == (IfLate.RUN, OnAbandoned.RERUN)


def test_a_shipped_step_may_be_done_by_a_command_instead(site: Path):
    text = "jobs: [{name: calendar_check, kind: command, command: restart_openalgo}]\n"
    job = read(MINIMAL + RESTART + text, site).job("calendar_check")
    assert job is not None
    assert job.command == "restart_openalgo"


def test_what_is_shown_of_a_remedy_is_all_of_it(site: Path):
    shown = read(MINIMAL + RESTART + REMEDY % ", when: market_closed, budget: 1", site).merged()
    assert shown["commands"]["restart_openalgo"]["argv"] == ["systemctl", "restart", "openalgo"]
    assert shown["remedies"][0]["when"] == "market_closed"
    assert shown["remedies"][0]["min_gap"] == "10m"


@pytest.mark.parametrize(
    ("addition", "path", "found", "accepted"),
    [
        ("commands: {x: {argv: systemctl restart openalgo}}\n", "commands.x.argv", "no shell takes it apart", "a list of words"),
        ("commands: {x: {argv: [pkill, -f, openalgo]}}\n", "commands.x.argv", "by a pattern", "the unit by its name"),
        ("commands: {x: {argv: [bash, -c, 'true']}}\n", "commands.x.argv", "is a shell", "the program itself"),
        ("commands: {x: {argv: [ssh, me@host, 'a; b']}}\n", "commands.x.argv", "holds ';'", "plain words"),
        ("commands: {x: {argv: [curl, 'http://h/api/v1/placeorder']}}\n", "commands.x.argv", "touches orders", "never trades"),
        ("commands: {x: {argv: ['true'], timeout: 0s}}\n", "commands.x.timeout", "no time at all", "more than nothing"),
        ("commands: {x: {argv: ['true'], unit: 'a b'}}\n", "commands.x.unit", "no unit", "letters, digits"),
        ("commands: {x: {argv: ['true'], env: ['A=b']}}\n", "commands.x.env[0]", "names no variable", "names of environment"),
        ("commands: {x: {argv: ['true'], shell: true}}\n", "commands.x.shell", "unknown key 'shell'", "argv"),
        ("commands: {X: {argv: ['true']}}\n", "commands.X", "'X'", "small letters"),
        ("commands: {x: {}}\n", "commands.x.argv", "the key is missing", "a list of words"),
        (RESTART + JOB.replace("restart_openalgo", "restart_openalg") % "", "jobs[0].command", "no command", "did you mean restart_openalgo?"),
        (JOB % "", "jobs[0].command", "no command", "there is none yet"),
        (RESTART + JOB % ", run: 'jobs.check_feed:check'", "jobs[0]", "with run", "no `run:`"),
        (RESTART + JOB.replace(", command: restart_openalgo", "") % "", "jobs[0]", "neither run nor command", "a name under"),
        (RESTART + JOB.replace("kind: command, ", "") % "", "jobs[0]", "command without kind", "kind: command"),
        (RESTART + JOB.replace("kind: command", "kind: shell") % "", "jobs[0].kind", "'shell'", "step"),
        (RESTART + JOB % ", on_abandoned: rerun", "jobs[0]", "acts with on_abandoned: rerun", "runs once"),
        (RESTART + JOB % ", repeat_until_ok: 1m", "jobs[0]", "acts with repeat_until_ok", "runs once"),
        (RESTART + REMEDY.replace("feed.blind", "feed.blnd") % "", "remedies[0].alert", "no alert 'feed.blnd'", "did you mean feed.blind?"),
        (RESTART + REMEDY.replace("command: r", "command: ") % "", "remedies[0].command", "no command", "restart_openalgo"),
        (RESTART + REMEDY.replace("verify_broker", "verify_brokr") % "", "remedies[0].verify", "no job", "did you mean verify_broker?"),
        (RESTART + JOB % "" + REMEDY.replace("verify_broker", "mend") % "", "remedies[0].verify", "a job that acts", "verify_broker"),
        (RESTART + REMEDY.replace("verify_broker", "start_feed") % "", "remedies[0].verify", "rests in the daemon", "verify_broker"),
        (RESTART + REMEDY % ", when: always", "remedies[0].when", "'always'", "market_closed"),
        (RESTART + REMEDY % ", budget: 0", "remedies[0].budget", "0 (a number)", "1 to 20 runs"),
        (RESTART + REMEDY % ", hop: H9", "remedies[0].hop", "'H9'", "H0 to H6"),
        (RESTART + REMEDY.replace("]\n", ", {alert: feed.silent, command: restart_openalgo, verify: verify_broker}]\n") % "", "remedies[1]", "stands twice", "name"),
    ],
)  # fmt: skip
def test_each_fault_says_what_was_found_and_what_is_accepted(addition, path, found, accepted, site: Path):
    one = fault(addition, site, path)
    assert found in one.found
    assert accepted in f"{one.accepted} {one.example}"
    assert one.line is not None


def test_nothing_of_the_environment_becomes_a_word_that_everyone_can_read(site: Path):
    text = "commands: {x: {argv: [mend, '--key=${OPENALGO_API_KEY}']}}\n"
    (one,) = faults(MINIMAL + text, site).values()
    assert one.path == "commands.x.argv[1]"
    assert "a word from the environment" in one.found
    assert ENV["OPENALGO_API_KEY"] not in str(one)


def test_a_variable_that_fills_in_a_secret_is_not_handed_on(site: Path):
    one = fault("commands: {x: {argv: [mend], env: [LANG, OPENALGO_API_KEY]}}\n", site, "commands.x.env[1]")
    assert "fills in a value of this site" in one.found


def test_a_secret_that_stands_among_the_words_is_found_and_not_shown(site: Path):
    one = fault(f"commands: {{x: {{argv: [mend, '--key={ENV['OPENALGO_API_KEY']}']}}}}\n", site, "commands.x.argv")
    assert "a secret among the words" in one.found
    assert ENV["OPENALGO_API_KEY"] not in str(one)
