"""The library's child, real and broken, and the files of two folders."""

import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest

from runbook.adapters.exchange import Refreshed, Request, fetch, read_timetables, refresh
from runbook.adapters.files import shipped_calendar
from runbook.errors import CalendarError, ConfigError

FIRST, LAST = date(2026, 1, 1), date(2027, 3, 31)
KNOWN = date(2026, 12, 31)


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory) -> Refreshed:
    """One real run of the library, in a folder that would break it if the child looked there."""
    trap = tmp_path_factory.mktemp("site")
    for name in ("calendar", "pandas", "json"):
        (trap / f"{name}.py").write_text("raise SystemExit('imported from the working folder')\n")
    before = Path.cwd()
    os.chdir(trap)
    try:
        return refresh(shipped_calendar(), None, ["NFO", "CDS", "XNYS"], FIRST, LAST, horizon=KNOWN)
    finally:
        os.chdir(before)


def test_the_refresh_says_what_it_stands_on(refreshed):
    assert set(refreshed.provenance["versions"]) == {
        "pandas-market-calendars",
        "exchange-calendars",
        "pandas",
        "tzdata",
    }
    files = {f"base/{name}.yaml" for name in ("nse", "nfo", "bse", "bfo", "cds", "mcx", "xnse", "xbom")}
    assert set(refreshed.provenance["files"]) == files


def test_what_no_file_speaks_of_is_told(refreshed):
    assert refreshed.warnings == (f"XNYS: no file in calendar/ speaks of it; its days are the library's until {KNOWN}",)


def test_an_exchange_the_library_lacks_needs_no_child(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    result = refresh(shipped_calendar(), None, ["MCX"], FIRST, LAST, horizon=KNOWN)
    assert result.calendars["MCX"].day(date(2026, 11, 23)).session
    assert result.provenance["versions"] == {}


def test_nothing_of_the_library_is_loaded_here(refreshed):
    assert not {"pandas", "numpy", "pandas_market_calendars"} & set(sys.modules)


def test_a_name_the_library_does_not_know_is_told_with_what_is_near():
    request = [Request(name, date(2026, 1, 1), date(2026, 1, 9)) for name in ("NYSEE", "NSE")]
    with pytest.raises(CalendarError, match="NYSEE: no such calendar; near it: NYSE"):
        fetch(request)


# --- a child that fails --------------------------------------------------------------------------------------------


def broken(tmp_path, code: str, timeout: float = 20) -> CalendarError:
    child = tmp_path / "child.py"
    child.write_text(code)
    with pytest.raises(CalendarError) as caught:
        fetch([Request("NSE", FIRST, LAST)], timeout, child=child)
    return caught.value


def test_a_child_that_fails_is_told_with_its_last_words(tmp_path):
    error = broken(tmp_path, "import sys\nfor i in range(9): print('line', i, file=sys.stderr)\nsys.exit(3)")
    assert "exit status 3" in str(error)
    assert error.hint
    assert "line 8" in error.hint
    assert "line 3" not in error.hint


@pytest.mark.parametrize(
    "said",
    ["", "Traceback", "[]", "{}", "null", '{"calendars": [], "versions": {}}', '{"calendars": [{"name": "NSE"}], "versions": {}}',
     '{"calendars": [{"name": "NSE", "zone": "Nowhere", "week": [], "days": [], "holidays": []}], "versions": {}}'],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(tmp_path, said):
    assert "no answer" in str(broken(tmp_path, f"print({said!r})"))


def test_a_child_that_was_killed_is_an_error(tmp_path):
    assert "killed by SIGKILL" in str(broken(tmp_path, "import os\nos.kill(os.getpid(), 9)"))


def test_a_child_that_hangs_is_killed_with_all_it_started(tmp_path):
    code = f"""
import subprocess, sys, time
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "pid")!r}, "w").write(str(grandchild.pid))
time.sleep(60)
"""
    started = time.monotonic()
    error = broken(tmp_path, code, timeout=1)
    assert "within 1 s" in str(error)
    assert time.monotonic() - started < 10
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):  # the kernel ends it, whoever adopted it reaps it
        if _gone(pid):
            return
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the grandchild lives on")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


# --- the files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    base, site = tmp_path / "base", tmp_path / "site"
    shutil.copytree(shipped_calendar(), base)
    site.mkdir()
    return base, site


ELECTION = """exchange: NSE
closed:
  - {date: 2026-11-30, name: Election, source: NSE/CMTR/1, checked: 2026-11-22, confidence: high}
"""


def test_the_sites_file_lies_on_top(folders):
    base, site = folders
    (site / "election.yaml").write_text(ELECTION)
    for exchange in ("NSE", "NFO"):
        said = read_timetables(base, site)[exchange].days[date(2026, 11, 30)]
        assert (said.entry.name, said.source) == ("Election", "calendar/election.yaml: NSE/CMTR/1")


def test_a_site_that_is_the_base_itself_is_read_once():
    table = read_timetables(shipped_calendar(), shipped_calendar())["NFO"]
    assert table.days[date(2026, 11, 24)].source.startswith("base/nse.yaml")


def test_a_site_without_the_folder_has_the_base(folders):
    assert read_timetables(folders[0], folders[1] / "none")["NFO"].library == "NSE"


def test_the_faults_of_all_files_of_both_folders_are_told_at_once(folders):
    base, site = folders
    (site / "a.yaml").write_text("exchange: NFO\nclosed:\nclosed:\nwrong: 1\n")
    (site / "b.yaml").write_text("exchange: NFO\nknown: 1\n")
    (base / "nfo.yaml").write_text("- 1\n")
    with pytest.raises(ConfigError) as caught:
        read_timetables(base, site)
    assert sorted((f.where, f.line) for f in caught.value.faults) == [
        ("base/nfo.yaml", 1),
        ("calendar/a.yaml", 3),
        ("calendar/a.yaml", 4),
        ("calendar/b.yaml", 2),
    ]


def test_a_missing_base_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(CalendarError) as caught:
        read_timetables(tmp_path / "none", None)
    assert caught.value.hint


def test_a_closure_the_library_does_not_know_is_a_warning(folders):
    base, site = folders
    (site / "election.yaml").write_text(ELECTION)
    result = refresh(base, site, ["NFO"], date(2026, 11, 1), date(2026, 12, 31), horizon=KNOWN)
    assert result.warnings == ("NFO: closed by calendar/, a session for the library: 2026-11-30",)
    assert result.calendars["NFO"].day(date(2026, 11, 30)).reason == "Election"


def test_the_standard_library_keeps_its_calendar_beside_our_folder_of_that_name():
    root = shipped_calendar().parent
    done = subprocess.run(
        [sys.executable, "-c", "import calendar; print(calendar.monthrange(2026, 11))"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith("30)")
