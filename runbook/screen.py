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
    verdict = verdict_of(pulse)
    for rung in verdict.rungs:
        said = cut(plain(rung.evidence), width - 41)
        out.append(f"{rung.hop} {rung.hop.called:<30}{mark(rung.health, colour=colour)} {said}".rstrip())
    if (broken := verdict.first_broken) is not None:
        out += ["", *wrap(verdict.headline, width), *(wrap(broken.action, width, "do: ") if broken.action else ())]
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
    """The hops as the daemon judged them; while it watches no feed nothing is due of them."""
    told = pulse.told.get("verdict")
    given = {rung.hop: rung for rung in _judged(told)} if isinstance(told, list) else dict(_unwatched())
    return ladder((given | {Hop.RUNBOOK: _itself(pulse, given.get(Hop.RUNBOOK)), Hop.BOT: _bot(pulse)}).values())


def _unwatched() -> Iterator[tuple[Hop, Rung]]:
    for hop in (Hop.PROXY, Hop.ADAPTER, Hop.BROKER_STREAM, Hop.BROKER_REST, Hop.EXCHANGE):
        yield hop, Rung(hop, Health.NOT_DUE, "the feed is not being watched now")


def _judged(told: list[Any]) -> Iterator[Rung]:
    hops = {str(hop): hop for hop in Hop}
    for row in told:
        if isinstance(row, Mapping) and row.get("hop") in hops and row.get("health") in list(Health):
            said, action = str(row.get("evidence", "")), str(row.get("action") or "")
            yield Rung(hops[str(row["hop"])], Health(row["health"]), said, action)


def _itself(pulse: Pulse, judged: Rung | None) -> Rung:
    """The pulse is fresh, or nobody would ask; whether the feed's loop turns is the daemon's own word."""
    if judged is not None and judged.health is not Health.OK:
        return judged
    said = f"pulse {pulse.age:.1f} s old"
    return Rung(Hop.RUNBOOK, Health.OK, f"{said}; {judged.evidence}" if judged else said)


def _bot(pulse: Pulse) -> Rung:
    bot = pulse.told.get("bot")
    if isinstance(bot, Mapping) and bot.get("health") in list(Health):
        return Rung(Hop.BOT, Health(bot["health"]), str(bot.get("reason")), str(bot.get("action") or ""))
    return Rung(Hop.BOT, Health.UNKNOWN, "nothing of it is declared, or not looked at yet")
