"""`runbook calendar ...` and `runbook explain` on a site of their own; the library is asked once, what it said is kept."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from runbook import cli
from runbook.adapters import exchange, overlay
from runbook.almanac import FIRST, Almanac
from runbook.clock import SystemClock
from runbook.errors import CalendarError
from runbook.shipped import shipped_site
from runbook.timetable import schema_text
from tests.adapters.replay import RestReplay, answer, entry

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
LAST = date(2027, 12, 31)  # what the almanac asks for in 2026
YEAR = """Sr. No.,Date,Day,Description
1,26-Jan-2027,Tuesday,Republic Day
2,22-Mar-27,Monday,Holi
3,26-Mar-2027,Friday,Good Friday
4,14-Apr-2027,Wednesday,Dr Ambedkar Jayanti
5,2027-05-28,Friday,"A name, with a comma"
6,15-Sep-2027,Wednesday,Milad
7,04-Oct-2027,Monday,Dussehra
8,29-Oct-2027,Friday,Diwali
"""
Run = Callable[..., SimpleNamespace]
patch = pytest.MonkeyPatch()


@pytest.fixture(scope="module", autouse=True)
def one_library() -> Iterator[None]:
    """The real library, asked once for all years; what it said then answers every later question."""
    said = exchange.fetch([exchange.Request(name, FIRST, LAST) for name in ("NSE", "XNYS")])
    real = exchange.fetch

    def remembered(requests, timeout=60.0, **kw):
        if any(r.name not in said.libraries for r in requests):
            return real(requests, timeout, **kw)
        return said

    patch.setattr(exchange, "fetch", remembered)
    patch.setattr(overlay, "fetch", remembered)
    patch.setattr(SystemClock, "now", lambda _self: NOW)
    patch.setenv("OPENALGO_API_KEY", "k" * 64)
    patch.setenv("COLUMNS", "100")
    yield
    patch.undo()


@pytest.fixture(scope="module")
def prepared(one_library, tmp_path_factory) -> Path:
    site = tmp_path_factory.mktemp("calendar") / "site"
    assert cli.main(["init", str(site)]) == 0
    return site


@pytest.fixture
def site(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may write into."""
    return Path(shutil.copytree(prepared, tmp_path / "site"))


@pytest.fixture
def run(site: Path, capsys, monkeypatch) -> Run:
    def ran(*words: str) -> SimpleNamespace:
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        capsys.readouterr()
        try:
            code = cli.main(["--site", str(site), *words])
        except SystemExit as exc:
            code = int(str(exc.code))
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return ran


def overlaid(site: Path) -> str:
    return (site / "calendar" / "overlay.yaml").read_text()


def day_of(run: Run, day: str, *words: str) -> dict:
    return json.loads(run("calendar", "show", "--from", day, "--json", *words).out)[0]


CLOSE = ("calendar", "close", "2026-12-01", "--reason", "Test", "--source", "NSE/1")


# --- show --------------------------------------------------------------------------------------------------------------


def test_a_year_has_an_object_for_each_day_with_times_of_the_exchange(run):
    days = json.loads(run("calendar", "show", "--year", "2026", "--json").out)
    assert len(days) == 365
    muhurat = next(d for d in days if d["date"] == "2026-11-08")
    assert muhurat["intervals"] == [["2026-11-08T18:00:00+05:30", "2026-11-08T19:15:00+05:30"]]
    assert (muhurat["status"], muhurat["confidence"]) == ("open", "low")
    assert {"phases", "reason", "sources", "note"} <= muhurat.keys()


def test_a_year_nobody_published_is_unknown_on_each_day_and_says_why(run):
    days = json.loads(run("calendar", "show", "--year", "2027", "--json").out)
    assert {d["status"] for d in days} == {"unknown"}
    assert all("known until 2026-12-31" in d["reason"] and not d["intervals"] for d in days)


