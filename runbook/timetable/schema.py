"""The format of calendar/*.yaml as JSON Schema, for editors that complete and check while somebody types."""

from __future__ import annotations

import json
from typing import Any

from runbook.timetable.sheet import CalendarFile

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema, from the model that reads the files; it cannot say that two keys exclude each other."""
    made = CalendarFile.model_json_schema(by_alias=True)
    for section in made["properties"].values():
        if section.get("type") == "array":  # a heading with nothing under it yet is no fault
            section["type"] = ["array", "null"]
    described = {"title": "a calendar of runbook", "description": "README.md in this folder says what each key means."}
    return {"$schema": _DIALECT} | made | described


def schema_text() -> str:
    """What calendar/schema.json holds."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
