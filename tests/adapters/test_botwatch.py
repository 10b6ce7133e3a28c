"""What the bot leaves behind, looked at in real files and over real sockets."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from runbook.adapters.botwatch import BotWatch
from runbook.bot import Grown
from runbook.clock import SystemClock


def watch(root: Path, ticks: str | None = None, heartbeat: str | None = None, log: str | None = None) -> BotWatch:
    return BotWatch(SystemClock(), root, ticks=ticks, heartbeat=heartbeat, log=log)


def grown(made: BotWatch) -> Grown:
    look = made.look()
    found = look.ticks or look.heartbeat
    assert found is not None
    return found


def test_a_file_that_grows_has_another_mark(tmp_path: Path):
    file = tmp_path / "ticks.csv"
    file.write_text("1\n")
    made = watch(tmp_path, "ticks.csv")
    first = grown(made)
    assert not first.fault
    assert grown(made).mark == first.mark
    with file.open("a") as out:
        out.write("2\n")
    assert grown(made).mark != first.mark


def test_the_age_of_a_file_is_that_of_its_last_write(tmp_path: Path):
    file = tmp_path / "ticks.csv"
    file.write_text("1\n")
    then = SystemClock().now().timestamp() - 600
    os.utime(file, (then, then))
    assert 599 < (grown(watch(tmp_path, str(file))).aged or 0) < 660


def test_of_a_pattern_the_newest_file_counts(tmp_path: Path):
    for name, at in (("ticks_1.csv", 1000), ("ticks_2.csv", 2000)):
        (tmp_path / name).write_text("1\n")
        os.utime(tmp_path / name, (at, at))
    made = watch(tmp_path, "ticks_*.csv")
    first = grown(made)
    (tmp_path / "ticks_1.csv").write_text("1\n2\n")
    assert grown(made).mark != first.mark


def test_what_is_not_there_says_so(tmp_path: Path):
    assert grown(watch(tmp_path, "ticks.csv")).fault == "no such file"
    assert grown(watch(tmp_path, "ticks.db::ticks.id")).fault == "no such file"


def database(file: Path, journal: str = "WAL") -> sqlite3.Connection:
    held = sqlite3.connect(file, isolation_level=None)
    held.execute(f"PRAGMA journal_mode={journal}")
    held.execute("CREATE TABLE ticks (id INTEGER PRIMARY KEY, at TEXT)")
    held.execute("CREATE TABLE other (id INTEGER PRIMARY KEY)")
    held.execute("INSERT INTO ticks (at) VALUES ('10:00:00')")
    return held


def test_a_table_of_an_sqlite_file_grows_by_its_newest_row_and_by_no_other(tmp_path: Path):
    with closing(database(tmp_path / "bot.db")) as bot:
        made = watch(tmp_path, "bot.db::ticks.at")
        first = grown(made)
        assert "10:00:00" in first.mark
        bot.execute("INSERT INTO other DEFAULT VALUES")
        assert grown(made).mark == first.mark
        bot.execute("INSERT INTO ticks (at) VALUES ('10:00:01')")
        assert "10:00:01" in grown(made).mark


def test_a_bot_that_writes_is_never_made_to_wait(tmp_path: Path):
    with closing(database(tmp_path / "bot.db")) as bot:
        bot.execute("PRAGMA busy_timeout=0")
        bot.execute("BEGIN IMMEDIATE")
        bot.execute("INSERT INTO ticks (at) VALUES ('10:00:01')")
        assert "10:00:00" in grown(watch(tmp_path, "bot.db::ticks.at")).mark
        bot.execute("COMMIT")


def test_a_database_whose_readers_hold_up_its_writer_is_only_looked_at_from_outside(tmp_path: Path):
    with closing(database(tmp_path / "bot.db", "DELETE")) as bot:
        made = watch(tmp_path, "bot.db::ticks.at")
        first = grown(made)
        assert "10:00:00" not in first.mark
        bot.execute("INSERT INTO ticks (at) VALUES ('10:00:01')")
        assert grown(made).mark != first.mark


def test_a_table_that_is_not_there_is_a_fault_and_not_a_silence(tmp_path: Path):
    with closing(database(tmp_path / "bot.db")):
        assert "no such table" in grown(watch(tmp_path, "bot.db::prices.at")).fault


# -- heartbeats ---------------------------------------------------------------------------------------------------------


class Beat:
    """A bot's own health page."""

    def __init__(self) -> None:
        self.status, self.body = 200, b"ok"
        self.hang = threading.Event()
        self.let_go = threading.Event()
        beat = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if beat.hang.is_set():
                    beat.let_go.wait(10)
                self.send_response(beat.status)
                self.send_header("Content-Length", str(len(beat.body)))
                self.end_headers()
                self.wfile.write(beat.body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/health"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        self.let_go.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def beat() -> Iterator[Beat]:
    made = Beat()
    yield made
    made.stop()


def test_each_answer_of_a_heartbeat_without_a_time_is_a_beat(tmp_path: Path, beat: Beat):
    made = watch(tmp_path, heartbeat=beat.url)
    first = grown(made)
    assert not first.fault
    assert grown(made).mark != first.mark


def test_a_heartbeat_that_repeats_its_time_stands_still(tmp_path: Path, beat: Beat):
    made = watch(tmp_path, heartbeat=beat.url)
    beat.body = b'{"status": "ok", "timestamp": 1795337852}'
    first = grown(made)
    assert grown(made).mark == first.mark
    beat.body = b'{"status": "ok", "timestamp": 1795337853}'
    assert grown(made).mark != first.mark


def test_a_heartbeat_that_is_ill_gone_or_hangs_is_a_fault(tmp_path: Path, beat: Beat):
    made = watch(tmp_path, heartbeat=beat.url)
    beat.status = 503
    assert grown(made).fault == "HTTP 503"
    beat.hang.set()
    assert grown(made).fault == "no answer within 2 s"
    beat.stop()
    assert grown(made).fault == "Connection refused"


# -- the log ------------------------------------------------------------------------------------------------------------

REST = "2025-12-26 14:0{}:04 - NIFTY: 26049.9 [REST_POLLING] \u2705\n"
SOCKET = "2025-12-26 14:0{}:01 - NIFTY: 26050.1 [WEBSOCKET] \u2705\n"


def test_the_newest_price_line_says_the_source_and_since_when(tmp_path: Path):
    log = tmp_path / "bot.log"
    log.write_text("started\n" + SOCKET.format(0) + "".join(REST.format(n) for n in (1, 2, 7)) + "an order\n")
    said = watch(tmp_path, log="bot.log").look().log
    assert said is not None
    assert (said.source, said.spans) == ("REST_POLLING", 360.0)


def test_lines_that_only_mention_a_source_are_no_price_lines(tmp_path: Path):
    (tmp_path / "bot.log").write_text("REST API polling started [REST_POLLING]\nstatus: ok [WEBSOCKET]\n")
    look = watch(tmp_path, log="bot.log").look()
    assert (look.log, look.log_fault) == (None, "")


def test_a_log_is_followed_over_a_rotation_and_a_cut(tmp_path: Path):
    log = tmp_path / "bot.log"
    log.write_text(SOCKET.format(0))
    made = watch(tmp_path, log=str(log))

    def source() -> str:
        said = made.look().log
        assert said is not None
        return said.source

    assert source() == "WEBSOCKET"
    log.rename(tmp_path / "bot.log.1")
    assert source() == "WEBSOCKET"
    log.write_text(REST.format(1))
    assert source() == "REST_POLLING"
    log.write_text("")
    assert source() == "REST_POLLING"
    log.write_text(SOCKET.format(2)[:-1])
    assert source() == "REST_POLLING", "a line is read when it has ended"
    with log.open("a") as out:
        out.write("\n")
    assert source() == "WEBSOCKET"


def test_only_new_price_lines_move_the_mark(tmp_path: Path):
    log = tmp_path / "bot.log"
    log.write_text(SOCKET.format(0))
    made = watch(tmp_path, log="bot.log")
    first = made.look().log
    with log.open("a") as out:
        out.write("nothing of note\n")
    assert made.look().log == first
    with log.open("a") as out:
        out.write(SOCKET.format(0))
    assert made.look().log != first


def test_of_a_huge_log_only_the_end_is_read(tmp_path: Path):
    log = tmp_path / "bot.log"
    log.write_text(REST.format(1) + "x" * 300_000 + "\n" + SOCKET.format(2))
    said = watch(tmp_path, log="bot.log").look().log
    assert said is not None
    assert said.source == "WEBSOCKET"
