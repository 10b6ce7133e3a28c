"""The bundle for support: all that helps, for its owner alone, and never a secret."""

from __future__ import annotations

import json
import stat
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook.adapters.bundle import pack
from runbook.errors import UsageError
from runbook.redact import Redactor, careful
from tests.test_cli import KEY, Say, prepared, rewrite, shell, site  # noqa: F401 - fixtures

CHANNEL = "tgram://123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/42"
TOKEN = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
"""A made-up token of a made-up bot."""


@pytest.fixture
def packed(prepared, tmp_path: Path) -> Path:  # noqa: F811
    folder = prepared[0]
    rewrite(folder, "http://127.0.0.1:5000", "http://127.0.0.1:1\n  stream: ws://127.0.0.1:1")
    config = folder / "config.yaml"
    config.write_text(config.read_text() + f"notify: {{phone: '{CHANNEL}'}}\n")
    log = tmp_path / "serve.log"
    log.write_text(
        f"older\nsent {CHANNEL}\n" + f'POST {{"apikey": "{KEY}"}} jwt=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x\nthe end\n'
    )
    file = tmp_path / "support.zip"
    said = shell("--site", folder, "doctor", "--bundle", file, "--log", log, "--host")
    assert said.code == 1, said
    assert "packed into" in said.err
    return file


def test_a_bundle_holds_what_support_asks_for_and_no_secret(packed: Path):
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    with zipfile.ZipFile(packed) as held:
        texts = {name: held.read(name).decode() for name in held.namelist()}
    assert set(texts) == {
        "README.txt", "doctor.json", "config.json", "versions.txt", "ledger.json", "pulse.json", "log.txt",
    }  # fmt: skip
    for name, text in texts.items():
        for secret in (KEY, TOKEN, "eyJhbGciOiJIUzI1NiJ9"):
            assert secret not in text, name
    doctor = json.loads(texts["doctor.json"])
    assert doctor["first_broken"] == "H1"
    assert [look["name"] for look in doctor["host"]["looks"]] == ["openalgo unit", "listening", "journal"]
    assert json.loads(texts["config.json"])["openalgo"]["api_key"] == "***"
    assert json.loads(texts["ledger.json"]) == {"changes": [], "alerts": []}
    assert texts["log.txt"].endswith("the end\n")
    assert "pydantic " in texts["versions.txt"]
    raw = packed.read_bytes()
    assert KEY.encode() not in raw


def test_a_bundle_never_takes_the_place_of_another_file(prepared, tmp_path: Path):  # noqa: F811
    file = tmp_path / "support.zip"
    file.write_text("mine")
    said = shell("--site", prepared[0], "doctor", "--bundle", file)
    assert said.code == 2
    assert "is there already" in said.err
    assert file.read_text() == "mine"
    (tmp_path / "link.zip").symlink_to(tmp_path / "nowhere")
    assert shell("--site", prepared[0], "doctor", "--bundle", tmp_path / "link.zip").code == 2


def test_a_file_that_appears_meanwhile_is_not_written_over_either(tmp_path: Path):
    file = tmp_path / "support.zip"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        pack(file, {"a.txt": "text"}, datetime(2026, 11, 23, tzinfo=UTC))
    assert file.read_text() == "mine"


def test_a_host_that_is_none_is_refused_before_anything_is_asked(prepared):  # noqa: F811
    said = shell("--site", prepared[0], "doctor", "--host", "a b")
    assert said.code == 2
    assert "accepted: USER@HOST" in said.err


@pytest.mark.parametrize(
    "text", [
        "feed_token=abc123def", "token: abc123def", "'jwtToken': 'abc123def'", "Bearer abc123def", "totp=123456",
        "X-Api-Key: abc123def", "password=abc123def", "0123456789abcdef0123456789abcdef",
    ],
)  # fmt: skip
def test_what_other_programs_log_as_a_secret_is_masked(text: str):
    masked = careful(Redactor())(f"before {text} after")
    assert "***" in masked
    assert "abc123def" not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_ordinary_words_about_tokens_stay():
    said = "the broker refuses OpenAlgo's token (see H4); session opened at 09:15; NIFTY: 26049.9 [WEBSOCKET]"
    assert careful(Redactor())(said) == said
