"""The director of a rehearsed day: sets the stage, gives the cues, moves the clock on, and asks what came of it."""

from __future__ import annotations

import logging
import shutil
import tempfile
import textwrap
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from runbook import app
from runbook.almanac import Almanac
from runbook.clock import RehearsalClock, host_monotonic
from runbook.errors import UsageError
from runbook.logs import setup
from runbook.monitor import LINGER, scaled
from runbook.redact import Redactor
from runbook.rehearsal import expectations, stage
from runbook.rehearsal.scenarios import Cue, Order, Scenario, scenario
from runbook.run import Run
from runbook.session import Session, SessionCalendar
from runbook.shipped import shipped_site
from runbook.simulator import Simulator
from runbook.simulator.bot import RehearsalBot

LOT = 75
_LOOK = 0.02  # real seconds between two looks of the director
_LIMIT = 85.0  # real seconds; a rehearsal that takes longer has failed
_AFTER = timedelta(minutes=46)  # past the backup, which is the last of the day


def rehearse(name: str, *, seed: int, speed: float, keep: Path | None, debug: bool = False) -> int:
    """Play the day, print it as it goes, ask what it came to; 1 when an expectation was not met."""
    if not 1 <= speed <= 30:
        raise UsageError(
            f"--speed {speed:g}: accepted are 1 to 30; sockets are real, and faster they could not keep up"
        )
    chosen = scenario(name)
    with ExitStack() as stack:
        if keep is not None:
            folder = keep
            if (folder / "runbook.db").exists():
                raise UsageError(f"{folder} holds a ledger already; accepted: a new folder")
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="runbook-rehearsal-")))
        return Director(chosen, folder, seed=seed, speed=speed, debug=debug, stack=stack).play()


@dataclass(frozen=True, slots=True)
class Staging:
    """What a day may have of its own; tests of whole days use it, the command does not.

    `prepare` has the last hand at the site and at `env` before they are read. No jump waits for the channels in `dead`.
    """

    minutes: int = stage.MINUTES
    holiday: str = ""  # the name of the holiday that the day is
    prepare: Callable[[Director], None] = lambda _director: None
    dead: frozenset[str] = frozenset()


