"""Short days, each with one thing that goes wrong; `python -m tests.scenarios.days NAME FOLDER` plays one.

The feed's limits are short (10 s and 20 s) so that a whole incident fits into three minutes; nothing else is changed. What a
day leaves lies in FOLDER, the site with its ledger, and what the world saw of it in FOLDER.json.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from runbook.clock import host_monotonic
from runbook.rehearsal import Director, Staging
from runbook.rehearsal.scenarios import Cue, Order, Scenario, scenario

CHANNEL_USER, CHANNEL_PASSWORD, CHANNEL_PATH = "desk", "channel-password-0815", "channel-token-4711"
LOCKED_FOR = 10.0  # real seconds another process holds the database
_ALWAYS = ("report written", "key nowhere")  # what is unfinished, test_days.py asks itself
# A session of minutes has no `close-15m`, which the shipped jobs name as their latest start.
_JOBS = """\
jobs:
  - {name: verify_broker, latest_start: close}
  - {name: start_feed, latest_start: close}
"""
_SHORT = "feed: {warn_after: 10s, fallback_after: 20s}\n"


@dataclass(frozen=True)
class ShortDay:
    """A scenario with what its site has of its own: YAML below config.yaml, files in jobs/, things done at the set-up."""

    scenario: Scenario
    minutes: int = 3
    speed: float = 30.0
    seed: int = 7
    config: str = _SHORT
    more_jobs: str = ""
    symbols: Sequence[str] = ("NIFTY", "NIFTY:fut")
    jobs: tuple[tuple[str, str], ...] = ()
    set_up: Callable[[Director], object] = lambda _director: None
    holiday: str = ""
    dead: frozenset[str] = frozenset()


def day(
    *expects: str, cues: Sequence[tuple[float, str, bool]] = (), orders: Sequence[Order] = (), **own: object
) -> ShortDay:
    """A day with `cues` of (seconds from the open, fault, whether it begins)."""
    given = tuple(Cue(at, fault, f"{fault} {'begins' if on else 'ends'}", off=not on) for at, fault, on in cues)
    made = Scenario("short", "a short day", (*_ALWAYS, *expects), given, tuple(orders))
    return replace(ShortDay(made), **own)  # type: ignore[arg-type]


# -- what some days need beside faults ----------------------------------------------------------------------------------


class Gate:
    """A TCP port in front of OpenAlgo that refuses connections until it is opened."""

    def __init__(self, behind: str) -> None:
        where = urlsplit(behind)
        self._behind = (where.hostname, where.port)
        self._door = socket.socket()
        self._door.bind(("127.0.0.1", 0))  # bound, not listening: whoever comes is refused
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def open(self) -> None:
        self._door.listen(64)
        threading.Thread(target=self._admit, daemon=True).start()

    def _admit(self) -> None:
        while True:
            caller, _ = self._door.accept()
            inner = socket.create_connection(self._behind)
            for here, there in ((caller, inner), (inner, caller)):
                here.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._carry, args=(here, there), daemon=True).start()

    @staticmethod
    def _carry(here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_WR)


def edit(director: Director, old: str, new: str) -> None:
    path = director.folder / "config.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in the site's configuration"
    path.write_text(text.replace(old, new), encoding="utf-8")


def down_until(seconds: float) -> Callable[[Director], None]:
    """OpenAlgo is not there at all, neither REST nor stream, until so many seconds after the open."""

    def set_up(director: Director) -> None:
        gate = Gate(director.sim.rest_url)
        edit(director, director.sim.rest_url, gate.url)
        director.at(seconds, gate.open)

    return set_up


def deaf_channel(director: Director) -> None:
    """A second channel, whose server takes the connection and never answers."""
    server = socket.create_server(("127.0.0.1", 0), backlog=16)
    taken: list[socket.socket] = []

    def listen() -> None:
        while True:
            taken.append(server.accept()[0])  # held, or it would be closed

    threading.Thread(target=listen, daemon=True).start()
    edit(director, "notify: {", f'notify: {{deaf: "json://127.0.0.1:{server.getsockname()[1]}/", ')


_HOLD = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
db.execute("BEGIN IMMEDIATE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
db.execute("COMMIT")
"""


