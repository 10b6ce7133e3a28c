"""`runbook service print`: what the units say, that systemd understands them, and how much they leave open."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from runbook import service
from runbook.cli import main
from runbook.service import Place

PLACE = Place(Path("/srv/desk"), Path("/srv/desk/runbook.db"), Path("/opt/runbook/bin/python"), "trader")
ROOT = Path(__file__).resolve().parents[1]
CONFIG = """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:5000", api_key: "${OPENALGO_API_KEY}", unit: openalgo-desk}
symbols: [NIFTY]
notify: {phone: {url_file: "${CREDENTIALS_DIRECTORY}/phone"}}   # ${NOT_THIS}
watch: {ping: "${PING_URL:?from the outside}"}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "my desk"
    shutil.copytree(ROOT / "jobs", folder / "jobs")
    (folder / "config.yaml").write_text(CONFIG, encoding="utf-8")
    return folder


def settings(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def test_the_daemon_s_unit_is_of_type_notify_with_a_watchdog_and_is_restarted():
    text = service.daemon(PLACE)
    for name, value in {
        "Type": "notify", "WatchdogSec": "60", "Restart": "on-failure", "RestartForceExitStatus": "70",
        "RestartPreventExitStatus": "2", "User": "trader", "NoNewPrivileges": "yes", "ProtectSystem": "strict",
        "ExecReload": "/bin/kill -HUP $MAINPID", "CapabilityBoundingSet": "", "LimitCORE": "0",
    }.items():  # fmt: skip
        assert settings(text, name) == [value], name
    assert settings(text, "ExecStart") == ["/opt/runbook/bin/python -P -m runbook --site /srv/desk serve"]


def test_only_the_site_and_the_databases_folder_can_be_written_to_and_never_the_code():
    assert settings(service.daemon(PLACE), "ReadWritePaths") == ["/srv/desk"]
    apart = replace(PLACE, database=Path("/var/lib/runbook/runbook.db"))
    assert settings(service.daemon(apart), "ReadWritePaths") == ["/srv/desk", "/var/lib/runbook"]
    assert settings(service.daemon(apart), "ReadOnlyPaths") == ["-/srv/desk/config.yaml", "-/srv/desk/jobs"]


@pytest.mark.parametrize(
    ("changed", "home", "temporary"),
    [
        ({}, "yes", "yes"),
        ({"site": Path("/home/trader/desk")}, "read-only", "yes"),
        ({"python": Path("/root/venv/bin/python")}, "read-only", "yes"),
        ({"reads": (Path("/home/trader/OA/journal/trades_*.csv"),)}, "read-only", "yes"),
        ({"site": Path("/tmp/desk")}, "yes", "no"),
    ],
)
def test_a_home_is_hidden_unless_something_that_is_needed_lies_there(changed: dict, home: str, temporary: str):
    text = service.daemon(replace(PLACE, **changed))
    assert settings(text, "ProtectHome") == [home]
    assert settings(text, "PrivateTmp") == [temporary]


def test_a_path_with_signs_that_systemd_reads_otherwise_is_one_word():
    text = service.daemon(replace(PLACE, site=Path('/srv/my desk/50%/"$HOME"')))
    assert '"/srv/my desk/50%%/\\"$$HOME\\""' in settings(text, "ExecStart")[0]
    assert settings(text, "WorkingDirectory") == ['/srv/my desk/50%%/"$HOME"']


def test_the_units_hold_no_secret_and_name_where_each_is_to_be_put(site: Path, capsys, monkeypatch):
    monkeypatch.setenv("OPENALGO_API_KEY", "key-of-the-desk-0123456789")
    monkeypatch.setenv("PING_URL", "https://hc.example/secret-of-the-check")
    assert main(["--site", str(site), "service", "print"]) == 0
    text = capsys.readouterr().out
    assert "holds a line NAME=value for each of: OPENALGO_API_KEY PING_URL\n" in text
    assert settings(text, "LoadCredential") == ["phone:/etc/runbook/phone"]
    assert "0123456789" not in text
    assert "secret-of-the-check" not in text
    assert "After=network-online.target openalgo-desk.service" in text


def test_the_rule_names_exactly_the_units_and_only_their_restart():
    text = service.polkit(replace(PLACE, restarts=("openalgo", "bot.service", "openalgo.service")))
    assert '["openalgo.service", "bot.service"]' in text
    assert 'action.lookup("verb") == "restart"' in text
    assert 'subject.user == "trader"' in text
    assert "nothing to allow" in service.polkit(PLACE)


def test_of_commands_only_a_plain_restart_names_a_unit():
    argvs = [
        ["systemctl", "restart", "openalgo"], ["/usr/bin/systemctl", "restart", "bot"], ["systemctl", "stop", "x"],
        ["systemctl", "restart", "--force", "y"], ["echo", "restart", "z"], ["systemctl", "restart", "a", "b"],
    ]  # fmt: skip
    assert service.restarts(argvs) == ("openalgo", "bot")


def test_a_users_unit_asks_for_nothing_that_only_root_can_give():
    text = service.daemon(PLACE, user=True)
    for name in ("User", "ProtectSystem", "ReadWritePaths", "CapabilityBoundingSet", "PrivateDevices"):
        assert settings(text, name) == [], name
    assert settings(text, "WantedBy") == ["default.target"]
    assert settings(text, "NoNewPrivileges") == ["yes"]


def test_the_watch_is_a_timer_whose_news_is_no_failure():
    units = service.watch(PLACE)
    assert settings(units["runbook-watch.service"], "SuccessExitStatus") == ["3"]
    assert settings(units["runbook-watch.service"], "ExecStart")[0].endswith("watch --once")
    assert settings(units["runbook-watch.timer"], "OnUnitActiveSec") == ["60"]


def test_files_are_written_where_they_are_asked_for(site: Path, tmp_path: Path, capsys):
    assert main(["--site", str(site), "service", "print", "--watch", "--polkit", "--into", str(tmp_path / "u")]) == 0
    names = {"runbook.service", "runbook-watch.service", "runbook-watch.timer", "50-runbook.rules"}
    assert {path.name for path in (tmp_path / "u").iterdir()} == names
    assert "enable --now runbook.service runbook-watch.timer" in capsys.readouterr().err


def test_a_rule_for_a_users_unit_is_refused_with_why(site: Path, capsys):
    assert main(["--site", str(site), "service", "print", "--user", "--polkit"]) == 2
    assert "leave --user out" in capsys.readouterr().err


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("user", [False, True])
def test_systemd_finds_no_fault_with_the_units(site: Path, tmp_path: Path, user: bool):
    words = ["--site", str(site), "service", "print", "--watch", "--into", str(tmp_path / "u")]
    assert main([*words, "--user"] if user else words) == 0
    units = [str(path) for path in sorted((tmp_path / "u").iterdir())]
    command = ["systemd-analyze", "verify", *(["--user"] if user else []), *units]
    environment = dict(os.environ) | {"XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_systemd_rates_what_the_daemon_is_left_with_below_two(tmp_path: Path):
    """0 is nothing left, 10 everything; an unconfined service is at 9.6. What remains is the network, which is its work."""
    file = tmp_path / "runbook.service"
    file.write_text(service.daemon(PLACE), encoding="utf-8")
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot rate a file")
    assert done.returncode == 0, done.stdout[-400:]
