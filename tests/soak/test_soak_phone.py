"""A daemon whose phone is a bot: the alarm comes with buttons, a person presses one, and everybody sees who took it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.simulator import Simulator
from tests.scenarios.serving import QUICK_FEED, Serving, Site, wait_until
from tests.telegram_world import ME, STRANGER, TOKEN, TelegramWorld

pytestmark = pytest.mark.soak
SECRET = TOKEN.partition(":")[2]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TelegramWorld]:
    with TelegramWorld() as made:
        for name, value in made.proxied(tmp_path).items():
            monkeypatch.setenv(name, value)
            monkeypatch.delenv(name.lower(), raising=False)
        yield made


@pytest.fixture
def served(tmp_path: Path, world: TelegramWorld) -> Iterator[tuple[Site, Serving, Simulator]]:
    with Simulator(seed=3, mode="analyze") as sim:
        site = Site(tmp_path / "site", sim, extra=QUICK_FEED)
        bot = site.folder / "bot"
        bot.touch(mode=0o600)
        bot.write_text(TOKEN + "\n")
        file = site.folder / "config.yaml"
        channel = f"telegram: {{token_file: bot, chat: {ME}, users: [{ME}]}}"
        file.write_text(file.read_text().replace("{url_file: phone}", f"{{{channel}}}"))
        serving = site.serve()
        yield site, serving, sim
        serving.kill()
        site.phone.stop()


def test_an_alarm_comes_with_buttons_and_the_press_of_one_is_seen_by_everybody(served, world):
    site, serving, sim = served
    world.says("/ack 1", ago=3600)  # said while nobody was there
    serving.ready().feed("LIVE")
    wait_until("old words are refused", lambda: any("too old" in text for text in world.texts()))
    sim.switch("mute")
    wait_until("the alarm comes", lambda: any("feed on REST" in text for text in world.texts()), 60)
    alarm = next(s for s in world.sent if "feed on REST" in s.plain and s.buttons)
    (ack, hush), (again,) = [[b["text"] for b in row] for row in alarm.keyboard]
    assert (hush, again) == ("Silence 30m", "Recheck")

    world.says("/status", STRANGER)
    world.presses(ack, alarm.number)
    wait_until("it is taken", lambda: any("acknowledged after" in text for text in world.texts()))
    wait_until("the button goes", lambda: alarm.buttons == ["Silence 30m", "Recheck"])
    shown = site.run("status").stdout
    assert f"telegram:{ME}" in shown
    world.says("/status")
    wait_until("the phone hears the same", lambda: any(t.startswith("ATTENTION at") for t in world.texts()))
    world.presses(hush, alarm.number)
    wait_until("it is silenced", lambda: any(t.startswith("silence 1: feed") for t in world.texts()))
    world.says("/unsilence 1")
    wait_until("that is over, too", lambda: any("silence 1 of feed" in t for t in world.texts()))
    world.presses(again, alarm.number)
    wait_until("the broker is asked again", lambda: any("verify_broker" in text for text in world.texts()))
    for word in ("/plan", "/report", "/help"):
        before = len(world.sent)
        world.says(word)
        wait_until(f"{word} is answered", lambda before=before: len(world.sent) > before)  # type: ignore[misc]

    assert [s for s in world.sent if s.chat != ME] == [], "no stranger gets a word"
    code, took = serving.end(signal.SIGTERM)
    assert (code, took < 5) == (0, True)
    said = serving.said()
    assert SECRET not in said, "not even at DEBUG"
    assert SECRET.encode() not in (site.folder / "runbook.db").read_bytes()
    held = site.facts().alerts
    assert [a.acked_by for a in held if a.number == int(ack.partition("#")[2])] == [f"telegram:{ME}"]
