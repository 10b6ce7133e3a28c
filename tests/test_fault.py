"""Faults: a line for people, and pydantic's errors turned into such lines."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runbook.fault import Document, Fault, Unfit, dotted, faults_from_validation, nearest, shown
from runbook.trigger import Anchor


def _anchor(value: object) -> Anchor:
    return Anchor.parse(value)


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


AnchorText = Annotated[Anchor, BeforeValidator(_anchor)]
Timed = Annotated[str, BeforeValidator(_anchor)]


class Job(Strict):
    name: str
    at: AnchorText
    since: str = Field("", alias="from")


class Api(Strict):
    url: str = Field("", description="the address of OpenAlgo", examples=["http://127.0.0.1:5000"])
    api_key: int = 0
    channel: int = Field(0, json_schema_extra={"secret": True})


class Site(Strict):
    exchange: str = "NFO"
    jobs: tuple[Job, ...] = ()
    openalgo: Api | None = None
    retries: int | bool = 0
    when: AnchorText | int | list[AnchorText] | Timed = 0
    channels: dict[str, Api] = {}


LINES: dict[tuple[str | int, ...], int] = {
    (): 1, ("exchnage",): 2, ("jobs",): 4, ("jobs", 0): 5, ("jobs", 0, "at"): 6, ("openalgo",): 9, ("openalgo", "url"): 10,
}  # fmt: skip


def faults(data: dict[str, Any]) -> list[Fault]:
    with pytest.raises(ValidationError) as caught:
        Site.model_validate(data)
    return faults_from_validation(caught.value, Document("config.yaml", data, LINES), Site)


def test_a_fault_reads_as_one_line():
    fault = Fault("config.yaml", 12, "jobs[0].at", "found 'opn-45m'", "an anchor", "open-45m")
    assert str(fault) == "config.yaml:12: jobs[0].at: found 'opn-45m'; accepted: an anchor, for example open-45m"


def test_a_fault_without_line_or_path_leaves_them_out():
    assert (
        str(Fault("environment", None, "", "OPENALGO_API_KEY is not set", ""))
        == "environment: OPENALGO_API_KEY is not set"
    )


def test_a_fault_of_the_parser_names_the_column():
    assert str(Fault("c.yaml", 2, "", "a tab", "spaces", column=1)).startswith("c.yaml:2:1: a tab")


def test_an_unfit_value_carries_what_is_accepted():
    assert str(Unfit("x", accepted="y", example="z")) == "x; accepted: y, for example z"


def test_a_path_is_written_as_people_write_it():
    assert dotted(("jobs", 0, "at", 1)) == "jobs[0].at[1]"


def test_a_document_answers_with_the_line_of_the_nearest_parent():
    document = Document("config.yaml", {}, LINES)
    assert document.line_of(("jobs", 0, "at")) == 6
    assert document.line_of(("jobs", 0, "timeout", "x")) == 5
    assert document.line_of(("nowhere",)) == 1
    assert Document("empty", {}).line_of(("a",)) == 1


def test_an_unknown_key_is_told_with_the_nearest_name_and_all_names():
    (fault,) = faults({"exchnage": "NFO"})
    assert (fault.line, fault.path, fault.found) == (2, "exchnage", "unknown key 'exchnage'")
    assert fault.accepted == "did you mean exchange? channels, exchange, jobs, openalgo, retries, when"


def test_an_unknown_key_deep_down_is_told_with_the_names_of_that_place():
    (fault,) = faults({"jobs": [{"name": "a", "at": "open", "form": "x"}]})
    assert fault.path == "jobs[0].form"
    assert fault.accepted == "did you mean from? at, from, name"


def test_an_unknown_key_behind_an_optional_and_in_a_mapping_is_told_too():
    wrong = faults({"openalgo": {"uri": "x"}, "channels": {"phone": {"uri": "x"}}})
    assert [f.accepted for f in wrong] == ["did you mean url? api_key, channel, url"] * 2


def test_all_faults_are_told_in_the_order_of_the_lines():
    wrong = faults({"openalgo": {"url": 5}, "jobs": [{"at": "opn-45m"}], "exchnage": 1})
    assert [(f.line, f.path) for f in wrong] == [
        (2, "exchnage"), (5, "jobs[0].name"), (6, "jobs[0].at"), (10, "openalgo.url"),
    ]  # fmt: skip


def test_a_missing_key_is_told():
    (fault,) = faults({"jobs": [{"at": "open"}]})
    assert (fault.line, fault.path, fault.found) == (5, "jobs[0].name", "the key is missing")


def test_a_validators_own_words_and_example_are_told():
    (fault,) = faults({"jobs": [{"name": "a", "at": "opn-45m"}]})
    assert fault.found == "'opn-45m' is no anchor"
    assert "open or close" in fault.accepted
    assert "open-45m" in fault.example


def test_a_fields_description_and_example_are_what_is_accepted():
    (fault,) = faults({"openalgo": {"url": 5}})
    assert (fault.found, fault.accepted, fault.example) == (
        "found 5 (a number)", "the address of OpenAlgo", "http://127.0.0.1:5000",
    )  # fmt: skip


def test_the_members_of_a_union_make_one_fault():
    (fault,) = faults({"retries": "many"})
    assert fault.path == "retries"
    assert fault.accepted.count("a valid ") == 2
    assert fault.found == "found 'many'"


def test_a_member_of_a_union_with_words_of_its_own_is_told_first_and_once():
    (fault,) = faults({"when": "soon"})
    assert fault.found == "'soon' is no anchor"
    assert fault.accepted.count("open or close") == 1
    assert "a valid integer" in fault.accepted


@pytest.mark.parametrize("key", ["api_key", "channel"])
def test_a_secret_is_never_shown(key):
    (fault,) = faults({"openalgo": {key: "hush-hush"}})
    assert fault.path == f"openalgo.{key}"
    assert "hush" not in str(fault)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (930, "930 (a number)"),
        (True, "true (a truth value)"),
        ("930", "'930'"),
        ([1], "[1] (a list)"),
        ({}, "{} (a mapping)"),
    ],
)
def test_a_found_value_says_its_kind(value, text):
    assert shown(value) == text


def test_a_found_value_stays_short_and_on_one_line():
    assert len(shown("x\n" * 500)) == 60
    assert "\n" not in shown({"a": "b\nc"})


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("xnys", ["XNYS", "NSE"]) == "did you mean XNYS? "
    assert nearest("zebra", ["XNYS", "NSE"]) == ""
