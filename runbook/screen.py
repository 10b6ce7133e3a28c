"""The live view of the feed, from the daemon's pulse: what is shown is what the pulse says, and an old pulse says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from runbook.doctor.render import mark
from runbook.feed.verdict import Health, Hop, Rung, Verdict, ladder
from runbook.pulse import Pulse
from runbook.report.layout import clock, cut, plain, wrap
from runbook.spans import span

WIDTH = 80
_LOOP = 10.0  # seconds: a feed loop that has not turned for longer hangs
_TOLD = {
    "OFF": "not due, or not started", "ARMED": "the first moving tick is awaited", "LIVE": "ticks on the socket",
    "SUSPECT": "silent, being healed", "FALLBACK": "prices over REST", "PROBATION": "ticks are back and have to hold",
    "BLIND": "no price that can be trusted", "MARKET_SILENT": "nothing is traded, both sides answer",
}  # fmt: skip
_PAINT = {
    "LIVE": "\x1b[32m",
    "BLIND": "\x1b[31m",
    "FALLBACK": "\x1b[33m",
    "SUSPECT": "\x1b[33m",
    "PROBATION": "\x1b[33m",
}
_PLAIN = "\x1b[0m"


def view(pulse: Pulse | None, *, locked: bool, colour: bool = False, width: int = WIDTH) -> list[str]:
    """The screen, at most `width` columns. `locked`: some process holds the daemon's lock."""
    if pulse is None or not pulse.fresh or not locked:  # the kernel frees the lock at once, a pulse ages first
        return [*_stale(pulse, locked=locked, width=width)]
    zone = ZoneInfo(pulse.zone)
    feed = pulse.feed
    local = datetime.fromisoformat(str(pulse.told["now"])).astimezone(zone)
    out = [
        cut(
            f"runbook feed   {local:%a %d %b %H:%M:%S %Z}   {pulse.told.get('mode')}   pid {pulse.told.get('pid')}",
            width,
        ),
        *_state(feed, colour=colour, width=width),
        cut(f"{_count(feed)}", width),
        *(cut(line, width) for line in _last(feed, zone)),
        "",
        *(cut(line, width) for line in _symbols(pulse)),
        "",
    ]
    for rung in verdict_of(pulse).rungs:
        said = cut(plain(rung.evidence), width - 42)
        out.append(f"{rung.hop} {rung.hop.called:<30}{mark(rung.health, colour=colour)} {said}".rstrip())
    verdict = verdict_of(pulse)
    if (broken := verdict.first_broken) is not None and broken.action:
        out += ["", cut(f"do: {broken.action}", width)]
    return out


def exit_code(pulse: Pulse | None, *, locked: bool) -> int:
    """0 all is well, 1 something is broken or not known, 3 no live daemon."""
    if pulse is None or not pulse.fresh or not locked:
        return 3
    return 0 if verdict_of(pulse).healthy else 1


def _stale(pulse: Pulse | None, *, locked: bool, width: int) -> Iterator[str]:
    last = f"its last word is {span(pulse.age)} old" if pulse else "it has left no word"
    if locked:
        yield from wrap(f"runbook feed   unknown: `runbook serve` holds its lock, but {last}", width)
        yield from wrap("it starts up, or it hangs: see `runbook status` and its log", width)
    else:
        said = "runbook feed   unknown: no daemon runs, so nobody watches" + (f" ({last})" if pulse else "")
        yield from wrap(said, width)
        yield from wrap("`runbook serve` starts it; `runbook doctor` looks at every hop now", width)


def _state(feed: Mapping[str, Any], *, colour: bool, width: int) -> Iterator[str]:
    mode = str(feed.get("mode", "OFF"))
    lasts = f" for {span(feed['mode_for'])}" if isinstance(feed.get("mode_for"), int | float) else ""
    source = feed.get("source") or "no source that can be trusted"
    said = cut(f"{mode}{lasts}: {_TOLD.get(mode, '')}   prices from: {source}", width)
    paint = _PAINT.get(mode) if colour else None
    yield f"{paint}{mode}{_PLAIN}{said[len(mode) :]}" if paint else said


def _count(feed: Mapping[str, Any]) -> str:
    rate = f"{feed.get('rate') or 0:.1f} ticks/s"
    outage = "" if not feed.get("outage") else f" (number {feed['outage']} is open)"
    polls = f"each {feed['poll_interval']:g} s" if feed.get("poll_interval") else "not polled"
    left = feed.get("calls_left")  # what may be asked ahead of pace: a fifth of the hour's figure at most
    budget = "" if left is None else f" ({left} calls ahead)"
    return f"{rate}   outages {feed.get('outages', 0)}{outage}   REST {polls}{budget}"


def _last(feed: Mapping[str, Any], zone: ZoneInfo) -> Iterator[str]:
    if isinstance(last := feed.get("last"), Mapping):
        at = clock(datetime.fromisoformat(str(last["at"])), zone, seconds=True)
        yield f"last change {at}  {last['was']} -> {last['now']}: {plain(last['reason'])}"


def _symbols(pulse: Pulse) -> Iterator[str]:
    if not pulse.symbols:
        return
    yield f"{'SYMBOL':<20}{'SOCKET':>11}{'AGE':>8}{'TICKS/S':>9}{'REST':>12}{'STILL FOR':>11}"
    for name, held in pulse.symbols.items():
        late = "  LATE" if held.get("late") else ""
        yield (
            f"{cut(plain(name), 19):<20}{_price(held.get('ws')):>11}{_age(held.get('ws_age')):>8}"
            f"{held.get('rate') or 0:>9.1f}{_price(held.get('rest')):>12}{_age(held.get('rest_unchanged')):>11}{late}"
        )


