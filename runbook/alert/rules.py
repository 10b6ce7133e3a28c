"""The table of what can be wrong, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is; `rank` orders them."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One thing that can be wrong. `{job}` in a text stands for the label of that name.

    Rules of one `incident` share one alert; of two, the one of higher `rank` takes it over. `hold` is how long the cause must
    last before it is told. The severity is `live` when the bot trades live and `paper` otherwise; None: the cause brings its
    own. `recovery` says what ends it. `remind` is how long after the last word it is said again while nobody has acknowledged
    it, `reminders` how often (None: for as long as it lasts), `until_open` that the open ends them. `gather` is how long
    a message waits for others of its kind, so that they arrive as one.
    """

    name: str
    incident: str
    title: str
    back: str  # the title when it is over
    done: str
    todo: str
    recovery: str
    hold: timedelta = timedelta(0)
    live: Severity | None = Severity.CRITICAL
    paper: Severity | None = Severity.CRITICAL
    rank: int = 1
    positions: bool = False  # its messages name the open positions
    remind: timedelta | None = None
    reminders: int | None = None
    until_open: bool = False
    gather: timedelta = timedelta(0)

    def severity(self, mode: str, given: Severity | None = None) -> Severity:
        """The severity in `mode` (the configuration's word), or the cause's own where the rule leaves it open."""
        return (self.live if mode == "live" else self.paper) or given or Severity.WARNING


def _job(name: str, title: str) -> AlertRule:
    return AlertRule(
        name,
        incident="job",
        title=title,
        back="{job} works again",
        done="recorded; the other steps go on",
        todo="`runbook report`, then `runbook run {job} --reason ...`",
        recovery="its next success",
        live=None,
        paper=None,
    )


_TABLE = (
    AlertRule(
        "feed.fallback",
        incident="feed",
        title="feed on REST",
        back="feed back on the stream",
        done="prices go on over REST; the stream is tried again",
        todo="nothing yet, but your bot may be without ticks",
        recovery="the stream is back and has held its probation",
        hold=timedelta(seconds=15),
        paper=Severity.WARNING,
        positions=True,
        remind=timedelta(minutes=5),
        reminders=3,
    ),
    AlertRule(
        "feed.blind",
        incident="feed",
        title="feed BLIND, no price from anywhere",
        back="feed back on the stream",
        done="nothing is shown in place of a price; both sources are tried on",
        todo="watch your positions at the broker's own terminal",
        recovery="REST or the stream gives prices again",
        rank=2,
        positions=True,
        remind=timedelta(minutes=2),
    ),
    AlertRule(
        "bot.deaf",  # no hold: the bot is judged deaf only after 90 s
        incident="bot",
        title="your bot does not read",
        back="your bot reads again",
        done="nothing: runbook never touches the bot",
        todo="restart the bot's feed, or the bot",
        recovery="what the bot leaves behind grows again",
        paper=Severity.WARNING,
        positions=True,
    ),
    AlertRule(
        "feed.silent",
        incident="feed",
        title="nothing moves at the exchange",
        back="the market moves again",
        done="REST and the stream both answer and stand still; both are watched, nothing is shown in place of a price",
        todo="nothing if the exchange has halted; if it has not, log in to the broker again",
        recovery="either side moves again",
        hold=timedelta(seconds=60),
        live=Severity.WARNING,
        paper=Severity.WARNING,
        rank=0,
        positions=True,
    ),
    AlertRule(
        "feed.symbol",
        incident="feed_symbol",
        title="no ticks of {symbol}, the others tick",
        back="{symbol} ticks again",
        done="subscribed once more; the other symbols are not touched",
        todo="nothing yet, but your bot may be without this price",
        recovery="its next tick",
        hold=timedelta(seconds=15),
        live=Severity.WARNING,
        paper=Severity.WARNING,
        gather=timedelta(seconds=3),
    ),
    AlertRule(
        "broker.not_verified",
        incident="broker",
        title="broker not verified",
        back="broker verified",
        done="checked again every minute",
        todo="log in to the broker on the OpenAlgo dashboard",
        recovery="the check passes",
        remind=timedelta(minutes=2),
        until_open=True,
    ),
    AlertRule(
        "gateway.down",
        incident="gateway",
        title="OpenAlgo does not answer",
        back="OpenAlgo answers again",
        done="nothing is shown in place of a price; REST and the stream are tried on",
        todo="see if the openalgo unit runs (sudo systemctl status openalgo), and the network between",
        recovery="REST or the stream answers, or the session ends",
        positions=True,
        remind=timedelta(minutes=2),
    ),
    AlertRule(
        "uplink.down",
        incident="uplink",
        title="this host reaches nobody outside",
        back="this host is online again",
        done="messages wait in the outbox, in order; what needs the network is judged when it is back",
        todo="see to this host's network",
        recovery="any channel sends again",
        live=None,
        paper=None,
    ),
    AlertRule(
        "channel.dead",
        incident="channel",
        title="channel {channel} delivers nothing",
        back="channel {channel} sends again",
        done="its messages are tried on until they expire; this one goes over the other channels",
        todo="`runbook notify test --channel {channel}`, then look at its URL in config.yaml",
        recovery="the next message it delivers",
        live=None,
        paper=None,
    ),
    _job("job.failed", "{job} failed"),
    _job("job.missed", "{job} missed its time"),
    _job("job.overran", "{job} ran out of time"),
    AlertRule(
        "not_flat",
        incident="not_flat",
        title="not flat after square-off",
        back="flat",
        done="nothing: runbook never places an order",
        todo="close what should not be there, or note why it stays",
        recovery="no open row is left in the position book",
        live=Severity.WARNING,
        paper=Severity.WARNING,
    ),
    AlertRule(
        "mode_leak",
        incident="mode_leak",
        title="MODE LEAK, orders where none belong",
        back="mode leak gone",
        done="nothing: runbook never places an order",
        todo="stop the bot, then look at the broker's order book",
        recovery="the rows are accepted or gone",
        positions=True,
    ),
    AlertRule(
        "calendar.unknown",
        incident="calendar_unknown",
        title="the calendar does not know {day}",
        back="{day} is known",
        done="checks that only read will run; nothing is called open",
        todo="when the exchange's list is out: `runbook calendar import FILE --source ...`, or `runbook calendar close|open {day}`",
        recovery="an entry for the day",
        live=None,
        paper=None,
    ),
    AlertRule(
        "calendar.contradicted",
        incident="calendar_contradicted",
        title="OpenAlgo contradicts the calendar about {day}",
        back="OpenAlgo and the calendar agree about {day}",
        done="the calendar is followed; OpenAlgo's list alone never opens or closes a day",
        todo="look at the exchange's circular, then `runbook calendar close|open {day} --source ...`",
        recovery="the two agree",
        live=None,
        paper=None,
    ),
    AlertRule(
        "calendar.stale",
        incident="calendar_stale",
        title="the calendar could not be renewed",
        back="the calendar is fresh again",
        done="the last good table is used",
        todo="`runbook init` shows the fault; compare the installed packages with requirements.lock",
        recovery="the next renewal succeeds",
        live=None,
        paper=None,
    ),
    AlertRule(
        "config.refused",
        incident="config",
        title="config.yaml is not in force",
        back="config.yaml is in force",
        done="the configuration before it stays in force, whole",
        todo="`runbook config check`, then `runbook reload`",
        recovery="a reload that is accepted, or a start",
        live=Severity.WARNING,
        paper=Severity.WARNING,
    ),
)
RULES = {rule.name: rule for rule in _TABLE}
