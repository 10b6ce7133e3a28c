"""What the documents say that could be false."""

import argparse
import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from runbook.adapters.files import parse_yaml
from runbook.cli.parser import parser
from runbook.config import parse
from runbook.session import INDIA, Day, DayStatus, SessionCalendar
from runbook.shipped import shipped_site

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
JSON = (ROOT / "docs" / "json.md").read_text(encoding="utf-8")


def commands() -> dict[str, argparse.ArgumentParser]:
    action = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def yaml_block() -> str:
    found = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1]


def test_the_configuration_of_the_readme_loads_and_has_two_channels(tmp_path: Path):
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    secrets = {
        "OPENALGO_API_KEY": "0" * 64,
        "TELEGRAM_TOKEN": "1:x",
        "TELEGRAM_CHAT": "2",
        "MAIL_URL": "mailto://a:b@c.d",
    }
    config = parse(parse_yaml(yaml_block(), "README.md"), tmp_path, secrets)
    assert not config.secrets.missing
    assert set(config.secrets.channels) == {"phone", "mail"}


def test_a_working_file_for_one_desk_has_at_most_fifteen_lines():
    assert len([line for line in yaml_block().splitlines() if line.strip()]) <= 15


def test_the_readme_names_only_commands_that_exist_and_all_of_them():
    named = set(re.findall(r"`?runbook ([a-z]+)\b", README)) - {"is", "runs", "says", "warns", "will"}
    assert named <= commands().keys(), named - commands().keys()
    assert not commands().keys() - named, commands().keys() - named


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z]+)$", README, re.MULTILINE)) == {"rehearse", "test"} <= targets


def test_continuous_integration_calls_the_same_make_test():
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


def test_the_readme_says_that_the_guides_own_dates_fall_on_a_weekend():
    assert date(2025, 12, 27).strftime("%A") == "Saturday"
    assert "2025-12-27 Saturday   closed: weekend" in README
    assert "2025-12-28 Sunday     closed: weekend" in README


def test_every_reading_command_offers_json_and_the_keys_are_documented():
    for name in ("plan", "status", "report", "history", "doctor", "config", "notify", "asks"):
        options = {o for a in commands()[name]._actions for o in a.option_strings}
        assert "--json" in options, name
        assert re.search(rf"^## `runbook {name}\b.*--json", JSON, re.MULTILINE), name


def test_the_page_of_the_phone_names_every_command_as_the_help_does_and_its_configuration_loads(tmp_path: Path):
    from runbook.phone import MOST, USAGE

    page = (ROOT / "docs" / "phone.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(/[^`]+)` \| (.+?) \|$", page, re.MULTILINE))
    assert rows == {form: what for form, what, _ in USAGE.values()}
    assert f"more than {MOST} commands a minute" in page
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    top = yaml_block().split("notify:")[0]
    for block in re.findall(r"   ```yaml\n(.*?)   ```", page, re.DOTALL):
        config = parse(
            parse_yaml(top + block.replace("\n   ", "\n").removeprefix("   "), "phone.md"),
            tmp_path,
            {"OPENALGO_API_KEY": "0" * 64},
        )
        assert config.settings.notify["phone"].telegram is not None


def documented(heading: str) -> set[str]:
    section = JSON.split(f"## `runbook {heading}", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"`([a-z_]+)`", section))


@pytest.fixture
def empty() -> SessionCalendar:
    day = date(2026, 11, 22)
    return SessionCalendar("NFO", INDIA, day, {day: Day(day, DayStatus.CLOSED, "weekend")})


def test_the_keys_of_status_and_plan_are_the_documented_ones(empty: SessionCalendar):
    from runbook.plan import plan_days, to_json
    from runbook.status import StatusFacts, status_json

    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    made = status_json(StatusFacts(now, empty, None, None, (), 0, mode="analyzer"))
    assert made.keys() <= documented("status"), made.keys() - documented("status")
    (row,) = to_json(plan_days(empty, (), date(2026, 11, 22), date(2026, 11, 22)), INDIA)
    assert row.keys() <= documented("plan"), row.keys() - documented("plan")


def test_the_keys_of_the_report_are_the_documented_ones(empty: SessionCalendar):
    from runbook.day import DayFacts
    from runbook.report import build, to_json

    facts = DayFacts(empty.day(date(2026, 11, 22)), (), (), (), (), ())
    made = to_json(build(facts, empty, datetime(2026, 11, 22, 6, tzinfo=UTC), (), "analyzer", "x"))
    assert made.keys() <= documented("report"), made.keys() - documented("report")


def test_every_dependency_has_its_line_in_the_architecture():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=\[ ]", d, maxsplit=1)[0].lower() for d in project["dependencies"]}
    text = (ROOT / "ARCHITECTURE.md").read_text().lower()
    assert not {n for n in names if n not in text}


def test_what_the_example_of_the_library_asks_for_exists():
    import ast
    import inspect
    from dataclasses import fields

    from runbook import open_feed
    from runbook.bot_feed import BotFeed
    from runbook.feed.price import Price

    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "feed.md").read_text(encoding="utf-8"), re.DOTALL)
    example = next(block for block in blocks if "open_feed" in block)
    tree = ast.parse(example)
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "open_feed"]
    assert {k.arg for call in calls for k in call.keywords} <= set(inspect.signature(open_feed).parameters)
    asked = {(ast.unparse(n.value), n.attr) for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert {name for of, name in asked if of == "feed"} <= {*dir(BotFeed), "status"}
    assert {name for of, name in asked if of == "price"} <= {field.name for field in fields(Price)}
    assert {("feed", "prices"), ("feed", "price"), ("price", "source")} <= asked


def test_the_shipped_site_is_the_repository(tmp_path: Path):
    assert shipped_site() == ROOT
