"""What is looked at on the host that runs OpenAlgo: an allow-list of commands that only read, and what their answers mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from runbook.fault import Unfit
from runbook.feed.verdict import Health
from runbook.report.layout import WIDTH, plain, wrap

LINES = 50  # of the journal
_MOST_LINE = 300  # characters of one line
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_UNIT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9@_.:-]{0,200}", re.ASCII)
_HOST = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*@)?[A-Za-z0-9][A-Za-z0-9.:_-]*", re.ASCII)
HERE = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one command: its exit code and what it printed; `fault` where it could not be run or did not end."""

    code: int | None
    out: str = ""
    err: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the allow-list: what it answers, and its words. Nothing else is ever run."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What one command said, judged; `lines` are for a person to read, redacted and cut."""

    name: str
    health: Health
    said: str
    command: str
    action: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostSeen:
    """Everything that was looked at on `where`: "" for this host, else USER@HOST."""

    where: str
    looks: tuple[Look, ...]


def target(text: str) -> str:
    """USER@HOST or HOST as ssh takes it; "" is this host. Raises Unfit for what could be taken for an option or a command."""
    if text == HERE or _HOST.fullmatch(text):
        return text
    raise Unfit(f"{text!r} is no host", accepted="USER@HOST, HOST, or nothing for this one", example="ubuntu@10.0.0.5")


def commands(unit: str, bot_unit: str | None) -> tuple[Command, ...]:
    """The whole allow-list; the units are the only words that come from outside, and they are checked."""
    for name in filter(None, (unit, bot_unit)):
        if not _UNIT.fullmatch(name):
            raise Unfit(f"{name!r} is no unit of systemd", accepted="letters, digits and @ _ . : -", example="openalgo")
    asked = [Command("openalgo unit", ("systemctl", "is-active", "--", unit))]
    if bot_unit:
        asked.append(Command("bot unit", ("systemctl", "is-active", "--", bot_unit)))
    asked.append(Command("listening", ("ss", "-Hltnp")))
    journal = ("journalctl", "-u", unit, "-n", str(LINES), "--no-pager", "-o", "short-iso")
    return (*asked, Command("journal", journal))


def read(command: Command, ran: Ran, ports: Sequence[int], redact: Callable[[str], str], unit: str) -> Look:
    """What the answer of `command` means."""
    shown = " ".join(command.words)

    def look(health: Health, said: str, action: str = "", lines: Sequence[str] = ()) -> Look:
        return Look(command.name, health, plain(redact(said)), shown, action, tuple(lines))

    if ran.fault:
        return look(Health.UNKNOWN, ran.fault)
    if command.words[0] == "systemctl":
        return _unit(command, ran, look, unit)
    if command.words[0] == "ss":
        return _listening(ran, ports, look)
    lines = [plain(redact(line))[:_MOST_LINE] for line in ran.out.splitlines() if line.strip()][-LINES:]
    if ran.code != 0 or not lines or lines[-1].startswith("-- No entries"):
        why = plain(ran.err) or "no line of this unit (may this user read the journal? group systemd-journal)"
        return look(Health.UNKNOWN, why[:_MOST_LINE])
    return look(Health.OK, f"the last {len(lines)} lines", lines=lines)


def _unit(command: Command, ran: Ran, look: Callable[..., Look], unit: str) -> Look:
    word = plain(ran.out) or plain(ran.err)[:_MOST_LINE] or "no answer"
    name = command.words[-1]
    if word == "active":
        return look(Health.OK, f"{name} is active")
    if word in ("inactive", "failed", "activating", "deactivating", "reloading"):
        fix = f"sudo systemctl status {name}" + (f", then sudo systemctl restart {name}" if name == unit else "")
        return look(Health.BROKEN, f"{name} is {word}", fix)
    return look(Health.UNKNOWN, f"{name}: {word}")


def _listening(ran: Ran, ports: Sequence[int], look: Callable[..., Look]) -> Look:
    if ran.code != 0:
        return look(Health.UNKNOWN, plain(ran.err)[:_MOST_LINE] or f"exit code {ran.code}")
    held: dict[int, str] = {}
    for line in ran.out.splitlines():
        words = line.split()
        if len(words) < 4 or words[0] != "LISTEN":
            continue
        _, _, port = words[3].rpartition(":")
        if port.isdigit() and int(port) in ports:
            who = re.search(r'\("([^"]{1,60})",pid=(\d+)', line)
            held[int(port)] = f"{words[3]} {f'{who[1]} (pid {who[2]})' if who else '(whose: not told to this user)'}"
    gone = [str(port) for port in ports if port not in held]
    said = "; ".join(held[port] for port in ports if port in held)
    if gone:
        missing = f"nobody listens on {', '.join(gone)}"
        return look(Health.BROKEN, f"{said}; {missing}" if said else missing, "restart the openalgo unit")
    return look(Health.OK, said)


def ports_of(*urls: str) -> tuple[int, ...]:
    """The ports of the addresses, each once."""
    found = (urlsplit(url) for url in urls)
    return tuple(dict.fromkeys(part.port or _PORTS.get(part.scheme, 80) for part in found))


def render(seen: HostSeen, width: int = WIDTH) -> Iterator[str]:
    """For a terminal, the journal last."""
    marks = {Health.OK: "ok", Health.BROKEN: "BROKEN", Health.UNKNOWN: "?", Health.NOT_DUE: "-"}
    yield f"on {seen.where or 'this host'}"
    for look in seen.looks:
        lead = f"     {marks[look.health]:<7}{look.name:<14} "
        yield from wrap(look.said, width, lead, " " * len(lead))
        if look.action:
            yield from wrap(look.action, width, " " * len(lead) + "-> ")
        for line in look.lines:
            yield f"         {line}"


def as_json(seen: HostSeen) -> dict[str, Any]:
    looks = [
        {"name": n.name, "health": str(n.health), "said": n.said, "command": n.command, "action": n.action, "lines": list(n.lines)}
        for n in seen.looks
    ]  # fmt: skip
    return {"where": seen.where or "this host", "looks": looks}
