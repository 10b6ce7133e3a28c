"""The command a newcomer starts with: `runbook rehearse`, as a process of its own."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from runbook.clock import host_monotonic
from runbook.rehearsal.scenarios import SCENARIOS
from tests.scenarios.played import ROOT, Played, Players

LIMIT = 90.0


def rehearse(*words: str, debug: bool = False, timeout: float = LIMIT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "runbook", *(["--debug"] if debug else []), "rehearse", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


class Incident:
    """The default scenario at DEBUG, with its site kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "kept"
        began = host_monotonic()
        self.done = rehearse("--keep", str(self.folder), debug=True)
        self.took = host_monotonic() - began


@pytest.fixture(scope="module")
def incident(players: Players, tmp_path_factory: pytest.TempPathFactory) -> Incident:
    """Played while the short days of this module are: the players have been set going by now."""
    return Incident(tmp_path_factory.mktemp("incident"))


def test_the_incident_passes_within_ninety_seconds(incident: Incident):
    assert incident.done.returncode == 0, incident.done.stdout[-3000:] + incident.done.stderr[-3000:]
    assert incident.took <= LIMIT
    assert "rehearsal passed" in incident.done.stdout


def test_the_incident_is_told_as_a_person_would_read_it(incident: Incident):
    """In this order: ready, mute, on REST, ticks again, back on the stream, the report."""
    words = [
        "READY for Mon 23 Nov", "the broker's feed goes mute", "[SUSPECT]", "[REST_POLLING]", "[WARN] feed on REST",
        "the broker's feed ticks again", "[OK] feed back on the stream", "written to reports/2026-11-23.md", "expected of this day",
    ]  # fmt: skip
    at = 0
    for word in words:
        at = incident.done.stdout.find(word, at)
        assert at >= 0, f"{word!r} is missing, or not in its place"


def test_every_expectation_is_answered_with_what_was_seen(incident: Incident):
    asked = incident.done.stdout.split("expected of this day:")[1]
    for name in SCENARIOS["incident"].expects:
        line = next(line for line in asked.splitlines() if f" {name} " in line)
        assert line.split()[0] == "ok"
        assert len(line.split(name)[1].strip()) > 3, f"{name}: it says nothing of what was seen"


def test_at_debug_the_key_stands_in_no_file_that_is_left(incident: Incident):
    key = hashlib.sha256(b"openalgo key 7").hexdigest()
    files = [p for p in incident.folder.rglob("*") if p.is_file()]
    assert {"runbook.db", "runbook.log", "2026-11-23.md", "2026-11-23.json", "trades.csv"} <= {p.name for p in files}
    assert [p for p in files if p.parent.name == "ticks"], "the recorded ticks are searched too"
    assert " DEBUG " in (incident.folder / "runbook.log").read_text(encoding="utf-8"), "it did log at DEBUG"
    assert not [str(p) for p in files if key.encode() in p.read_bytes()]
    assert key not in incident.done.stdout + incident.done.stderr


def test_the_kept_day_is_a_site_that_the_reading_commands_read(incident: Incident):
    command = [
        sys.executable,
        "-m",
        "runbook",
        "--site",
        str(incident.folder),
        "report",
        "--session",
        "2026-11-23",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["date"] == "2026-11-23"


def test_a_folder_that_holds_a_ledger_is_not_rehearsed_into(incident: Incident):
    before = (incident.folder / "runbook.db").read_bytes()
    done = rehearse("--keep", str(incident.folder), timeout=20)
    assert done.returncode == 2
    assert "holds a ledger already" in done.stderr
    assert (incident.folder / "runbook.db").read_bytes() == before


def test_an_unknown_scenario_names_those_there_are():
    done = rehearse("incidnet", timeout=20)
    assert done.returncode == 2
    assert "incidnet" in done.stderr
    assert all(name in done.stderr for name in SCENARIOS)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("speed", ["0", "31", "-3", "nan", "inf"])
def test_a_speed_out_of_range_says_what_is_accepted(speed: str):
    done = rehearse("--speed", speed, timeout=20)
    assert done.returncode == 2
    assert "1 to 30" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_speed_that_is_no_number_is_a_usage_error():
    assert rehearse("--speed", "fast", timeout=20).returncode == 2


@pytest.mark.parametrize("day", ["impossible"], indirect=True)
def test_a_scenario_whose_expectation_is_not_met_exits_1_and_names_it(day: Played):
    assert day.code == 1
    assert "rehearsal FAILED: fallback announced in" in day.said
    assert "FAILED  fallback announced     no message with 'feed on REST'" in day.said


def breaks(day: Played) -> list[str]:
    entry = next(e for e in day.facts.entries if e.key.job == "reconcile_paper")
    assert entry.last is not None
    return sorted(b["code"] for b in entry.last.facts["reconciliation"]["breaks"])


@pytest.mark.parametrize("day", ["lies", "lies_again"], indirect=True)
def test_what_was_planted_in_the_bots_log_is_found_and_nothing_else(day: Played):
    assert day.code == 0, day.said[-2000:]
    assert breaks(day) == ["missing_at_gateway", "out_of_range", "price"]


@pytest.mark.parametrize(("day", "other"), [("lies", "lies_again")], indirect=["day"])
def test_the_same_seed_plants_the_same_breaks(day: Played, other: str, players: Players):
    assert breaks(day) == breaks(players[other])
