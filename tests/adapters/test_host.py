"""The host's commands, with small real executables on a PATH of their own: what is run, what it means, what is never shown."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runbook import host
from runbook.adapters.host import Host
from runbook.fault import Unfit
from runbook.feed.verdict import Health
from runbook.host import Command, HostSeen, Look, Ran, commands
from runbook.redact import Redactor, careful
from tests.fakes import until

KEY = "c0ffee" * 10 + "beef"
SS = """\
LISTEN 0 2048 127.0.0.1:5000 0.0.0.0:* users:(("gunicorn",pid=812,fd=5))
LISTEN 0 100 127.0.0.1:8765 0.0.0.0:* users:(("python",pid=830,fd=9))
LISTEN 0 128 0.0.0.0:22 0.0.0.0:*
"""
JOURNAL = f"""\
2026-11-23T09:15:01+0530 desk gunicorn[812]: POST /api/v1/quotes {{"apikey": "{KEY}"}}
2026-11-23T09:15:02+0530 desk gunicorn[812]: feed_token=abc123def456ghi789, jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_123
2026-11-23T09:15:03+0530 desk gunicorn[812]: Authorization: Bearer abcdef.123456
2026-11-23T09:15:04+0530 desk gunicorn[812]: Stale feed: NSE_INDEX:NIFTY no ticks for 121 s
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("OPENALGO_API_KEY", KEY)
    return folder


def tool(folder: Path, name: str, code: str) -> None:
    file = folder / name
    file.write_text(f"#!{sys.executable} -S\nimport os, sys, pathlib, threading\n{code}\n")
    file.chmod(0o755)


def says(folder: Path, name: str, out: str, code: int = 0) -> None:
    """A tool that notes how it was called, prints, and ends."""
    noted = folder.parent / f"{name}.called"
    tool(
        folder,
        name,
        f"pathlib.Path({str(noted)!r}).write_text(repr(sys.argv[1:]) + repr(dict(os.environ)))\nprint({out!r}, end='')\nsys.exit({code})",
    )


def look(name: str, where: str = "", bot: str | None = None) -> Look:
    (command,) = [c for c in commands("openalgo", bot) if c.name == name]
    return host.read(command, Host(where).run(command), (5000, 8765), careful(Redactor([KEY])), "openalgo")


def test_an_active_unit_and_both_ports_are_well(tools: Path):
    says(tools, "systemctl", "active\n")
    says(tools, "ss", SS)
    assert look("openalgo unit") == Look(
        "openalgo unit", Health.OK, "openalgo is active", "systemctl is-active -- openalgo"
    )
    found = look("listening")
    assert (found.health, found.said) == (
        Health.OK, "127.0.0.1:5000 gunicorn (pid 812); 127.0.0.1:8765 python (pid 830)",
    )  # fmt: skip


def test_a_dead_stream_server_beside_a_living_page_is_seen(tools: Path):
    says(tools, "ss", SS.splitlines()[0] + "\n")
    found = look("listening")
    assert found.health is Health.BROKEN
    assert found.said == "127.0.0.1:5000 gunicorn (pid 812); nobody listens on 8765"
    assert found.action == "restart the openalgo unit"


@pytest.mark.parametrize(("word", "code"), [("failed", 3), ("inactive", 3)])
def test_a_unit_that_is_down_is_broken_with_the_command_that_shows_why(tools: Path, word: str, code: int):
    says(tools, "systemctl", f"{word}\n", code)
    found = look("openalgo unit")
    assert (found.health, found.said) == (Health.BROKEN, f"openalgo is {word}")
    assert "sudo systemctl status openalgo" in found.action
    bot = look("bot unit", bot="nifty-bot.service")
    assert "restart" not in bot.action


def test_what_is_not_installed_is_unknown_and_not_broken(tools: Path):
    for name in ("openalgo unit", "listening", "journal"):
        found = look(name)
        assert found.health is Health.UNKNOWN
        assert "there is no `" in found.said


def test_the_journal_is_shown_without_a_key_or_a_token(tools: Path):
    says(tools, "journalctl", JOURNAL)
    found = look("journal")
    assert (found.health, len(found.lines)) == (Health.OK, 4)
    text = "\n".join(found.lines)
    for secret in (KEY, "abc123def456ghi789", "eyJhbGciOiJIUzI1NiJ9", "abcdef.123456"):
        assert secret not in text
    assert "no ticks for 121 s" in text


