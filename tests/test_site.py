"""The site in this repository loads as it stands; its steps come from its own folder and shadow nothing."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from runbook import app
from runbook.config import defaults
from runbook.errors import ConfigError
from runbook.fault import Unfit
from runbook.job import load

ROOT = Path(__file__).resolve().parents[1]

# The form of config.yaml as it was designed, with everything said that can be said.
WHOLE = """\
version: 1
exchange: NFO
mode: local_paper
openalgo:
  url: http://127.0.0.1:5000
  api_key: ${OPENALGO_API_KEY}
symbols: [NIFTY, "NIFTY:fut"]
notify:
  phone: tgram://${TELEGRAM_TOKEN}/${TELEGRAM_CHAT}
  mail: ${MAIL_URL}
database: sqlite:///runbook.db
rest: {max_per_hour: 2000}
feed: {warn_after: 60s, fallback_after: 120s, poll_every: 1.5s, detect: timers}
ticks: {keep_sessions: 60}
backup: {keep: 14, folder: backups}
retention: {repeats_sessions: 30}
bot:
  unit: nifty-bot.service
  log: ~/OA/bot.log
  trades:
    files: ~/OA/journal/trades_*.csv
    format: csv
    zone: Asia/Kolkata
    fields: {id: order_id, symbol: symbol, side: action, quantity: qty, price: fill_price, time: timestamp}
    trust: {time: logged_late}
jobs:
  - name: verify_broker
    run: jobs.verify_broker:verify
    at: [open-60m, open-10m]
    repeat_until_ok: 1m
    latest_start: close-15m
    deadline: open-10m
    timeout: 20s
    needs: []
    with: {}
    alert: {severity: critical, to: [phone, mail]}
"""


def test_the_configuration_of_the_repository_loads_with_a_key():
    config = app.load_config(ROOT, {"OPENALGO_API_KEY": "a-key-0123456789"})
    assert config.secrets.missing == ()
    assert config.secrets.api_key == "a-key-0123456789"
    assert [job.name for job in config.jobs] == [job["name"] for job in defaults.JOBS]
    app.need_secrets(config)


def test_the_configuration_of_the_repository_loads_without_a_key_and_misses_just_that():
    config = app.load_config(ROOT, {})
    assert [f.path for f in config.secrets.missing] == ["openalgo.api_key"]
    assert config.secrets.api_key is None


def test_the_form_that_was_designed_loads(tmp_path):
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    (tmp_path / "config.yaml").write_text(WHOLE)
    env = {"OPENALGO_API_KEY": "k", "TELEGRAM_TOKEN": "1:x", "TELEGRAM_CHAT": "2", "MAIL_URL": "mailto://a:b@c.org"}
    config = app.load_config(tmp_path, env)
    assert config.secrets.channels == {"phone": "tgram://1:x/2", "mail": "mailto://a:b@c.org"}
    trades = config.settings.bot.trades
    assert trades is not None
    assert (trades.fields["price"], trades.trust) == ("fill_price", {"time": "logged_late"})
    job = config.job("verify_broker")
    assert job is not None
    assert job.to == ("phone", "mail")


def test_the_readme_s_lines_that_are_switched_off_load_when_switched_on(tmp_path):
    (tmp_path / "jobs").symlink_to(ROOT / "jobs")
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    lines = [
        line.removeprefix("# ") if line.startswith(("# bot", "# notify", "#   ")) else line
        for line in text.splitlines()
    ]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    config = app.load_config(tmp_path, {})
    assert set(config.settings.notify) == {"phone", "mail"}
    assert config.settings.bot.trades is not None


def test_steps_import_only_the_face():
    names = set()
    for path in (ROOT / "jobs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            if isinstance(node, ast.ImportFrom):
                names.add(str(node.module))
    assert names == {"runbook"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site whose files are named like a package of others and like modules of the standard library."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "one.py").write_text("def step(ctx): return 'of the site'\nseen = []\nnot_a_step = 3\n")
    (tmp_path / "json.py").write_text("def step(ctx): return 'json of the site'\n")
    return tmp_path


def test_the_site_s_file_is_taken_although_another_package_called_jobs_is_importable(site, tmp_path, monkeypatch):
    other = tmp_path / "installed" / "jobs"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("")
    (other / "one.py").write_text("def step(ctx): return 'of the other package'\n")
    monkeypatch.syspath_prepend(str(other.parent))
    monkeypatch.delitem(sys.modules, "jobs", raising=False)
    other_one = importlib.import_module("jobs.one")
    assert other_one.step(None) == "of the other package"
    assert load("jobs.one:step", site)(None) == "of the site"  # type: ignore[arg-type]
    assert sys.modules["jobs.one"] is other_one
    monkeypatch.delitem(sys.modules, "jobs.one")
    monkeypatch.delitem(sys.modules, "jobs")


def test_a_file_named_like_a_library_takes_nothing_s_place(site):
    import json

    assert load("json:step", site)(None) == "json of the site"  # type: ignore[arg-type]
    assert sys.modules["json"] is json
    code = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from runbook.job import load
        load("json:step", Path({str(site)!r}))
        import json
        assert json.loads("[1]") == [1] and {str(site)!r} not in sys.path
    """)
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_two_steps_of_one_file_share_its_state_however_the_site_is_named(site, monkeypatch):
    monkeypatch.chdir(site)
    first, second = load("jobs.one:step", site), load("jobs.one:step", Path())
    assert first is second


def test_another_site_s_file_of_the_same_name_is_another_module(site, tmp_path):
    there = tmp_path / "there"
    (there / "jobs").mkdir(parents=True)
    (there / "jobs" / "one.py").write_text("def step(ctx): return 'there'\n")
    assert load("jobs.one:step", site)(None) == "of the site"  # type: ignore[arg-type]
    assert load("jobs.one:step", there)(None) == "there"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "found", "accepted"),
    [
        ("jobs.one:stepp", "one.py has no function stepp", "step"),
        ("jobs.one:not_a_step", "has no function not_a_step", "step"),
        ("jobs.two:step", "there is no jobs/two.py", "a file of the site"),
        ("jobs.one", "names no step", "folder.file:function"),
        ("../etc.x:step", "names no step", "folder.file:function"),
        ("jobs.one:step()", "names no step", "folder.file:function"),
    ],
)
def test_what_names_no_step_is_refused_with_what_there_is(target, found, accepted, site):
    with pytest.raises(Unfit) as caught:
        load(target, site)
    assert found in str(caught.value)
    assert accepted in caught.value.accepted


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("raise ValueError('no token in the environment')", "ValueError: no token in the environment"),
        ("def step(:", "SyntaxError"),
        ("import no_such_library", "ModuleNotFoundError"),
        ("raise SystemExit(1)", "SystemExit"),
    ],
)
def test_a_job_file_that_does_not_import_is_a_named_fault_and_can_be_mended(code, shown, site):
    (site / "jobs" / "bad.py").write_text(code)
    with pytest.raises(ConfigError) as caught:
        load("jobs.bad:step", site)
    (fault,) = caught.value.faults
    assert (fault.where, fault.path) == ("bad.py", "jobs.bad")
    assert shown in fault.found
    (site / "jobs" / "bad.py").write_text("def step(ctx): return 1\n")
    assert load("jobs.bad:step", site)(None) == 1  # type: ignore[arg-type]
