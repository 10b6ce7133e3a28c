"""A file of the site as plain data that knows its lines (YAML 1.2)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runbook.errors import FileFaults
from runbook.fault import Document, Fault
from runbook.fault import Path as Key
from runbook.shipped import shipped_site

if TYPE_CHECKING:
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError
    from ruamel.yaml.nodes import MappingNode, Node

_LARGEST = 4 * 1024 * 1024  # bytes; a site file of this size is a mistake, such as a log given for a config
_MOST_PARTS = 200_000  # nodes counted through aliases, which can multiply without end in a file of ten lines


def read_yaml(path: Path, *, named: str | None = None) -> Document:
    """The mapping in `path`; an empty file is an empty mapping.

    `named` is how faults call the file (the path itself unless given). Raises FileFaults with every fault found: a file
    that cannot be read, is not UTF-8, is no YAML (there the parser stops at the first), is no mapping, or has a key
    twice or a key that is no name; what could be read all the same is in its `document`, for whoever looks for more.
    """
    where = named or str(path)
    return parse_yaml(read_text(path, where), where)


def parse_yaml(text: str, where: str, *, rows: str = "") -> Document:
    """The same as `read_yaml` for a text already read; a list at the top is what stands under the key `rows`, if given."""
    from ruamel.yaml import YAML  # 60 ms: only who reads a file pays for it
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import SequenceNode

    try:
        root = _composed(text)
    except MarkedYAMLError as exc:
        raise FileFaults([_broken(where, exc, text)]) from exc
    except (YAMLError, RecursionError, ValueError) as exc:
        raise FileFaults([Fault(where, 1, "", f"no YAML: {exc}".splitlines()[0], "YAML 1.2")]) from exc
    if root is None:
        return Document(where, {})
    reader = _Reader(where, YAML(typ="safe", pure=True).constructor)
    bare = bool(rows) and isinstance(root, SequenceNode)
    data = {rows: reader.value(root, (rows,))} if bare else reader.value(root, ())
    data = {} if data is None else data
    if not reader.faults and not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else "a single value"
        reader.faults.append(Fault(where, root.start_mark.line + 1, "", f"{kind} at the top", "`key: value` lines"))
    document = Document(where, data if isinstance(data, dict) else {}, reader.lines)
    if reader.faults:
        raise FileFaults(reader.faults, document if isinstance(data, dict) else None)
    return document


@lru_cache(maxsize=32)  # a command about the calendar reads each of its files several times, and the parser is slow
def _composed(text: str) -> Node | None:
    """The nodes of a text, which nobody changes."""
    from ruamel.yaml import YAML

    root: Node | None = YAML(typ="safe", pure=True).compose(text)
    return root


def shipped_calendar() -> Path:
    """The base calendar that came with this runbook."""
    return shipped_site() / "calendar"


def read_text(path: Path, where: str) -> str:
    """The text of a file that people write; raises FileFaults for one that is too large, not UTF-8 or not readable."""
    try:
        if path.stat().st_size > _LARGEST:
            raise FileFaults([Fault(where, None, "", "larger than 4 MiB", "a file written by hand")])
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as exc:
        line = exc.object[: exc.start].count(b"\n") + 1
        found = f"byte 0x{exc.object[exc.start]:02x} is not UTF-8"
        raise FileFaults([Fault(where, line, "", found, "a text file in UTF-8")]) from exc
    except OSError as exc:
        raise FileFaults([Fault(where, None, "", f"cannot be read: {exc.strerror}", "a readable file")]) from exc


def _broken(where: str, exc: MarkedYAMLError, text: str) -> Fault:
    """What the parser stumbled over, and where."""
    mark = exc.problem_mark or exc.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    lines = text.splitlines()
    before = lines[line - 1][:column] if 0 < line <= len(lines) else ""
    if "\t" in before and not before.strip():
        return Fault(where, line, "", "a tab at the start of the line", "spaces to indent", column=column)
    found = " ".join(part for part in (exc.context, exc.problem) if part)
    return Fault(where, line, "", f"no YAML: {found}", "`key: value`, text with `:` or `#` in quotes", column=column)


_KINDS = frozenset(
    f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")
)


class _Reader:
    """Turns composed nodes into plain data; collects lines and all faults on the way."""

    def __init__(self, where: str, scalars: SafeConstructor) -> None:
        self._scalars = scalars
        self._where = where
        self._open: set[int] = set()
        self._parts = 0
        self.lines: dict[Key, int] = {}
        self.faults: list[Fault] = []

    def value(self, node: Node, path: Key) -> Any:
        from ruamel.yaml.nodes import MappingNode, SequenceNode

        self.lines.setdefault(path, node.start_mark.line + 1)
        self._parts += 1
        if id(node) in self._open or self._parts > _MOST_PARTS:
            if self._parts <= _MOST_PARTS + 1:
                self._fault(node, path, "an alias of itself, or aliases that multiply", "the values written out")
            return None
        if str(node.tag) not in _KINDS:
            self._fault(node, path, f"the tag {node.tag}", "plain text, numbers, dates, lists and mappings")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return self._mapping(node, path)
            if isinstance(node, SequenceNode):
                return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]
            return self._scalar(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode, path: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str) or not key_node.tag.endswith(":str"):
                shown = key if isinstance(key, str) else "a list or mapping"
                self._fault(
                    key_node, path, f"the key {shown} is no name", "a name, in quotes if it looks like a number"
                )
                continue
            if key in data:
                first = self.lines[(*path, key)]
                self._fault(key_node, (*path, key), f"a second time here (first on line {first})", "once")
                continue
            self.lines[(*path, key)] = key_node.start_mark.line + 1
            data[key] = self.value(value_node, (*path, key))
        return data

    def _scalar(self, node: Node) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (ValueError, OverflowError):
            return node.value  # 2026-02-30 looks like a date and is none: text, which who wanted a date will refuse

    def _fault(self, node: Node, path: Key, found: str, accepted: str, example: str = "") -> None:
        from runbook.fault import dotted

        mark = node.start_mark
        self.faults.append(Fault(self._where, mark.line + 1, dotted(path), found, accepted, example, mark.column + 1))
