"""Edits of a YAML file that people wrote: entries put in and taken out, and no other byte touched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from difflib import unified_diff
from io import StringIO
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from runbook.adapters.files.reading import parse_yaml
from runbook.errors import CalendarError, FileFaults

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node


class Draft:
    """A file of calendar/ about to change: entries are put in and taken out, and every other byte stays as it is.

    Nothing is on disk before `write`. Raises CalendarError where the file is built so that it cannot be edited safely.
    """

    def __init__(self, path: Path, named: str, fresh: str = "") -> None:
        """`fresh` is the text to begin with where there is no file yet."""
        self.path = path
        self.named = named
        self._found = _bytes(path)
        self._newline = "\r\n" if self._found and b"\r\n" in self._found else "\n"
        self.before = (self._found or b"").decode("utf-8").replace("\r\n", "\n")
        self.text = self.before or fresh
        self._meant = _meaning(parse_yaml(self.text, named).data)

    @property
    def fresh(self) -> bool:
        """There is no such file yet."""
        return self._found is None

    def entry(self, section: str, day: date) -> tuple[int, str] | None:
        """(line, text) of the entry of `day` in `section`, as it stands in the file; None when there is none."""
        if found := self._find(section, day):
            first, last = found[0]
            return first + 1, "\n".join(_lines(self.text)[first : last + 1])
        return None

    def values(self, section: str, day: date) -> Mapping[str, Any]:
        """What that entry says."""
        return next((entry for entry in self._meant.get(section) or [] if _day(entry) == day), {})

    def put(self, section: str, entry: Mapping[str, Any]) -> None:
        """Add `entry`, in order of its `date`; an entry of that date in `section` is replaced, its comments kept."""
        day = entry["date"]
        self._meant[section] = [e for e in self._meant.get(section) or [] if _day(e) != day] + [dict(entry)]
        if found := self._find(section, day):
            first, last = found[0]
            self._splice(first, last + 1, _block(entry, found[1], self._old(first, last)))
        else:
            self._insert(section, day, entry)
        self._prove()

    def take(self, section: str, day: date) -> None:
        """Take the entry of `day` out of `section`."""
        found = self._find(section, day)
        assert found is not None, (section, day)
        first, last = found[0]
        self._meant[section] = [e for e in self._meant[section] if _day(e) != day]
        self._splice(first, last + 1, [])
        self._prove()

    def set(self, key: str, value: object) -> None:
        """Give a key of the top its one value."""
        self._meant[key] = value
        nodes = self._nodes()
        held = nodes.get(key)
        if held is not None:
            start, end = held[1].start_mark.index, held[1].end_mark.index
            self.text = f"{self.text[:start]}{value}{self.text[end:]}"
        else:
            lead = nodes.get("exchange")
            line = _last_line(lead[1]) + 1 if lead is not None else 0
            self._splice(line, line, [f"{key}: {value}"])
        self._prove()

    def diff(self) -> str:
        """What changes, as `diff -u` shows it."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.text))
        return "".join(unified_diff(before, after, "/dev/null" if self.fresh else self.named, self.named))

    def write(self) -> None:
        """Replace the file in one step, with its mode and owner kept; refuses when somebody else changed it meanwhile."""
        if _bytes(self.path) != self._found:
            raise CalendarError(f"{self.named} changed while it was edited; nothing was written", hint="start again")
        replace_file(self.path, self.text.replace("\n", self._newline).encode())

    # --- where things stand in the text ------------------------------------------------------------------------------

    def _nodes(self) -> dict[str, tuple[Node, Node]]:
        from ruamel.yaml import YAML
        from ruamel.yaml.nodes import MappingNode

        root = YAML(typ="safe", pure=True).compose(self.text)
        if root is None:
            return {}
        if not isinstance(root, MappingNode) or root.flow_style:
            raise CalendarError(f"{self.named} is written in one piece, in braces; edit it by hand")
        return {key.value: (key, value) for key, value in root.value}

    def _find(self, section: str, day: date) -> tuple[tuple[int, int], int] | None:
        """((first line, last line), column of the dash) of the entry of `day`, counted from 0."""
        from ruamel.yaml.nodes import SequenceNode

        held = self._nodes().get(section)
        if held is None or not isinstance(held[1], SequenceNode):
            return None
        for item in held[1].value:
            if _date_of(item) == day:
                if held[1].flow_style:
                    raise CalendarError(f"{self.named}: `{section}` is written in brackets; edit {day} by hand")
                return (self._dash(item, held[1].start_mark.column), _last_line(item)), held[1].start_mark.column
        return None

    def _dash(self, item: Node, column: int) -> int:
        """The line of the dash before `item`: its own, or one above."""
        line, lines = int(item.start_mark.line), _lines(self.text)
        while not lines[line].startswith(" " * column + "-"):
            line -= 1
        return line

    def _old(self, first: int, last: int) -> str:
        """An entry as a mapping of its own, its comments in it."""
        lines = _lines(self.text)[first : last + 1]
        lines[0] = lines[0].replace("-", " ", 1)
        return dedent("\n".join(lines)) + "\n"

    def _insert(self, section: str, day: date, entry: Mapping[str, Any]) -> None:
        from ruamel.yaml.nodes import SequenceNode

        nodes = self._nodes()
        columns = [v.start_mark.column for _, v in nodes.values() if isinstance(v, SequenceNode) and not v.flow_style]
        column = columns[0] if columns else 2
        held = nodes.get(section)
        if held is None:
            end = len(_lines(self.text))
            gap = [""] if self.text.strip() and not self.text.endswith("\n\n") else []
            self._splice(end, end, [*gap, f"{section}:", *_block(entry, column)])
            return
        key, value = held
        if isinstance(value, SequenceNode) and value.flow_style:
            start, end = value.start_mark.index, value.end_mark.index
            if value.value:
                inside = self.text[start : end - 1].rstrip().rstrip(",")
                self.text = f"{self.text[:start]}{inside}, {_inline(entry)}]{self.text[end:]}"
                return
            self.text = self.text[:start].rstrip(" ") + self.text[end:]
        line = int(key.end_mark.line) + 1
        if isinstance(value, SequenceNode) and value.value and not value.flow_style:
            column = value.start_mark.column
            later = next((i for i, item in enumerate(value.value) if (_date_of(item) or date.min) > day), None)
            before = value.value[:later]
            line = _last_line(before[-1]) + 1 if before else line
        self._splice(line, line, _block(entry, column))

    def _splice(self, first: int, end: int, new: list[str]) -> None:
        lines = _lines(self.text)
        self.text = "\n".join([*lines[:first], *new, *lines[end:]]) + "\n"

    def _prove(self) -> None:
        """What the text says now must be what was meant, and nothing else."""
        wrong = f"{self.named} is built in a way that cannot be edited safely; nothing was written"
        try:
            says = _meaning(parse_yaml(self.text, self.named).data)
        except FileFaults as exc:
            raise CalendarError(wrong, hint="write the entry by hand") from exc
        meant = _meaning(self._meant)
        if {k: v for k, v in says.items() if v} != {k: v for k, v in meant.items() if v}:
            raise CalendarError(wrong, hint="write the entry by hand")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of one; mode and owner stay."""
    path = path.resolve()  # a link stays a link
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            held = path.stat()
            with suppress(PermissionError):
                os.chown(draft, held.st_uid, held.st_gid)
            draft.chmod(held.st_mode & 0o7777)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _meaning(data: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with the entries of each list in one order: where a new entry stands makes no difference."""
    return {key: sorted(value, key=repr) if isinstance(value, list) else value for key, value in data.items()}


