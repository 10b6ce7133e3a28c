"""Edits of a file in calendar/: what is meant is changed, and not a byte besides."""

import os
from datetime import date
from pathlib import Path

import pytest

from runbook.adapters.files import Draft, parse_yaml, replace_file, shipped_calendar
from runbook.errors import CalendarError

DAY = date(2027, 1, 26)


def entry(day: date = DAY, **more: object) -> dict[str, object]:
    return {
        "date": day,
        "name": "Republic Day",
        "source": "NSE/1",
        "checked": date(2026, 12, 14),
        "confidence": "high",
    } | more


def draft(tmp_path: Path, text: str) -> Draft:
    file = tmp_path / "overlay.yaml"
    file.write_text(text)
    return Draft(file, "calendar/overlay.yaml")


BLOCK = """    source: NSE/1
    checked: 2026-12-14
    confidence: high
"""
STARTS = [
    "exchange: NFO  # desk\n\n# closed:\n#   - date: x\n", "exchange: NFO\nclosed:\n", "exchange: NFO\nclosed: []  # none yet\n", "",
    "exchange: NFO\nclosed:\n- date: 2027-03-01  # why\n  name: Holi\n\n# tail\n", "closed: # head\n    # above\n    - name: Holi\n      date: 2027-03-01\nexchange: NFO\n",
    "exchange: NFO\nclosed:\n  - date: 2026-03-01\n    name: Holi\n    note: |\n      two\n      lines\n\n# of sessions\nsessions:\n",
    "exchange: NFO\nclosed: [{date: 2027-03-01, name: Holi}]  # end\n", "exchange: NFO\nclosed:\n  -\n    date: 2027-03-01\n    name: Holi\n",
]  # fmt: skip


@pytest.mark.parametrize("text", STARTS)
def test_a_new_entry_is_added_and_every_line_there_was_stays(tmp_path, text):
    made = draft(tmp_path, text)
    held = parse_yaml(text, "x").data.get("closed") or []
    made.put("closed", entry())
    made.write()
    written = (tmp_path / "overlay.yaml").read_text()
    days = [e["date"] for e in parse_yaml(written, "x").data["closed"]]
    assert DAY in days
    assert len(days) == len(held) + 1
    if "[" not in text:
        assert [line for line in text.splitlines() if line not in written.splitlines()] == []


def test_entries_stand_in_the_order_of_their_dates(tmp_path):
    made = draft(tmp_path, "exchange: NFO\n")
    for day in (DAY, date(2027, 3, 1), date(2027, 1, 1), date(2027, 2, 1)):
        made.put("closed", entry(day))
    days = [e["date"] for e in parse_yaml(made.text, "x").data["closed"]]
    assert days == sorted(days)


def test_an_entry_goes_before_the_comment_that_belongs_to_the_next_one(tmp_path):
    made = draft(
        tmp_path,
        "closed:\n  - date: 2027-01-01\n    name: a\n\n  # the rest is announced only\n  - date: 2027-03-01\n    name: b\n",
    )
    made.put("closed", entry())
    assert made.text.index("2027-01-26") < made.text.index("# the rest") < made.text.index("2027-03-01")


def test_a_replaced_entry_keeps_its_comments_and_loses_its_old_words(tmp_path):
    made = draft(
        tmp_path,
        "closed:\n  - date: 2027-01-26  # settled with the broker\n    # seen on the page\n    name: Old\n    note: old\n",
    )
    made.put("closed", entry())
    assert "# settled with the broker" in made.text
    assert "# seen on the page" in made.text
    assert "ld" not in made.text.replace("holiday", "")


def test_an_entry_taken_out_leaves_the_others_as_they_were(tmp_path):
    text = "closed:\n  - date: 2027-01-26\n    name: a\n  # next\n  - date: 2027-03-01\n    name: b\n"
    made = draft(tmp_path, text)
    made.take("closed", DAY)
    assert made.text == "closed:\n  # next\n  - date: 2027-03-01\n    name: b\n"
    made.take("closed", date(2027, 3, 1))
    assert parse_yaml(made.text, "x").data == {"closed": None}


@pytest.mark.parametrize(("text", "written"), [
    ("exchange: NFO\nknown_until: 2026-12-31  # why\n", "exchange: NFO\nknown_until: 2027-12-31  # why\n"),
    ("# head\nexchange: NFO  # desk\nclosed:\n", "# head\nexchange: NFO  # desk\nknown_until: 2027-12-31\nclosed:\n"),
])  # fmt: skip
def test_a_value_of_the_top_is_set_in_its_place_or_below_the_exchange(tmp_path, text, written):
    made = draft(tmp_path, text)
    made.set("known_until", date(2027, 12, 31))
    assert made.text == written


@pytest.mark.parametrize("name", ["no", "2027", "a: b", "#1", "it's", "12:30", "- x", "null", "naïve ☂", "'"])
def test_whatever_a_name_is_it_is_read_back_as_it_was_given(tmp_path, name):
    made = draft(tmp_path, "exchange: NFO\n")
    made.put("closed", entry(name=name))
    assert parse_yaml(made.text, "x").data["closed"][0]["name"] == name


def test_a_file_in_braces_or_with_an_anchor_in_the_way_is_refused_and_not_touched(tmp_path):
    for text in (
        "{exchange: NFO}\n",
        "closed: [{date: 2027-01-26, name: a}]\n",
        "exchange: NFO\nclosed: &a\n  - {date: 2027-01-01, name: x}\nsessions: *a\n",
    ):
        made = draft(tmp_path, text)
        with pytest.raises(CalendarError, match=r"by hand|cannot be edited safely"):
            made.put("closed", entry())
        assert (tmp_path / "overlay.yaml").read_text() == text


def test_each_shipped_file_takes_an_entry_with_nothing_else_changed():
    for file in shipped_calendar().glob("*.yaml"):
        made = Draft(file, file.name)
        made.put("closed", entry(date(2031, 1, 1)))
        lines = made.diff().splitlines()[2:]
        assert not [line for line in lines if line.startswith("-")], file
        assert len([line for line in lines if line.startswith("+")]) <= 7, file


def test_windows_line_ends_mode_and_a_link_are_kept(tmp_path):
    file = tmp_path / "real.yaml"
    file.write_bytes(b"exchange: NFO\r\nclosed:\r\n")
    file.chmod(0o640)
    (tmp_path / "link.yaml").symlink_to(file)
    made = Draft(tmp_path / "link.yaml", "x")
    made.put("closed", entry())
    made.write()
    assert file.read_bytes().count(b"\r\n") == len(file.read_bytes().splitlines())
    assert file.stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "link.yaml").is_symlink()


def test_a_file_that_changed_meanwhile_is_not_overwritten(tmp_path):
    made = draft(tmp_path, "exchange: NFO\n")
    made.put("closed", entry())
    (tmp_path / "overlay.yaml").write_text("exchange: BFO\n")
    with pytest.raises(CalendarError, match="changed while"):
        made.write()
    assert (tmp_path / "overlay.yaml").read_text() == "exchange: BFO\n"


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _fd: (_ for _ in ()).throw(OSError("no space")))
    with pytest.raises(OSError, match="no space"):
        replace_file(tmp_path / "x.yaml", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x.yaml"]
    assert (tmp_path / "x.yaml").read_text() == "old"
