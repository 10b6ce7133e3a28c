"""What of a changed configuration may be put in force, and when."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from runbook import app
from runbook.config import Config
from runbook.errors import ReloadRefused
from runbook.reload import consider, frozen, guarded
from tests.fakes import MONDAY, TUESDAY, at, calendar, session

ROOT = Path(__file__).resolve().parents[1]
TEXT = """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:5000", api_key: "${KEY}"}
symbols: [NIFTY]
notify: {phone: "${PHONE}"}
"""
ENV = {"KEY": "k" * 32, "PHONE": "json://127.0.0.1:9/first"}
NIGHT = at("20:00")


@pytest.fixture
def read(tmp_path: Path):
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")

    def parsed(text: str = TEXT, **env: str) -> Config:
        (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
        return app.load_config(tmp_path, ENV | env)

    return parsed


MOVED = TEXT + "jobs: [{name: report_day, at: [close+45m]}]\n"


def test_a_file_that_says_the_same_changes_nothing(read):
    assert not consider(read(), read("# a word\n" + TEXT), calendar(), NIGHT, at_once=False)


@pytest.mark.parametrize(
    "more",
    [
        "jobs: [{name: mine, run: 'jobs.report_day:report', at: [close]}]",
        "ticks: {keep_sessions: 3}",
        "watch: {to: [phone]}",
    ],
)
def test_jobs_channels_and_retention_may_change_while_it_runs(read, more: str):
    assert consider(read(), read(TEXT + more + "\n"), calendar(), NIGHT, at_once=False)


def test_a_channel_whose_secret_changed_is_a_change_although_it_looks_the_same(read):
    assert read().hash == read(PHONE="json://127.0.0.1:9/other").hash
    assert consider(read(), read(PHONE="json://127.0.0.1:9/other"), calendar(), NIGHT, at_once=False)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("local_paper", "live", ["mode"]),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5001", ["openalgo.url"]),
        ("[NIFTY]", "[NIFTY, BANKNIFTY]", ["symbols"]),
        ("version: 1", "version: 1\ndatabase: sqlite:///other.db", ["database"]),
        ("version: 1", "version: 1\nfeed: {relay: 'ws://127.0.0.1:8777', warn_after: 5s}", ["feed.relay", "feed.warn_after"]),
    ],
)  # fmt: skip
def test_what_cannot_be_changed_is_refused_by_name_and_nothing_of_the_file_is_taken(read, old, new, names):
    with pytest.raises(ReloadRefused) as caught:
        consider(read(), read(MOVED.replace(old, new)), calendar(), NIGHT, at_once=True)
    assert str(caught.value) == f"restart needed for: {', '.join(names)}"
    assert "start it again" in (caught.value.hint or "")


def test_a_changed_key_needs_a_restart_and_is_not_shown(read):
    assert frozen(read(), read(KEY="x" * 32)) == ["openalgo.api_key"]


@pytest.mark.parametrize(
    ("clock", "refused"), [("09:04:59", False), ("09:05", True), ("12:00", True), ("15:40", True), ("15:40:01", False)]
)
def test_from_ten_minutes_before_the_open_to_the_close_nothing_changes_unasked(read, clock: str, refused: bool):
    old, new = read(), read(MOVED)
    if refused:
        with pytest.raises(ReloadRefused, match=r"not between 09:05 and 15:40: NFO 2026-11-23"):
            consider(old, new, calendar(), at(clock), at_once=False)
    else:
        assert consider(old, new, calendar(), at(clock), at_once=False)
    assert consider(old, new, calendar(), at(clock), at_once=True)


def test_a_weekday_that_the_calendar_does_not_know_is_guarded_as_if_it_had_a_session():
    held = calendar(session(MONDAY))
    assert guarded(held, at("10:00", TUESDAY)) is not None
    assert guarded(held, at("20:00", TUESDAY)) is None