def _day(entry: object) -> object:
    return entry.get("date") if isinstance(entry, dict) else None


def _date_of(item: Node) -> date | None:
    from ruamel.yaml.nodes import MappingNode

    if isinstance(item, MappingNode):
        for key, value in item.value:
            if key.value == "date":
                with suppress(ValueError, TypeError):
                    return date.fromisoformat(value.value)
    return None


def _last_line(node: Node) -> int:
    """The last line with something of `node` on it; comments and blank lines after it belong to what follows."""
    from ruamel.yaml.nodes import MappingNode, SequenceNode

    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    start, end = node.start_mark, node.end_mark
    if end.column == 0 and end.line > start.line:  # a text in block form ends where the next thing begins
        lines = node.end_mark.buffer[start.index : end.index].rstrip("\0").rstrip().splitlines()
        return int(start.line) + max(0, len(lines) - 1)
    return int(end.line)


def _block(entry: Mapping[str, Any], column: int, old: str = "") -> list[str]:
    """An entry as the lines of a list item; what `old` says besides, its comments, is kept."""
    lines = _dump(_laid_over(entry, old)).splitlines()
    lead, rest = " " * column + "- ", " " * (column + 2)
    if lines[0].startswith("#"):  # a comment above the first key stays above the dash
        first = next(i for i, line in enumerate(lines) if not line.startswith("#"))
        return [
            *(" " * column + line for line in lines[:first]),
            lead + lines[first],
            *_indented(lines[first + 1 :], rest),
        ]
    return [lead + lines[0], *_indented(lines[1:], rest)]


def _indented(lines: list[str], by: str) -> list[str]:
    return [by + line if line else line for line in lines]


def _laid_over(entry: Mapping[str, Any], old: str) -> Mapping[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    held: Any = None
    if old:
        with suppress(YAMLError):
            held = YAML().load(old)
    if not isinstance(held, CommentedMap):
        return _styled(entry)
    for key in [key for key in held if key not in entry]:
        del held[key]
    for key, value in _styled(entry).items():
        if held.get(key) != value:
            held[key] = value
    return held


def _styled(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Lists on one line, as in the files that ship."""
    from ruamel.yaml.comments import CommentedSeq

    styled = dict(entry)
    for key, value in entry.items():
        if isinstance(value, list):
            styled[key] = CommentedSeq(value)
            styled[key].fa.set_flow_style()
    return styled


def _dump(entry: Mapping[str, Any], *, inline: bool = False) -> str:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 10_000
    yaml.default_flow_style = inline
    stream = StringIO()
    yaml.dump(entry, stream)
    return stream.getvalue()


def _inline(entry: Mapping[str, Any]) -> str:
    return _dump(dict(entry), inline=True).strip()
