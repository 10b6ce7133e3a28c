"""What `pip install` gives a person who has no checkout: the wheel, built, installed in an empty environment, and used."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak  # builds and installs, which no change of a noun can break
ROOT = Path(__file__).resolve().parents[1]


class Installed:
    """An environment outside the checkout that holds the wheel, and an empty folder to work in."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "elsewhere"
        self.home.mkdir()
        self.environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "OPENALGO", "VIRTUAL_ENV"))
        }
        build = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(folder / "dist"),
            str(ROOT),
        ]
        self._ran(build)
        (self.wheel,) = (folder / "dist").glob("openalgo_runbook-*.whl")
        made = folder / "venv"
        venv.create(made, with_pip=False, symlinks=True)
        self.python = made / "bin" / "python"
        place = next((made / "lib").glob("python3*")) / "site-packages"
        # By that environment's own interpreter: with --prefix, pip would take the checkout out of the environment it runs in.
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            str(self.python),
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
        ]
        self._ran([*pip, "--ignore-installed", str(self.wheel)])
        # The libraries are this environment's, to stay offline. A .pth here adds the folder without reading the .pth files
        # in it, so the editable checkout is not among them; the test below asserts it.
        (place / "libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n", encoding="utf-8")

    def _ran(self, command: list[str], timeout: float = 100) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.home, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        return done

    def runbook(self, *words: str) -> str:
        return self._ran([str(self.python.with_name("runbook")), *words]).stdout

    def says(self, code: str) -> str:
        return self._ran([str(self.python), "-c", code]).stdout.strip()

    @property
    def names(self) -> list[str]:
        with zipfile.ZipFile(self.wheel) as file:
            return file.namelist()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def test_what_is_imported_is_the_wheels_and_not_the_checkouts(installed: Installed):
    where = Path(installed.says("import runbook; print(runbook.__file__)"))
    assert where.is_relative_to(installed.python.parents[1])
    assert not where.is_relative_to(ROOT)
    assert installed.runbook("--version").startswith("runbook ")


def test_init_writes_a_site_and_computes_its_calendar(installed: Installed):
    said = installed.runbook("init", "my-site")
    desk = installed.home / "my-site"
    shipped = {"config.yaml", "calendar/overlay.yaml"} | {f"jobs/{p.name}" for p in (ROOT / "jobs").glob("*.py")}
    assert shipped <= {p.relative_to(desk).as_posix() for p in desk.rglob("*") if p.is_file()}
    assert (desk / "config.yaml").read_bytes() == (ROOT / "config.yaml").read_bytes()
    assert "known until" in said
    again = installed.runbook("init", "my-site")
    assert "nothing was overwritten" in again


def test_the_plan_over_the_guides_own_days_shows_that_they_are_a_weekend(installed: Installed):
    installed.runbook("init", "planned")
    days = json.loads(
        installed.runbook("--site", "planned", "plan", "--from", "2025-12-26", "--to", "2025-12-30", "--json")
    )
    text = installed.runbook("--site", "planned", "plan", "--from", "2025-12-26", "--to", "2025-12-30")
    assert [d["date"] for d in days] == [f"2025-12-{n}" for n in range(26, 31)]
    for day, weekend in (
        ("2025-12-26", False),
        ("2025-12-27", True),
        ("2025-12-28", True),
        ("2025-12-29", False),
        ("2025-12-30", False),
    ):
        (line,) = [line for line in text.splitlines() if line.startswith(day)]
        assert ("weekend" in line) is weekend, line
        assert ("09:15-15:30" in line) is not weekend, line


def test_the_base_calendar_and_the_migrations_are_inside(installed: Installed):
    names = set(installed.names)
    assert {f"runbook/site/calendar/{p.name}" for p in (ROOT / "calendar").glob("*.yaml")} <= names
    assert {f"runbook/site/jobs/{p.name}" for p in (ROOT / "jobs").glob("*.py")} <= names
    assert "runbook/site/config.yaml" in names
    migrations = (ROOT / "runbook" / "adapters" / "store" / "migrations").rglob("*.py")
    assert {p.relative_to(ROOT).as_posix() for p in migrations} <= names
    assert "runbook/py.typed" in names


def test_nothing_is_inside_that_does_not_belong(installed: Installed):
    """A .py under site/calendar would one day shadow the library's `calendar`; tests and caches are nobody's business."""
    names = installed.names
    assert not [
        n for n in names if n.startswith("runbook/site/calendar/") and not n.endswith((".yaml", ".md", ".json"))
    ]
    assert {n.split("/")[0] for n in names} == {"runbook", next(n for n in names if ".dist-info/" in n).split("/")[0]}
    assert not [
        n for n in names if "tests/" in n or "/test_" in n or "__pycache__" in n or n.endswith((".pyc", ".db", ".log"))
    ]


def test_rehearse_and_simulator_find_all_they_need(installed: Installed):
    """Up to the stage: the whole day is played by test_rehearsal."""
    code = """
from contextlib import ExitStack
from pathlib import Path
from runbook import app
from runbook.rehearsal import Director
from runbook.rehearsal.scenarios import scenario
with ExitStack() as stack:
    director = Director(scenario("clean"), Path("rehearsed"), seed=7, speed=30, debug=False, stack=stack)
    director.daemon.store.close()
from runbook.shipped import shipped_site
print(shipped_site())
"""
    where = Path(installed.says(code))
    assert where.is_relative_to(installed.python.parents[1])
    assert {p.name for p in (installed.home / "rehearsed" / "jobs").glob("*.py")} == {
        p.name for p in (ROOT / "jobs").glob("*.py")
    }
    assert "SCENARIO" in installed.runbook("rehearse", "--help").upper()


def test_the_metadata_names_the_command_and_the_licence(installed: Installed):
    with zipfile.ZipFile(installed.wheel) as file:
        (metadata,) = [n for n in file.namelist() if n.endswith("/METADATA")]
        text = file.read(metadata).decode()
        (points,) = [n for n in file.namelist() if n.endswith("/entry_points.txt")]
        assert "runbook = runbook.cli:main" in file.read(points).decode()
    assert "Name: openalgo-runbook" in text
    assert "License-Expression: MIT" in text
    assert any(n.endswith("licenses/LICENSE") for n in installed.names)
