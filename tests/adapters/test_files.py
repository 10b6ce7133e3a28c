"""YAML files as people break them."""

import os
import subprocess
import sys
from datetime import date

import pytest

from runbook.adapters.files import parse_yaml, read_yaml, shipped_calendar
from runbook.errors import ConfigError, FileFaults


def faults(text: str):
    with pytest.raises(FileFaults) as caught:
        parse_yaml(text, "x.yaml")
    return caught.value.faults


def test_values_are_read_by_the_rules_of_yaml_1_2():
    text = 'close: 15:30\nday: 2026-08-03\non: NO\nn: 010\nquoted: "16:30"\nnone:\nyes: true\n'
    assert parse_yaml(text, "x").data == {
        "close": "15:30", "day": date(2026, 8, 3), "on": "NO", "n": 10, "quoted": "16:30", "none": None, "yes": True,
    }  # fmt: skip


def test_every_part_knows_its_line():
    document = parse_yaml("# head\na:\n  - b: 1\n    c: 2\n  - 7\nd: {e: 1,\n  f: 2}\n", "x")
    lines = [document.line_of(p) for p in [("a",), ("a", 0), ("a", 0, "c"), ("a", 1), ("d", "e"), ("d", "f"), ("z",)]]
    assert lines == [2, 3, 4, 5, 6, 7, 2]  # the last is not there: the line of the mapping


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_an_empty_mapping(text):
    assert not parse_yaml(text, "x").data


def test_every_key_that_stands_twice_is_told_with_both_lines():
    first, second = faults("a: 1\na: 2\nb:\n  c: 1\n  c: 3\n")
    assert str(first) == "x.yaml:2:1: a: a second time here (first on line 1); accepted: once"
    assert (second.line, second.column, second.path) == (5, 3, "b.c")


def test_a_tab_is_told_as_a_tab():
    (fault,) = faults("a:\n\tb: 1\n")
    assert (fault.line, fault.column, fault.found) == (2, 1, "a tab at the start of the line")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\nb: 3\n", 2),
        ("ok: 1\na: b: c\n", 2),
        ("ok: 1\na: @b\n", 2),
        ("a: *nope\n", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ('a: "\\q"\n', 1),
        ("a: \x00\n", 1),
        ("a: " + "[" * 1000, 1),
        ("%YAML 3.0\n---\na: 1\n", 1),
    ],
)
def test_broken_yaml_is_told_with_its_line(text, line):
    (fault,) = faults(text)
    assert fault.line == line
    assert fault.found.startswith("no YAML: ")


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "just text\n", "15\n"])
def test_a_root_that_is_no_mapping_is_refused(text):
    (fault,) = faults(text)
    assert fault.accepted == "`key: value` lines"


@pytest.mark.parametrize(
    "text", ["1: a\n", "2026-01-26: a\n", "? [1]\n: 2\n", "<<: {a: 1}\n", "true: 1\n", "null: 1\n"]
)
def test_a_key_that_is_no_name_is_refused(text):
    (fault,) = faults(text)
    assert "is no name" in fault.found


@pytest.mark.parametrize(
    "text", ["a: !!python/object:os.system x\n", "a: !x {b: 1}\n", "a: !!binary aGk=\n", "a: !!set {x}\n"]
)
def test_a_tag_is_refused_and_constructs_nothing(text):
    (fault,) = faults(text)
    assert fault.found.startswith("the tag ")


def test_a_date_that_does_not_exist_is_text_for_the_reader_to_refuse():
    assert parse_yaml("a: 2026-02-30\n", "x").data == {"a": "2026-02-30"}


def test_what_could_be_read_is_kept_to_look_for_further_faults():
    with pytest.raises(FileFaults) as caught:
        parse_yaml("a: 1\na: 2\nb: 3\n", "x")
    assert caught.value.document
    assert caught.value.document.data == {"a": 1, "b": 3}
    with pytest.raises(FileFaults) as caught:
        parse_yaml("- 1\n", "x")
    assert caught.value.document is None


def test_an_alias_of_itself_is_refused():
    (fault,) = faults("a: &x [*x]\n")
    assert "alias" in fault.found


def test_aliases_that_multiply_are_refused_before_they_fill_the_memory():
    rows = [
        f"{name}: &{name} [{', '.join(['*' + before] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    (fault,) = faults("a: &a [1, 1]\n" + "\n".join(rows) + "\n")
    assert "multiply" in fault.found


def test_an_alias_that_is_used_twice_is_fine():
    assert parse_yaml("a: &x {b: 1}\nc: *x\n", "x").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_file_is_read_with_or_without_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert read_yaml(path).data == {"a": 1, "b": 2}


def file_faults(path, **kw):
    with pytest.raises(ConfigError) as caught:
        read_yaml(path, **kw)
    return caught.value.faults


def test_a_file_that_is_not_utf8_is_told_with_the_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    (fault,) = file_faults(path)
    assert (fault.line, fault.found) == (2, "byte 0xe9 is not UTF-8")


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    assert "No such file" in str(file_faults(tmp_path / "none.yaml")[0])
    assert "directory" in str(file_faults(tmp_path)[0])


def test_a_file_as_large_as_a_log_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"# " + b"x" * 5_000_000)
    assert "4 MiB" in str(file_faults(path)[0])


def test_a_file_is_called_as_the_caller_names_it(tmp_path):
    (tmp_path / "a.yaml").write_text("- 1")
    assert file_faults(tmp_path / "a.yaml", named="calendar/a.yaml")[0].where == "calendar/a.yaml"


def test_the_error_lists_every_fault_on_a_line_of_its_own():
    with pytest.raises(FileFaults) as caught:
        parse_yaml("a: 1\na: 2\nb: 1\nb: 2\n", "x")
    assert len(str(caught.value).splitlines()) == 2


def test_the_shipped_calendar_holds_data_only():
    names = {path.name for path in shipped_calendar().iterdir()}
    assert {"nse.yaml", "nfo.yaml", "README.md"} <= names
    assert all(name.endswith((".yaml", ".md", ".json")) for name in names)


def test_the_door_loads_its_library_only_when_a_file_is_read():
    code = "import sys, runbook.adapters.files; print('ruamel.yaml' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "False"
