"""The walls of the house, read from the imports: nouns decide, doors touch the world, one file joins them."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "runbook"

# Which door may import which library; nobody else may.
DOORS = {
    "alembic": ["adapters/store/"],
    "apprise": ["adapters/notify_child.py"],
    "apscheduler": ["adapters/scheduler.py"],
    "exchange_calendars": ["adapters/exchange_child.py"],
    "fcntl": ["adapters/lock.py", "adapters/relay/client.py"],
    "pandas": ["adapters/exchange_child.py"],
    "pandas_market_calendars": ["adapters/exchange_child.py"],
    "requests": ["adapters/openalgo/", "adapters/paced.py", "adapters/telegram.py", "adapters/heartbeat.py"],
    "urllib3": ["adapters/openalgo/", "adapters/paced.py", "adapters/telegram.py"],
    "ruamel": ["adapters/files/", "simulator/"],
    "sqlalchemy": ["adapters/store/"],
    "sqlite3": ["adapters/store/", "adapters/recorder/", "adapters/botwatch.py"],
    "websocket": ["adapters/ticks/"],
    "starlette": ["simulator/"],
    "uvicorn": ["simulator/"],
    "websockets": ["simulator/", "adapters/relay/"],
}
# The shell asks doors to do things. It may name their types; only app may make one.
SHELL = (
    "almanac.py",
    "engine/",
    "monitor/",
    "people/",
    "vigil.py",
    "teller.py",
    "listener.py",
    "desk.py",
    "probe.py",
    "bot_feed.py",
    "__init__.py",  # the face: it hands `app.open_feed` on, at first use
    "app/",
    "cli/",
    "commands/",
    "rehearsal/",
)
MAY_IMPORT_DOORS = ("app/", "commands/run.py")
LIGHT = {
    "pandas",
    "apscheduler",
    "apprise",
    "requests",
    "alembic",
    "matplotlib",
    "websocket",
    "pandas_market_calendars",
    "numpy",
}


def imports(path: Path, *, types_too: bool = True) -> set[str]:
    """Full names of what a file imports; without those under `if TYPE_CHECKING` on wish."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    if not types_too:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
                skipped |= {id(inner) for part in node.body for inner in ast.walk(part)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def inside(path: Path, places: tuple[str, ...] | list[str]) -> bool:
    name = path.relative_to(PACKAGE).as_posix()
    return any(name == place or (place.endswith("/") and name.startswith(place)) for place in places)


def test_each_library_has_one_door():
    crossed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        for name in imports(path)
        if (top := name.split(".")[0]) in DOORS and not inside(path, DOORS[top])
    ]
    assert not crossed, crossed


def test_nouns_never_see_a_door():
    crossed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        if not inside(path, [*SHELL, "adapters/"])
        for name in imports(path)
        if name.startswith(("runbook.adapters", "runbook.app"))
    ]
    assert not crossed, crossed


def test_only_the_composition_root_makes_doors():
    crossed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        if inside(path, list(SHELL)) and not inside(path, list(MAY_IMPORT_DOORS))
        for name in imports(path, types_too=False)
        if name.startswith("runbook.adapters")
    ]
    assert not crossed, crossed


def test_doors_know_nouns_and_ports_but_not_the_shell():
    shell = {f"runbook.{place.removesuffix('.py').rstrip('/')}" for place in SHELL}
    crossed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files()
        if inside(path, ["adapters/"])
        for name in imports(path)
        if any(name == s or name.startswith(f"{s}.") for s in shell)
    ]
    assert not crossed, crossed


def test_the_engine_never_imports_the_site():
    assert not [p for p in files() for name in imports(p) if name.split(".")[0] == "jobs"]


def test_steps_import_only_the_face():
    crossed = [(p.name, n) for p in (ROOT / "jobs").glob("*.py") for n in imports(p) if not n.startswith("runbook")]
    deep = [
        (p.name, n)
        for p in (ROOT / "jobs").glob("*.py")
        for n in imports(p)
        if n.count(".") > 1 or re.match(r"runbook\.[a-z]", n)
    ]
    assert not crossed
    assert not deep


def test_only_the_clock_reads_the_time():
    reads = re.compile(
        r"\btime\.(time|monotonic|perf_counter)\(|datetime\.(now|utcnow|today)\(|\bdate\.today\(|\btime\.sleep\("
    )
    crossed = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files()
        if path.name != "clock.py"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if reads.search(line)
    ]
    assert not crossed, crossed


def test_the_calendar_folder_holds_data_only():
    assert not list((ROOT / "calendar").rglob("*.py"))


def test_the_calendar_folder_shadows_nothing():
    code = "import calendar, datetime; calendar.monthrange; datetime.datetime.strptime('2026', '%Y')"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "calendar"])
def test_no_file_is_named_for_nothing(name: str):
    assert not list(PACKAGE.rglob(f"{name}.py"))


@pytest.mark.parametrize("module", ["read"])
def test_reading_commands_load_nothing_heavy(module: str):
    """What `status`, `plan`, `report` and `history` import, in a fresh interpreter."""
    code = (
        "import sys, runbook.cli, runbook.app, runbook.adapters.store, runbook.status, runbook.report, runbook.history, runbook.plan;"
        f"import runbook.commands.{module}; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & LIGHT
