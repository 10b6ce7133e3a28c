"""`runbook watch`: what counts as absent, when it is told, and that it is told once."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from runbook.absence import STALE, Incident, Seen, look
from runbook.adapters.pulsefile import PulseFile
from runbook.adapters.store import Store
from runbook.cli import main
from runbook.clock import SystemClock
from runbook.day import Lease
from runbook.rehearsal import stage
from runbook.session import INDIA, SessionCalendar
from tests.fakes import TUESDAY, at, calendar, ledger_file

LEASE = timedelta(seconds=15)
NEVER = SessionCalendar("NFO", INDIA, date(2026, 12, 31), {})


def lease(renewed: datetime, *, given_back: bool = False) -> Lease:
    ends = renewed + (timedelta(seconds=2) if given_back else LEASE)
    return Lease("desk:812", 812, "desk", 7, renewed, renewed, ends, {})


def test_a_fresh_heartbeat_is_no_news():
    found = look(Seen(lease(at("10:00")), locked=True, calendar=calendar()), None, at("10:00") + STALE)
    assert (found.incident, found.message) == (None, None)


@pytest.mark.parametrize(("locked", "words"), [(True, "hangs: it still holds its lock"), (False, "process is gone")])
def test_a_silence_is_told_at_any_hour_with_what_is_known_of_the_process(locked: bool, words: str):
    now = at("03:00") + STALE + timedelta(seconds=1)
    found = look(Seen(lease(at("03:00")), locked=locked, calendar=calendar()), None, now)
    assert found.message is not None
    assert found.message.title == "[CRIT] runbook is not watching since 23 Nov 03:00"
    assert words in found.message.body
    assert "pid 812 on desk" in found.message.body


def test_an_incident_is_told_once_and_again_only_when_a_session_comes_near():
    """It died on Sunday night; Monday's session must not open without another word."""
    seen = Seen(lease(at("20:00", date(2026, 11, 22))), calendar=calendar())
    first = look(seen, None, at("20:02", date(2026, 11, 22)))
    assert first.message is not None
    assert first.sent is not None
    for clock in ("00:00", "08:14"):
        assert look(seen, first.sent, at(clock)).message is None
    again = look(seen, first.sent, at("08:15"))
    assert again.message is not None
    assert "session: NFO 2026-11-23 09:15-15:40" in again.message.body
    for clock in ("08:16", "15:39", "20:00"):
        assert look(seen, again.sent, at(clock)).message is None, clock
    assert look(seen, again.sent, at("08:15", TUESDAY)).message is not None, "the next session is another one"


def test_a_daemon_that_was_stopped_is_missed_only_while_a_session_is_near():
    seen = Seen(lease(at("07:00"), given_back=True), calendar=calendar())
    assert look(seen, None, at("08:14")).incident is None
    near = look(seen, None, at("08:15"))
    assert near.message is not None
    assert "it was stopped at 23 Nov 07:00" in near.message.body
    over = look(seen, near.sent, at("15:41"))
    assert (over.incident, over.message) == (None, None), "it is not back, and not due either"


def test_a_restart_within_a_minute_and_a_half_is_nobodys_news():
    seen = Seen(lease(at("10:00"), given_back=True), calendar=calendar())
    assert look(seen, None, at("10:01")).incident is None


def test_a_ledger_on_which_nothing_ever_ran_is_missed_only_near_a_session():
    assert look(Seen(None, calendar=calendar()), None, at("20:00")).incident is None
    assert look(Seen(None, calendar=calendar()), None, at("09:00")).message is not None


def test_it_is_said_once_that_it_is_back_and_only_to_who_was_told():
    away, back = Seen(lease(at("10:00")), calendar=calendar()), Seen(lease(at("10:20")), calendar=calendar())
    told = look(away, None, at("10:02")).sent
    found = look(back, told, at("10:20"))
    assert found.incident is None
    assert found.message is not None
    assert found.message.title == "[OK] runbook is back"
    assert "10:02-10:20" in found.message.body
    assert look(back, look(away, None, at("10:02")).incident, at("10:20")).message is None


def test_a_daemon_that_came_back_and_was_stopped_again_is_not_called_back():
    told = look(Seen(lease(at("06:00")), calendar=calendar()), None, at("06:02")).sent
    stopped = Seen(lease(at("06:30"), given_back=True), calendar=calendar())
    assert look(stopped, told, at("06:30:20")).message is None


def test_a_ledger_that_cannot_be_read_is_told_when_it_stays_so():
    seen = Seen(None, fault="runbook.db: disk I/O error")
    first = look(seen, None, at("10:00"))
    assert first.message is None
    later = look(seen, first.incident, at("10:00") + STALE)
    assert later.message is not None
    assert "disk I/O error" in later.message.body


