"""Every error runbook raises on purpose; each says whose fault it is and what to do next.

RunbookError
├── ConfigError            the site is wrong: all faults at once (exit 2)
│   ├── FileFaults         a file of the site cannot be read as YAML
│   └── CalendarFaults     the files in calendar/ say something that cannot be
├── DrillRefused           a drill cannot begin now
├── ReloadRefused          a changed configuration cannot be put in force while the daemon runs
├── EngineGone             a reload left no engine running: the process must end
├── UsageError             the command line is wrong (exit 2)
├── CalendarError          the calendar data or its library failed
├── StoreError
│   ├── StoreBusy          another process held the database past the busy time-out
│   ├── StoreNewer         the database was written by a newer runbook
│   ├── LeaseLost          another process took the lease: what this one writes no longer counts
│   └── AlreadyRunning     a live daemon holds this database
├── GatewayError           OpenAlgo or the broker behind it
│   ├── GatewayUnreachable nothing answers at the address (down, refused, time-out, DNS)
│   ├── GatewayRejected    OpenAlgo refused the request as malformed (400, old server, wrong path)
│   ├── AuthError
│   │   ├── WrongKey       the API key is not OpenAlgo's (search answers 403 too)
│   │   ├── BrokerSessionGone  the key is right, nobody has logged in to the broker today
│   │   └── AccessUnknown  403, and the deciding search gave no answer: one of the two above
│   ├── Banned             this host's address is banned by OpenAlgo
│   ├── RateLimited        429, or the broker's own limit
│   ├── BrokerTokenDead    OpenAlgo is up, the broker refuses its token
│   ├── BrokerTrouble      the broker behind OpenAlgo failed (HTML 502, empty answer)
│   ├── SymbolUnknown      the symbol is not in the master contract (or it is being reloaded)
│   └── BadAnswer          an answer that is not what OpenAlgo sends (HTML, wrong shape, no status)
├── StreamError            the WebSocket: refused, closed, rejected
│   ├── StreamClosed
│   └── StreamRejected     an error frame: code and message
├── RelayFailed            the relay for the bot: its port is taken, or it fell behind
├── BadTick                a tick without a usable price
├── SendFailed             a notification was not accepted
├── PhoneError             Telegram's bot API
│   ├── PhoneUnreachable   no answer, or none of Telegram's
│   ├── PhoneRefused       the token is no bot's
│   ├── PhoneShared        another program polls the same bot
│   ├── PhoneFlooded       429: how long to keep still
│   └── PhoneRejected      Telegram refused this one request
├── Stopped                a step was ended from outside; the row that says so is written by whoever did it
└── JobFailed / Skip       raised by steps (also importable from `runbook`)
    └── TimedOut           what the step ran was ended at the end of its time
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from runbook.fault import Document, Fault


class RunbookError(Exception):
    """Something went wrong in runbook."""

    hint: str | None = None
    permanent: ClassVar[bool] = False  # True: retrying the same thing has no point

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])
        if hint is not None:
            self.hint = hint

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigError(RunbookError):
    """The site is wrong; `faults` holds everything that is, and the text lists it one to a line."""

    hint = "`runbook config check` lists all faults again"
    permanent = True

    def __init__(self, faults: Iterable[Fault], *, hint: str | None = None) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults), hint=hint)


class FileFaults(ConfigError):
    """A file of the site cannot be read; `document` is what could be, to look for further faults in."""

    def __init__(self, faults: Iterable[Fault], document: Document | None = None) -> None:
        super().__init__(faults)
        self.document = document


class CalendarFaults(ConfigError):
    """The calendar files say something that cannot be."""


class DrillRefused(RunbookError):
    """A drill cannot begin now."""


class ReloadRefused(RunbookError):
    """The changed configuration was not put in force."""


class EngineGone(RunbookError):
    """No engine runs any more."""


class UsageError(RunbookError):
    """The command cannot be understood."""

    permanent = True


class CalendarError(RunbookError):
    """The calendar could not be computed."""


class StoreError(RunbookError):
    """The database could not be used."""


class StoreBusy(StoreError):
    """The database stayed locked by another process."""

    hint = "close the program that holds the file (a database browser, a backup), or wait; nothing was lost"


class StoreNewer(StoreError):
    """The database was written by a newer runbook."""

    hint = "install the newer runbook again, or give this one another `database:`"
    permanent = True


class LeaseLost(StoreError):
    """Another process has taken the lease of this database."""

    hint = "`runbook status` names the process that holds it now"
    permanent = True


class AlreadyRunning(StoreError):
    """A live runbook daemon holds this database."""

    hint = "`runbook status` shows it; stop it first, or use another `database:`"
    permanent = True


class GatewayError(RunbookError):
    """OpenAlgo did not do what was asked."""


class GatewayUnreachable(GatewayError):
    """Nothing answers at OpenAlgo's address."""

    hint = "is the openalgo unit running? `systemctl status openalgo`; check `openalgo.url`"