def hold(database: Path, seconds: float) -> subprocess.Popen[str]:
    """Another process holds the write lock of the ledger from now on for so many real seconds."""
    command = [sys.executable, "-c", _HOLD, str(database), str(seconds)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "held"
    return holder


def deaf_bot(*grows: float) -> Callable[[Director], None]:
    """A bot whose tick file grows at these seconds after the open, and at no other."""

    def set_up(director: Director) -> None:
        file = director.folder / "bot_ticks.csv"
        edit(director, "bot: {", 'bot: {ticks: "bot_ticks.csv", ')

        def grow() -> None:
            with file.open("a", encoding="utf-8") as out:
                out.write("26049.9\n")

        for at in grows:
            director.at(at, grow)

    return set_up


def locked_at(seconds: float) -> Callable[[Director], None]:
    return lambda director: director.at(seconds, lambda: hold(director.folder / "runbook.db", LOCKED_FOR))


_RAISES = 'def step(ctx):\n    raise RuntimeError("this step is broken on purpose")\n'
_HANGS = "import threading\n\n\ndef step(ctx):\n    threading.Event().wait()\n"
_TELLS = """\
from runbook import Found, Verdict


def step(ctx):
    return Found(Verdict.OK, "told", tell=(f"word of {ctx.key.slot}", ("one line",)))
"""
_NEIGHBOURS = """\
  - {name: raises, run: "jobs.raises:step", at: [open+20s]}
  - {name: hangs, run: "jobs.hangs:step", at: [open+15s], timeout: 2s}
  - {name: tells, run: "jobs.tells:step", at: [open+25s, open+50s]}
"""


# -- the days -----------------------------------------------------------------------------------------------------------

_TRADES = (Order(20, "BUY"), Order(60, "SELL"), Order(70, "BUY"), Order(90, "SELL"))

_LIES = ("missing_at_gateway", "out_of_range", "price")  # a price one per cent off lies outside the recorded ones too

DAYS: dict[str, ShortDay] = {
    "clean": day(
        "ready announced", "report delivered", "only two messages", "clean books", orders=_TRADES, minutes=2, config="",
    ),
    "late_login": day(
        "login missed", "login seen", "ready announced", "report delivered", minutes=2,
        cues=[(-3900, "session_revoked", True), (-240, "session_revoked", False)],
    ),
    "blind": day(
        "ready announced", "fallback announced", "blindness announced", "recovery announced", "report delivered",
        cues=[(15, "mute", True), (56, "html_502", True), (80, "html_502", False), (95, "mute", False)],
    ),
    "frozen": day(
        "ready announced", "fallback announced", "blindness announced", "recovery announced", "report delivered",
        cues=[(15, "mute", True), (56, "frozen", True), (85, "frozen", False), (95, "mute", False)],
    ),
    "down_at_start": day(
        "ready announced", "report delivered", minutes=2, set_up=down_until(-400),
        cues=[(-3900, "drop", True), (-400, "drop", False)],
    ),
    "deaf_bot": day(
        "ready announced", "report delivered", minutes=4, config="",
        set_up=deaf_bot(*range(-30, 30, 5), *range(180, 240, 5)),
    ),
    "wrong_key": day("login missed", minutes=2, cues=[(-3900, "wrong_key", True)]),
    "revoked": day(
        "ready announced", "blindness announced", "recovery announced", "report delivered",
        cues=[(30, "session_revoked", True), (80, "login", True)],
    ),
    "garbage": day(
        "ready announced", "report delivered", minutes=2, cues=[(20, "garbage", True), (70, "garbage", False)],
    ),
    "neighbours": day(
        "ready announced", minutes=2, more_jobs=_NEIGHBOURS, symbols=("NIFTY", "NIFTY:fut", "NSE:NOSUCH"),
        jobs=(("raises", _RAISES), ("hangs", _HANGS), ("tells", _TELLS)), set_up=deaf_channel, dead=frozenset({"deaf"}),
    ),
    "snapshot_only": day(
        "ready announced", "fallback announced", "report delivered", cues=[(15, "snapshot_only", True)],
    ),
    "flapping": day(
        "ready announced", "report delivered", minutes=12, config="feed: {warn_after: 5s, fallback_after: 10s}\n",
        cues=[(45 + 75 * n + 30 * half, "mute", half == 0) for n in range(9) for half in (0, 1)],
    ),
    "locked": day(
        "ready announced", "report delivered", speed=8.0, set_up=locked_at(20),
        cues=[(25, "mute", True), (75, "mute", False)],
    ),
    "holiday": ShortDay(
        Scenario("holiday", "nothing happens, and nobody hears of it", ("key nowhere",), orders=()),
        minutes=2, holiday="Guru Nanak Jayanti",
    ),
    # for the command's own promises (test_rehearsal)
    "impossible": day("fallback announced", "only two messages", minutes=1),
} | {
    name: ShortDay(replace(scenario("incident"), cues=(), expects=("planted breaks found",), orders=_TRADES, breaks=_LIES), 2, seed=11)
    for name in ("lies", "lies_again")
}  # fmt: skip


def play(name: str, folder: Path) -> int:
    """Play the day of that name, leave the evidence, and give the exit code of its expectations."""
    wanted = DAYS[name]

    def prepare(director: Director) -> None:
        parts = urlsplit(director.phone.url)
        edit(director, director.phone.url, "${PHONE_URL}")
        director.env["PHONE_URL"] = f"json://{CHANNEL_USER}:{CHANNEL_PASSWORD}@{parts.netloc}/{CHANNEL_PATH}/"
        edit(director, 'symbols: ["NIFTY", "NIFTY:fut"]', f"symbols: {json.dumps(list(wanted.symbols))}")
        for job, text in wanted.jobs:
            (director.folder / "jobs" / f"{job}.py").write_text(text, encoding="utf-8")
        with (director.folder / "config.yaml").open("a", encoding="utf-8") as config:
            config.write(wanted.config + _JOBS + wanted.more_jobs)
        wanted.set_up(director)

    staging = Staging(wanted.minutes, wanted.holiday, prepare, wanted.dead)
    with ExitStack() as stack:
        director = Director(
            wanted.scenario, folder, seed=wanted.seed, speed=wanted.speed, debug=True, stack=stack, staging=staging
        )
        stopping = 0.0
        stop = director.daemon.stop

        def timed() -> None:
            nonlocal stopping
            began = host_monotonic()
            stop()
            stopping = host_monotonic() - began

        director.daemon.stop = timed  # type: ignore[method-assign]
        code = director.play()
        market = director.sim.market
        watched = [market.near_future, *(c.instrument for c in market.master if str(c.instrument) == "NSE_INDEX:NIFTY")]
        evidence = {
            "code": code,
            "stopping": stopping,
            "key": director.sim.api_key,
            "received": [[one.title, one.body] for one in director.phone.received],
            "calls": [[at.isoformat(), method, path] for at, method, path in director.sim.calls],
            "ranges": {str(i): [market.day_at(i, director.clock.now()).low, market.day_at(i, director.clock.now()).high] for i in watched},
        }  # fmt: skip
    folder.with_suffix(".json").write_text(json.dumps(evidence), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(play(sys.argv[1], Path(sys.argv[2])))
