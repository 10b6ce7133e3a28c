"""The report says what was seen, in the order in which it matters, and never more than was seen."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runbook.alert import Alert, AlertState, Severity
from runbook.day import DayFacts, FeedSample
from runbook.job import Key, Verdict
from runbook.market import Instrument
from runbook.outbox import Kind
from runbook.outbox import State as Sent
from runbook.recon import BreakCode, DayPnl, OpenPosition
from runbook.recon import Verdict as Books
from runbook.report import Seen, Stage, Word, build, render_markdown, render_text, short, to_json
from runbook.run import State
from runbook.session import Day, DayStatus
from tests import report_days as days
from tests.report_days import FRIDAY, JOBS, at

GOLDEN = Path(__file__).parent / "golden" / "report_incident.txt"
AFTER = at("16:00")


def report(facts: DayFacts, now=AFTER, calendar=None):
    return build(facts, calendar or days.calendar(), now, JOBS, "local_paper", "a91c3f2")


def views(facts: DayFacts, now=AFTER):
    made = report(facts, now)
    title, lines = short(made)
    return render_text(made), render_markdown(made), "\n".join([title, *lines]), json.dumps(to_json(made))


def with_rows(facts: DayFacts, job: str, **changes) -> DayFacts:
    """The day with other values in the rows of `job`."""
    return replace(facts, entries=tuple(replace(e, **changes) if e.key.job == job else e for e in facts.entries))


def with_books(facts: DayFacts, held) -> DayFacts:
    rows = tuple(
        replace(e, tries=(replace(e.tries[0], facts=held),)) if e.key.job == "reconcile_paper" else e
        for e in facts.entries
    )
    return replace(facts, entries=rows)


# -- the whole ----------------------------------------------------------------------------------------------------------


def test_the_incident_reads_as_it_was_kept():
    assert render_text(report(days.incident_day())) + "\n" == GOLDEN.read_text()


def test_the_first_line_says_what_is_still_open_before_all_else():
    assert " ".join(render_text(report(days.incident_day())).split()).startswith(
        "Attention: not flat: -75 NIFTY30DEC2526000CE @ 120.00; feed on REST 3m04s in 1 fallback; reconciliation has 2 breaks"
    )


def test_the_title_of_the_message_has_the_day_the_verdict_and_the_money():
    assert short(report(days.incident_day()))[0] == "Fri 26 Dec ATTENTION: -Rs 512.50, 1 OPEN"
    assert short(report(days.clean_day()))[0] == "Fri 26 Dec CLEAN: +Rs 1,240.50, flat"


def test_the_message_of_the_incident_is_the_report_and_not_a_notice_of_it():
    said = "\n".join(short(report(days.incident_day()))[1])
    for part in (
        "P&L -Rs 512.50",
        "REST 10:02:15-10:05:19 (3m04s)",
        "131.40",
        "127.95",
        "2 missed",
        "phone",
        "Mon 29 Dec 09:15",
    ):
        assert part in said


SECTIONS = ("TRADES", "SESSION", "STEPS", "FEED", "RECONCILIATION", "ALERTS", "SEEN TODAY", "NEXT SESSION")
EVERY_DAY: dict[str, tuple[Callable[[], DayFacts], datetime]] = {
    "incident": (days.incident_day, AFTER),
    "clean": (days.clean_day, AFTER),
    "empty": (days.empty_day, AFTER),
    "running": (days.running_day, at("10:03:45")),
}


@pytest.mark.parametrize("name", EVERY_DAY)
def test_every_section_stands_in_every_view_in_one_order(name):
    make, now = EVERY_DAY[name]
    text, markdown, _, _ = views(make(), now)
    found = [next(n for n, line in enumerate(text.splitlines()) if line.startswith(head)) for head in SECTIONS]
    assert found == sorted(found)
    for head in SECTIONS:
        assert f"## {head.capitalize()}" in markdown


@pytest.mark.parametrize("name", EVERY_DAY)
def test_the_same_facts_give_the_same_bytes_at_any_time_of_the_same_stage(name):
    make, now = EVERY_DAY[name]
    later = now + (timedelta(days=9) if now is AFTER else timedelta(minutes=40))
    assert views(make(), now) == views(make(), later)


def test_shuffled_facts_give_the_same_bytes():
    facts = days.incident_day()
    turned = replace(
        facts,
        entries=facts.entries[::-1],
        changes=facts.changes[::-1],
        samples=facts.samples[::-1],
        alerts=facts.alerts[::-1],
        messages=facts.messages[::-1],
    )
    assert views(turned) == views(facts)


def test_the_json_is_plain_and_its_times_carry_the_offset_of_the_exchange():
    values = json.loads(views(days.incident_day())[3])
    assert values["session"]["open"] == "2025-12-26T09:15:00+05:30"
    assert values["feed"]["outages"][0]["fell"] == "2025-12-26T10:02:15+05:30"
    assert values["next"]["login"] == "2025-12-29T08:15:00+05:30"
    stamps = re.findall(
        r'"(\d{4}-\d\d-\d\dT[^"]*)"', json.dumps({k: v for k, v in values.items() if k != "reconciliation"})
    )
    assert stamps
    assert all(stamp.endswith("+05:30") for stamp in stamps)


def test_what_a_server_said_cannot_draw_on_the_terminal_or_break_the_markdown():
    evil = "502 \x1b[31mBad\x07 | Gate\nway [x](http://evil) `rm`"
    facts = with_rows(days.clean_day(), "start_feed", state=State.FAILED, reason=evil)
    text, markdown, message, _ = views(facts)
    assert "\x1b" not in text + markdown + message
    assert "\x07" not in text + markdown + message
    assert r"\| Gate way \[x\](http://evil) \`rm\`" in markdown


# -- the verdict --------------------------------------------------------------------------------------------------------


def test_a_clean_day_is_clean_and_says_what_that_rests_on():
    made = report(days.clean_day())
    assert made.headline.word is Word.CLEAN
    assert made.headline.sentence == (
        "Clean day: feed on WebSocket 99.9% of the time; 4 legs filled by the bot itself; ticks cover 4 of 4; all 774 steps ran."
    )


def test_a_day_without_trades_proves_nothing_and_is_not_clean():
    held = days.books(days.reconciliation(Books.EMPTY, legs=0), None, 0)
    assert report(with_books(days.clean_day(), held)).headline.word is Word.QUIET


UNKNOWN_DAYS = {
    "nothing in the ledger": days.empty_day(),
    "no feed": replace(days.clean_day(), samples=(), changes=()),
    "no reconciliation": with_rows(days.clean_day(), "reconcile_paper", tries=(), state=State.PLANNED, verdict=None),
    "books not read": with_books(days.clean_day(), days.books(days.reconciliation(Books.INCOMPLETE))),
    "prices not held against ticks": with_books(days.clean_day(), days.books(days.reconciliation(Books.UNVERIFIABLE))),
    "facts of another version": with_books(days.clean_day(), {"reconciliation": {"odd": 1}, "pnl": {"odd": 1}, "legs": "4"}),
    "no broker check": with_rows(days.clean_day(), "verify_broker", tries=(), state=State.SKIPPED, reason="paused"),
    "broker check without a verdict": with_rows(days.clean_day(), "verify_broker", verdict=None),
    "watch ended at noon": replace(
        days.clean_day(), changes=days.QUIET_CHANGES[:2], samples=tuple(s for s in days.clean_day().samples if s.at < at("12:00"))
    ),
    "a message that may have arrived": replace(
        days.clean_day(), messages=(replace(days.READY[0], state=Sent.UNKNOWN), days.READY[1])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN_DAYS)
def test_what_is_not_known_is_never_green(name):
    made = report(UNKNOWN_DAYS[name])
    assert made.headline.word is Word.UNKNOWN, made.headline.sentence
    assert made.headline.sentence.startswith("Unknown: ")


ATTENTION_DAYS = {
    "a step failed": (with_rows(days.clean_day(), "start_feed", state=State.FAILED, reason="no future found"), "start_feed failed: no future found"),
    "a step was missed": (with_rows(days.clean_day(), "start_feed", state=State.MISSED, tries=(), reason="not started"), "start_feed missed"),
    "the broker was refused": (with_rows(days.clean_day(), "verify_broker", verdict=Verdict.BAD, reason="key: 403"), "broker not verified: key: 403"),
    "something is open": (with_books(days.clean_day(), days.books(pnl=days.HELD)), "not flat: -75"),
    "a leak": (with_books(days.clean_day(), days.books(days.reconciliation(Books.BREAKS, breaks=[days.found(BreakCode.MODE_LEAK, "order book", "1 row")]))), "MODE LEAK, 1 row"),
    "a message is lost": (replace(days.clean_day(), messages=(replace(days.READY[0], state=Sent.DEAD), days.READY[1])), "1 message did not arrive on phone"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTION_DAYS)
def test_what_is_wrong_is_in_the_sentence(name):
    facts, said = ATTENTION_DAYS[name]
    made = report(facts)
    assert made.headline.word is Word.ATTENTION
    assert said in made.headline.sentence


def test_what_is_wrong_comes_before_what_is_unknown():
    facts = with_books(days.incident_day(), {"reconciliation": {"odd": 1}})
    words = [c.word for c in report(facts).headline.concerns]
    assert Word.UNKNOWN in words
    assert words == sorted(words, key=lambda word: word is Word.UNKNOWN)


# -- the stages of a day ------------------------------------------------------------------------------------------------


def test_a_day_in_progress_is_told_so_far_and_as_of_the_newest_entry():
    made = report(days.running_day(), at("10:03:45"))
    assert made.stage is Stage.RUNNING
    assert made.headline.sentence.startswith("Attention so far (until 10:03): feed on REST since 10:02")
    assert "it goes on" in render_text(made)
    assert made.feed.bar == "=" * 7 + "r" + "." * 52


def test_a_day_not_begun_names_its_opening_and_the_login():
    facts = replace(days.empty_day(), entries=tuple(days.planned(days.calendar().day(FRIDAY))))
    made = report(facts, at("08:00"))
    assert made.headline.word is Word.AHEAD
    assert short(made)[0] == "Fri 26 Dec NOT BEGUN, opens 09:15"
    assert "log in to the broker by Fri 26 Dec 08:15" in render_text(made)


def test_a_holiday_says_so_and_when_it_goes_on():
    text, _, message, _ = views(days.empty_day(date(2025, 12, 25)))
    assert text.startswith("Closed: NFO has no session on Thu 25 Dec (Christmas).")
    assert "Fri 26 Dec 2025, 09:15-15:30 IST" in text
    assert message.splitlines()[0] == "Thu 25 Dec CLOSED: Christmas"


def test_a_day_the_calendar_does_not_know_is_unknown_in_words():
    facts = replace(days.empty_day(), day=Day(FRIDAY, DayStatus.UNKNOWN, "sources disagree"))
    assert render_text(report(facts)).startswith("Unknown: the calendar does not know Fri 26 Dec: sources disagree.")


def test_a_coming_holiday_is_named_on_its_eve():
    said = render_text(report(days.empty_day(date(2025, 12, 24)), at("16:00", date(2025, 12, 24))))
    assert "Thu 25 Dec closed: Christmas" in said
    assert "log in to the broker by Fri 26 Dec 08:15" in said


def test_past_the_known_calendar_the_next_session_is_unknown_with_its_reason():
    made = report(days.clean_day(), calendar=days.calendar(known_until=FRIDAY))
    assert made.next.open is None
    for said in (render_text(made), "\n".join(short(made)[1])):
        assert "the calendar of NFO is known until" in " ".join(said.split())


def test_a_day_nobody_knows_stands_before_the_sessions_behind_it():
    known = days.calendar()
    rows = known.days | {date(2025, 12, 29): Day(date(2025, 12, 29), DayStatus.UNKNOWN, "sources disagree")}
    made = report(days.clean_day(), calendar=replace(known, days=rows))
    assert (made.next.day, made.next.open) == (date(2025, 12, 29), None)
    assert "Mon 29 Dec 2025 is not known: sources disagree" in render_text(made)


def test_at_the_instant_of_the_close_the_day_is_over_and_at_the_open_it_runs():
    stages = [report(days.clean_day(), at(clock)).stage for clock in ("09:14:59", "09:15", "15:29:59", "15:30")]
    assert stages == [Stage.AHEAD, Stage.RUNNING, Stage.RUNNING, Stage.OVER]


def test_the_screens_load_none_of_the_heavy_libraries():
    heavy = ["pandas", "apscheduler", "apprise", "requests", "alembic", "sqlalchemy", "matplotlib"]
    code = (
        f"import sys, runbook.report, runbook.status, runbook.history; print([m for m in {heavy} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- no data is not zero ------------------------------------------------------------------------------------------------

_BARE_ZERO = re.compile(r"(?<![\d.:,-])0(?:\.0+)?(?:s|%| s)?(?![\d.:,-]*\d)")


def test_an_empty_ledger_prints_no_data_and_no_zero():
    text, markdown, message, raw = views(days.empty_day())
    for said in (text, markdown, message):
        assert "no data" in said
        assert not _BARE_ZERO.findall(said), said
    values = json.loads(raw)
    assert (
        values["feed"]["shares"]
        is values["feed"]["gaps"]
        is values["trades"]["legs"]
        is values["trades"]["pnl"]
        is None
    )


def test_a_symbol_that_was_to_be_watched_and_never_counted_has_no_data():
    facts = days.clean_day()
    only = tuple(FeedSample(s.at, {**s.data, "ticks": {"NIFTY": s.data["ticks"]["NIFTY"]}}) for s in facts.samples)
    assert "NIFTY 22,041, NIFTY30DEC25FUT no data" in render_text(report(replace(facts, samples=only)))


def test_samples_without_keys_are_survived():
    made = report(replace(days.clean_day(), samples=(FeedSample(at("12:00"), {}),)))
    assert made.feed.shares is None
    assert "shares no data" in render_text(made)


def test_the_bots_log_that_was_not_read_is_not_a_day_without_trades():
    unread = render_text(report(with_books(days.clean_day(), days.books(pnl=None, legs=None))))
    none = render_text(report(with_books(days.clean_day(), days.books(pnl=None, legs=0))))
    assert "Trades: no data" in unread
    assert "Trades: none in the bot's log" in none
    assert "P&L: no data" in unread


# -- steps --------------------------------------------------------------------------------------------------------------


def test_a_repeat_is_one_line_with_its_holes():
    lines = [line for line in render_text(report(days.incident_day())).splitlines() if "check_feed  " in line]
    assert len(lines) == 1
    assert "768 of 770 ran, 2 missed 10:02-10:03" in lines[0]


def test_a_check_that_passed_late_says_at_which_try_and_after_which_deadline():
    facts = days.clean_day()
    rows = []
    for entry in facts.entries:
        if entry.key == Key(FRIDAY, "verify_broker", "open-60m"):
            failed = days.ran(entry, at("08:15"), verdict=Verdict.BAD, reason="token dead")
            rows.append(days.ran(replace(failed, tries=failed.tries[1:]), at("09:07"), reason="broker angel", n=2))
        else:
            rows.append(entry)
    said = " ".join(render_text(report(replace(facts, entries=tuple(rows)))).split())
    assert "after its deadline 09:05; try 2; broker angel" in said
    assert "verify_broker ok only after its deadline 09:05" in said


def test_a_late_start_and_a_skip_keep_their_reasons():
    facts = days.clean_day()
    rows = []
    for entry in facts.entries:
        if entry.key.job == "reconcile_paper":
            rows.append(replace(entry, tries=(replace(entry.tries[0], started=at("16:10"), ended=at("16:11")),)))
        elif entry.key.job == "start_feed":
            rows.append(replace(entry, state=State.SKIPPED, tries=(), reason="paused by ravi"))
        else:
            rows.append(entry)
    said = render_text(report(replace(facts, entries=tuple(rows))))
    assert "30m00s late" in said
    assert "paused by ravi" in said


def test_a_row_that_never_ended_is_not_a_clean_day():
    facts = days.clean_day()
    rows = tuple(
        replace(e, state=State.PLANNED, tries=(), verdict=None)
        if e.key.job == "check_feed" and e.occurrence.planned > at("15:00")
        else e
        for e in facts.entries
    )
    assert "59 rows of check_feed never ended" in report(replace(facts, entries=rows)).headline.sentence


# -- feed ---------------------------------------------------------------------------------------------------------------


def test_the_shares_of_the_day_add_up_to_the_promised_time():
    shares = report(days.incident_day()).feed.shares
    assert shares is not None
    parts = (
        shares.websocket,
        shares.rest,
        shares.blind,
        shares.waiting,
        shares.still,
        shares.unwatched,
        shares.missing,
    )
    assert sum(parts) == shares.promised == 6.25 * 3600


def test_three_minutes_on_rest_do_not_vanish_from_the_timeline():
    assert report(days.incident_day()).feed.bar == "=" * 7 + "rr" + "=" * 51


def test_a_daemon_that_died_in_live_leaves_a_timeline_of_unknowns():
    facts = UNKNOWN_DAYS["watch ended at noon"]
    rows = tuple(e for e in facts.entries if e.occurrence.planned < at("12:00"))
    made = report(replace(facts, entries=rows))
    assert made.feed.bar.startswith("=" * 20)
    assert made.feed.bar.endswith("?" * 30)
    assert made.feed.shares is not None
    assert made.feed.shares.missing > 3 * 3600


def test_a_restart_in_mid_session_adds_its_runs_up():
    first = days.minutes("09:15", "12:00", days.totals(websocket=9900.0, longest=3.0, ticks={"NIFTY": 1000}))
    second = days.minutes("12:01", "15:31", days.totals(websocket=12540.0, longest=9.0, ticks={"NIFTY": 500}))
    feed = report(replace(days.clean_day(), samples=(*first, *second))).feed
    assert feed.shares is not None
    assert feed.shares.websocket == 9900 + 12540
    assert feed.shares.missing == 60
    assert (feed.restarts, feed.longest_gap) == (1, 9.0)
    assert dict(feed.ticks)["NIFTY"] == 1500


def test_a_rest_of_the_index_that_the_calendar_knows_is_not_held_against_the_watch():
    changes = (
        *days.QUIET_CHANGES[:2],
        days.change("15:15:00", "LIVE", "OFF", "no ticks are promised now (continuous)"),
    )
    samples = days.minutes("09:15", "15:31", days.totals("OFF", websocket=21598.0, waiting=2.0))
    feed = report(replace(days.clean_day(), changes=changes, samples=tuple(samples))).feed
    assert feed.shares is not None
    assert (feed.shares.promised, feed.shares.missing) == (21600, 0)
    assert feed.bar.endswith("--")


def test_blindness_is_said_before_rest_and_marked():
    facts = days.incident_day()
    changes = [replace(c, now="BLIND") if c.now == "FALLBACK" else c for c in facts.changes]
    samples = days.minutes(
        "09:15", "15:31", days.totals("OFF", fallbacks=1, websocket=22194.0, blind=154.0, rest=30.0, waiting=122.0)
    )
    made = report(replace(facts, changes=tuple(changes), samples=tuple(samples)))
    assert "feed BLIND for 2m34s" in made.headline.sentence
    assert made.headline.sentence.index("BLIND") < made.headline.sentence.index("REST")
    assert "X" in made.feed.bar
    assert {r.component: r.seen for r in made.readiness}["REST API"] is Seen.ATTENTION


# -- alerts -------------------------------------------------------------------------------------------------------------


def test_each_channel_of_each_message_is_told_with_what_became_of_it():
    said = render_text(report(days.incident_day()))
    assert "email dead 10:02:31 (6 tries): 535 authentication failed; phone sent 10:02:31 (1 try)" in said
    assert "phone unknown 10:05:20 (2 tries): timed out after 20 s" in said


def test_a_channel_that_was_not_told_is_visible():
    facts = days.incident_day()
    facts = replace(
        facts, messages=tuple(m for m in facts.messages if not (m.channel == "email" and m.kind is Kind.OPENED))
    )
    assert "opened: phone sent 10:02:31 (1 try); email no message" in render_text(report(facts))


def test_an_alert_told_to_nobody_says_so():
    said = render_text(report(replace(days.incident_day(), messages=())))
    assert "told to nobody: no message was written" in said
    assert "messages none written" in said


def test_an_alert_of_a_rule_that_is_gone_is_still_told():
    facts = days.incident_day()
    key = replace(facts.alerts[0], rule="feed.fallback")
    odd = replace(key, labels=(("feed", "NIFTY"), ("job", "x")))
    assert "feed on REST (NIFTY)" in render_text(report(replace(facts, alerts=(odd,))))


# -- readiness ----------------------------------------------------------------------------------------------------------


def test_the_readiness_table_has_the_guides_five_rows_and_code_is_never_ready():
    for make, now in EVERY_DAY.values():
        rows = report(make(), now).readiness
        assert [r.component for r in rows] == ["Code", "REST API", "WebSocket", "Paper trading", "Strategy"]
        assert rows[0].seen is Seen.NOT_SEEN
        assert "ready" not in " ".join(r.seen for r in rows)


def test_with_no_facts_nothing_of_the_table_is_ok():
    assert {r.seen for r in report(days.empty_day()).readiness[1:]} == {Seen.UNKNOWN}


def test_the_table_of_a_clean_day_rests_on_what_was_seen():
    assert [r.seen for r in report(days.clean_day()).readiness[1:]] == [Seen.OK] * 4


# -- the message holds --------------------------------------------------------------------------------------------------


def fits(facts: DayFacts, now=AFTER):
    made = report(facts, now)
    title, lines = short(made)
    assert title
    assert lines
    assert len(lines) <= 20
    assert max(map(len, [title, *lines])) <= 60
    assert all("\n" not in line and line.strip() for line in lines)
    text = render_text(made)
    assert max(map(len, text.splitlines())) <= 100
    json.dumps(to_json(made), allow_nan=False)
    render_markdown(made)
    return made, lines


@pytest.mark.parametrize("name", EVERY_DAY)
def test_the_message_of_each_day_fits_a_phone(name):
    fits(EVERY_DAY[name][0](), EVERY_DAY[name][1])


def test_the_message_of_a_very_bad_day_fits_and_says_that_it_was_cut():
    facts = days.incident_day()
    many = [
        replace(
            facts.alerts[0],
            opened_at=at("10:02:15") + timedelta(minutes=n),
            number=n,
            state=AlertState.OPEN,
            resolved_at=None,
        )
        for n in range(60)
    ]
    breaks = [
        days.found(BreakCode.QTY, f"NFO:BANKNIFTY30DEC25{n}00CE", "75 at the bot, 150 at the gateway " * 9)
        for n in range(40)
    ]
    facts = with_books(
        replace(facts, alerts=tuple(many)), days.books(days.reconciliation(Books.BREAKS, breaks=breaks), days.HELD)
    )
    _, lines = fits(with_rows(facts, "start_feed", state=State.FAILED, reason="x" * 4000))
    assert len(lines) == 20
    assert any("more: runbook report" in line for line in lines)
    for part in ("P&L", "Open:", "Feed:", "Reconciliation:", "Steps:", "Alerts:", "Seen:", "Next:"):
        assert any(line.startswith(part) for line in lines), part


words = st.text(max_size=300)
seconds = st.floats(0, 30000, allow_nan=False)
instants = st.integers(0, 9 * 3600).map(lambda s: at("08:00") + timedelta(seconds=s))
alerts = st.builds(
    lambda opened, what, feed, over: Alert(
        "feed.fallback", (("feed", feed),), Severity.WARNING, opened, what, "", "", AlertState.RESOLVED if over else AlertState.OPEN,
        resolved_at=opened + timedelta(minutes=3) if over else None, reason=what,
    ),
    instants, words, words, st.booleans(),
)  # fmt: skip
changes = st.builds(
    lambda clock, mode, reason, hint: replace(days.QUIET_CHANGES[0], at=clock, now=mode, reason=reason, hint=hint, evidence={"silence": 60}),
    instants, st.sampled_from(["OFF", "ARMED", "LIVE", "SUSPECT", "FALLBACK", "PROBATION", "BLIND", "OTHER"]), words, words,
)  # fmt: skip
junk = st.recursive(
    st.none() | st.booleans() | st.floats() | words,
    lambda s: st.lists(s, max_size=2) | st.dictionaries(words, s, max_size=2),
    max_leaves=4,
)
samples = st.builds(
    lambda clock, booked, ticks, odd: FeedSample(clock, {"seconds": booked, "ticks": ticks, "counts": {"polls": 3}, "longest_gap": odd}),
    instants, st.dictionaries(st.sampled_from(["websocket", "rest", "blind", "waiting", "still", "unwatched"]), seconds) | junk,
    st.dictionaries(words, st.integers(0, 10**9), max_size=4) | junk, junk,
)  # fmt: skip
messages = st.builds(
    lambda channel, state, reason, when: replace(days.READY[0], channel=channel, state=state, reason=reason, created_at=when, key=reason),
    st.sampled_from(["phone", "email", "a-very-long-name-of-a-channel-that-nobody-should-choose"]), st.sampled_from(list(Sent)), words, instants,
)  # fmt: skip
explained = st.lists(st.tuples(st.sampled_from(list(BreakCode)), words, words), max_size=12)
SPARSE = [e for e in days.normal_rows(days.calendar().day(FRIDAY)) if e.key.job != "check_feed" or e.key.slot <= "0004"]


@st.composite
def any_day(draw) -> DayFacts:
    rows = []
    for entry in SPARSE:
        state = draw(st.sampled_from(list(State)))
        tries = entry.tries if draw(st.booleans()) else ()
        if tries and draw(st.booleans()):
            tries = (
                replace(
                    tries[0],
                    facts=draw(
                        st.dictionaries(
                            st.sampled_from(["rungs", "reconciliation", "pnl", "instruments", "legs"]), junk
                        )
                    ),
                ),
            )
        rows.append(
            replace(
                entry,
                state=state,
                verdict=draw(st.none() | st.sampled_from(list(Verdict))),
                reason=draw(words),
                tries=tries,
            )
        )
    symbol = draw(st.text(min_size=1, max_size=200))
    if draw(st.booleans()):
        recon = days.reconciliation(
            draw(st.sampled_from(list(Books))), breaks=[days.found(*one) for one in draw(explained)]
        )
        pnl = DayPnl(
            Decimal(draw(st.integers(-(10**9), 10**9))),
            None,
            (OpenPosition(Instrument(symbol, "NFO"), -75, Decimal(1)),),
            "x" * draw(st.integers(1, 90)),
        )
        rows = [
            replace(e, tries=tuple(replace(t, facts=days.books(recon, pnl)) for t in e.tries))
            if e.key.job == "reconcile_paper"
            else e
            for e in rows
        ]
    return DayFacts(
        days.calendar().day(FRIDAY), tuple(rows), tuple(draw(st.lists(changes, max_size=8))), tuple(draw(st.lists(samples, max_size=4))),
        tuple(draw(st.lists(alerts, max_size=8))), tuple(draw(st.lists(messages, max_size=8))),
    )  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(any_day(), st.sampled_from([at("07:00"), at("12:00"), AFTER]))
@example(days.empty_day(), AFTER)
def test_whatever_the_ledger_holds_the_views_hold_their_columns(facts, now):
    made, _ = fits(facts, now)
    assert views(facts, now) == views(facts, now)
    assert len(made.feed.bar) == 60
    if made.headline.word is Word.CLEAN:
        assert made.feed.shares is not None
        assert not made.headline.concerns
