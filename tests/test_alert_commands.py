"""`alerts`, `ack`, `silence`, `silences`, `unsilence` on a ledger that another process wrote, and how status and report say it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runbook import app
from runbook.alert import Severity
from runbook.alerts_screen import alerts_json, render_alerts, render_silences, silences_json, told_where
from runbook.ask import Ask, AskKind
from runbook.cli import main
from runbook.clock import SystemClock
from runbook.outbox import Kind, Row, State
from runbook.people import ack, silence
from runbook.ports import Message
from runbook.report.delivery import alert_parts
from runbook.session import INDIA
from tests.alert_desk import AlertDesk
from tests.fakes import MONDAY, at, calendar

SITE = """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:5000", api_key: "${OPENALGO_API_KEY}"}
symbols: [NIFTY]
"""
JSON = (Path(__file__).parents[1] / "docs" / "json.md").read_text(encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path):
    """A site whose ledger has one critical alert, opened now."""
    (tmp_path / "config.yaml").write_text(SITE, encoding="utf-8")
    made = AlertDesk(tmp_path, SystemClock().now() - timedelta(seconds=90))
    app.almanac(app.load_config(tmp_path), made.store).keep([calendar()], {}, made.now)
    made.job("recon", severity=Severity.CRITICAL)
    yield made
    made.store.close()


def run(desk: AlertDesk, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    capsys.readouterr()
    try:
        code = main(["--site", str(desk.store.path.parent), *arguments])
    except SystemExit as exc:
        code = int(exc.code or 0)
    seen = capsys.readouterr()
    return code, seen.out + seen.err


def keys(heading: str) -> set[str]:
    section = JSON.split(f"## `runbook {heading}", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"`([a-z_]+)`", section))


def test_an_alert_is_listed_acknowledged_and_listed_as_seen(desk, capsys):
    code, said = run(desk, capsys, "alerts")
    assert code == 1
    assert said.startswith("#1 CRITICAL recon failed, ")
    assert "told: phone queued; `runbook ack 1`" in said
    code, said = run(desk, capsys, "ack", "1", "--note", "on it")
    assert (code, said.split(":")[0]) == (0, "#1 recon failed")
    code, said = run(desk, capsys, "alerts")
    assert re.search(r"acknowledged .* by\s+cli:\w+: on it", said)
    code, said = run(desk, capsys, "alerts", "--json")
    (row,) = json.loads(said)
    assert (row["number"], row["acked"], row["note"], row["told"]) == (1, True, "on it", {"phone": "queued"})
    assert row.keys() <= keys("alerts --json"), row.keys() - keys("alerts --json")


def test_a_number_that_is_none_is_one_line_and_what_there_is(desk, capsys):
    code, said = run(desk, capsys, "ack", "9")
    assert (code, said.splitlines()) == (2, ["runbook: there is no alert #9", "  -> open now: #1 recon failed"])
    assert run(desk, capsys, "ack", "all")[0] == 2


def test_a_silence_is_made_listed_and_ended(desk, capsys):
    assert run(desk, capsys, "silences") == (0, "nothing is silenced\n")
    code, said = run(desk, capsys, "silence", "job{job=recon}", "--for", "30m", "--reason", "I know")
    assert (code, said.startswith("silence 1: job{job=recon} for 30m00s; 1 open now is shown and not told")) == (
        0,
        True,
    )
    code, said = run(desk, capsys, "silences")
    assert "1 job{job=recon} until " in said
    assert "I know" in said
    (row,) = json.loads(run(desk, capsys, "silences", "--json")[1])
    assert row["holds"]
    assert row.keys() <= keys("silences --json")
    assert run(desk, capsys, "unsilence", "1")[0] == 0
    assert run(desk, capsys, "silences")[1] == "nothing is silenced\n"
    assert "ended by cli:" in run(desk, capsys, "silences", "--all")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["silence", "fed", "--for", "30m", "--reason", "x"], "did you mean feed"),
        (["silence", "feed", "--for", "3h", "--reason", "x"], "--critical"),
        (["silence", "feed", "--for", "30", "--reason", "x"], "has no unit"),
        (["silence", "feed", "--for", "0s", "--reason", "x"], "more than nothing"),
        (["silence", "feed", "--for", "30m"], "--reason"),
    ],
)
def test_a_silence_that_cannot_be_ends_with_2_and_says_what_can(arguments, words, desk, capsys):
    code, said = run(desk, capsys, *arguments)
    assert (code, words in said) == (2, True), said


def test_the_screens_are_of_ledgers_without_a_single_word_too():
    now = at("10:00")
    assert render_alerts([], {}, INDIA, now) == "no alert is open"
    assert render_alerts([], {}, INDIA, now, everything=True) == "no alert"
    assert alerts_json([], {}, INDIA, now) == silences_json([], INDIA, now) == []
    assert render_silences([], INDIA, now) == "nothing is silenced"


def test_of_several_messages_on_a_channel_the_best_counts():
    row = Row("k", "phone", Kind.OPENED, 1, Message("t", ""), at("10:00"), at("12:00"), at("10:00"))
    rows = [row, replace(row, state=State.SENT), replace(row, channel="mail", state=State.DEAD)]
    assert told_where(rows) == {"mail": "dead", "phone": "sent"}


def test_the_report_says_when_it_was_seen_by_whom_and_how_long_it_lasted(desk):
    began = desk.now
    desk.now = began + timedelta(minutes=3)
    with desk.store.write() as books:
        ack(books, 1, "on it", "telegram:42", desk.now)
    desk.now = began + timedelta(minutes=5)
    desk.job("recon", "succeeded")
    (part,) = alert_parts(desk.alerts(), desk.rows, INDIA)
    assert (part.until_acked, part.until_resolved, part.acked_by, part.note) == (180, 300, "telegram:42", "on it")
    from runbook.report.phrases import alert_head

    class Named:
        zone, date = INDIA, began.astimezone(INDIA).date()

    said = alert_head(part, Named)  # type: ignore[arg-type]
    assert said.endswith("resolved, succeeded because after 5m00s; acknowledged after 3m00s by telegram:42: on it")


def test_the_status_says_who_has_seen_it_and_what_is_kept_back(desk):
    from runbook.day import Lease
    from runbook.status import StatusFacts, reasons, status_json

    with desk.store.write() as books:
        silence(books, "job{job=other}", desk.now + timedelta(hours=1), "known", "cli:me", desk.now)
        ack(books, 1, "", "cli:me", desk.now)
    desk.job("other")
    lease = Lease("d:1", 1, "d", 1, desk.now, desk.now, desk.now + timedelta(seconds=15), {})
    facts = StatusFacts(desk.now, calendar(), None, lease, tuple(desk.alerts()), 0)
    said = reasons(facts)
    assert said[0].endswith("#1, acknowledged by cli:me")
    assert said[1].endswith("#2, silenced by cli:me")
    rows = status_json(facts)["alerts"]
    assert [(r["acked"], r["muted"]) for r in rows] == [(True, None), (False, "silenced by cli:me: known")]
    assert rows[0].keys() <= keys("status --json")


def test_an_ask_whose_time_is_over_waits_for_nobody_although_no_daemon_has_closed_it(desk, capsys):
    now = desk.now.replace(microsecond=0)  # the ledger keeps milliseconds
    asked, over = now - timedelta(minutes=9), now - timedelta(minutes=4)
    with desk.store.write() as books:
        made = Ask("k", AskKind.APPROVAL, MONDAY, "restart", "Restart?", ("yes", "no"), "no", {}, asked, over)
        books.asks.open(made)
        books.asks.open(replace(made, key="l", name="other", deadline=desk.now + timedelta(hours=1)))
    code, said = run(desk, capsys, "asks")
    first, other = said.split("\n\n")
    assert code == 0
    assert "unanswered, so no: the safe default" in first
    assert "runbook answer" not in first
    assert "runbook answer 2 yes | no" in other
    closed, waiting = json.loads(run(desk, capsys, "asks", "--json")[1])
    assert (closed["state"], closed["answer"], closed["by"]) == ("defaulted", "no", None)
    assert closed["at"] == over.astimezone(INDIA).isoformat()
    assert waiting["state"] == "open"
    status = json.loads(run(desk, capsys, "status", "--json")[1])
    assert [ask["name"] for ask in status["asks"]] == ["other"]
    assert not [why for why in status["reasons"] if "restart waits" in why]