def test_the_chart_marks_each_kind_of_day_and_lists_what_is_not_ordinary(run):
    shown = run("calendar", "show").out
    assert "NFO 2026: 247 sessions, 16 closed weekdays" in shown
    assert all(mark in shown for mark in ("x24", "*8", "~7"))
    assert "24 Nov Tue     closed       Gurunanak Jayanti" in shown
    assert "09:15-15:40  03 Aug to 04 Dec, 85 sessions" in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_the_chart_of_an_unknown_year_says_so_in_one_line(run):
    shown = run("calendar", "show", "--year", "2027").out
    assert "365 days UNKNOWN" in shown
    assert shown.count("known until 2026-12-31") == 2  # the head, and one line for all of the year


def test_the_chart_keeps_to_a_narrow_screen(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    shown = run("calendar", "show").out
    assert max(len(line) for line in shown.split("ordinary hours")[0].splitlines()) <= 72


def test_an_exchange_that_no_ledger_holds_is_computed_and_not_kept(run):
    early = day_of(run, "2026-11-27", "--exchange", "XNYS")
    assert early["intervals"] == [["2026-11-27T09:30:00-05:00", "2026-11-27T13:00:00-05:00"]]
    assert day_of(run, "2026-03-09", "--exchange", "XNYS")["intervals"][0][0].endswith("-04:00")


@pytest.mark.parametrize(("words", "named"), [
    (("show", "--year", "26"), "1990 to 2100"), (("show", "--year", "2026", "--from", "2026-01-01"), "choose one"),
    (("show", "--to", "2026-01-01"), "without --from"), (("show", "--from", "2026-02-01", "--to", "2026-01-01"), "the first before"),
    (("show", "--exchange", "NOPE"), "such as XNYS"), (("why", "26/11/2026"), "YYYY-MM-DD"),
    (("open", "2026-12-01", "--from", "25:00", "--name", "x", "--source", "y"), "HH:MM"),
    (("open", "2026-12-01", "--from", "9:00", "--from", "10:00", "--name", "x", "--source", "y"), "a pair for each window"),
    (("close", "2026-12-01", "--reason", " ", "--source", "y"), "nothing is said"),
    (("close", "2026-12-01", "--reason", "x", "--source", "y", "--exchange", "NOPE"), "such as XNYS"),
])  # fmt: skip
def test_bad_words_end_with_2_and_name_what_is_accepted(run, site, words, named):
    done = run("calendar", *words)
    assert done.code == 2
    assert named in done.err
    assert sorted(p.name for p in (site / "calendar").iterdir()) == ["README.md", "overlay.yaml"]


def test_without_a_ledger_the_calendar_is_computed_all_the_same(run, site):
    (site / "runbook.db").unlink()
    assert day_of(run, "2026-11-24")["reason"] == "Gurunanak Jayanti"
    assert not (site / "runbook.db").exists()


# --- why ---------------------------------------------------------------------------------------------------------------


def statements(run: Run, day: str, *words: str) -> dict:
    made = json.loads(run("calendar", "why", day, "--json", *words).out)
    return made | {"counts": [s["where"].split(":")[0] for s in made["statements"] if s["counts"]]}


def test_why_names_the_file_and_line_that_decides_and_the_word_it_wins_over(run):
    told = statements(run, "2026-11-24")
    winner = next(s for s in told["statements"] if s["counts"] and s["about"] == "day")
    file, line = winner["where"].split(":")
    shipped = (shipped_site() / "calendar" / "nse.yaml").read_text().splitlines()
    assert file == "base/nse.yaml"
    assert shipped[int(line) - 1].strip() == "- date: 2026-11-24"
    assert next(s for s in told["statements"] if s["where"] == "library NSE")["says"].startswith("closed")


def test_why_an_ordinary_day_rests_on_the_library_and_the_newest_hours_of_its_own(run):
    assert statements(run, "2026-11-23")["counts"] == ["library NSE", "base/nfo.yaml", "base/nfo.yaml", "base/nse.yaml"]


def test_why_a_day_past_the_horizon_is_not_believed_of_the_library(run):
    told = statements(run, "2027-01-26")
    assert told["counts"] == ["base/nse.yaml"]  # only the line with known_until
    library = next(s for s in told["statements"] if s["where"] == "library NSE")
    assert library["says"].startswith("open")
    assert "not believed past 2026-12-31" in library["why"]


def test_why_a_site_wins_over_what_ships_and_what_the_ledger_still_says(run, site):
    text = "exchange: NFO\nsessions:\n  - {date: 2026-11-24, name: Open after all, source: s, checked: 2026-11-22, confidence: high}\n"
    (site / "calendar" / "overlay.yaml").write_text(text)
    told = statements(run, "2026-11-24")
    assert told["counts"][0] == "calendar/overlay.yaml"
    assert "still says closed" in told["ledger"]
    shipped = next(s for s in told["statements"] if s["where"].startswith("base/nse.yaml") and s["about"] == "day")
    assert shipped["why"] == "the site's word wins over what ships"


def test_why_shows_the_arithmetic_of_each_job(run):
    shown = run("calendar", "why", "2026-12-07").out
    assert "close 15:45 + 10m = 15:55 IST" in shown
    assert "-> base/nfo.yaml" in shown


def test_why_tells_the_phases_of_the_day_with_their_parts_and_what_stops_earlier(run):
    shown = run("calendar", "why", "2026-12-07").out
    assert "  pre_open 09:00-09:15 (order entry 09:00-09:05, order entry 09:05-09:10, matching 09:10-09:12," in shown
    assert "  cash_auction 15:30-15:40\n  tail 15:40-15:45\n" in shown
    assert "  contracts that expire on the day until 15:30 (confidence low)\n" in shown
    told = json.loads(run("calendar", "why", "2026-12-07", "--json").out)
    assert [p["name"] for p in told["phases"]] == ["pre_open", "continuous", "cash_auction", "tail"]
    assert told["expiring_close"] == "2026-12-07T15:30:00+05:30"
    assert any("contracts that expire on the day until 15:30" in s["says"] for s in told["statements"])


def test_the_chart_tells_the_phases_of_each_era(run):
    told = run("calendar", "show").out.split("its phases")[1].split("not ordinary")[0]
    assert "03 Aug to 04 Sep" in told
    assert told.count("tail 15:35-15:40") == 2  # the pre-open changed on 7 September
    assert "(confidence low)" in told


def test_a_phase_of_json_has_its_parts_within(run):
    (pre_open, *others) = day_of(run, "2026-11-23")["phases"]
    assert (pre_open["name"], pre_open["start"], pre_open["end"]) == (
        "pre_open",
        "2026-11-23T09:00:00+05:30",
        "2026-11-23T09:15:00+05:30",
    )
    assert [part["name"] for part in pre_open["parts"]] == ["order_entry", "order_entry", "matching", "buffer"]
    assert [p["name"] for p in others] == ["continuous", "cash_auction", "tail"]
    assert day_of(run, "2026-11-23")["expiring_close"] is None


def test_hours_past_midnight_are_stated_as_hours_that_count_on(run, site):
    words = ("--exchange", "MCX", "--name", "Muhurat", "--source", "x")
    done = run("calendar", "open", "2026-12-06", "--from", "18:00", "--until", "00:15", *words)
    assert (done.code, "for example 18:00-24:15" in done.err) == (2, True)
    done = run("calendar", "open", "2026-12-06", "--from", "18:00", "--until", "24:15", *words)
    assert done.code == 0, done.err
    assert day_of(run, "2026-12-06", "--exchange", "MCX")["intervals"] == [
        ["2026-12-06T18:00:00+05:30", "2026-12-07T00:15:00+05:30"]
    ]


def test_why_a_weak_source_that_contradicts_the_library_decides_nothing(run):
    run("calendar", "close", "2026-12-03", "--reason", "rumour", "--source", "a forum", "--confidence", "low")
    told = statements(run, "2026-12-03")
    assert told["status"] == "unknown"
    assert not [s for s in told["statements"] if s["counts"] and s["about"] == "day"]


# --- close and open ----------------------------------------------------------------------------------------------------


def test_a_closed_day_is_written_with_the_comments_kept_and_the_ledger_knows_it(run, site):
    before = overlaid(site)
    done = run(*CLOSE)
    assert done.code == 0, done.err
    assert overlaid(site).startswith(before)
    assert "--exchange NSE states it for NSE" in done.err
    assert "2026-12-01 Tue  NFO  open 09:15-15:40 -> closed (Test)" in done.out
    assert "verify_broker open-60m     08:15 -> -" in done.out
    assert day_of(run, "2026-12-01")["status"] == "closed"


def test_a_second_word_on_a_day_is_refused_and_shows_the_first(run, site):
    run(*CLOSE)
    held = overlaid(site)
    done = run("calendar", "open", "2026-12-01", "--name", "x", "--source", "y")
    assert (done.code, overlaid(site)) == (2, held)
    assert "name: Test" in done.err
    assert "--replace" in done.err


def test_replace_turns_a_closure_into_a_session_with_several_windows(run, site):
    run(*CLOSE)
    words = ("--from", "09:15", "--until", "10:00", "--from", "11:30", "--until", "12:30")
    done = run("calendar", "open", "2026-12-01", *words, "--name", "Recovery", "--source", "NSE/2", "--replace")
    assert done.code == 0, done.err
    assert "intervals: [09:15-10:00, 11:30-12:30]" in overlaid(site)
    assert "name: Test" not in overlaid(site)
    assert [i[0][11:16] for i in day_of(run, "2026-12-01")["intervals"]] == ["09:15", "11:30"]


def test_one_edge_alone_keeps_the_other_of_the_regular_hours(run, site):
    assert run("calendar", "open", "2026-12-02", "--until", "13:00", "--name", "Half", "--source", "x").code == 0
    assert [i[11:16] for i in day_of(run, "2026-12-02")["intervals"][0]] == ["09:15", "13:00"]


def test_a_sunday_can_be_opened(run):
    run("calendar", "open", "2026-12-06", "--from", "18:00", "--until", "19:00", "--name", "Muhurat", "--source", "x")
    assert day_of(run, "2026-12-06")["intervals"][0][0] == "2026-12-06T18:00:00+05:30"


def test_what_would_make_the_files_faulty_is_refused_and_nothing_is_changed(run, site):
    held = overlaid(site)
    done = run("calendar", "open", "2026-12-06", "--from", "19:00", "--until", "18:00", "--name", "x", "--source", "y")
    assert (done.code, overlaid(site)) == (2, held)
    assert "ends before it starts" in done.err
    assert "nothing was written" in done.err


def test_a_file_that_is_faulty_already_is_told_and_not_touched(run, site):
    (site / "calendar" / "more.yaml").write_text("exchange: NFO\nclosed: 7\n")
    held = overlaid(site)
    done = run(*CLOSE)
    assert (done.code, overlaid(site)) == (2, held)
    assert "calendar/more.yaml:2" in done.err


def test_a_dry_run_prints_the_difference_and_writes_nothing(run, site):
    held = overlaid(site)
    done = run(*CLOSE, "--dry-run")
    assert (done.code, overlaid(site)) == (0, held)
    assert "+  - date: 2026-12-01" in done.out
    assert "-> closed (Test)" in done.out
    assert day_of(run, "2026-12-01")["status"] == "open"


def test_a_closure_of_nse_gets_a_file_of_its_own_and_closes_what_is_like_it(run, site):
    done = run("calendar", "close", "2026-12-01", "--exchange", "NSE", "--reason", "x", "--source", "y")
    assert done.code == 0, done.err
    assert "exchange: NSE" in (site / "calendar" / "nse.yaml").read_text()
    assert day_of(run, "2026-12-01")["status"] == "closed"


def test_an_exchange_without_a_file_stands_on_the_librarys_calendar(run, site):
    assert (
        run("calendar", "close", "2026-12-04", "--exchange", "XNYS", "--reason", "Mourning", "--source", "NYSE").code
        == 0
    )
    assert "library: XNYS" in (site / "calendar" / "xnys.yaml").read_text()
    assert day_of(run, "2026-12-04", "--exchange", "XNYS")["reason"] == "Mourning"
    assert day_of(run, "2026-12-03", "--exchange", "XNYS")["status"] == "open"


def test_with_the_library_gone_the_desks_own_word_counts_all_the_same(run, site, monkeypatch):
    def broken(*_args, **_kw):
        raise CalendarError("the calendar library failed")

    monkeypatch.setattr(exchange, "fetch", broken)
    assert run(*CLOSE).code == 0
    assert day_of(run, "2026-12-01")["status"] == "closed"


def test_with_a_ledger_that_fails_the_file_is_written_and_the_old_table_stays(run, site, monkeypatch):
    def broken(*_args, **_kw):
        raise CalendarError("the disk is full")

    monkeypatch.setattr(Almanac, "keep", broken)
    done = run(*CLOSE)
    assert done.code == 1
    assert "the session table is still the old one" in done.err
    assert "date: 2026-12-01" in overlaid(site)
    planned = run("plan", "--date", "2026-12-01", "--json")
    assert json.loads(planned.out)[0]["status"] == "open"
    assert "`runbook init` does" in planned.err
    shown = run("calendar", "show", "--from", "2026-12-01", "--json")
    assert json.loads(shown.out)[0]["status"] == "closed"
    assert "the session table a daemon goes by was computed before they changed" in shown.err


def test_a_plan_from_a_table_that_is_up_to_date_says_nothing_of_it(run):
    assert run("plan", "--date", "2026-12-01").err == ""


def test_a_malformed_file_leaves_the_last_good_table_and_says_which_line_is_wrong(run, site):
    (site / "calendar" / "more.yaml").write_text("exchange: NFO\nclosed: 7\n")
    shown = run("calendar", "show", "--from", "2026-11-24", "--json")
    assert (shown.code, json.loads(shown.out)[0]["reason"]) == (0, "Gurunanak Jayanti")
    assert "the last good session table" in shown.err
    assert "calendar/more.yaml:2" in shown.err


# --- what the library said is in the ledger ----------------------------------------------------------------------------


@pytest.fixture
def childless(monkeypatch) -> None:
    """Whoever starts the library's child now fails."""

    def started(*_args, **_kw):
        raise AssertionError("the library was asked although the ledger has its answer")

    monkeypatch.setattr(exchange, "fetch", started)
    monkeypatch.setattr(overlay, "fetch", started)


@pytest.mark.parametrize("words", [
    ("calendar", "show"), ("calendar", "show", "--exchange", "NSE"), ("calendar", "show", "--exchange", "MCX"),
    ("calendar", "show", "--exchange", "CDS", "--year", "2025"), ("calendar", "why", "2026-11-24"),
    ("calendar", "why", "2027-01-26"), ("calendar", "why", "2026-12-07", "--exchange", "XNSE"),
    ("explain", "report_day", "--date", "2026-11-23"), (*CLOSE, "--dry-run"), CLOSE,
])  # fmt: skip
def test_no_command_asks_the_library_what_the_ledger_knows(run, childless, words):
    done = run(*words)
    assert done.code == 0, done.err
    assert not done.err.startswith("note: shown")


def test_a_list_is_imported_with_what_the_ledger_knows_of_the_library(run, childless, tmp_path):
    (tmp_path / "list.csv").write_text(YEAR)
    assert run("calendar", "import", str(tmp_path / "list.csv"), "--source", "NSE/3", "--yes").code == 0
    assert day_of(run, "2027-01-26")["status"] == "closed"


@pytest.mark.parametrize("stale", ["old", "other versions"])
def test_an_answer_that_is_old_or_of_another_release_is_asked_for_anew(run, monkeypatch, stale):
    asked: list[str] = []
    real = exchange.fetch

    def counted(requests, **kw):
        asked.extend(request.name for request in requests)
        return real(requests, **kw)

    monkeypatch.setattr(overlay, "fetch", counted)
    if stale == "old":
        monkeypatch.setattr(SystemClock, "now", lambda _self: NOW + timedelta(days=9))
    else:
        monkeypatch.setattr(overlay, "installed", lambda _versions: False)
    assert run("calendar", "why", "2026-11-24").code == 0
    assert "NSE" in asked


# --- import ------------------------------------------------------------------------------------------------------------


def test_without_a_terminal_and_without_yes_a_list_is_only_previewed(run, site, tmp_path):
    (tmp_path / "list.csv").write_text(YEAR)
    held = overlaid(site)
    done = run("calendar", "import", str(tmp_path / "list.csv"), "--source", "NSE/3")
    assert (done.code, overlaid(site)) == (1, held)
    assert "newly closed" in done.out
    assert "known until 2027-12-31 (was 2026-12-31): the list covers 2027" in done.out


def test_a_years_list_makes_the_year_known(run, site, tmp_path):
    (tmp_path / "list.csv").write_text(YEAR)
    done = run("calendar", "import", str(tmp_path / "list.csv"), "--source", "NSE/3", "--yes")
    assert done.code == 0, done.err
    days = {d["date"]: d for d in json.loads(run("calendar", "show", "--year", "2027", "--json").out)}
    assert days["2027-01-26"]["status"] == "closed"
    assert days["2027-01-27"]["status"] == "open"
    assert not [d for d in days.values() if d["status"] == "unknown"]
    assert "known_until: 2027-12-31" in overlaid(site)
    again = run("calendar", "import", str(tmp_path / "list.csv"), "--source", "NSE/3", "--yes")
    assert "nothing to import" in again.out


def test_a_part_of_a_year_does_not_move_the_horizon(run, tmp_path):
    (tmp_path / "list.yaml").write_text(
        "- {date: 2027-01-26, name: Republic Day}\n- date: 26-Mar-27\n  name: Good Friday\n"
    )
    assert run("calendar", "import", str(tmp_path / "list.yaml"), "--source", "x", "--yes").code == 0
    assert day_of(run, "2027-01-26")["status"] == "closed"
    assert day_of(run, "2027-01-27")["status"] == "unknown"


def test_bad_rows_are_all_named_with_their_lines_and_nothing_is_imported(run, site, tmp_path):
    (tmp_path / "list.csv").write_text(
        "date,name\n2027-01-26,Republic Day\n26/02/2027,x\n2027-03-03,\n2027-01-26,Again\n"
    )
    held = overlaid(site)
    done = run("calendar", "import", str(tmp_path / "list.csv"), "--source", "x", "--yes")
    assert (done.code, overlaid(site)) == (2, held)
    assert all(f"list.csv:{line}:" in done.err for line in (3, 4, 5))


def test_a_list_that_contradicts_the_site_is_refused_and_what_ships_is_named_in_the_preview(run, site, tmp_path):
    run(*CLOSE)
    (tmp_path / "list.csv").write_text(
        "2026-12-01,Special,session,18:00,19:00\n2026-02-01,No Budget\n2026-11-24,Same\n"
    )
    held = overlaid(site)
    done = run("calendar", "import", str(tmp_path / "list.csv"), "--source", "x", "--yes")
    assert (done.code, overlaid(site)) == (2, held)
    assert "contradicts (2)" in done.out
    assert "base/nse.yaml" in done.out
    assert "says closed, the list (line 1) open" in done.err
    assert run("calendar", "import", str(tmp_path / "list.csv"), "--source", "x", "--yes", "--replace").code == 0
    assert day_of(run, "2026-12-01")["intervals"][0][0] == "2026-12-01T18:00:00+05:30"


# --- check -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def replay() -> Iterator[RestReplay]:
    server = RestReplay()
    yield server
    server.close()


def test_check_counts_a_contradiction_and_asks_at_most_ten_times(run, site, replay):
    config = site / "config.yaml"
    config.write_text(config.read_text().replace("http://127.0.0.1:5000", replay.url))
    replay.reset()
    replay.answers[("POST", "/api/v1/market/holidays")] = entry("rest_live", "market/holidays 2026 (truncated)")
    replay.answers[("POST", "/api/v1/market/timings")] = answer(200, {"status": "success", "data": []})
    done = run("calendar", "check", "--json")
    found = json.loads(done.out)
    assert (done.code, found["verdict"]) == (1, "contradiction")
    assert [f["date"] for f in found["findings"]] == ["2026-11-24", "2026-12-25"]
    assert len(replay.asked) == 9
    assert all(body["apikey"] == "k" * 64 for _, _, body in replay.asked)
    empty = run("calendar", "check", "--year", "2027")  # the list of 2026 says nothing about it
    replay.answers[("POST", "/api/v1/market/holidays")] = answer(200, {"status": "success", "data": [], "year": 2027})
    empty = run("calendar", "check", "--year", "2027")
    assert (empty.code, "empty year" in empty.out) == (0, True)


def test_check_without_an_openalgo_is_no_contradiction(run, site):
    config = site / "config.yaml"
    config.write_text(config.read_text().replace(":5000", ":9"))
    done = run("calendar", "check")
    assert done.code == 0
    assert "no second opinion" in done.out


# --- explain, schema ---------------------------------------------------------------------------------------------------


def test_explain_says_when_by_what_rule_and_what_now(run):
    shown = run("explain", "verify_broker", "--date", "2026-11-23").out
    assert "open 09:15 - 60m = 08:15 IST" in shown
    assert "close 15:40 - 15m = 15:25 IST" in shown
    assert "open 09:15 - 5m = 09:10 IST" in shown
    assert "tried again each 1m" in shown
    assert "no row yet" in shown
    assert (
        "latest     Saturday 2026-12-05 15:40, since none is given"
        in run("explain", "report_day", "--date", "2026-11-23").out
    )
    told = json.loads(run("explain", "report_day", "--date", "2026-11-23", "--json").out)
    (slot,) = told["slots"]
    assert (slot["first"], slot["now"]) == ("2026-11-23T16:10:00+05:30", "it would wait: waits for reconcile_paper")


def test_explain_of_a_past_session_says_that_it_would_be_missed(run):
    told = json.loads(run("explain", "verify_broker", "--date", "2026-11-20", "--json").out)
    assert "it would not run" in told["slots"][1]["now"]


def test_explain_of_a_repeat_counts_its_firings_once(run):
    (slot,) = json.loads(run("explain", "check_feed", "--date", "2026-11-23", "--json").out)["slots"]
    assert (slot["count"], slot["last"]) == (790, "2026-11-23T15:39:30+05:30")


def test_explain_of_a_day_without_a_session_says_why_nothing_is_planned(run):
    done = run("explain", "report_day", "--date", "2026-11-24")
    assert done.code == 0
    assert "nothing is planned" in done.out
    assert "Gurunanak" in done.out


@pytest.mark.parametrize("kept", [True, False])
def test_an_unknown_day_is_looked_at_by_the_ordinary_hours_and_the_screens_say_so(run, site, kept):
    if not kept:
        (site / "runbook.db").unlink()
    explained = run("explain", "verify_broker", "--date", "2027-01-26").out
    assert "unknown: the calendar of NFO is known until 2026-12-31" in explained
    assert "what only reads looks at the ordinary hours, what acts is held" in explained
    assert "open 09:15 - 60m = 08:15 IST" in explained
    assert "  08:15              verify_broker    open 09:15 - 60m" in run("calendar", "why", "2027-01-26").out


def test_explain_of_what_acts_says_that_it_would_be_held_on_an_unknown_day(run, site, monkeypatch):
    config = site / "config.yaml"
    config.write_text(
        config.read_text() + "jobs:\n  - {name: act, run: 'jobs.start_feed:start', at: [open], acts: true}\n"
    )
    monkeypatch.setattr(SystemClock, "now", lambda _self: datetime(2027, 1, 1, 3, 46, tzinfo=UTC))
    told = json.loads(run("explain", "act", "--date", "2027-01-01", "--json").out)
    assert [slot["now"] for slot in told["slots"]] == [
        "it would not run: skipped, held: the calendar of NFO is known until 2026-12-31"
    ]


def test_explain_of_no_job_names_the_nearest(run):
    done = run("explain", "verify_brokr")
    assert done.code == 2
    assert "did you mean verify_broker?" in done.err


def test_the_schema_is_the_one_of_the_timetable(run):
    assert run("calendar", "schema").out == schema_text()


HEAVY = {"pandas", "apscheduler", "apprise", "requests", "alembic", "numpy", "matplotlib", "websocket"}


def test_reading_commands_load_nothing_heavy(prepared):
    words = [["calendar", "show"], ["calendar", "why", "2026-11-24"], ["explain", "check_feed"], [*CLOSE, "--dry-run"]]
    code = (
        f"import sys; from runbook.cli import main; ended = [main(['--site', {str(prepared)!r}, *w]) for w in {words!r}];"
        "print(ended, *sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = done.stderr.splitlines()[-1]
    assert said.startswith("[0, 0, 0, 0]")
    assert not set(said.split()) & HEAVY
