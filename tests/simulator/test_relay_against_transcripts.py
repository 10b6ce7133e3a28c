"""The relay held against what a real OpenAlgo 2.0.2.1 said on its stream, frame by frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from runbook.adapters.relay import Patience
from tests.relay_world import KEY, NIFTY, Bot, Feed, RelayWorld, relay_world, status


@pytest.fixture
def world() -> Iterator[RelayWorld]:
    with relay_world() as made:
        yield made


def _meant_otherwise(asked: Any, ours: dict[str, Any]) -> str | None:
    """Where the relay does not answer as OpenAlgo does, and means it: (what it must say instead), else None."""
    if not isinstance(asked, dict):
        return None
    if asked.get("action") == "subscribe" and asked.get("mode") in (3, "Depth"):
        said = [row.get("message", row["status"]) for row in ours["subscriptions"]]
        return "" if all(text.startswith("Depth is not relayed") for text in said) else f"depth is answered with {said}"
    if asked.get("action") in ("subscribe_orders", "unsubscribe_orders"):
        said = ours.get("message", "")
        return "" if said.startswith("Order updates are not relayed") else f"orders are answered with {said}"
    return None


class Replay:
    """Says what the recorded clients said, and compares each answer."""

    def __init__(self, world: RelayWorld, differs: Any) -> None:
        self._world, self._differs = world, differs
        self._bots: dict[str, Bot] = {}
        self._asked: dict[str, Any] = {}
        self.compared = 0
        self.wrong: list[str] = []

    def play(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            client, way, frame = entry["client"], entry["dir"], entry["frame"]
            if way == "--" and frame == "connected":
                self._bots[client] = self._world.bot(log_in=False)
            elif way == "--" and client in self._bots and frame.startswith("closed"):
                self._close(client, frame)
            elif way == "=>" and client in self._bots:
                mine = (
                    {**frame, "api_key": KEY}
                    if isinstance(frame, dict) and frame.get("api_key") == "<APIKEY>"
                    else frame
                )
                self._asked[client] = mine
                self._bots[client].say(mine)
            elif way == "<=" and isinstance(frame, dict) and frame.get("type") != "market_data":
                self._compare(entry, self._asked[client], self._bots[client].reply())

    def _close(self, client: str, frame: str) -> None:
        bot = self._bots.pop(client)
        if "code=1000" in frame:
            bot.connection.close()
            return
        code, reason = bot.end()
        if (said := f"closed code={code} reason={reason!r}") != frame:
            self.wrong.append(f"{said} against {frame}")

    def _compare(self, entry: dict[str, Any], asked: Any, ours: dict[str, Any]) -> None:
        real = entry["frame"]
        self.compared += 1
        if (fault := _meant_otherwise(asked, ours)) is not None:
            if fault:
                self.wrong.append(f"{entry['t']}: {fault}")
            return
        for frame in (real, ours):  # the real server lists these from a set
            if isinstance(frame.get("successful"), list):
                frame["successful"].sort(key=lambda row: row["symbol"])
        if difference := self._differs(real, ours):
            self.wrong.append(f"{entry['t']} {json.dumps(real)[:90]}: {difference}")


@pytest.mark.parametrize(
    ("name", "answers"), [("stream_protocol", 47), ("stream_mute", 5), ("snapshot_on_resubscribe", 2)]
)
def test_every_request_is_answered_with_the_frame_of_the_real_proxy(
    world: RelayWorld, transcript: Any, differs: Any, name: str, answers: int
):
    relay = world.relay_of(Feed(NIFTY), follows=True, patience=Patience(authenticate=0.5))
    relay.publish_status(status())
    replay = Replay(world, differs)
    replay.play(transcript(name))
    assert replay.wrong == []
    assert replay.compared == answers
