"""The end of a log, on real files: appended, rotated, truncated, half written, foreign."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runbook.adapters.tail import Tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.log"


@pytest.fixture
def tail(path: Path):
    made = Tail(path)
    yield made
    made.close()


def append(path: Path, text: str | bytes) -> None:
    with path.open("ab") as file:
        file.write(text.encode() if isinstance(text, str) else text)


def test_lines_come_once_and_only_when_they_are_complete(path, tail):
    append(path, "one\ntwo\nthr")
    assert tail.lines() == ["one", "two"]
    assert tail.lines() == []
    append(path, "ee\r\n")
    assert tail.lines() == ["three"]


def test_a_file_that_comes_later_is_read_from_its_beginning(path, tail):
    tail.skip()
    assert tail.lines() == []
    assert tail.fault is None
    append(path, "first\n")
    assert tail.lines() == ["first"]


def test_what_was_there_before_is_no_news(path, tail):
    append(path, "yesterday\n")
    tail.skip()
    assert tail.lines() == []
    append(path, "today\n")
    assert tail.lines() == ["today"]


def test_nothing_is_lost_when_the_log_is_rotated(path, tail):
    append(path, "a\n")
    assert tail.lines() == ["a"]
    append(path, "b\nunfinished")
    path.rename(path.with_suffix(".log.1"))
    append(path, "c\n")
    assert tail.lines() == ["b", "unfinished", "c"]
    append(path, "d\n")
    assert tail.lines() == ["d"]


def test_a_log_that_is_moved_away_and_not_yet_begun_anew_is_waited_for(path, tail):
    append(path, "a\n")
    tail.lines()
    path.rename(path.with_suffix(".log.1"))
    assert tail.lines() == []
    append(path, "b\n")
    assert tail.lines() == ["b"]


def test_a_log_that_is_emptied_in_place_is_read_from_its_beginning(path, tail):
    append(path, "a long first line\nhalf")
    tail.lines()
    os.truncate(path, 0)
    append(path, "b\n")
    assert tail.lines() == ["b"]


def test_of_a_flood_only_the_newest_is_read_and_it_is_known_how_much_was_not(path, tail):
    append(path, "begin\n")
    assert tail.lines() == ["begin"]
    append(path, b"x" * 99 + b"\n")
    append(path, (b"y" * 99 + b"\n") * 20_000)
    append(path, "end\n")
    lines = tail.lines()
    assert lines[-1] == "end"
    assert 10_000 < len(lines) < 11_000
    assert tail.skipped == pytest.approx(100 + 2_000_000 + 4 - (1 << 20))


def test_a_line_without_an_end_does_not_grow_for_ever(path, tail):
    for _ in range(4):
        append(path, b"z" * 100_000)
        assert tail.lines() == []
    append(path, "\n")
    (line,) = tail.lines()
    assert len(line) == 1 << 16


def test_bytes_that_are_no_text_do_no_harm(path, tail):
    append(path, b"\xff\xfe NIFTY24NOV2626000CE \x00\n")
    (line,) = tail.lines()
    assert "NIFTY24NOV2626000CE" in line


def test_a_log_that_may_not_be_read_is_a_fault_and_is_tried_again(path, tail):
    path.mkdir()
    assert tail.lines() == []
    assert tail.fault is not None
    assert "bot.log cannot be read" in tail.fault
    path.rmdir()
    append(path, "a\n")
    assert tail.lines() == ["a"]
    assert tail.fault is None