def _price(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, int | float) and value > 0 else "-"


def _age(value: object) -> str:
    if not isinstance(value, int | float):
        return "-"
    return f"{value:.1f}s" if value < 10 else span(value)


# -- the ladder ---------------------------------------------------------------------------------------------------------


def verdict_of(pulse: Pulse) -> Verdict:
    """The hops as the daemon judged them; where it did not, what its feed's state says of each."""
    told = pulse.told.get("verdict")
    given = {rung.hop: rung for rung in _judged(told)} if isinstance(told, list) else {}
    return ladder((_derived(pulse) | given | {Hop.RUNBOOK: _itself(pulse), Hop.BOT: _bot(pulse)}).values())


def _judged(told: list[Any]) -> Iterator[Rung]:
    hops = {str(hop): hop for hop in Hop}
    for row in told:
        if isinstance(row, Mapping) and row.get("hop") in hops and row.get("health") in list(Health):
            said, action = str(row.get("evidence", "")), str(row.get("action") or "")
            yield Rung(hops[str(row["hop"])], Health(row["health"]), said, action)


def _itself(pulse: Pulse) -> Rung:
    turned = pulse.feed.get("evaluated_age")
    if pulse.feed.get("running") and isinstance(turned, int | float) and turned > _LOOP:
        said = f"the feed's loop has not turned for {span(turned)}"
        return Rung(Hop.RUNBOOK, Health.BROKEN, said, "restart `runbook serve`")
    return Rung(Hop.RUNBOOK, Health.OK, f"pulse {pulse.age:.1f} s old")


def _bot(pulse: Pulse) -> Rung:
    bot = pulse.told.get("bot")
    if isinstance(bot, Mapping) and bot.get("health") in list(Health):
        return Rung(Hop.BOT, Health(bot["health"]), str(bot.get("reason")), str(bot.get("action") or ""))
    return Rung(Hop.BOT, Health.UNKNOWN, "nothing of it is declared, or not looked at yet")


def _derived(pulse: Pulse) -> dict[Hop, Rung]:
    feed = pulse.feed
    mode, link = str(feed.get("mode", "OFF")), feed.get("link")
    if not feed.get("running"):
        hops = (Hop.PROXY, Hop.ADAPTER, Hop.BROKER_STREAM, Hop.BROKER_REST, Hop.EXCHANGE)
        return {hop: Rung(hop, Health.NOT_DUE, "the feed is not being watched now") for hop in hops}
    made = [_proxy(feed, link), _adapter(feed, link)]
    silence = f"silent for {span(feed.get('silence') or 0)}"
    hint = str(feed.get("advice") or "")
    stream = {
        "LIVE": (Health.OK, f"{feed.get('rate') or 0:.1f} ticks/s"),
        "OFF": (Health.NOT_DUE, f"phase {pulse.told.get('phase')}"),
        "ARMED": (Health.UNKNOWN, "the first move is awaited"),
        "SUSPECT": (Health.UNKNOWN, silence),
        "MARKET_SILENT": (Health.UNKNOWN, f"{silence}, and nothing moves over REST either"),
        "PROBATION": (Health.UNKNOWN, "ticks are back, on probation"),
    }.get(mode, (Health.BROKEN, silence))
    made.append(Rung(Hop.BROKER_STREAM, *stream, action=hint if stream[0] is Health.BROKEN else ""))
    if not feed.get("poll_interval"):
        made.append(Rung(Hop.BROKER_REST, Health.UNKNOWN, "not asked while it is not needed"))
    elif mode == "BLIND":
        made.append(Rung(Hop.BROKER_REST, Health.BROKEN, "no price that can be trusted"))
    else:
        made.append(Rung(Hop.BROKER_REST, Health.OK, "polled, prices move"))
    moving = mode in ("LIVE", "FALLBACK", "PROBATION")
    exchange = {
        "OFF": (Health.NOT_DUE, f"phase {pulse.told.get('phase')}", ""),
        "MARKET_SILENT": (Health.BROKEN, "silent: both sides answer and stand still", hint),
    }.get(mode, (Health.OK, "prices move", "") if moving else (Health.UNKNOWN, "nothing moves that could tell", ""))
    made.append(Rung(Hop.EXCHANGE, *exchange))
    return {rung.hop: rung for rung in made}


def _proxy(feed: Mapping[str, Any], link: object) -> Rung:
    if link == "up":
        return Rung(Hop.PROXY, Health.OK, f"connection {feed.get('generation')} is up, pings answered")
    fault = plain(feed.get("fault") or "no connection")
    if link == "down":
        return Rung(Hop.PROXY, Health.BROKEN, fault, str(feed.get("hint") or ""))
    return Rung(Hop.PROXY, Health.UNKNOWN, f"connecting ({fault})")


def _adapter(feed: Mapping[str, Any], link: object) -> Rung:
    if link != "up" or feed.get("subscribed") is None:
        return Rung(Hop.ADAPTER, Health.UNKNOWN, "not subscribed yet" if link == "up" else "not reached")
    refused = feed.get("refused") or []
    if refused:
        return Rung(Hop.ADAPTER, Health.BROKEN, f"refused: {', '.join(map(str, refused))}", "correct `symbols:`")
    return Rung(Hop.ADAPTER, Health.OK, f"{feed['subscribed']} symbols acknowledged")
