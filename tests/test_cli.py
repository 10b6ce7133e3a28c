"""The command line: what each command says, its exit code, and errors that are one clear line and a way out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook import cli
from runbook.cli import ATTENTION, INTERRUPTED, NO_DAEMON, OK, USAGE, main
from runbook.cli.parser import parser
from tests.fakes import until

ROOT = Path(__file__).resolve().parents[1]
KEY = "key-of-the-desk-0123456789"
COMMANDS = sorted(next(a for a in parser()._actions if a.dest == "command").choices or ())
FRIDAY = "2025-12-26"
TOLD = {"OPENALGO_API_KEY": KEY}


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    def one_line_and_a_hint(self) -> bool:
        """Nothing on stdout, one line that says what, one that says what to do."""
        first, *rest = self.err.splitlines()
        return not self.out and first.startswith("runbook: ") and len(rest) == 1 and rest[0].startswith("  -> ")


Say = Callable[..., Said]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """A command in this process; nothing of the environment but what a test gives."""
    monkeypatch.delenv("OPENALGO_API_KEY", raising=False)

    def said(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as exc:  # argparse
            code = int(exc.code or 0)
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        return Said(code, seen.out, seen.err)

    return said


def started(*arguments: object, env: dict[str, str] | None = None, **how) -> subprocess.Popen[str]:
    """A command as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "runbook", *map(str, arguments)],
        stdout=how.get("stdout", subprocess.PIPE),
        stderr=how.get("stderr", subprocess.PIPE),
        text=True,
        env=os.environ | TOLD | (env or {}),
    )