def test_a_clock_that_was_set_back_is_no_absence():
    assert look(Seen(lease(at("12:00")), calendar=calendar()), None, at("10:00")).incident is None


def test_without_a_calendar_a_stopped_daemon_is_missed():
    assert look(Seen(lease(at("07:00"), given_back=True)), None, at("20:00")).message is not None


def test_an_incident_survives_its_file_and_a_torn_file_is_none():
    one = Incident(at("10:00"), "gone", "2026-11-23")
    assert Incident.load(one.dump()) == one
    torn: object
    for torn in (None, [], {}, {"since": "soon"}, {"since": "2026-11-23T10:00:00"}):
        assert Incident.load(torn) is None


# -- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def phone() -> Iterator[stage.Phone]:
    made = stage.Phone(lambda _: None)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def site(tmp_path: Path, phone: stage.Phone) -> Path:
    text = f"version: 1\nmode: local_paper\nopenalgo: {{url: 'http://127.0.0.1:9'}}\nsymbols: [NIFTY]\nnotify: {{phone: '{phone.url}'}}\n"
    (tmp_path / "config.yaml").touch(mode=0o600)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    store = Store(ledger_file(tmp_path))
    with store.write() as books:
        books.calendars.keep(NEVER, {}, SystemClock().now())
    store.close()
    return tmp_path


def beat(site: Path, ago: float, *, stopped: bool = False) -> None:
    """A daemon that renewed its lease so many seconds ago."""
    store, now = Store(site / "runbook.db"), SystemClock().now() - timedelta(seconds=ago)
    with store.write() as books:
        epoch = books.desk.take("desk:1", 4194304, "desk", now, LEASE, dead=True)
        assert books.desk.renew("desk:1", epoch, now, LEASE, {})
        if stopped:
            books.desk.release("desk:1", epoch, now + timedelta(seconds=3))
    store.close()


def test_the_command_tells_of_an_absence_and_of_its_end_once_each(site: Path, phone: stage.Phone, capsys):
    command = ["--site", str(site), "watch", "--once"]
    assert main(command) == 0
    beat(site, 1)
    assert main(command) == 0
    beat(site, 300)
    assert [main(command) for _ in range(2)] == [3, 3]
    assert [one.title.split(" since")[0] for one in phone.received] == ["[CRIT] runbook is not watching"]
    beat(site, 1)
    assert [main(command) for _ in range(2)] == [0, 0]
    assert [one.title for one in phone.received][1:] == ["[OK] runbook is back"]
    assert not PulseFile(site / "runbook.db", "watch").path.exists()
    said = capsys.readouterr().out.splitlines()
    assert re.match(r"absent: no heartbeat since .*; told", said[2])
    assert said[-1].startswith("there: pid 4194304 on desk")


def test_a_daemon_that_gave_its_lease_back_is_not_missed_without_a_session(site: Path, phone: stage.Phone):
    beat(site, 300, stopped=True)
    assert main(["--site", str(site), "watch", "--once"]) == 0
    assert phone.received == []


def test_a_message_that_nobody_took_is_sent_again_with_the_next_look(site: Path, phone: stage.Phone, capsys):
    beat(site, 300)
    good = (site / "config.yaml").read_text(encoding="utf-8")
    (site / "config.yaml").write_text(good.replace(phone.url, "json://127.0.0.1:9/"), encoding="utf-8")
    assert main(["--site", str(site), "watch", "--once"]) == 1
    assert "nobody could be told" in capsys.readouterr().out
    (site / "config.yaml").write_text(good, encoding="utf-8")
    assert main(["--site", str(site), "watch", "--once"]) == 3
    assert len(phone.received) == 1


def test_a_desk_without_a_channel_is_told_that_nobody_could_be(site: Path, capsys):
    text = (site / "config.yaml").read_text(encoding="utf-8")
    (site / "config.yaml").write_text(re.sub(r"notify:.*", "", text), encoding="utf-8")
    assert main(["--site", str(site), "watch", "--once"]) == 2
    assert "nobody could be told" in capsys.readouterr().err


def test_it_needs_no_key_and_loads_nothing_of_the_daemon(site: Path):
    import subprocess
    import sys

    beat(site, 1)
    code = (
        "import sys; from runbook.cli import main; "
        f"main(['--site', {str(site)!r}, 'watch', '--once']); "
        "print(*sorted(m for m in sys.modules if m.startswith(('runbook.engine', 'runbook.monitor', 'apscheduler', 'websocket', 'pandas'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.splitlines()[1:] == [""]
