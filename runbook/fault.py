"""A fault of what the operator wrote: where, what was found, what is accepted; never one without a line to copy."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo

Path = tuple[str | int, ...]

_NAMES_OF_SECRETS = ("key", "token", "secret", "password", "passwd")
_SHOWN = 60  # characters of a found value: enough to recognise it, short enough for one line


class Unfit(ValueError):
    """A value of the right type that means nothing here; carries what would be accepted and an example of it."""

    def __init__(self, message: str, *, accepted: str = "", example: str = "") -> None:
        super().__init__(message)
        self.accepted = accepted
        self.example = example

    def __str__(self) -> str:
        text = str(self.args[0])
        text += f"; accepted: {self.accepted}" if self.accepted else ""
        return text + (f", for example {self.example}" if self.example else "")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in one place. `where` is a file as the reader would name it, or the environment."""

    where: str
    line: int | None
    path: str
    found: str
    accepted: str
    example: str = ""
    column: int | None = None

    def __str__(self) -> str:
        place = self.where
        place += f":{self.line}" if self.line else ""
        place += f":{self.column}" if self.line and self.column else ""
        text = f"{place}: {self.path}: {self.found}" if self.path else f"{place}: {self.found}"
        text += f"; accepted: {self.accepted}" if self.accepted else ""
        return text + (f", for example {self.example}" if self.example else "")


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says as plain mappings, lists and scalars, and the line each part stands on (counted from 1)."""

    path: str
    data: dict[str, Any]
    lines: Mapping[Path, int] = field(default_factory=dict, repr=False)

    def line_of(self, path: Path) -> int:
        """The line of `path`; of its nearest parent where the path itself is not in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def fault(self, path: Path, found: str, accepted: str, example: str = "") -> Fault:
        """A fault of the part of this document that `path` leads to."""
        return Fault(self.path, self.line_of(path), dotted(path), found, accepted, example)


def dotted(path: Path) -> str:
    """`path` as a reader writes it: jobs[0].at."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(name: str, names: Sequence[str]) -> str:
    """'did you mean x? ' when one of `names` is close to `name`, else nothing."""
    close = get_close_matches(name.casefold(), [n.casefold() for n in names], n=1, cutoff=0.6)
    return next((f"did you mean {n}? " for n in names if close and n.casefold() == close[0]), "")


def shown(value: object) -> str:
    """A found value in one short line, with its kind where the bare text would not tell it."""
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    text = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    match value:
        case None:
            return "nothing"
        case bool():
            return f"{str(value).lower()} (a truth value)"
        case int() | float():
            return f"{text} (a number)"
        case Mapping():
            return f"{text} (a mapping)"
        case list() | tuple():
            return f"{text} (a list)"
    return text


def faults_from_validation(exc: ValidationError, document: Document, model: type[BaseModel]) -> list[Fault]:
    """Every error of `exc` as a fault of `document`, in the order of the lines; `model` is what refused the data.

    Values are quoted from the document, as written: a secret that came from the environment is not in there. A value
    whose key is named like a secret, or whose field says `json_schema_extra={"secret": True}`, is never shown.
    A field's `description` and `examples` become what is accepted. The members of a union that all refused one value
    make one fault.
    """
    faults: dict[Path, Fault] = {}
    for error in exc.errors(include_url=False):
        path, value = _locate(document.data, tuple(error["loc"]), missing=error["type"] == "missing")
        fields = list(_fields_at(model, path))
        hidden = any(_is_secret(part, f) for part, f in _steps(model, path))
        found = "a value that is not shown" if hidden else f"found {shown(value)}"
        accepted, example = _accepted(error, fields)
        if error["type"] == "extra_forbidden":
            names = sorted({n for f in _models_at(model, path[:-1]) for n in _names(f)})
            found = f"unknown key {path[-1]!r}"
            accepted, example = nearest(str(path[-1]), names) + ", ".join(names), ""
        elif error["type"] == "missing":
            found = "the key is missing"
        elif isinstance(unfit := error.get("ctx", {}).get("error"), ValueError):
            found = found if hidden else str(unfit.args[0]) if unfit.args else found
        fault = document.fault(path, found, accepted, example)
        if other := faults.get(path):  # the next member of a union
            told = accepted in other.accepted
            fault = other if told else replace(other, accepted=f"{other.accepted} or {accepted}")
        faults[path] = fault
    return sorted(faults.values(), key=lambda f: f.line or 0)


def _locate(data: object, loc: Path, *, missing: bool) -> tuple[Path, object]:
    """The part of `loc` that leads through `data`, and the value there; names of union members are left out."""
    path: list[str | int] = []
    for i, part in enumerate(loc):
        if missing and i == len(loc) - 1:
            return (*path, part), None
        match data:
            case Mapping() if part in data:
                data = data[part]
            case list() | tuple() if isinstance(part, int) and part < len(data):
                data = data[part]
            case _:
                continue
        path.append(part)
    return tuple(path), data


def _accepted(error: Mapping[str, Any], fields: Sequence[FieldInfo]) -> tuple[str, str]:
    """What the place accepts and an example, from the exception raised, the field, or pydantic's own words."""
    told: object = error.get("ctx", {}).get("error")
    accepted = example = ""
    if isinstance(told, Unfit):
        accepted, example = told.accepted, told.example
    for f in fields:
        accepted = accepted or (f.description or "")
        example = example or (str(f.examples[0]) if f.examples else "")
    plain = str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
    return accepted or plain, example


def _is_secret(part: str | int, info: FieldInfo | None) -> bool:
    if isinstance(part, str) and any(word in part.casefold() for word in _NAMES_OF_SECRETS):
        return True
    extra = info.json_schema_extra if info else None
    return isinstance(extra, dict) and bool(extra.get("secret"))


def _steps(model: type[BaseModel], path: Path) -> Iterator[tuple[str | int, FieldInfo | None]]:
    for i, part in enumerate(path):
        yield part, next(iter(_fields_at(model, path[: i + 1])), None)


def _fields_at(model: type[BaseModel], path: Path) -> Iterator[FieldInfo]:
    """The fields that `path` names: several where a union has several members with that key."""
    if path and isinstance(path[-1], str):
        for owner in _models_at(model, path[:-1]):
            if info := next((f for n, f in owner.model_fields.items() if path[-1] in (n, f.alias)), None):
                yield info


def _models_at(model: type[BaseModel], path: Path) -> list[type[BaseModel]]:
    kinds: list[Any] = [model]
    for part in path:
        kinds = [inner for kind in kinds for inner in _inside(kind, part)]
    return [m for kind in kinds for m in _members(kind) if hasattr(m, "model_fields")]


def _members(kind: Any) -> Iterator[Any]:
    """The types a value of `kind` may have, unions and Annotated opened."""
    if get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _members(member)
    elif get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    else:
        yield kind


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    """What stands under `part` in a value of `kind`."""
    for member in _members(kind):
        arguments = [a for a in get_args(member) if a is not Ellipsis]
        if hasattr(member, "model_fields") and isinstance(part, str):
            yield from (f.annotation for n, f in member.model_fields.items() if part in (n, f.alias))
        elif arguments and (isinstance(part, int) or len(arguments) > 1):
            yield arguments[-1]  # the value of a mapping, the item of a list


def _names(model: type[BaseModel]) -> Iterator[str]:
    return (f.alias or n for n, f in model.model_fields.items())
