"""`runbook feed calibrate` on a site with recorded sessions: what it says, on what it rests, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from runbook import app, cli
from runbook.adapters.recorder import Recorder, tidy
from runbook.feed.policy import Policy
from runbook.feed.tape import recorded
from runbook.market import Instrument, Quote, Source, Tick
from runbook.session import INDIA, Day, DayStatus, PhaseName, Session, SessionCalendar
from tests.feed_world import FUTURE, NIFTY, OPTION

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
FIRST, SECOND, HOLIDAY = date(2026, 11, 19), date(2026, 11, 20), date(2026, 11, 21)
MINUTES = 20


def session(day: date) -> Session:
    opening = datetime(day.year, day.month, day.day, 3, 45, tzinfo=UTC)
    return Session("NFO", day, ((opening, opening + timedelta(hours=6)),))


def fill(folder: Path, day: date, *silences: tuple[int, int], polled: tuple[int, int] = (0, 0)) -> None:
    """An index each second and a future twice a second for twenty minutes from the open, but for the silences."""
    opening = session(day).open
    with Recorder(folder / "ticks", day, capacity=100_000) as recorder:
        for beat in range(1, MINUTES * 120):
            at = opening + timedelta(seconds=beat / 2)
            if polled[0] <= beat / 2 < polled[1] and beat % 4 == 0:
                rest = Quote(NIFTY, 26000 + beat % 9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
                recorder.record(Source.REST_POLLING, rest, at)
            if any(start <= beat / 2 < end for start, end in silences):
                continue
            ltt = int(at.timestamp() * 1000)
            recorder.record(Source.WEBSOCKET, Tick(FUTURE, 26100 + beat % 7 * 0.05, ltt), at)
            if beat % 2 == 0:
                recorder.record(Source.WEBSOCKET, Tick(NIFTY, 26000 + beat % 9 * 0.05, ltt), at)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENALGO_API_KEY", "k" * 64)
    (tmp_path / "config.yaml").write_text(
        "version: 1\nmode: local_paper\nopenalgo: {url: http://127.0.0.1:5000, api_key: '${OPENALGO_API_KEY}'}\n"
        'symbols: [NIFTY, "NIFTY:fut"]\nfeed: {detect: timers}\n'
    )
    config = app.load_config(tmp_path)
    days = {day: Day(day, DayStatus.OPEN, "regular", session=session(day)) for day in (FIRST, SECOND)}
    days[HOLIDAY] = Day(HOLIDAY, DayStatus.CLOSED, "weekend")
    store = app.open_store(config)
    store.migrate()
    calendars = [SessionCalendar(name, INDIA, date(2026, 12, 31), days) for name in ("NFO", "NSE")]
    app.almanac(config, store).keep(calendars, {}, NOW)
    store.close()
    return tmp_path


@pytest.fixture
def say(site: Path, capsys: pytest.CaptureFixture[str]):
    def said(*arguments: object) -> tuple[int, str, str]:
        code = cli.main(["--site", str(site), "feed", "calibrate", *map(str, arguments)])
        seen = capsys.readouterr()
        return code, seen.out, seen.err

    return said


def test_without_a_record_it_says_how_to_get_one(say):
    code, out, err = say()
    assert (code, out) == (1, "")
    assert "no session has been recorded here yet" in err
    assert "runbook serve" in err


def test_a_healthy_record_is_told_with_what_it_rests_on(site, say):
    fill(site, FIRST)
    code, out, _ = say("--cuts", 10)
    assert code == 0
    assert out.startswith("1 session, 3,598 ticks of 2 symbols; 10 losses, made by cutting the record off")
    assert "2026-11-19  09:15:00 to 09:34:59, 3,598 ticks" in out
    rows = {title.strip(): value for title, _, value in (line.rpartition("  ") for line in out.splitlines())}
    assert 119 <= float(rows["a loss of the whole feed is seen after, median s"]) <= 122
    assert rows["alarms on the record as it is, a session"].strip() == "0.00"
    assert "NFO:NIFTY24NOV26FUT" in out
    assert "alarms as configured" not in out


def test_a_setting_stands_beside_what_is_configured_and_its_alarms_are_named_with_their_time(site, say):
    fill(site, FIRST, (600, 630))
    fill(site, SECOND, (300, 365), polled=(310, 365))
    code, out, err = say("--cuts", 5, "--set", "warn_after=10s", "--set", "feed.fallback_after=20s", "--json")
    assert code == 0
    assert "replaying 2026-11-20 with warn_after=10s fallback_after=20s" in err
    found = json.loads(out)
    configured, other = found["settings"]
    assert (configured["name"], other["name"]) == ("as configured", "with warn_after=10s fallback_after=20s")
    assert configured["alarms_per_session"] == 0
    assert configured["doubts_per_session"] == 0.5
    assert other["alarms_per_session"] == 1
    assert [a["at"][:19] for a in other["alarms"]] == ["2026-11-19T09:25:20", "2026-11-20T09:20:20"]
    assert [a["left_then"] for a in other["alarms"]] == [False, True]
    assert other["detection"]["median"] == pytest.approx(20.5, abs=1)
    assert configured["detection"]["median"] == pytest.approx(120.5, abs=1)
    assert other["cuts"] + other["skipped"] == 10
    future = found["gaps"][0]
    assert (future["symbol"], future["median"], future["longest"]) == ("NFO:NIFTY24NOV26FUT", 0.5, 65.5)
    assert future["longest_at"].startswith("2026-11-20T09:19:59")
    printed = say("--cuts", 0, "--set", "warn_after=10s", "--set", "fallback_after=20s")[1]
    assert "2026-11-20 09:20:20  21 s without a tick; runbook had left the socket then" in printed


def test_the_probe_stands_beside_the_guides_timers(site, say):
    fill(site, FIRST)
    timers, probe = json.loads(say("--cuts", 5, "--set", "detect=probe", "--json")[1])["settings"]
    assert timers["detection"]["median"] > 100
    assert probe["detection"]["median"] < 11
    assert (timers["symbol"]["missed"], probe["symbol"]["missed"]) == (5, 0)


def test_a_packed_record_counts_like_a_plain_one_and_the_last_ones_are_chosen(site, say):
    for day in (FIRST, SECOND):
        fill(site, day)
    plain = json.loads(say("--cuts", 3, "--session", FIRST, "--json")[1])
    tidy(site / "ticks", HOLIDAY, 60)
    assert json.loads(say("--cuts", 3, "--session", FIRST, "--json")[1]) == plain
    newest = json.loads(say("--cuts", 0, "--last", 1, "--json")[1])
    assert [row["session"] for row in newest["sessions"]] == ["2026-11-20"]


def test_what_cannot_be_used_is_left_out_and_said(site, say):
    fill(site, FIRST)
    fill(site, HOLIDAY)
    (site / "ticks" / f"{SECOND}.db").write_bytes(b"no database" * 100)
    code, out, _ = say("--cuts", 0)
    assert code == 0
    assert "2026-11-21  left out: the calendar has no session of NFO on it (weekend)" in out
    assert "2026-11-20  left out: recorded ticks in" in out
    (site / "ticks" / f"{FIRST}.db").unlink()
    code, _, err = say("--cuts", 0)
    assert code == 1
    assert "no recorded session can be replayed" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--set", "warn_after"), "accepted is KEY=VALUE, for example --set fallback_after=90s"),
        (("--set", "warn_afetr=10s"), "did you mean warn_after?"),
        (("--set", "warn_after=soon"), "soon"),
        (("--set", "warn_after=500s"), "warn_after is not before fallback_after"),
        (("--cuts", "-1"), "accepted are 0 to 1000"),
        (("--last", "0"), "accepted is 1 or more"),
        (("--last", "1", "--session", "2026-11-19"), "choose one"),
    ],
)
def test_a_mistake_is_named_with_what_is_accepted(site, say, arguments, told):
    fill(site, FIRST)
    code, out, err = say(*arguments)
    assert (code, out) == (2, "")
    assert told in err


def test_a_session_that_was_not_recorded_is_answered_with_those_that_were(site, say):
    fill(site, FIRST)
    code, _, err = say("--session", SECOND)
    assert code == 1
    assert "2026-11-20 was not recorded; there is 2026-11-19" in err


def test_the_keys_of_its_json_are_documented(site, say):
    fill(site, FIRST, (600, 630))
    text = (Path(__file__).parents[1] / "docs" / "json.md").read_text()
    section = text.split("## `runbook feed calibrate", 1)[1].split("\n## ", 1)[0]

    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return set(value) | {k for inner in value.values() for k in keys(inner)}
        return {k for item in value for k in keys(item)} if isinstance(value, list) else set()

    found = json.loads(say("--cuts", 1, "--set", "warn_after=5s", "--set", "fallback_after=9s", "--json")[1])
    assert {k for k in keys(found) if f"`{k}`" not in section} == set()


def test_a_record_that_begins_late_and_ends_early_is_played_only_where_it_is():
    held = session(FIRST)
    rows = [
        (held.open + timedelta(seconds=3600 + i), NIFTY, Source.WEBSOCKET, 26000.0 + i % 3, None) for i in range(600)
    ]
    tape = recorded(held, rows)
    assert tape is not None
    assert (tape.begin, tape.end, tape.until) == (3599, 4200, 4200)
    from runbook.feed.calibration import calibrate

    found = calibrate([tape], Policy(detect="timers", warn_after=5, fallback_after=9), cuts=4)
    assert found.alarms == ()
    assert found.cuts == 4


def test_a_tape_knows_the_hours_of_its_session_and_what_is_quiet_in_it():
    opening = session(FIRST).open
    held = Session(
        "NFO",
        FIRST,
        ((opening, opening + timedelta(hours=1)), (opening + timedelta(hours=2), opening + timedelta(hours=3))),
    )
    rows = [(opening + timedelta(seconds=1), i, Source.WEBSOCKET, 1.0, None) for i in (OPTION, FUTURE, NIFTY)]
    tape = recorded(
        held, rows, lambda now, all_: frozenset(all_) if now >= held.close - timedelta(minutes=5) else frozenset()
    )
    assert tape is not None
    assert tape.instruments == (NIFTY, FUTURE, OPTION)
    assert [tape.phase_at(at) for at in (-1, 0, 5400, 9000, 10800)] == [
        PhaseName.SHUT, PhaseName.CONTINUOUS, PhaseName.BREAK, PhaseName.CONTINUOUS, PhaseName.SHUT,
    ]  # fmt: skip
    assert tape.quiet(10_400) == frozenset()
    assert tape.quiet(10_600) == {NIFTY, FUTURE, OPTION}
    assert tape.quote(NIFTY, 0.5).fault is not None  # nothing had come by then: no price is invented
    assert tape.quote(NIFTY, 5.0).ltp == 1.0
    assert tape.quote(NIFTY, 5.0).fingerprint != tape.quote(NIFTY, 6.0).fingerprint
    assert recorded(held, []) is None
    assert recorded(held, [(opening, Instrument("X", "NFO"), Source.REST_POLLING, 1.0, None)]) is None
