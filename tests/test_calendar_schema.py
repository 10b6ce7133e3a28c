"""calendar/schema.json, held against the model that reads the files: what an editor accepts is what runbook accepts."""

import copy
import json
import re
from datetime import date
from typing import Any

import pytest

from runbook.adapters.files import parse_yaml, read_yaml, shipped_calendar
from runbook.errors import CalendarFaults
from runbook.fault import Document
from runbook.timetable import Layer, parse, schema, schema_text

SHIPPED = sorted(shipped_calendar().glob("*.yaml"))
SAID = {"source": "circular 1", "checked": "2026-11-22", "confidence": "high"}
GOOD: dict[str, Any] = {
    "exchange": "MCX",
    "weekdays": "mon-fri",
    "zone": "Asia/Kolkata",
    "known_until": "2026-12-31",
    "hours": [{"from": "2026-01-01", "intervals": "09:00-23:30", **SAID}],
    "closed": [{"date": "2026-01-26", "name": "Republic Day", **SAID}],
    "sessions": [{"date": "2026-03-03", "name": "Holi", "opens": "17:00", **SAID}],
}
MADE = schema()
_KINDS = {"string": str, "array": list, "object": dict, "boolean": bool, "null": type(None)}


def accepts(rule: dict[str, Any], value: Any) -> bool:
    """As much of JSON Schema as the file uses; a word it does not know is an error, so that nothing goes unchecked."""
    words = set(rule) - {"title", "description", "examples", "default", "$schema", "$defs"}
    told = {
        "$ref": lambda ref: accepts(MADE["$defs"][ref.rsplit("/", 1)[1]], value),
        "anyOf": lambda rules: any(accepts(r, value) for r in rules),
        "type": lambda kinds: any(type(value) is _KINDS[k] for k in ([kinds] if isinstance(kinds, str) else kinds)),
        "enum": lambda values: value in values,
        "pattern": lambda p: not isinstance(value, str) or re.search(p, value) is not None,
        "format": lambda _: not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None,
        "minLength": lambda n: not isinstance(value, str) or len(value) >= n,
        "minItems": lambda n: not isinstance(value, list) or len(value) >= n,
        "items": lambda r: not isinstance(value, list) or all(accepts(r, item) for item in value),
        "required": lambda keys: not isinstance(value, dict) or set(keys) <= value.keys(),
        "properties": lambda rules: (
            not isinstance(value, dict) or all(accepts(r, value[k]) for k, r in rules.items() if k in value)
        ),
        "additionalProperties": lambda more: (
            more or not isinstance(value, dict) or value.keys() <= rule["properties"].keys()
        ),
    }
    return all(told[word](rule[word]) for word in words)


def as_an_editor_reads(value: Any) -> Any:
    """Plain JSON: an editor's YAML has texts where ours has dates."""
    return json.loads(json.dumps(value, default=str))


def changed(path: str, value: Any) -> dict[str, Any]:
    data: Any = copy.deepcopy(GOOD)
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = data
    for part in way:
        place = place[part]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return data


def test_the_schema_beside_the_files_is_the_one_of_the_code():
    path = shipped_calendar() / "schema.json"
    anew = '.venv/bin/python -c "from runbook.timetable import schema_text; print(schema_text(), end=str())" > calendar/schema.json'
    assert path.read_text(encoding="utf-8") == schema_text(), f"the format changed; write the file anew:\n  {anew}"


@pytest.mark.parametrize("path", SHIPPED, ids=[p.stem for p in SHIPPED])
def test_each_file_that_ships_is_right_for_an_editor_and_points_it_at_the_schema(path):
    assert accepts(schema(), as_an_editor_reads(read_yaml(path).data))
    assert path.read_text(encoding="utf-8").splitlines()[0] == "# yaml-language-server: $schema=schema.json"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("exchange", "24/7"), ("closed", None), ("closed", []), ("known_from", None), ("hours.0.intervals", "9:00-23:30"),
        ("hours.0.intervals", ["09:00-17:00", "17:00-23:30"]), ("weekdays", "sun-thu"), ("sessions.0.hours_confidence", "low"),
        ("sessions.0.pre_open", "16:45-17:00"), ("lists_all_holidays", True), ("sessions.0.opens", None),
    ],
)  # fmt: skip
def test_what_the_schema_accepts_runbook_accepts(path, value):
    data = changed(path, value)
    assert accepts(schema(), data)
    parse([Document("a.yaml", data)], Layer.SITE)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("exchange", ""), ("exchange", KeyError), ("exchanges", "NSE"), ("known_until", "soon"), ("known_until", 20261231),
        ("hours.0.intervals", 930), ("hours.0.intervals", []), ("hours.0.intervals", KeyError), ("hours.0.from", KeyError),
        ("weekdays", "monday"), ("weekdays", 5), ("zone", 5), ("closed.0.source", KeyError), ("closed.0.source", ""),
        ("closed.0.confidence", "sure"), ("closed.0.checked", KeyError), ("closed.0.intervals", "09:00-10:00"),
        ("sessions.0.opens", 1020), ("sessions.0.opens", "5pm"), ("closed", {}), ("lists_all_holidays", "yes"),
    ],
)  # fmt: skip
def test_what_the_schema_refuses_runbook_refuses(path, value):
    data = changed(path, value)
    assert not accepts(schema(), data)
    with pytest.raises(CalendarFaults):
        parse([Document("a.yaml", data)], Layer.SITE)


def test_every_key_has_words_for_the_one_who_types():
    made = schema()
    rules = [made, *(d for d in made["$defs"].values() if "properties" in d)]
    silent = [key for rule in rules for key, value in rule["properties"].items() if not value.get("description")]
    assert silent == []
    plain = [v for rule in rules for v in rule["properties"].values() if "array" not in v.get("type", ())]
    assert all(v.get("examples") for v in plain)


def test_the_examples_of_the_schema_are_accepted_by_it():
    made = schema()
    for rule in (made, *(d for d in made["$defs"].values() if "properties" in d)):
        for key, value in rule["properties"].items():
            for example in value.get("examples", ()):
                given = [s.strip() for s in example[1:-1].split(",")] if str(example).startswith("[") else example
                assert accepts(value, given), (key, example)


def test_a_date_may_be_a_date_or_a_text():
    for value in (date(2026, 12, 31), "2026-12-31"):
        (sheet,) = parse([Document("a.yaml", changed("known_until", value))], Layer.SITE)
        assert sheet.content.known_until == date(2026, 12, 31)


def test_the_readme_explains_every_key_and_its_first_example_is_accepted():
    readme = (shipped_calendar() / "README.md").read_text(encoding="utf-8")
    made = schema()
    keys = {key for rule in (made, *made["$defs"].values()) for key in rule.get("properties", ())}
    assert [key for key in sorted(keys) if f"`{key}`" not in readme and f"{key}:" not in readme] == []
    example = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)[0]
    (sheet,) = parse([parse_yaml(example, "README.md")], Layer.SITE)
    assert sheet.content.closed[0].name == "Republic Day"
