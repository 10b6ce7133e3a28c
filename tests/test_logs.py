from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.logs import TALKATIVE, Line, install_redaction, setup
from runbook.redact import Redactor

TOKEN = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    loggers = {n: (logging.getLogger(n).level, logging.getLogger(n).filters[:]) for n in TALKATIVE}
    filters = {h: h.filters[:] for h in handlers}
    yield
    logging.captureWarnings(capture=False)
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for handler in handlers:
        handler.filters[:] = filters[handler]
    for name, (was, own) in loggers.items():
        logging.getLogger(name).setLevel(was)
        logging.getLogger(name).filters[:] = own


class Stderr:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._read = ""

    def getvalue(self) -> str:
        self._read += self._capsys.readouterr().err
        return self._read


@pytest.fixture
def err(capsys: pytest.CaptureFixture[str]) -> Stderr:
    return Stderr(capsys)


def test_a_record_is_one_line_with_the_time_in_utc_the_level_and_the_name(err: Stderr) -> None:
    setup(logging.INFO, Redactor())
    record = logging.makeLogRecord(
        {"name": "runbook.feed", "levelname": "WARNING", "levelno": 30, "msg": "%d s", "args": (7,)}
    )
    record.created = 1795404900.5
    logging.getLogger().handle(record)
    assert err.getvalue() == "2026-11-23T03:35:00.500Z WARNING runbook.feed: 7 s\n"


def test_a_traceback_and_a_message_of_several_lines_are_still_one_line(err: Stderr) -> None:
    setup("INFO", Redactor(["hunter22"]))
    try:
        raise ValueError("the password is hunter22\nand more")
    except ValueError:
        logging.getLogger("runbook.x").exception("it failed:\nbadly")
    lines = err.getvalue().splitlines()
    assert len(lines) == 1
    assert "it failed: | badly" in lines[0]
    assert "ValueError: the password is *** | and more" in lines[0]


@pytest.mark.parametrize(
    ("message", "args"),
    [
        ("key %s", ("hunter22",)),
        ("key hunter22", ()),
        ("%s", ({"apikey": "abcdefgh", "x": ["hunter22"]},)),
        ("two %s and %s", (f"tgram://{TOKEN}/1", ValueError("hunter22"))),
        ("arguments do not %d fit hunter22", ("hunter22",)),
    ],
)
def test_no_secret_reaches_stderr_or_the_file(message: str, args: tuple, err: Stderr, tmp_path: Path) -> None:
    setup(logging.DEBUG, Redactor(["hunter22"]), tmp_path / "runbook.log")
    logging.getLogger("runbook.x").warning(message, *args)
    for text in (err.getvalue(), (tmp_path / "runbook.log").read_text()):
        assert "***" in text
        assert not re.search(rf"hunter22|{TOKEN}|abcdefgh", text)


def test_the_stack_of_a_record_is_redacted(err: Stderr) -> None:
    setup(logging.DEBUG, Redactor(["secret_function_name"]))

    def secret_function_name() -> None:
        logging.getLogger("runbook.x").warning("here", stack_info=True)

    secret_function_name()
    assert "Stack (most recent call last)" in err.getvalue()
    assert "secret_function_name" not in err.getvalue()


@pytest.mark.parametrize("name", [*TALKATIVE, "urllib3.connectionpool", "apprise.plugins.telegram"])
def test_a_talkative_library_says_nothing_below_info_although_the_root_is_at_debug(name: str, err: Stderr) -> None:
    setup(logging.DEBUG, Redactor())
    logging.getLogger(name).debug("POST /bot%s/sendMessage", TOKEN)
    logging.getLogger(name).info("one line")
    logging.getLogger("runbook.x").debug("ours is heard")
    assert "one line" in err.getvalue()
    assert "ours is heard" in err.getvalue()
    assert "sendMessage" not in err.getvalue()


def test_a_quiet_level_quiets_the_talkative_libraries_too(err: Stderr) -> None:
    setup(logging.ERROR, Redactor())
    logging.getLogger("urllib3.connectionpool").warning("retrying")
    assert err.getvalue() == ""


def test_a_handler_of_somebody_else_gets_the_redacted_record(err: Stderr) -> None:
    theirs = io.StringIO()
    handler = logging.StreamHandler(theirs)
    logging.getLogger().addHandler(handler)
    install_redaction(Redactor(["hunter22"]))
    try:
        raise ValueError("hunter22")
    except ValueError:
        logging.getLogger("runbook.x").exception("it is %s", "hunter22")
    assert theirs.getvalue().startswith("it is ***\nTraceback")
    assert "hunter22" not in theirs.getvalue()


def test_a_line_is_redacted_even_where_no_filter_was_in_the_way() -> None:
    record = logging.makeLogRecord({"msg": "it is %s", "args": ("hunter22",)})
    assert Line(Redactor(["hunter22"])).format(record).endswith(": it is ***")


def test_a_library_with_a_handler_of_its_own_is_redacted_at_its_logger(err: Stderr) -> None:
    theirs = io.StringIO()
    handler = logging.StreamHandler(theirs)
    logger = logging.getLogger("apprise")
    logger.addHandler(handler)
    try:
        install_redaction(Redactor())
        logger.warning("sent to tgram://%s/1", TOKEN)
    finally:
        logger.removeHandler(handler)
    assert theirs.getvalue() == "sent to tgram://***/1\n"


def test_a_second_setup_replaces_the_first_and_its_redactor(err: Stderr, tmp_path: Path) -> None:
    setup(logging.DEBUG, Redactor(["first-secret"]), tmp_path / "a.log")
    setup(logging.INFO, Redactor(["second-secret"]), tmp_path / "b.log")
    logging.getLogger("runbook.x").warning("first-secret second-secret")
    assert err.getvalue().count("\n") == 1
    assert err.getvalue().rstrip().endswith("first-secret ***")
    assert (tmp_path / "a.log").read_text() == ""
    assert (tmp_path / "b.log").read_text().count("\n") == 1


def test_a_file_that_logrotate_moved_away_is_begun_anew(err: Stderr, tmp_path: Path) -> None:
    log = tmp_path / "runbook.log"
    setup(logging.INFO, Redactor(), log)
    logging.getLogger("runbook.x").info("before")
    log.rename(tmp_path / "runbook.log.1")
    logging.getLogger("runbook.x").info("after")
    assert "after" in log.read_text()
    assert "before" not in log.read_text()


def test_what_utf_8_cannot_say_is_written_as_its_number(tmp_path: Path) -> None:
    setup(logging.INFO, Redactor(), tmp_path / "runbook.log")
    record = logging.makeLogRecord({"name": "runbook.x", "levelname": "INFO", "levelno": 20, "msg": "odd \ud800"})
    logging.getLogger().handlers[-1].handle(record)  # past pytest's own handlers, which would send it over a pipe
    assert "odd \\ud800" in (tmp_path / "runbook.log").read_text()


def test_a_warning_is_a_line_of_the_log(err: Stderr) -> None:
    setup(logging.INFO, Redactor(["hunter22"]))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing hunter22", UserWarning, stacklevel=1)
    assert "py.warnings" in err.getvalue()
    assert "hunter22" not in err.getvalue()
    assert err.getvalue().count("\n") == 1