def test_a_journal_that_may_not_be_read_is_unknown(tools: Path):
    says(tools, "journalctl", "-- No entries --\n")
    assert look("journal").health is Health.UNKNOWN


def test_a_command_that_hangs_is_killed_with_all_it_started(tools: Path, tmp_path: Path):
    noted = tmp_path / "child"
    tool(
        tools, "ss",
        f"child = os.fork()\nif child: pathlib.Path({str(noted)!r}).write_text(str(child))\nthreading.Event().wait(60)",
    )  # fmt: skip
    ran = Host().run(Command("listening", ("ss", "-Hltnp")), seconds=6.0)
    assert ran.fault == "`ss` did not end within 6 s"
    stat = Path(f"/proc/{noted.read_text()}/stat")

    def gone() -> bool:
        try:
            return stat.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    until(gone, "what it started has ended too")


def test_an_answer_without_end_is_cut(tools: Path):
    tool(tools, "journalctl", "for n in range(200000): print('line', n)")
    ran = Host().run(Command("journal", ("journalctl",)))
    assert len(ran.out) <= 256 * 1024
    assert ran.out.endswith("line 199999\n")
    assert ran.out.startswith("line ")


def test_nothing_of_our_environment_reaches_a_command_but_what_it_needs(tools: Path, tmp_path: Path):
    says(tools, "systemctl", "active\n")
    look("openalgo unit")
    called = (tmp_path / "systemctl.called").read_text()
    assert KEY not in called
    assert "['is-active', '--', 'openalgo']" in called


def test_another_host_is_asked_through_ssh_word_by_word_and_never_for_a_password(tools: Path, tmp_path: Path):
    says(tools, "ssh", "active\n")
    found = look("openalgo unit", where="ubuntu@10.0.0.5")
    assert found.health is Health.OK
    called = (tmp_path / "ssh.called").read_text()
    assert "'-o', 'BatchMode=yes'" in called
    assert "'--', 'ubuntu@10.0.0.5', 'systemctl', 'is-active', '--', 'openalgo']" in called


@pytest.mark.parametrize(
    ("code", "err", "words"),
    [
        (255, "ubuntu@10.0.0.5: Permission denied (publickey).", "Permission denied (publickey)."),
        (127, "", "there is no `ss` on ubuntu@10.0.0.5"),
    ],
)
def test_a_host_that_lets_nobody_in_is_unknown(tools: Path, code: int, err: str, words: str):
    tool(tools, "ssh", f"print({err!r}, file=sys.stderr)\nsys.exit({code})")
    found = look("listening", where="ubuntu@10.0.0.5")
    assert found.health is Health.UNKNOWN
    assert words in found.said


@pytest.mark.parametrize("text", ["-oProxyCommand=touch x", "a b", "user@", "h;rm", "$(x)", "@h", "a@-b"])
def test_a_host_that_could_be_an_option_or_a_command_is_refused(text: str):
    with pytest.raises(Unfit, match="is no host"):
        Host(text)


@pytest.mark.parametrize("unit", ["-H evil", "a b", "$(x)", "--version", "a;b"])
def test_a_unit_that_could_be_an_option_is_refused(unit: str):
    with pytest.raises(Unfit):
        commands(unit, None)
    with pytest.raises(Unfit):
        commands("openalgo", unit)


def test_only_commands_that_read_are_on_the_list():
    words = [c.words for c in commands("openalgo-desk-angel", "nifty-bot.service")]
    assert [w[0] for w in words] == ["systemctl", "systemctl", "ss", "journalctl"]
    assert all(w[1] == "is-active" for w in words if w[0] == "systemctl")


def test_the_text_for_a_terminal_keeps_the_journal_below_its_line():
    seen = HostSeen("", (Look("journal", Health.OK, "the last 1 lines", "journalctl", lines=("one",)),))
    assert list(host.render(seen)) == ["on this host", "     ok     journal        the last 1 lines", "         one"]
    assert host.as_json(seen)["where"] == "this host"


def test_ports_are_taken_from_the_addresses():
    assert host.ports_of("http://127.0.0.1:5000", "ws://127.0.0.1:8765") == (5000, 8765)
    assert host.ports_of("https://a.example", "wss://a.example/ws") == (443,)
    assert isinstance(Ran(0), Ran)
    assert os.environ
