"""Commands that act: which may be written down, the words they become, and what their end means. Nothing here starts one."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from runbook.errors import JobFailed, Stopped, TimedOut
from runbook.fault import Unfit
from runbook.host import target
from runbook.job import Context, Found, Step, Verdict
from runbook.report.layout import plain

if TYPE_CHECKING:
    from runbook.ports import Commands

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "ClearAllForwardings=yes", "--")
PREFLIGHT_SECONDS = 10.0
EXAMPLE = "argv: [systemctl, restart, openalgo]"
_TAIL = 2000  # characters of output that a row keeps
_LINE = 300  # of a line that stands for the whole
_MOST_WORDS = 64
_SSH_FAILED = 255

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "ash", "fish", "csh", "tcsh", "busybox", "toybox"})
_BY_PATTERN = frozenset({"pkill", "killall", "killall5", "skill", "slay", "xkill", "fuser", "pidof", "pgrep"})
_STARTERS = frozenset(
    {
        "xargs", "parallel", "eval", "exec", "source", "find", "watch", "script", "expect", "su", "runuser", "chroot", "unshare",
        "nsenter", "systemd-run", "setsid", "nohup", "timeout", "env", "nice", "ionice", "stdbuf", "strace", "screen", "tmux", "at",
        "batch", "crontab", "awk", "gawk", "mawk", "flock", "time", "command",
    }
)  # fmt: skip
_INTERPRETER = re.compile(r"(?:python|perl|ruby|node|php|lua)[\d.]*")
_INLINE = re.compile(r"-{1,2}(?:[a-zA-Z]*[ceErR](?:=.*)?|eval(?:=.*)?|print|run)")
_SUDO = frozenset({"sudo", "doas"})
_META = re.compile(r"""[;&|<>$`\\*?\[\]{}()!#~'"\s]""")
_GLOB = re.compile(r"[*?\[]")
_ORDERS = re.compile(
    r"(?:place|modify|cancel|basket|split|smart|options|multi|gtt|all)\w*order|close_?(?:all)?position|cancel_?all|closeall"
    r"|analyzer/toggle|/api/v\d+/\w*order(?!book|status)",
    re.IGNORECASE,
)
_UNIT_VERBS = frozenset(
    {"restart", "start", "stop", "reload", "try-restart", "reload-or-restart", "reset-failed", "condrestart"}
)


class Ending(StrEnum):
    """How a command came to its end. STOPPED: whoever started it did not want to wait any longer."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed out"
    STOPPED = "stopped"
    NOT_FOUND = "not found"


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a command: its exit code or the number of the signal, what it printed (cut and redacted), seconds."""

    ending: Ending
    code: int | None = None
    out: str = ""
    err: str = ""
    seconds: float = 0.0
    fault: str = ""  # why it could not be started

    @property
    def good(self) -> bool:
        return self.ending is Ending.EXITED and self.code == 0

    @property
    def output(self) -> str:
        """Both streams, the one that explains a failure last."""
        return "\n".join(part.rstrip() for part in (self.out, self.err) if part.strip())


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One entry of `commands:`. `timeout` is real seconds; `env` are names of variables that are handed on."""

    name: str
    argv: tuple[str, ...]
    timeout: float = 30.0
    unit: str | None = None
    env: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What is started, word by word; over ssh the remote words are quoted so that each stays one."""
        return _over_ssh(*_split(self.argv)) if self.argv[0] == "ssh" else self.argv

    @property
    def shown(self) -> str:
        """The words as a person would type them."""
        return shlex.join(self.words)

    @property
    def asks(self) -> tuple[str, ...] | None:
        """The words that ask whether the unit exists, where the command names one."""
        if self.unit is None:
            return None
        words = ("systemctl", "cat", "--", self.unit)
        return _over_ssh(_split(self.argv)[0], words) if self.argv[0] == "ssh" else words


@dataclass(frozen=True, slots=True)
class Preflight:
    """Whether what a command is about is there. None: nobody could be asked."""

    present: bool | None
    said: str


# -- what may be written down -------------------------------------------------------------------------------------------


def fit(argv: object) -> tuple[str, ...]:
    """The words of a command; raises Unfit, with why, for what is no list of words or must not be run from here."""
    if isinstance(argv, str):
        raise Unfit(
            f"{argv!r:.60} is one text, and no shell takes it apart", accepted="a list of words", example=EXAMPLE
        )
    if not isinstance(argv, list | tuple) or not argv or not all(isinstance(word, str) and word for word in argv):
        raise Unfit("it is no list of words", accepted="a list of words, numbers quoted", example=EXAMPLE)
    words = tuple(argv)
    if len(words) > _MOST_WORDS or any(not word.isprintable() or len(word) > 1000 for word in words):
        raise Unfit(
            "a word that cannot be printed, or too many", accepted=f"up to {_MOST_WORDS} words of one line each"
        )
    if words[0] == "ssh":
        host, remote = _split(words)
        for word in remote:
            if found := _META.search(word):
                accepted = "plain words: a login shell reads them over there"
                raise Unfit(
                    f"{word!r} holds {found[0]!r}",
                    accepted=accepted,
                    example="argv: [ssh, me@host, systemctl, restart, openalgo]",
                )
        _judge(remote, f"on {host}")
    else:
        _judge(words)
    return words


def unit_of(argv: Sequence[str]) -> str | None:
    """The one unit that a `systemctl restart UNIT` is about, here or over ssh; None for any other command."""
    words = [word for word in (_split(argv)[1] if argv[0] == "ssh" else argv) if not word.startswith("-")]
    if words and words[0] in _SUDO:
        words = words[1:]
    if len(words) == 3 and _name(words[0]) == "systemctl" and words[1] in _UNIT_VERBS:
        return words[2]
    return None


def _judge(words: Sequence[str], where: str = "") -> None:
    """Raise Unfit for words that would start a shell, end processes by a pattern, or touch an order."""
    place = f" {where}" if where else ""
    if _name(words[0]) in _SUDO:
        words = _without_sudo(words)
    program = _name(words[0])
    if program == "ssh":
        raise Unfit(
            f"ssh within {words[0]!r}{place}",
            accepted="ssh as the first word, once",
            example="argv: [ssh, me@host, ...]",
        )
    for word in words:
        if (name := _name(word)) in _SHELLS:
            raise Unfit(
                f"{word!r} is a shell{place}",
                accepted="the program itself, or a script of yours that begins with #!",
                example=EXAMPLE,
            )
        if name in _BY_PATTERN:
            raise Unfit(
                f"{word!r} finds processes by a pattern{place}: it may meet your bot",
                accepted="the unit by its name",
                example=EXAMPLE,
            )
        if _ORDERS.search(word):
            raise Unfit(
                f"{word!r:.80} touches orders or the mode of OpenAlgo",
                accepted="commands that restart or look; runbook never trades",
                example=EXAMPLE,
            )
    if program == "kill":
        raise Unfit(
            f"`kill` ends a process by a number that may be another's by then{place}",
            accepted="the unit by its name",
            example=EXAMPLE,
        )
    if program in _STARTERS:
        raise Unfit(
            f"{words[0]!r} starts another program{place}",
            accepted="that program itself; variables under `env:`, time under `timeout:`",
            example=EXAMPLE,
        )
    if _INTERPRETER.fullmatch(program) and any(_INLINE.fullmatch(word) for word in words[1:] if word.startswith("-")):
        raise Unfit(
            f"a program within the words of {words[0]!r}{place}",
            accepted="a file of yours",
            example="argv: [/home/me/bin/mend]",
        )
    if program == "systemctl" and (globs := [word for word in words[1:] if _GLOB.search(word)]):
        raise Unfit(
            f"{globs[0]!r} may meet several units{place}", accepted="the unit by its whole name", example=EXAMPLE
        )


def _without_sudo(words: Sequence[str]) -> Sequence[str]:
    """The words after `sudo [-n] [-u USER]`; nobody is there to type a password, so -n is all that helps."""
    rest = list(words[1:])
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "-u" and rest:
            rest.pop(0)
        elif option not in ("-n", "--non-interactive", "--"):
            raise Unfit(
                f"{words[0]} {option}",
                accepted="sudo -n, sudo -u USER",
                example="argv: [sudo, -n, systemctl, restart, openalgo]",
            )
    if not rest:
        raise Unfit(
            f"{words[0]} without a command",
            accepted="sudo -n PROGRAM ...",
            example="argv: [sudo, -n, systemctl, restart, openalgo]",
        )
    if _name(rest[0]) in _SUDO:
        raise Unfit(
            f"{words[0]} within {words[0]}", accepted="once", example="argv: [sudo, -n, systemctl, restart, openalgo]"
        )
    return rest


def _split(argv: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """HOST and the remote words of `ssh HOST CMD...`; the options are ours."""
    example = "argv: [ssh, me@host, systemctl, restart, openalgo]"
    if len(argv) < 3 or argv[1].startswith("-"):
        raise Unfit(
            "an ssh command in another form",
            accepted="ssh, the host, then the words; its options are given by runbook",
            example=example,
        )
    return target(argv[1]), tuple(argv[2:])


def _over_ssh(host: str, words: Sequence[str]) -> tuple[str, ...]:
    return (*SSH, host, shlex.join(words))


def _name(word: str) -> str:
    return PurePosixPath(word).name


# -- what it means ------------------------------------------------------------------------------------------------------


def preflight(spec: CommandSpec, commands: Commands) -> Preflight:
    """Ask systemd whether the unit that the command names is there; a guide may name one that never was."""
    if spec.asks is None:
        return Preflight(True, "it names no unit")
    ended = commands.run(spec.asks, PREFLIGHT_SECONDS)
    if ended.good:
        return Preflight(True, f"the unit {spec.unit} exists")
    last = _last(ended.err) or _last(ended.out) or words_of(ended)
    if ended.ending is Ending.NOT_FOUND:
        return Preflight(False, last)
    if ended.ending is Ending.EXITED and not (spec.argv[0] == "ssh" and ended.code == _SSH_FAILED):
        return Preflight(False, f"the unit {spec.unit} does not exist: {last}")
    return Preflight(None, f"whether the unit {spec.unit} exists is not known: {last}")


def words_of(ended: Ended) -> str:
    """How it ended, in words."""
    match ended.ending:
        case Ending.EXITED:
            return f"exit code {ended.code} after {ended.seconds:.1f} s"
        case Ending.SIGNALLED:
            return f"ended by signal {ended.code} after {ended.seconds:.1f} s"
        case Ending.TIMED_OUT:
            return f"still running after {ended.seconds:.1f} s; ended with all it had started"
        case Ending.STOPPED:
            return f"ended by runbook after {ended.seconds:.1f} s, with all it had started"
        case Ending.NOT_FOUND:
            return ended.fault or "there is no such program"


def reason_of(ended: Ended) -> str:
    """Its last word and how it ended, in a line."""
    if ended.good:
        return _last(ended.out) or words_of(ended)
    last = _last(ended.err) or _last(ended.out)
    return f"{last} ({words_of(ended)})" if last else words_of(ended)


def facts_of(spec: CommandSpec, ended: Ended) -> dict[str, Any]:
    """What the ledger keeps: argv, how it ended, exit code, seconds, the end of its output."""
    output = ended.output
    return {
        "argv": list(spec.words), "ending": str(ended.ending), "exit_code": ended.code, "seconds": round(ended.seconds, 2),
        "output": output if len(output) <= _TAIL else "..." + output[-_TAIL:],
    }  # fmt: skip


def found(spec: CommandSpec, ended: Ended) -> Found:
    """What the end of a command means for its step; raises JobFailed where it did not do its work.

    A last line on its standard output that is one JSON object with `verdict`, `summary` and, if need be, `facts` is the result.
    """
    facts = facts_of(spec, ended)
    if ended.ending is Ending.STOPPED:
        raise Stopped(words_of(ended))
    if ended.ending is Ending.TIMED_OUT:
        raise TimedOut(
            f"{spec.name}: {words_of(ended)}", hint=f"raise `timeout:` of {spec.name} if it needs longer", facts=facts
        )
    if not ended.good:
        raise JobFailed(f"{spec.name}: {reason_of(ended)}", hint=f"by hand: {spec.shown}", facts=facts)
    if (said := _said(ended.out)) is not None:
        return Found(said[0], said[1], facts | {"said": said[2]})
    return Found(Verdict.OK, f"{spec.name}: {reason_of(ended)}", facts)


def step(spec: CommandSpec, commands: Commands) -> Step:
    """The step of a job of `kind: command`: it runs the command within the job's budget."""

    def run(ctx: Context) -> Found:
        seconds = min(spec.timeout, ctx.budget.take(spec.timeout))
        return found(spec, commands.run(spec.words, seconds, ctx.budget.stop, spec.env))

    return run


def _said(out: str) -> tuple[Verdict, str, Mapping[str, Any]] | None:
    """The result that a program gives as its last line, or None where that line is none."""
    lines = out.rstrip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return None
    try:
        given = json.loads(lines[-1])
        verdict = Verdict(given["verdict"])
    except (ValueError, KeyError, TypeError):
        return None
    summary, facts = given.get("summary"), given.get("facts", {})
    if not isinstance(summary, str) or not summary.strip() or not isinstance(facts, dict):
        return None
    return verdict, plain(summary)[:_LINE], facts


def _last(text: str) -> str:
    lines = [line for line in map(plain, text.splitlines()) if line]
    return lines[-1][:_LINE] if lines else ""
