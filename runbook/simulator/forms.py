"""Request forms: which fields an endpoint wants, and the words in which the server says what is wrong with one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from runbook.simulator.contracts import EXCHANGES

Body = Mapping[str, object]
Errors = dict[str, object]
Check = Callable[[object], list[str] | dict[str, object]]

_REQUIRED = "Missing data for required field."
_UNKNOWN = "Unknown field."
_KEY_MAX = 256
_TRUE = {"true", "1", "yes", "on", "t", "y"}
_FALSE = {"false", "0", "no", "off", "f", "n"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a form."""

    check: Check
    required: bool = True


Form = Mapping[str, Field]


def errors_of(form: Form, body: Body) -> Errors:
    """What is wrong, field by field in the order of the form, strangers last; empty when all is well."""
    found: Errors = {}
    for name, field in form.items():
        if name not in body:
            if field.required:
                found[name] = [_REQUIRED]
        elif body[name] is None:
            found[name] = ["Field may not be null."]
        elif wrong := field.check(body[name]):
            found[name] = wrong
    for name in body:
        if name not in form:
            found[name] = [_UNKNOWN]
    return found


def text(value: object) -> list[str]:
    return [] if isinstance(value, str) else ["Not a valid string."]


def number(value: object) -> list[str]:
    return [] if _number(value) is not None else ["Not a valid number."]


def truth(value: object) -> list[str]:
    return [] if as_truth(value) is not None else ["Not a valid boolean."]


def as_truth(value: object) -> bool | None:
    """True and False however they are spelt, None for anything else."""
    if isinstance(value, bool):
        return value
    word = str(value).lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def as_number(value: object, default: float = 0.0) -> float:
    found = _number(value)
    return default if found is None else found


def date_text(value: object) -> list[str]:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        return ["Not a valid date."]
    try:
        datetime.strptime(value, "%Y-%m-%d")  # noqa: DTZ007 - only whether it parses
    except ValueError:
        return ["Not a valid date."]
    return []


def one_of(*choices: str) -> Check:
    def check(value: object) -> list[str]:
        if wrong := text(value):
            return wrong
        return [] if value in choices else [f"Must be one of: {', '.join(choices)}."]

    return check


def between(low: int, high: int) -> Check:
    def check(value: object) -> list[str]:
        found = _number(value)
        if found is None or found != int(found):
            return ["Not a valid integer."]
        if low <= found <= high:
            return []
        return [f"Must be greater than or equal to {low} and less than or equal to {high}."]

    return check


def at_least(low: float, says: str, *, inclusive: bool = True) -> Callable[[object], list[str]]:
    def check(value: object) -> list[str]:
        found = _number(value)
        if found is None:
            return ["Not a valid number."]
        return [] if found > low or (inclusive and found == low) else [says]

    return check


def quantity(value: object) -> list[str]:
    """A positive whole number: nothing simulated here is traded in fractions."""
    found = _number(value)
    if found is not None and found > 0 and found != int(found):
        return [f"Fractional quantity ({found}) is not allowed for non-crypto exchanges."]
    return at_least(0, "Quantity must be a positive number.", inclusive=False)(value)


def items(form: Form) -> Check:
    """A list, not empty, of objects of another form; its errors come under the item's number."""

    def check(value: object) -> list[str] | dict[str, object]:
        if not isinstance(value, list):
            return ["Not a valid list."]
        if not value:
            return ["Shorter than minimum length 1."]
        found: dict[str, object] = {}
        for at, item in enumerate(value):
            wrong = errors_of(form, item) if isinstance(item, dict) else {"_schema": ["Invalid input type."]}
            if wrong:
                found[str(at)] = wrong
        return found

    return check


def _key(value: object) -> list[str]:
    if not isinstance(value, str):
        return ["Not a valid string."]
    return [] if 1 <= len(value) <= _KEY_MAX else [f"Length must be between 1 and {_KEY_MAX}."]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


APIKEY = {"apikey": Field(_key)}
_NAME = {"symbol": Field(text), "exchange": Field(one_of(*EXCHANGES))}

KEY_ONLY: Form = APIKEY
INSTRUMENT: Form = {**APIKEY, **_NAME}
INSTRUMENTS: Form = {**APIKEY, "symbols": Field(items(_NAME))}
HISTORY: Form = {
    **APIKEY,
    **_NAME,
    "interval": Field(text),
    "start_date": Field(date_text),
    "end_date": Field(date_text),
    "source": Field(one_of("api", "db"), required=False),
}
SEARCH: Form = {**APIKEY, "query": Field(text), "exchange": Field(one_of(*EXCHANGES), required=False)}
HOLIDAYS: Form = {**APIKEY, "year": Field(between(2020, 2050), required=False)}
TIMINGS: Form = {**APIKEY, "date": Field(text)}
TOGGLE: Form = {**APIKEY, "mode": Field(truth)}
ORDER_STATUS: Form = {**APIKEY, "strategy": Field(text), "orderid": Field(text)}
OPEN_POSITION: Form = {**APIKEY, "strategy": Field(text), **_NAME, "product": Field(one_of("MIS", "NRML", "CNC"))}
TELEGRAM: Form = {
    **APIKEY,
    "username": Field(text),
    "message": Field(text),
    "priority": Field(number, required=False),
    "wait_for_delivery": Field(truth, required=False),
}
ORDER: Form = {
    **APIKEY,
    "strategy": Field(text),
    "exchange": Field(one_of(*EXCHANGES)),
    "symbol": Field(text),
    "action": Field(one_of("BUY", "SELL", "buy", "sell")),
    "quantity": Field(quantity),
    "pricetype": Field(one_of("MARKET", "LIMIT", "SL", "SL-M"), required=False),
    "product": Field(one_of("MIS", "NRML", "CNC"), required=False),
    "price": Field(at_least(0, "Price must be a non-negative number."), required=False),
    "trigger_price": Field(at_least(0, "Trigger price must be a non-negative number."), required=False),
    "disclosed_quantity": Field(at_least(0, "Disclosed quantity must be a non-negative integer."), required=False),
    "underlying_ltp": Field(number, required=False),
}
