"""What a person can do about it, from what the two sides last said. The hop verdict will grow from here."""

from __future__ import annotations

import re

from runbook.feed.state import Fault, LinkState, State

LOG_IN = "log in to the broker on the OpenAlgo dashboard"
CHECK_KEY = "copy the API key again from OpenAlgo's API Key page"
RESTART = "restart the openalgo unit (sudo systemctl restart openalgo)"
EXCHANGE_OR_LOGIN = (
    "REST answers but its prices stand still: if the exchange has halted there is nothing to do; else " + LOG_IN
)
MUTE = (
    "1. " + LOG_IN + " again and see that it shows Connected; 2. see that streaming is switched on and in the broker's "
    "plan; 3. " + RESTART
)
HELD = (
    "; runbook's own reconnects cannot help while another client of the same user (the bot, a dashboard tab) is "
    "connected: OpenAlgo keeps the dead broker link for it"
)
SERVER_DOWN = "nothing answers: see if the openalgo unit runs (sudo systemctl status openalgo), and the network between"

_KEY = re.compile(r"\bapi.?key\b", re.IGNORECASE)
_AUTH = re.compile(
    r"\b(401|403|auth\w*|token|log ?in|session|no broker configuration|adapter not found|unauthori[sz]ed)\b",
    re.IGNORECASE,
)


def advise(state: State) -> str:
    """The next thing to do: what REST complains of first, then the socket, then the guide's order."""
    rest, link = state.rest, state.link
    if rest.polling and not rest.trusted:
        if rest.frozen:
            return EXCHANGE_OR_LOGIN
        return said(rest.fault) or SERVER_DOWN
    if link.state is not LinkState.UP and link.fault is not None:
        if link.fault.refused:
            # REST's life is only known once it was asked; before that the unit is still the likeliest.
            return RESTART
        return said(link.fault) or RESTART
    return said(link.fault) or MUTE + (HELD if link.reopened else "")


def said(fault: Fault | None) -> str:
    """What to do about what the other side complained of: its own hint, else what its words point to; empty if nothing."""
    if fault is None:
        return ""
    if fault.hint:
        return fault.hint
    if _KEY.search(fault.reason):
        return CHECK_KEY
    return LOG_IN if _AUTH.search(fault.reason) else ""
