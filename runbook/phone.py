"""What people say to runbook by phone: texts and buttons become commands, or a refusal that says what is accepted.

Who may speak is a list of users, never of chats: a group lets everyone in. Nothing that can be said here places, cancels or
switches anything at the broker. A button carries a mark of what it stood under, so that one of an old state does nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbook.fault import Unfit, nearest
from runbook.trigger import format_duration, parse_duration

FRESH = timedelta(minutes=2)  # what is older was said to somebody who was not there
WINDOW, MOST = timedelta(seconds=60), 12  # commands of one user; a person with buttons stays far below
HUSH = timedelta(minutes=30)  # what the button silences for
MOST_ACKS = 12  # buttons under one message


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs when."""


@dataclass(frozen=True, slots=True)
class ReportNow:
    """The day so far."""


@dataclass(frozen=True, slots=True)
class Help:
    """What may be said."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Somebody has seen alert `number` and takes it. `mark` is what a button stood under, "" when it was typed."""

    number: int
    note: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """No messages for `length`: of what `pattern` names, of alert `number` (a button), or of all that is open now."""

    length: timedelta
    pattern: str = ""
    number: int | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Unsilence:
    """Silence `number` is over."""

    number: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The choice a person makes on ask `number`; from a button by its place in the list."""

    number: int
    choice: str
    note: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Recheck:
    """Verify again now."""


Command = Status | Plan | ReportNow | Help | Ack | Silence | Unsilence | Answer | Recheck


@dataclass(frozen=True, slots=True)
class Button:
    """What a person reads, and what comes back when it is pressed."""

    text: str
    data: str


Keyboard = tuple[tuple[Button, ...], ...]  # rows of buttons


@dataclass(frozen=True, slots=True)
class Heard:
    """One thing somebody said, as the door gives it: a text, or the press of a button of `keyboard` under `message`.

    `at` is when, as far as that is known (None: not known). `borrowed`: forwarded, or said in the name of a chat.
    """

    update: int
    user: int
    chat: int
    at: datetime | None
    text: str = ""
    press: str = ""
    data: str = ""
    message: int = 0
    private: bool = True
    borrowed: bool = False
    keyboard: Keyboard = ()
    who: str = ""  # as the person calls itself: for setting up, never for the log


@dataclass(frozen=True, slots=True)
class Batch:
    """What was heard in one go, in order; `after` is where the next listening begins, None when nothing came."""

    heard: tuple[Heard, ...] = ()
    after: int | None = None


# -- who may speak, and when --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Door:
    """Whom runbook listens to: `users` by their ids, in the desk's own `chat` or in private. `name` is the bot's."""

    chat: int
    users: frozenset[int]
    name: str = ""


def turned_away(heard: Heard, door: Door) -> str | None:
    """Why nothing is done and nothing is answered, for the log; None when it may be taken. Never quotes what was said."""
    if heard.user not in door.users:
        return f"user {heard.user} is not in `users`"
    if heard.borrowed:
        return f"user {heard.user} forwarded somebody else's words"
    if heard.chat != door.chat and not heard.private:
        return f"user {heard.user} spoke in chat {heard.chat}, where others would read the answer"
    return None


def stale(at: datetime | None, now: datetime) -> str | None:
    """Why a command is too old to act on, as an answer; None when it is fresh. Unknown is old."""
    if at is None:
        return "pressed while runbook was away: press it again"
    if now - at > FRESH:
        return f"too old, said {_ago(now - at)} ago: say it again"
    if at - now > FRESH:
        return f"the clocks differ: by Telegram's it is {_ago(at - now)} later than on runbook's host. Set the host's clock"
    return None


@dataclass(frozen=True, slots=True)
class Pace:
    """When one user last said something, the oldest first."""

    said: tuple[datetime, ...] = ()

    def after(self, now: datetime) -> Pace:
        """With what is said now; what is older than the window is forgotten."""
        return Pace((*(at for at in self.said if now - at < WINDOW), now)[-(MOST + 2) :])

    @property
    def over(self) -> int:
        """By how much it is too much: 0 it is not, 1 just now (worth an answer), more: not even that."""
        return max(0, len(self.said) - MOST)


# -- what is said -------------------------------------------------------------------------------------------------------

# name: (form, what it does, an example)
USAGE: dict[str, tuple[str, str, str]] = {
    "status": ("/status", "how things stand now", "/status"),
    "plan": ("/plan", "what runs today, and the next session", "/plan"),
    "report": ("/report", "the day so far", "/report"),
    "ack": ("/ack N [note]", "you have seen alert N and take it: no more reminders", "/ack 41 logging in"),
    "silence": (
        "/silence TIME [what]",
        "no messages for so long: of the alerts open now, or of what you name",
        "/silence 30m feed",
    ),
    "unsilence": ("/unsilence N", "end silence N", "/unsilence 3"),
    "answer": ("/answer N CHOICE [note]", "answer question N", "/answer 12 done"),
    "recheck": ("/recheck", "verify the broker again now", "/recheck"),
    "help": ("/help", "this list", "/help"),
}
_COMMAND = re.compile(r"/([A-Za-z_]+)(?:@([A-Za-z0-9_]+))?(?:\s+(.*))?", re.DOTALL)
_NUMBER = re.compile(r"#?([0-9]{1,9})", re.ASCII)
_NOTE = 200  # characters


def parse(text: str, *, name: str = "", private: bool = True) -> Command | None:
    """The command a text means; None for what is not said to us. Raises Unfit with what is accepted instead.

    In a group only `/commands` are for a bot, and those with @NAME only for the bot of that `name`.
    """
    match = _COMMAND.fullmatch(text.strip())
    if match is None:
        if not private:
            return None
        raise Unfit("that is no command", accepted=_all(), example="/status")
    word, addressed, rest = match[1].lower(), match[2], match[3] or ""
    if addressed and addressed.casefold() != name.casefold():
        return None
    given = rest.split(maxsplit=2)
    match word:
        case "help" | "start":
            return Help()
        case "status":
            return Status()
        case "plan":
            return Plan()
        case "report":
            return ReportNow()
        case "recheck":
            return Recheck()
        case "ack":
            return Ack(_number(word, given, "the alert's number"), _note(rest.split(maxsplit=1)[1:]))
        case "silence":
            return _silence(given)
        case "unsilence":
            return Unsilence(_number(word, given, "the silence's number"))
        case "answer":
            number = _number(word, given, "the question's number")
            if len(given) < 2:
                raise _unfit(word, f"no choice for question {number}")
            return Answer(number, given[1].casefold(), _note(given[2:]))
    if not private and not addressed:
        return None  # in a group it may be for another bot
    raise Unfit(f"/{_shown(word)} is not known", accepted=nearest(word, tuple(USAGE)) + _all(), example="/status")


def pressed(data: str) -> Command:
    """The command behind a button of ours; raises Unfit for what none of ours carries."""
    match data.split(":"):
        case ["recheck"]:
            return Recheck()
        case ["ack", number, mark] if number.isdecimal():
            return Ack(int(number), mark=mark)
        case ["hush", number, mark] if number.isdecimal():
            return Silence(HUSH, number=int(number), mark=mark)
        case ["answer", number, mark, place] if number.isdecimal() and place.isdecimal():
            return Answer(int(number), place, mark=mark)
    raise Unfit("that button is not of this runbook", accepted="a newer message's buttons", example="/status")


def usage() -> str:
    """All that may be said, a line each."""
    return "\n".join(f"{form}: {what}" for form, what, _ in USAGE.values())


# -- buttons ------------------------------------------------------------------------------------------------------------


def mark(*evidence: object) -> str:
    """A short mark of what a button stands under: another state of it has another mark."""
    return hashlib.sha256("\x1f".join(map(str, evidence)).encode()).hexdigest()[:10]


def alert_buttons(open_: Sequence[tuple[int, str]]) -> Keyboard:
    """What can be said of the open alerts of one message, (number, mark) each."""
    hush = f"Silence {format_duration(HUSH)}"
    if len(open_) == 1:
        ((number, mark_),) = open_
        return (
            (Button(f"Ack #{number}", f"ack:{number}:{mark_}"), Button(hush, f"hush:{number}:{mark_}")),
            (Button("Recheck", "recheck"),),
        )
    acks = [Button(f"Ack #{number}", f"ack:{number}:{mark_}") for number, mark_ in open_[:MOST_ACKS]]
    rows = [tuple(acks[n : n + 3]) for n in range(0, len(acks), 3)]
    return (*rows, (Button("Recheck", "recheck"),)) if rows else ()


def ask_buttons(number: int, mark_: str, choices: Sequence[str]) -> Keyboard:
    """One button for each choice of an ask."""
    return tuple(
        (Button(choice.replace("_", " "), f"answer:{number}:{mark_}:{place}"),) for place, choice in enumerate(choices)
    )


def chosen(command: Answer, choices: Sequence[str]) -> str:
    """The choice an answer names: a button gives its place, a person the word; raises Unfit with the choices."""
    if command.mark and command.choice.isdecimal() and int(command.choice) < len(choices):
        return choices[int(command.choice)]
    found = [c for c in choices if c.casefold() == command.choice]
    if found:
        return found[0]
    shown = _shown(command.choice)
    raise Unfit(
        f"{shown!r} is no choice of question {command.number}",
        accepted=nearest(command.choice, choices) + ", ".join(choices),
        example=f"/answer {command.number} {choices[0]}" if choices else "",
    )


def over(keyboard: Keyboard, data: str, *, all_of_it: bool) -> Keyboard:
    """What is left of a keyboard when the button `data` has done its work; `all_of_it`: what it was about is over.

    A choice that was made leaves no other choice; an alert that was acknowledged can still be silenced.
    """
    verb, number = [*data.split(":"), ""][:2]

    def done(button: Button) -> bool:
        parts = [*button.data.split(":"), ""]
        return parts[1] == number and (all_of_it or parts[0] == verb) if number else False

    rows = (tuple(button for button in row if not done(button)) for row in keyboard)
    return tuple(row for row in rows if row)


# -- words --------------------------------------------------------------------------------------------------------------


def _silence(given: Sequence[str]) -> Silence:
    if not given:
        raise _unfit("silence", "no time")
    try:
        length = parse_duration(given[0])
    except ValueError:
        raise _unfit("silence", f"{_shown(given[0])!r} is no length of time") from None
    if not length:
        raise _unfit("silence", f"{_shown(given[0])!r} is no time at all")
    return Silence(length, " ".join(given[1:])[:120])


def _number(word: str, given: Sequence[str], what: str) -> int:
    if not given:
        raise _unfit(word, f"{what} is missing")
    match = _NUMBER.fullmatch(given[0])
    if match is None:
        raise _unfit(word, f"{_shown(given[0])!r} is not {what}")
    return int(match[1])


def _unfit(word: str, found: str) -> Unfit:
    form, _, example = USAGE[word]
    return Unfit(found, accepted=form, example=example)


def _note(rest: Sequence[str]) -> str:
    return " ".join(" ".join(rest).split())[:_NOTE]


def _all() -> str:
    return ", ".join(f"/{word}" for word in USAGE)


def _shown(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= 40 else clean[:37] + "..."


def _ago(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