class Director:
    """Sets the stage, gives the cues, moves the clock on, and asks at the end."""

    def __init__(
        self, chosen: Scenario, folder: Path, *, seed: int, speed: float, debug: bool, stack: ExitStack,
        staging: Staging | None = None,
    ) -> None:  # fmt: skip
        self._scenario = chosen
        self._staging = staging or Staging()
        self.folder = folder
        self._speed = speed
        self._session: Session = stage.session(minutes=self._staging.minutes)
        self.clock = RehearsalClock(self._session.open - timedelta(minutes=65))
        self._lock = threading.Lock()
        self._said: dict[str, str] = {}
        hours = (self._session.open, self._session.close)
        self.sim = stack.enter_context(Simulator(clock=self.clock, seed=seed, session=hours, mode="analyze"))
        self.phone = stage.Phone(lambda received: self._ring(received))
        future = self.sim.market.near_future
        stage.write_site(
            folder, shipped_site(), url=self.sim.rest_url, stream=self.sim.stream_url,
            symbols=["NIFTY", "NIFTY:fut"], mode="analyzer", phone=self.phone.url,
        )  # fmt: skip
        self.env = {"OPENALGO_API_KEY": self.sim.api_key}
        self._actions: list[tuple[float, Callable[[], object]]] = []
        self._staging.prepare(self)
        config = app.load_config(folder, self.env)
        # The day is invented: no list of holidays has it, and none could agree with it.
        config = replace(config, jobs=tuple(job for job in config.jobs if job.name != "calendar_check"))
        setup(logging.DEBUG if debug else logging.ERROR, Redactor(config.secrets.values()), folder / "runbook.log")
        self._bot = RehearsalBot(self.sim, folder / "trades.csv", self.clock, plant=chosen.plants)
        self._future = future
        rate = speed
        hooks = app.Hooks(
            clock=self.clock, policy=lambda policy: scaled(policy, rate), say=lambda text: self._print("feed", text),
            on_run=self._ran, calendar=self._fill,
        )  # fmt: skip
        self.daemon = app.Daemon(config, hooks)
        self._channels = set(config.secrets.channels) - self._staging.dead
        for cue in chosen.cues:
            self.at(cue.at, partial(self._cue, cue))
        for order in chosen.orders:
            self.at(order.at, partial(self._trade, order))

    def at(self, seconds: float, act: Callable[[], object]) -> None:
        """Have something done so many seconds after the open."""
        self._actions = sorted([*self._actions, (seconds, act)], key=lambda action: action[0])

    # -- the day ----------------------------------------------------------------------------------------------------

    def play(self) -> int:
        began = host_monotonic()
        print(f"rehearsal {self._scenario.name}: {self._scenario.story}")
        print(
            f"  a session of {self._staging.minutes} minutes on {stage.DAY:%a %d %b %Y}, OpenAlgo simulated on loopback, at most x{self._speed:g}\n"
        )
        self.phone.start()
        self.daemon.start()
        in_time = False
        try:
            in_time = self._run(began)
        finally:
            self.daemon.stop()
            self.phone.stop()
        took = host_monotonic() - began
        return self._judge(took, in_time=in_time)

    def _run(self, began: float) -> bool:
        """Until the day is written down and copied; False when the real time is up."""
        pause = threading.Event()
        end = self._session.close + _AFTER
        while host_monotonic() - began < _LIMIT and not self.daemon.engine.finished.is_set():
            now = self.clock.now()
            while self._actions and self._at(self._actions[0][0]) <= now:
                _, act = self._actions.pop(0)
                act()
            live = not self._staging.holiday and self._begins <= now < self._session.close + timedelta(seconds=5)
            wanted = self._speed if live else 1.0
            if self.clock.rate != wanted:
                self.clock.set_rate(wanted)
                self.daemon.engine.wake()
            elif not live and self._idle(now):
                target = self._next(now, end)
                if target is None:
                    return True
                self.clock.jump_to(target)
                self.daemon.engine.wake()
                self.daemon.teller.nudge()
            pause.wait(_LOOK)
        return False

    def _idle(self, now: datetime) -> bool:
        """Nothing is due at `now` or in flight: no step runs, no message waits, no connection is being made."""
        with self.daemon.store.read() as books:
            waiting = [
                row
                for name in self._channels
                for row in books.alerts.waiting(name)
                if not row.final and not (row.held and row.due_at > now)
            ]
            if waiting or books.ledger.due(now) or books.ledger.running():
                return False
        # Asked after the ledger: a row that was claimed since then was not due, and one that is claimed counts as running.
        if not self.daemon.engine.idle or self.daemon.teller.busy_with - self._staging.dead:
            return False
        watching = self.daemon.monitor.view()
        over = now > self._session.close + LINGER
        return not (
            watching.running and watching.state is not None and (over or watching.state.link.state == "opening")
        )

    def _next(self, now: datetime, end: datetime) -> datetime | None:
        """What to jump to: the next row, the next cue, the open, or the end of the day (None: it has come)."""
        if now >= end:
            return None
        soon = [end]
        with self.daemon.store.read() as books:
            due = books.ledger.next_due(
                now
            )  # of the same instant as above, or a row between the two would be jumped over
        soon += [due] if due is not None else []
        soon += [self._at(self._actions[0][0])] if self._actions else []
        return min(instant for instant in (*soon, self._begins) if instant > now)

    @property
    def opens(self) -> datetime:
        return self._session.open

    @property
    def _begins(self) -> datetime:
        """From here on until the close the clock does not jump."""
        return self._session.open - timedelta(seconds=2)

    def _at(self, seconds: float) -> datetime:
        return self._session.open + timedelta(seconds=seconds)

    def _fill(self, almanac: Almanac) -> None:
        almanac.keep(self._calendars(), {"source": "runbook rehearse"}, self.clock.now())

    def _calendars(self) -> list[SessionCalendar]:
        return stage.calendars(self._staging.minutes, self._staging.holiday)

    # -- cues -------------------------------------------------------------------------------------------------------

    def _cue(self, cue: Cue) -> None:
        if cue.off:
            self.sim.clear(cue.fault)
        else:
            self.sim.switch(cue.fault, **cue.arguments)
        self._print("world", cue.say)

    def _trade(self, order: Order) -> None:
        done = self._bot.trade(self._future.symbol, self._future.exchange, order.action, LOT)
        lie = f", and lies in its log ({done.planted})" if done.planted else ""
        self._print("bot", f"{order.action} {LOT} {self._future.symbol} at {done.fill_price:.2f}{lie}")

    # -- what is heard ----------------------------------------------------------------------------------------------

    def _ran(self, run: Run) -> None:
        """A step's result, when it is news."""
        word = f"{run.outcome} {run.verdict}"
        if run.key.job == "check_feed" and self._said.get(run.key.job) == word:
            return
        self._said[run.key.job] = word
        shown = "" if str(run.outcome) == "succeeded" else f"{run.outcome}: "
        again = f" (again at {run.again_at.astimezone(self._session.zone):%H:%M})" if run.again_at else ""
        self._print(run.key.job, f"{shown}{run.verdict}: {run.reason}{again}")

    def _ring(self, received: stage.Received) -> None:
        self._print("PHONE", f"{received.title}\n{received.body}")

    def _print(self, who: str, text: str) -> None:
        local = self.clock.now().astimezone(self._session.zone)
        with self._lock:
            print(_laid_out(f"{local:%H:%M:%S}  {who:<15}  ", text), flush=True)

    # -- the end ----------------------------------------------------------------------------------------------------

    def _judge(self, took: float, *, in_time: bool) -> int:
        store = app.open_store(app.load_config(self.folder, self.env))
        try:
            calendar = self._calendars()[0]
            facts = app.day_facts(store, calendar, stage.DAY)
        finally:
            store.close()
        secrets = (self.sim.api_key,)
        evidence = expectations.Evidence(self._scenario, facts, tuple(self.phone.received), self.folder, secrets)
        answers = [
            expectations.Answer("in time", in_time, f"{took:.0f} s of at most {_LIMIT:.0f}"),
            *expectations.ask(evidence),
        ]
        print("\nexpected of this day:")
        for answer in answers:
            print(_laid_out(f"  {'ok    ' if answer.met else 'FAILED'}  {answer.name:<22} ", answer.seen))
        failed = [answer.name for answer in answers if not answer.met]
        print(f"\n{'rehearsal passed' if not failed else 'rehearsal FAILED: ' + ', '.join(failed)} in {took:.0f} s")
        return 1 if failed else 0


def _laid_out(head: str, text: str) -> str:
    """`text` beside `head`, broken at words to the width of the terminal (100 where there is none)."""
    room = max(40, shutil.get_terminal_size((100, 24)).columns - len(head))
    lines = [line for part in text.splitlines() or [""] for line in textwrap.wrap(part, room) or [""]]
    return ("\n" + " " * len(head)).join([head + lines[0], *lines[1:]])
