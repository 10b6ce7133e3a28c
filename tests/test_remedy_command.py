"""`runbook remedy` on a real site; and what status and report say of actions."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from runbook import app, cli
from runbook.adapters.store import Store
from runbook.clock import SystemClock
from runbook.remedy import Action, Checked, Did
from runbook.report import build, render_markdown, render_text, to_json
from runbook.status import render_status, status_json
from tests import report_days as days
from tests.adapters.test_commands import script
from tests.fakes import calendar, ledger_file
from tests.report_days import at
from tests.test_status import green, lease, today

ACTING = """\
commands: {restart_openalgo: {argv: [systemctl, restart, openalgo]}}
remedies: [{alert: feed.blind, command: restart_openalgo, verify: verify_broker, when: approved, budget: 1}]
"""


@pytest.fixture
def runbook(desk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: str) -> tuple[int, str, str]:
        code = cli.main(["--site", str(desk), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site with a ledger and a calendar of some days, and a `systemctl` that knows openalgo."""
    monkeypatch.setenv("OPENALGO_API_KEY", "key-of-the-desk-0123456789")
    unit(tmp_path, monkeypatch, "exit 0")
    site = tmp_path / "site"
    site.mkdir()
    site.joinpath("config.yaml").write_text(
        'version: 1\nmode: local_paper\nopenalgo: {url: "http://127.0.0.1:1", api_key: "${OPENALGO_API_KEY}"}\nsymbols: [NIFTY]\n'
        + ACTING,
        encoding="utf-8",
    )
    site.joinpath("config.yaml").chmod(0o600)
    store = Store(ledger_file(site))
    with store.write() as books:
        books.calendars.keep(calendar(), {}, SystemClock().now())
    store.close()
    return site


def unit(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    (folder / "bin").mkdir(exist_ok=True)
    script(folder / "bin", does, "systemctl")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")


def write(site: Path) -> None:
    """One run of the remedy, just now."""
    config = app.load_config(site)
    store = app.open_store(config)
    now = SystemClock().now()
    try:
        calendar = app.almanac(config, store).calendar()
        with store.write() as books:
            row = Action(
                0, "restart_openalgo", calendar.today(now), "#3", ("systemctl", "restart", "openalgo"), "cli:me", now
            )
            number = books.actions.begin(row)
            books.actions.end(number, now, Did.DONE, "exit code 0 after 1.0 s", code=0)
            books.actions.check(number, Checked.OK, "verify_broker was ok 4 s after it")
    finally:
        store.close()


def test_the_list_shows_each_remedy_with_its_gates(runbook):
    code, out, _ = runbook("remedy", "list")
    assert code == 0
    assert out.startswith("restart_openalgo: on feed.blind, when a person approves\n")
    assert "runs     systemctl restart openalgo" in out
    assert "preflight allowed   the unit openalgo exists" in out
    assert "budget    allowed   0 of 1 runs" in out


def test_a_dry_run_prints_the_words_and_the_gates_and_starts_nothing(runbook, desk, tmp_path, monkeypatch):
    unit(tmp_path, monkeypatch, f'[ "$1" = cat ] || touch {tmp_path}/started')
    code, out, _ = runbook("remedy", "run", "restart_openalgo", "--dry-run", "--json")
    made = json.loads(out)
    assert (code, made["allowed"], made["argv"]) == (0, True, ["systemctl", "restart", "openalgo"])
    assert [gate["gate"] for gate in made["gates"]] == ["preflight", "alone", "budget", "market", "gap"]
    assert not (tmp_path / "started").exists()


def test_a_dry_run_says_which_gate_is_shut_and_why(runbook, desk, tmp_path, monkeypatch):
    write(desk)
    unit(tmp_path, monkeypatch, 'echo "No files found for openalgo.service." >&2; exit 1')
    code, out, _ = runbook("remedy", "run", "restart_openalgo", "--dry-run")
    assert code == 1
    assert "preflight NO        the unit openalgo does not exist: No files found for openalgo.service." in out
    assert "budget    NO        1 of 1 runs" in out
    assert "gap       NO        the last run is less than 10 min ago" in out
    assert "done, verify ok: verify_broker was ok 4 s after it (by cli:me)" in out


def test_without_a_daemon_nothing_is_run_and_the_words_are_given(runbook):
    code, _, err = runbook("remedy", "run", "restart_openalgo")
    assert code == 1
    assert "no daemon runs" in err
    assert "by hand: systemctl restart openalgo" in err


def test_a_wrong_name_is_met_with_the_right_ones(runbook):
    code, _, err = runbook("remedy", "run", "restart_openalg", "--dry-run")
    assert code == 2
    assert "did you mean restart_openalgo?" in err


def test_config_check_finds_a_unit_that_does_not_exist(runbook, tmp_path, monkeypatch):
    assert runbook("config", "check")[0] == 0
    unit(tmp_path, monkeypatch, 'echo "No files found for openalgo.service." >&2; exit 1')
    code, _, err = runbook("config", "check")
    assert code == 2
    assert "commands.restart_openalgo: the unit openalgo does not exist" in err
    assert "systemctl list-units" in err


# -- what status and report say -----------------------------------------------------------------------------------------

HELPED = Action(
    1, "restart_openalgo", days.FRIDAY, "#41", ("systemctl", "restart", "openalgo"), "telegram:7", at("10:03"), at("10:03:02"), Did.DONE,
    0, "", Checked.OK, "verify_broker was ok 12 s after it",
)  # fmt: skip
FAILED = replace(
    HELPED,
    number=2,
    started=at("11:00"),
    did=Did.FAILED,
    exit_code=1,
    checked=None,
    reason="no such unit (exit code 1 after 0.1 s)",
)


def test_the_report_says_what_was_run_by_whom_and_what_its_verify_came_to():
    facts = replace(days.clean_day(), actions=(HELPED, FAILED))
    made = build(facts, days.calendar(), at("17:00"), (), "local_paper", "abc")
    said = "10:03 restart_openalgo, because of #41, by telegram:7: done, verify ok: verify_broker was ok 12 s after it"
    text = render_text(made)
    assert "ACTIONS  what was run against alerts" in text
    assert said in " ".join(text.split())
    assert "failed: no such unit" in text
    assert "restart_openalgo did not help: failed: no such unit" in " ".join(text.split())
    assert "## Actions taken, and their verify" in render_markdown(made)
    assert [one["verify"] for one in to_json(made)["actions"]] == ["ok", None]


def test_a_day_without_actions_says_nothing_of_them():
    text = render_text(build(days.clean_day(), days.calendar(), at("17:00"), (), "local_paper", "abc"))
    assert "ACTIONS" not in text
    assert text.startswith("Clean day")


def test_status_says_what_runs_or_waits_and_what_ran_today():
    held = lease()
    held = replace(held, data={**held.data, "remedies": {"restart_openalgo": "waits: NFO is open until 15:30"}})
    facts = green(lease=held, day=replace(today(), actions=(HELPED,)))
    text = render_status(facts)
    assert "remedy restart_openalgo waits: NFO is open until 15:30" in text
    assert "remedy restart_openalgo at 10:03: done, verify ok" in text
    assert status_json(facts)["actions"][0]["by"] == "telegram:7"