class GatewayRejected(GatewayError):
    """OpenAlgo refused the request."""

    hint = "check the OpenAlgo version; runbook speaks /api/v1 of OpenAlgo 1.0.0.41 and later"
    permanent = True


class AuthError(GatewayError):
    """OpenAlgo answered 403."""


class WrongKey(AuthError):
    """The OpenAlgo API key is wrong."""

    hint = "copy the key again from OpenAlgo's API Key page into OPENALGO_API_KEY; a regenerated key kills the old one"
    permanent = True


class BrokerSessionGone(AuthError):
    """The API key is right, but OpenAlgo has no broker session."""

    hint = "log in to the broker on the OpenAlgo dashboard"


class AccessUnknown(AuthError):
    """OpenAlgo answered 403, and nothing answered whether the key or the broker session is the reason."""

    hint = "log in to the broker on the OpenAlgo dashboard; if that is done, check the API key"


class Banned(AuthError):
    """OpenAlgo has banned this host's address."""

    hint = "unban the address on OpenAlgo's Security page; a ban is permanent until then"
    permanent = True


class RateLimited(GatewayError):
    """Too many requests."""

    hint = "lower `rest.max_per_hour`, or stop other programs that ask the same broker for quotes"


class BrokerTokenDead(GatewayError):
    """OpenAlgo answers, but the broker refuses its token."""

    hint = "log in to the broker again on the OpenAlgo dashboard: its token has expired"


class BrokerTrouble(GatewayError):
    """The broker behind OpenAlgo failed."""

    hint = "see the broker's status page; OpenAlgo itself answers"


class SymbolUnknown(GatewayError):
    """OpenAlgo does not know the symbol."""

    hint = "check the symbol and its exchange (NIFTY is on NSE_INDEX); around a login the master contract is reloaded"


class BadAnswer(GatewayError):
    """The answer is not what OpenAlgo sends."""

    hint = "is `openalgo.url` OpenAlgo, and not another program or a proxy's error page?"


class StreamError(RunbookError):
    """The WebSocket could not be used."""


class StreamClosed(StreamError):
    """The WebSocket is closed."""

    hint = "restart the openalgo unit when REST answers and the stream is refused"


class StreamRejected(StreamError):
    """OpenAlgo's stream answered with an error."""

    def __init__(self, code: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{code}: {message}", hint=hint)
        self.code = code


class RelayFailed(RunbookError):
    """The relay cannot serve the bot."""

    hint = "is another program on that port? give `feed.relay` another one"


class BadTick(RunbookError):
    """A tick without a usable price."""


class SendFailed(RunbookError):
    """The notification was not accepted."""


class PhoneError(RunbookError):
    """Telegram did not do what was asked."""


class PhoneUnreachable(PhoneError):
    """Telegram does not answer."""

    hint = "can this host reach api.telegram.org? `curl -sI https://api.telegram.org`"

    def __init__(self, message: str | None = None, *, taken: bool = False) -> None:
        super().__init__(message)
        self.taken = taken  # the request may have been received: what it asked for may have happened


class PhoneRefused(PhoneError):
    """Telegram knows no bot with this token."""

    hint = "copy the token again from @BotFather; a revoked one never works again"
    permanent = True


class PhoneShared(PhoneError):
    """Another program polls this token."""

    hint = "give runbook a bot of its own (@BotFather, /newbot): one token has room for one listener, and OpenAlgo polls its own bot"


class PhoneFlooded(PhoneError):
    """Telegram asks to be left alone for a while."""

    def __init__(self, message: str | None = None, *, seconds: float = 30.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class PhoneRejected(PhoneError):
    """Telegram refused the request."""

    permanent = True

    def __init__(self, message: str | None = None, *, moved_to: int | None = None) -> None:
        super().__init__(message)
        self.moved_to = moved_to  # where the chat is now: a group that became a supergroup


class JobFailed(RunbookError):
    """A step could not do its work.

    `facts` (plain JSON) are kept with its row.
    """

    facts: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        if facts is not None:
            self.facts = facts


class TimedOut(JobFailed):
    """A step was ended because its time was over."""


class Stopped(RunbookError):
    """A step was ended because runbook stops, or had given it up."""


class Skip(RunbookError):
    """A step had nothing to do."""