def shell(*arguments: object, env: dict[str, str] | None = None) -> Said:
    process = started(*arguments, env=env)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    return Said(process.returncode, out, err)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A site as `runbook init` makes it, and what it said."""
    site = tmp_path_factory.mktemp("desk") / "site"
    return site, shell("init", site)


@pytest.fixture(scope="module")
def reported(prepared: tuple[Path, Said], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    """A site on which one job was run by hand, and what that said."""
    site = Path(shutil.copytree(prepared[0], tmp_path_factory.mktemp("reported") / "site"))
    return site, shell("--site", site, "run", "report_day", "--session", FRIDAY, "--reason", "to see it")


@pytest.fixture
def site(prepared: tuple[Path, Said], tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(prepared[0], tmp_path / "site"))


def rewrite(site: Path, old: str, new: str) -> None:
    file = site / "config.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


# -- the command line itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_is_for(command, say):
    said = say(command, "--help")
    assert said.code == OK
    assert said.out.startswith(f"usage: runbook {command}")
    assert said.err == ""


def test_the_help_names_every_command_and_how_a_first_day_goes(say):
    said = say("--help")
    assert said.code == OK
    shown = {line.split()[0] for line in said.out.splitlines() if line.startswith("    ") and line[4] != " "}
    assert set(COMMANDS) <= shown
    assert {"init", "plan", "status", "report", "serve", "run", "doctor", "rehearse", "simulator"} <= set(COMMANDS)
    assert "a first day:" in said.out


def test_without_a_command_the_help_is_shown_and_that_is_a_usage_error(say):
    said = say()
    assert said.code == USAGE
    assert said.out == say("--help").out


def test_the_version_is_the_distribution_s(say):
    assert say("--version") == Said(OK, "runbook 0.1.0\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        (["plan", "--date", "2026-13-01"], "accepted: YYYY-MM-DD, for example 2026-11-23"),
        (["plan", "--from", "yesterday"], "'yesterday' is no date"),
        (["report", "--session", "26.12.2025"], "is no date"),
        (["answer", "x", "yes"], "'x' is no number; accepted: 1 or more, for example 3"),
        (["ack", "0"], "'0' is no number"),
        (["drill", "feed", "--within", "0s"], "'0s' is no time at all"),
        (["drill", "feed", "--within", "5"], "has no unit"),
        (["plan", "--next", "many"], "'many' is no whole number; accepted: for example 5"),
        (["report", "--format", "pdf"], "invalid choice: 'pdf'"),
        (["config"], "required: what"),
        (["run"], "required: job"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error_that_says_what_is_accepted(arguments, words, say):
    said = say(*arguments)
    assert said.code == USAGE
    assert words in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "command", [["status"], ["plan"], ["report"], ["history"], ["config", "show"], ["doctor"], ["run", "x"]]
)
def test_a_folder_without_a_site_says_how_to_make_one(command, say, tmp_path):
    said = say("--site", tmp_path, *command)
    assert said.code == USAGE
    assert said.one_line_and_a_hint()
    assert "there is no config.yaml here" in said.err
    assert "runbook init" in said.err


def test_an_interrupt_is_no_traceback(say, monkeypatch):
    def interrupted(_name: str) -> Callable[..., int]:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_handler", interrupted)
    assert say("history") == Said(INTERRUPTED, "", "interrupted\n")


def test_a_reader_that_goes_away_is_no_error(prepared):
    process = started("--site", prepared[0], "plan", "--next", "300", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) == OK
    assert process.stderr.read() == ""
    process.stderr.close()


def test_debug_shows_where_an_error_came_from(tmp_path):
    process = started("--debug", "--site", tmp_path, "status")
    _, err = process.communicate(timeout=30)
    assert process.returncode == USAGE
    assert "Traceback" in err
    assert "ConfigError" in err


# -- init and config ------------------------------------------------------------------------------------------------------


def test_init_writes_a_site_its_ledger_and_its_calendar(prepared):
    made, said = prepared
    assert said.code == OK, said
    assert {p.name for p in made.iterdir()} >= {"config.yaml", "jobs", "calendar", "runbook.db"}
    assert (made / "config.yaml").stat().st_mode & 0o077 == 0
    assert "exchange: NFO" in (made / "calendar" / "overlay.yaml").read_text(encoding="utf-8")
    assert "known until 20" in said.out
    assert f"runbook --site {made} serve" in said.out


def test_init_touches_nothing_that_is_there(site, say):
    rewrite(site, "mode: local_paper", "mode: analyzer")
    (site / "jobs" / "check_feed.py").write_text("def check(ctx): return None\n")
    said = say("init", site)
    assert said.code == OK
    assert "nothing was overwritten" in said.out
    assert "mode: analyzer" in (site / "config.yaml").read_text(encoding="utf-8")
    assert "return None" in (site / "jobs" / "check_feed.py").read_text(encoding="utf-8")


def test_init_refuses_a_file_and_what_cannot_be_written(say, tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    said = say("init", file)
    assert said.code == USAGE
    assert "is a file; accepted: a folder" in said.err
    below = say("init", file / "site")
    assert below.code == ATTENTION
    assert below.err == f"runbook: Not a directory: {file / 'site'}\n"


def test_config_check_is_content_with_the_shipped_site_and_a_key(site, say, monkeypatch):
    monkeypatch.setenv("OPENALGO_API_KEY", KEY)
    said = say("--site", site, "config", "check")
    assert said.code == OK, said
    assert "config.yaml is in order (hash " in said.out
    assert "note: notify: no channel" in said.out
    told = say("--site", site, "config", "check", "--json")
    assert told.code == OK
    assert json.loads(told.out)["ok"] is True
    assert json.loads(told.out)["faults"] == []


def test_config_check_lists_everything_that_is_wrong_at_once(site, say):
    rewrite(site, "mode: local_paper", "mode: lokal")
    rewrite(site, "exchange: NFO", "exchange: NFO\nsybols: []")
    (site / "calendar" / "overlay.yaml").write_text("exchange: NFO\nclosd: []\n")
    said = say("--site", site, "config", "check")
    assert said.code == USAGE
    assert said.out == ""
    assert [part in said.err for part in ("config.yaml:", "'lokal'", "did you mean symbols?", "closd")] == [True] * 4
    told = json.loads(say("--site", site, "config", "check", "--json").out)
    assert told["ok"] is False
    faults = {f["path"]: f for f in told["faults"]}
    assert {"mode", "sybols"} <= faults.keys()
    assert len(faults) == len(told["faults"]) == 3
    assert faults["mode"].keys() == {"file", "line", "path", "found", "accepted", "example"}


def test_config_check_counts_a_missing_secret_and_a_channel_that_is_none(site, say):
    (site / "config.yaml").write_text((site / "config.yaml").read_text() + "notify: {phone: nonsense}\n")
    said = say("--site", site, "config", "check")
    assert said.code == USAGE
    assert "environment variable OPENALGO_API_KEY is not set" in said.err
    assert "notify.phone" in said.err
    assert said.err.endswith("2 faults\n")
    assert "nonsense" not in said.err


def test_config_show_prints_all_defaults_and_no_secret(site, say, monkeypatch):
    monkeypatch.setenv("OPENALGO_API_KEY", KEY)
    shown = say("--site", site, "config", "show", "--json")
    assert shown.code == OK
    assert json.loads(shown.out)["openalgo"]["api_key"] == "***"
    assert "verify_broker" in [job["name"] for job in json.loads(shown.out)["jobs"]]
    text = say("--site", site, "config", "show").out
    assert 'stream: "ws://127.0.0.1:8765"' in text
    assert KEY not in shown.out + text
    from runbook.adapters.files import parse_yaml

    assert parse_yaml(text, "shown").data["rest"] == {"max_per_hour": 2000}


# -- plan, status, report, history: reads that need no daemon ----------------------------------------------------------------


def test_the_plan_names_sessions_and_says_why_a_day_has_none(prepared, say):
    said = say("--site", prepared[0], "plan", "--from", "2025-12-26", "--to", "2025-12-30")
    assert said.code == OK, said
    heads = [line for line in said.out.splitlines() if line.startswith("2025-")]
    assert [head.split()[0] for head in heads] == [f"2025-12-{n}" for n in (26, 27, 28, 29, 30)]
    assert [("closed: weekend" in head, "09:15-15:30" in head) for head in heads] == [
        (False, True), (True, False), (True, False), (False, True), (False, True),
    ]  # fmt: skip
    assert said.out.count("open 09:15 - 60m = 08:15 IST") == 3
    assert "every 30s" in said.out


def test_the_plan_as_json_has_the_same_days(prepared, say):
    rows = json.loads(say("--site", prepared[0], "plan", "--from", FRIDAY, "--to", "2025-12-28", "--json").out)
    assert [(r["date"], r["status"]) for r in rows] == [
        (FRIDAY, "open"),
        ("2025-12-27", "closed"),
        ("2025-12-28", "closed"),
    ]
    assert rows[0]["open"] == "2025-12-26T09:15:00+05:30"
    assert "verify_broker" in [run["job"] for run in rows[0]["runs"]]
    assert rows[1]["runs"] == []


def test_the_plan_of_one_day_and_of_the_next_days(prepared, say):
    one = say("--site", prepared[0], "plan", "--date", "2025-12-25")
    assert (one.code, one.out.strip()) == (OK, "2025-12-25 Thursday   closed: Christmas")
    assert len(json.loads(say("--site", prepared[0], "plan", "--next", "5", "--json").out)) == 5
    assert len(json.loads(say("--site", prepared[0], "plan", "--json").out)) == 3
    assert len(json.loads(say("--site", prepared[0], "plan", "--from", FRIDAY, "--json").out)) == 1


def test_past_the_calendar_s_horizon_the_plan_says_unknown(prepared, say):
    said = say("--site", prepared[0], "plan", "--date", "2040-01-02")
    assert said.code == OK
    assert "unknown: " in said.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--date", FRIDAY, "--next", "2"], "choose one"),
        (["--to", FRIDAY], "choose one"),
        (["--next", "0"], "accepted are 1 to 400 days"),
        (["--next", "401"], "accepted are 1 to 400 days"),
        (["--from", FRIDAY, "--to", "2025-12-25"], "the first before the last"),
        (["--from", FRIDAY, "--to", "2035-12-25"], "span of 1 to 400 days"),
    ],
)
def test_a_span_that_is_none_is_refused_with_an_example(arguments, words, prepared, say):
    said = say("--site", prepared[0], "plan", *arguments)
    assert said.code == USAGE
    assert words in said.err
    assert said.out == ""


def test_a_site_that_was_never_prepared_is_prepared_by_its_first_plan(site):
    for file in site.glob("runbook.db*"):
        file.unlink()
    said = shell("--site", site, "plan", "--date", FRIDAY)
    assert said.code == OK, said
    assert "computing it once" in said.err
    assert said.out.startswith("2025-12-26 Friday")


def test_on_a_fresh_ledger_the_reads_say_so_and_no_daemon_is_exit_3(prepared, say):
    status = say("--site", prepared[0], "status")
    assert status.code == NO_DAEMON, status
    told = say("--site", prepared[0], "status", "--json")
    assert told.code == NO_DAEMON
    assert isinstance(json.loads(told.out), dict)
    history = say("--site", prepared[0], "history")
    assert history.code == OK
    assert json.loads(say("--site", prepared[0], "history", "--json").out) == []
    for form in ("text", "md", "json"):
        report = say("--site", prepared[0], "report", "--session", FRIDAY, "--format", form)
        assert report.code == OK, report
        assert report.err == ""
        assert "2025" in report.out
    assert json.loads(say("--site", prepared[0], "report", "--session", FRIDAY, "--json").out)["date"] == FRIDAY
    assert say("--site", prepared[0], "report").code == OK


def test_a_history_of_no_sessions_is_refused(prepared, say):
    said = say("--site", prepared[0], "history", "--last", "0")
    assert said.code == USAGE
    assert "accepted are 1 to 1000 sessions" in said.err


def test_a_ledger_that_is_not_there_or_of_another_version_is_one_line_and_a_hint(site, say):
    import sqlite3

    with sqlite3.connect(site / "runbook.db") as ledger:
        ledger.execute("UPDATE alembic_version SET version_num = '9999'")
    ledger.close()
    for command in ("status", "report", "history", "plan"):
        said = say("--site", site, command)
        assert said.code == ATTENTION
        assert said.one_line_and_a_hint(), said
        assert "of version 9999" in said.err
    for file in site.glob("runbook.db*"):
        file.unlink()
    said = say("--site", site, "status")
    assert said.code == ATTENTION
    assert said.one_line_and_a_hint()
    assert "no ledger here yet" in said.err


# -- run, doctor, notify, serve: with a world that is not there -----------------------------------------------------------------


def test_what_needs_a_secret_says_which_is_missing(prepared, say):
    for command in (["doctor"], ["run", "report_day"], ["notify", "test"], ["serve"]):
        said = say("--site", prepared[0], *command)
        assert said.code == USAGE
        assert "environment variable OPENALGO_API_KEY is not set" in said.err


def test_a_job_can_be_run_by_hand_and_is_refused_the_second_time(reported):
    site, once = reported
    assert once.code == OK, once
    assert once.out.startswith(f"report_day close+30m of {FRIDAY}: succeeded, ok: written to reports/{FRIDAY}.md")
    assert (site / "reports" / f"{FRIDAY}.md").is_file()
    twice = shell("--site", site, "run", "report_day", "--session", FRIDAY)
    assert twice.code == ATTENTION
    assert "has succeeded already" in twice.err
    assert "--again" in twice.err
    assert KEY not in once.out + once.err + twice.out + twice.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["report_dya"], USAGE, "did you mean report_day?"),
        (["report_day", "--session", "2025-12-27"], USAGE, "2025-12-27 has no session: closed (weekend)"),
        (["report_day", "--session", FRIDAY, "--slot", "open"], USAGE, "no slot 'open'; accepted: close+30m"),
        (["start_feed", "--session", FRIDAY], ATTENTION, "lives in the daemon"),
    ],
)
def test_what_cannot_be_run_says_what_can(arguments, code, words, prepared):
    said = shell("--site", prepared[0], "run", *arguments)
    assert said.code == code
    assert words in said.err


def test_the_doctor_names_the_hop_that_broke_and_ends_with_1(site):
    rewrite(site, "http://127.0.0.1:5000", "http://127.0.0.1:1\n  stream: ws://127.0.0.1:1")
    said = shell("--site", site, "doctor")
    assert said.code == ATTENTION
    assert "verdict: H1 OpenAlgo's stream server: 127.0.0.1:1 refuses" in said.out
    assert "systemctl status openalgo" in said.out
    told = json.loads(shell("--site", site, "doctor", "--json").out)
    assert (told["healthy"], told["first_broken"]) == (False, "H1")
    assert [h["hop"] for h in told["hops"] if h["health"] == "broken"] == ["H1", "H4"]
    assert KEY not in said.out + said.err


def test_a_test_message_needs_a_channel(site):
    said = shell("--site", site, "notify", "test")
    assert said.code == USAGE
    assert "no channel" in said.err
    (site / "config.yaml").write_text((site / "config.yaml").read_text() + "notify: {phone: 'json://127.0.0.1:1'}\n")
    other = shell("--site", site, "notify", "test", "--channel", "mail")
    assert other.code == USAGE
    assert "no channel 'mail'; accepted: phone" in other.err


def test_a_daemon_holds_its_site_answers_requests_and_ends_within_five_seconds(reported, tmp_path):
    site, log = reported[0], tmp_path / "log"
    with log.open("w", encoding="utf-8") as err:
        daemon = started("--site", site, "serve", stderr=err, stdout=subprocess.DEVNULL)
        try:
            until(lambda: "runbook serves NFO" in log.read_text(encoding="utf-8"), "it does not start", 60.0)
            second = shell("--site", site, "serve")
            assert second.code == ATTENTION
            assert f"a runbook daemon holds this database: pid {daemon.pid} on " in second.err
            assert shell("--site", site, "status").code in (OK, ATTENTION)
            asked = shell("--site", site, "run", "report_day", "--session", FRIDAY, "--again")
            assert "started as attempt 2" in asked.out, asked
            assert asked.code == OK
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(5.0) == OK
        finally:
            daemon.kill()
            daemon.wait()
    assert shell("--site", site, "status").code == NO_DAEMON
    assert KEY not in log.read_text(encoding="utf-8")


# -- db ------------------------------------------------------------------------------------------------------------------


def test_db_check_reads_the_database_and_says_how_it_stands(site, say):
    said = say("--site", site, "db", "check")
    assert said.code == OK, said
    assert "whole: every page, every index, every reference" in said.out
    assert said.out.rstrip().endswith("OK")
    told = json.loads(say("--site", site, "db", "check", "--json").out)
    assert told["trouble"] == []
    assert {"name": "attempt", "rows": 0}.items() <= next(t for t in told["tables"] if t["name"] == "attempt").items()
    assert told.keys() <= set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "json.md").read_text(encoding="utf-8")))


def test_db_check_of_a_damaged_database_is_attention(site, say):
    file = site / "runbook.db"
    content = bytearray(file.read_bytes())
    content[-4096:] = b"\x05" * 4096
    file.write_bytes(content)
    said = say("--site", site, "db", "check")
    assert said.code == ATTENTION
    assert "TROUBLE" in said.out or said.one_line_and_a_hint()


def test_a_copy_is_made_and_restored_by_hand(site, say):
    made = say("--site", site, "db", "backup", site / "copy.db")
    assert made.code == OK
    assert "read back whole" in made.out
    again = say("--site", site, "db", "backup", site / "copy.db")
    assert again.code == USAGE
    assert again.one_line_and_a_hint()
    asked = say("--site", site, "db", "restore", site / "copy.db")
    assert asked.code == ATTENTION
    assert "--yes" in asked.err
    done = say("--site", site, "db", "restore", site / "copy.db", "--yes")
    assert done.code == OK
    assert "lost: nothing" in done.out
    assert len(list(site.glob("runbook.before-restore-*.db"))) == 1
    assert say("--site", site, "db", "check").code == OK


def test_db_of_a_site_without_a_ledger_says_so(site, say):
    (site / "runbook.db").unlink()
    for command in (("check",), ("backup",), ("restore", site / "runbook.db")):
        said = say("--site", site, "db", *command)
        assert said.code == ATTENTION
        assert said.one_line_and_a_hint(), said
    assert not (site / "runbook.db").exists()


def test_the_last_step_of_a_day_leaves_a_copy_that_was_read_back(site):
    said = shell("--site", site, "run", "backup_db", "--session", FRIDAY)
    assert said.code == OK, said
    assert f"backup_db close+45m of {FRIDAY}: succeeded, ok: backups/runbook-{FRIDAY}.db" in said.out
    assert (site / "backups" / f"runbook-{FRIDAY}.db").is_file()
