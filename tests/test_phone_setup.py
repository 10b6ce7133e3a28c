"""A bot is set up: the configuration takes it, `notify setup telegram` finds its numbers, `notify test` reaches it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook import app, cli
from runbook.adapters.lock import DatabaseLock
from runbook.config import Config
from runbook.errors import ConfigError
from runbook.fault import Fault
from tests.fakes import until
from tests.telegram_world import BOT_NAME, GROUP, ME, TOKEN, TelegramWorld

ROOT = Path(__file__).resolve().parents[1]
TOP = """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:5000", api_key: "${OPENALGO_API_KEY}"}
symbols: [NIFTY]
notify:
"""
WHOLE = "  phone: {telegram: {token_file: bot, chat: 4711004711, users: [4711004711]}}\n"
ENV = {"OPENALGO_API_KEY": "key-of-the-desk-0123456789"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    (tmp_path / "bot").touch(mode=0o600)
    (tmp_path / "bot").write_text(TOKEN + "\n")
    (tmp_path / "config.yaml").touch(mode=0o600)
    monkeypatch.setenv("OPENALGO_API_KEY", ENV["OPENALGO_API_KEY"])
    return tmp_path


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramWorld]:
    """Reached at its real address, through a proxy and TLS."""
    with TelegramWorld() as made:
        for name, value in made.proxied(tmp_path).items():
            monkeypatch.setenv(name, value)
            monkeypatch.delenv(name.lower(), raising=False)
        yield made


def read(site: Path, channels: str, env: dict[str, str] | None = None) -> Config:
    (site / "config.yaml").write_text(TOP + channels)
    return app.load_config(site, ENV | (env or {}))


def faults(site: Path, channels: str) -> dict[str, Fault]:
    with pytest.raises(ConfigError) as caught:
        read(site, channels)
    return {fault.path: fault for fault in caught.value.faults}


# -- configuration ------------------------------------------------------------------------------------------------------


def test_a_bot_is_a_channel_whose_token_is_a_secret(site):
    config = read(site, WHOLE)
    assert config.secrets.channels == {"phone": TOKEN}
    assert TOKEN in set(config.secrets.values()), "the redactor is told"
    assert not config.secrets.missing
    spec = config.settings.notify["phone"].telegram
    assert spec is not None
    assert (spec.chat, spec.users) == (4711004711, (4711004711,))
    assert config.merged()["notify"] == {
        "phone": {"telegram": {"token_file": "bot", "chat": 4711004711, "users": [4711004711]}}
    }
    assert app.bots(config) == {"phone": TOKEN}


def test_token_chat_and_users_may_come_from_the_environment_and_the_token_is_never_shown(site):
    config = read(
        site,
        '  phone: {telegram: {token: "${BOT}", chat: "${CHAT}", users: ["${ME}"]}}\n',
        {"BOT": TOKEN, "CHAT": str(GROUP), "ME": str(ME)},
    )
    spec = config.settings.notify["phone"].telegram
    assert spec is not None
    assert (spec.chat, spec.users) == (GROUP, (ME,))
    assert TOKEN not in repr(config.settings) + json.dumps(config.merged())
    assert config.merged()["notify"]["phone"]["telegram"]["token"] == "***"


def test_a_bot_without_a_chat_loads_and_what_sends_refuses_it_with_the_way_to_find_it(site):
    config = read(site, "  phone: {telegram: {token_file: bot}}\n")
    (fault,) = config.secrets.missing
    assert fault.path == "notify.phone.telegram.chat"
    assert "runbook notify setup telegram" in fault.accepted
    with pytest.raises(ConfigError):
        app.need_secrets(config)


@pytest.mark.parametrize(
    ("channel", "path", "found", "accepted", "example"),
    [
        ("{chat: 5500}", "notify.phone.telegram", "neither or both of token and token_file", "one of them", "token_file"),
        ("{token_file: bot, token: x, chat: 5500}", "notify.phone.telegram", "neither or both", "one of them", "token_file"),
        ("{token_file: bot, chat: '@desk'}", "notify.phone.telegram.chat", "'@desk' is no chat id", "number of a chat", "chat: 123456789"),
        ("{token_file: bot, chat: true}", "notify.phone.telegram.chat", "True is no chat id", "number of a chat", "chat: 1"),
        ("{token_file: bot, chat: 5500, users: [asha]}", "notify.phone.telegram.users[0]", "'asha' is no user id", "number of a person", "users: ["),
        ("{token_file: bot, chat: 5500, users: [-1001234567890]}", "notify.phone.telegram.users[0]", "is no user id", "number of a person", "users: ["),
        ("{token_file: bot, chat: 5500, user: [5500]}", "notify.phone.telegram.user", "unknown key 'user'", "did you mean users? ", ""),
    ],
)  # fmt: skip
def test_a_bot_that_cannot_be_names_what_was_found_what_is_accepted_and_an_example(
    site, channel, path, found, accepted, example
):
    fault = faults(site, f"  phone: {{telegram: {channel}}}\n")[path]
    assert found in fault.found
    assert accepted in fault.accepted
    assert example in fault.example


def test_a_token_that_is_none_is_refused_without_being_shown(site):
    (site / "bot").write_text("my-secret-password\n")
    fault = faults(site, WHOLE)["notify.phone.telegram.token_file"]
    assert "is no bot's token" in fault.found
    assert "my-secret" not in str(fault)


def test_a_literal_token_in_a_file_that_everyone_can_read_is_refused(site):
    (site / "config.yaml").chmod(0o644)
    fault = faults(site, f'  phone: {{telegram: {{token: "{TOKEN}", chat: 5500}}}}\n')["notify.phone.telegram.token"]
    assert fault.example == "chmod 600 config.yaml"
    assert TOKEN not in str(fault)


def test_a_url_and_a_bot_in_one_channel_are_refused(site):
    fault = faults(site, "  phone: {url: 'json://x', telegram: {token_file: bot, chat: 5500}}\n")["notify.phone"]
    assert "several" in fault.found


def test_two_channels_cannot_listen_with_one_bot(site):
    two = WHOLE + "  desk: {telegram: {token_file: bot, chat: -1001234567890, users: [4711004711]}}\n"
    fault = faults(site, two)["notify.desk.telegram.users"]
    assert "the bot of 'phone'" in fault.found
    read(site, two.replace("-1001234567890, users: [4711004711]", "-1001234567890"))


# -- the commands -------------------------------------------------------------------------------------------------------


def run(site: Path, *words: str) -> int:
    return cli.main(["--site", str(site), *words])


def test_setup_prints_the_numbers_of_whoever_writes_and_takes_nothing_from_anybody(site, world, capsys):
    read(site, "  phone: {telegram: {token_file: bot}}\n")
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(site, "notify", "setup", "telegram")))
    thread.start()
    until(lambda: world.polled, "it does not listen")
    world.says("hello \x1b[31m")
    thread.join(timeout=10)
    said = capsys.readouterr()
    assert codes == [0]
    assert f"@{BOT_NAME}" in said.out
    assert "Asha @asha wrote in private" in said.out
    assert f"chat: {ME}, users: [{ME}]" in said.out
    assert world.waiting == 1, "not confirmed: whoever owns the bot still gets it"
    assert TOKEN not in said.out + said.err


def test_setup_in_a_group_prints_the_groups_number(site, world, capsys):
    read(site, "  phone: {telegram: {token_file: bot}}\n")
    world.says(f"/start@{BOT_NAME}", chat=GROUP)
    assert run(site, "notify", "setup", "telegram", "--channel", "phone") == 0
    said = capsys.readouterr().out
    assert f"chat: {GROUP}, users: [{ME}]" in said
    assert "everybody in it reads" in said


def test_setup_refuses_a_bot_that_somebody_else_uses(site, world, capsys):
    read(site, "  phone: {telegram: {token_file: bot}}\n")
    world.webhook = "https://example.org"
    assert run(site, "notify", "setup", "telegram") == 1
    said = capsys.readouterr().err
    assert "webhook is active" in said
    assert "give runbook a bot of its own" in said


def test_setup_refuses_the_bot_that_another_program_polls_after_asking_twice(site, world, capsys):
    read(site, "  phone: {telegram: {token_file: bot}}\n")
    world.refuse("getUpdates", 409, "Conflict: terminated by other getUpdates request", times=2)
    assert run(site, "notify", "setup", "telegram") == 1
    assert "give runbook a bot of its own" in capsys.readouterr().err
    assert world.polled == 2


def test_setup_does_not_take_the_bot_from_the_daemon_that_listens_on_it(site, world, capsys):
    config = read(site, WHOLE)
    lock = DatabaseLock(config.database_path)
    lock.take("pid 1 on desk")
    try:
        assert run(site, "notify", "setup", "telegram") == 2
    finally:
        lock.release()
    assert "listens on the bot of phone now" in capsys.readouterr().err
    assert world.calls == []


@pytest.mark.parametrize(
    ("channels", "words", "said"),
    [
        ("  phone: json://127.0.0.1:1/\n", (), "no channel of `notify:` has a bot; accepted: one with `telegram:`"),
        (WHOLE, ("--channel", "phnoe"), "no telegram channel 'phnoe'; accepted: did you mean phone? phone"),
        ("  phone: {telegram: {token: '${BOT}'}}\n", (), "environment variable BOT is not set"),
        ("  phone: {telegram: {token_file: gone}}\n", ("--channel", "phone"), "gone cannot be read"),
    ],
)
def test_setup_without_a_bot_says_how_to_get_one(site, channels, words, said, capsys, monkeypatch):
    monkeypatch.delenv("BOT", raising=False)
    (site / "config.yaml").write_text(TOP + channels)
    assert run(site, "notify", "setup", "telegram", *words) == 2
    assert said in capsys.readouterr().err


def test_notify_test_reaches_the_chat_through_proxy_and_tls(site, world, capsys):
    read(site, WHOLE)
    assert run(site, "notify", "test", "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result == {"channel": "phone", "delivery": "sent", "reason": ""}
    assert world.texts()[0].startswith("runbook test ")
    assert world.polled == 0, "only the daemon listens"


def test_notify_test_says_what_is_wrong_with_a_bot(site, world, capsys):
    read(site, WHOLE)
    world.blocked.add(ME)
    assert run(site, "notify", "test") == 1
    assert "failed: sendMessage: Forbidden: bot was blocked by the user" in capsys.readouterr().out


def test_config_check_asks_apprise_nothing_about_a_bot(site, world, capsys):
    config = read(site, WHOLE)
    assert app.channel_faults(config) == []
    assert world.calls == []
