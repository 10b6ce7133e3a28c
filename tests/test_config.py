"""config.yaml: parsed once into frozen types, every fault at once with its line, and no secret where it can be read."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from runbook import app
from runbook.adapters.files import parse_yaml
from runbook.alert import Severity
from runbook.app.upkeep import backup_folder
from runbook.config import Config, defaults, derived_stream, environment, mask_url, parse
from runbook.errors import ConfigError, FileFaults
from runbook.fault import Fault
from runbook.job import IfLate, OnAbandoned, Retries
from runbook.trigger import Anchor, At, Every

ROOT = Path(__file__).resolve().parents[1]
ENV = {"OPENALGO_API_KEY": "key-of-the-desk-0123456789", "PHONE": "tgram://123456789:token-of-the-phone/42"}
MINIMAL = """\
version: 1
exchange: NFO
mode: local_paper
openalgo:
  url: http://127.0.0.1:5000
  api_key: ${OPENALGO_API_KEY}
symbols: [NIFTY, "NIFTY:fut"]
notify:
  phone: ${PHONE}
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    return tmp_path


def read(text: str, site: Path, env: Mapping[str, str] = ENV) -> Config:
    """The configuration as a command reads it: from a file, faults of YAML included."""
    file = site / "config.yaml"
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return app.load_config(site, env)


def faults(text: str, site: Path, env: Mapping[str, str] = ENV) -> dict[str, Fault]:
    with pytest.raises(ConfigError) as caught:
        read(text, site, env)
    found = {fault.path: fault for fault in caught.value.faults}
    assert len(found) == len(caught.value.faults), caught.value
    return found


def fault(addition: str, site: Path, path: str) -> Fault:
    return faults(MINIMAL + addition, site)[path]


ASKED = "ask: {question: Really?, choices: [go, stay], default: stay, deadline: open-5m}"


def jobs(*entries: str) -> str:
    return "jobs:\n" + "".join(f"  - {entry}\n" for entry in entries)


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


# -- what is right ------------------------------------------------------------------------------------------------------


def test_a_working_file_for_one_desk_is_at_most_fifteen_lines(site):
    config = read(MINIMAL, site)
    assert len(MINIMAL.splitlines()) <= 15
    assert config.secrets.missing == ()
    assert config.secrets.api_key == ENV["OPENALGO_API_KEY"]
    assert config.secrets.channels == {"phone": ENV["PHONE"]}


def test_the_copies_lie_beside_the_database_unless_said_otherwise(site, monkeypatch):
    monkeypatch.setenv("HOME", "/home/trader")
    assert backup_folder(read(MINIMAL, site)) == (site / "backups").resolve()
    assert backup_folder(read(MINIMAL + "backup: {folder: ../copies}\n", site)) == (site.parent / "copies").resolve()
    assert backup_folder(read(MINIMAL + "backup: {folder: ~/copies}\n", site)) == Path("/home/trader/copies")
    assert backup_folder(read(MINIMAL + "backup: {folder: /srv/copies}\n", site)) == Path("/srv/copies")


def test_the_shipped_jobs_are_there_without_a_word_about_them(site):
    config = read(MINIMAL, site)
    five = ("verify_broker", "start_feed", "check_feed", "reconcile_paper", "report_day")
    assert [job.name for job in config.jobs] == [job["name"] for job in defaults.JOBS]
    verify, feed, check, recon, report = (job for job in config.jobs if job.name in five)
    assert str(verify.trigger) == "open-60m, open-10m"
    assert (verify.repeat_until_ok, verify.severity) == (timedelta(minutes=1), Severity.CRITICAL)
    assert feed.resident
    assert isinstance(check.trigger, Every)
    assert check.trigger.every == timedelta(seconds=30)
    assert check.repeating
    assert str(recon.trigger) == "close+10m"
    assert (report.after, report.catch_up_sessions) == (("reconcile_paper",), 5)
    assert {job.if_late for job in config.jobs} == {IfLate.RUN}
    assert {job.on_abandoned for job in config.jobs} == {OnAbandoned.RERUN}


def test_a_manual_step_is_asked_until_its_deadline_which_is_its_latest_start(site):
    config = read(MINIMAL + jobs("{name: gate, kind: manual, at: [open-45m], " + ASKED + "}"), site)
    gate = config.job("gate")
    assert gate is not None
    assert gate.asks is not None
    assert (gate.run, str(gate.latest_start)) == ("", "open-5m")
    assert (gate.asks.choices, gate.asks.default, gate.asks.verify_after) == (
        ("go", "stay"),
        "stay",
        timedelta(seconds=15),
    )


def test_the_guide_s_manual_steps_are_there_and_speak_of_this_site(site):
    config = read(MINIMAL.replace("openalgo:", "openalgo:\n  unit: algo@1", 1), site)
    assert [ask.name for ask in config.asks] == ["restart_openalgo", "plan_includes_streaming", "broker_login"]
    restart, plan, login = config.asks
    assert "sudo systemctl restart algo@1" in restart.spec.how[1]
    assert not any("UNIT" in text for ask in config.asks for text in ask.spec.how)
    assert {ask.spec.link for ask in config.asks} == {config.dashboard}
    assert (plan.once, login.once) == (True, False)
    assert {(ask.spec.default, ask.spec.verify, str(ask.spec.deadline)) for ask in config.asks} == {
        ("not_done", "verify_broker", "close")
    }
    assert all(ask.spec.contact and ask.spec.how for ask in config.asks)


def test_a_standing_question_is_changed_by_its_name_and_taken_away(site):
    asks = "asks: [{name: broker_login, contact: Ravi, link: 'http://x.in'}, {name: plan_includes_streaming, enabled: false}]\n"
    _restart, login = read(MINIMAL + asks, site).asks
    assert (login.name, login.spec.contact, login.spec.link) == ("broker_login", "Ravi", "http://x.in")
    assert login.spec.how


def test_an_entry_of_the_same_name_changes_only_what_it_says(site):
    text = MINIMAL + jobs("{name: verify_broker, timeout: 45s, alert: {severity: warning, to: [phone]}}")
    job = read(text, site).job("verify_broker")
    shipped = read(MINIMAL, site).job("verify_broker")
    assert job is not None
    assert shipped is not None
    assert (job.timeout, job.severity, job.to) == (45.0, Severity.WARNING, ("phone",))
    assert (job.trigger, job.run, job.deadline) == (shipped.trigger, shipped.run, shipped.deadline)


def test_retries_come_with_a_usual_wait_and_may_end_early(site):
    given = read(MINIMAL + jobs("{name: report_day, retries: {max: 2, until: close+50m}}"), site)
    report = given.job("report_day")
    assert report is not None
    assert report.retries == Retries(2, timedelta(seconds=30), Anchor.parse("close+50m"))


def test_a_new_trigger_replaces_the_old_one_whole(site):
    text = MINIMAL + jobs('{name: check_feed, at: "09:30"}', "{name: start_feed, every: 5m, from: open, until: close}")
    config = read(text, site)
    check, start = config.job("check_feed"), config.job("start_feed")
    assert check is not None
    assert start is not None
    assert isinstance(check.trigger, At)
    assert [a.text for a in check.trigger.anchors] == ["09:30"]
    assert isinstance(start.trigger, Every)


def test_a_job_that_is_not_enabled_is_not_there_and_need_not_exist(site):
    text = MINIMAL + jobs(
        "{name: report_day, enabled: false}", '{name: mine, run: "jobs.gone:x", at: open, enabled: false}'
    )
    config = read(text, site)
    assert config.job("report_day") is None
    assert config.job("mine") is None
    assert len(config.jobs) == len(defaults.JOBS) - 1


def test_a_shipped_question_whose_job_is_switched_off_is_no_fault_of_the_file(site):
    config = read(MINIMAL + jobs("{name: verify_broker, enabled: false}"), site)
    assert config.job("verify_broker") is None
    assert "broker_login" in [ask.name for ask in config.asks]


def test_a_job_of_the_operator_carries_its_settings_to_the_step(site):
    text = MINIMAL + jobs(
        '{name: mine, run: "jobs.check_feed:check", at: [open+1m], with: {limit: 3}, needs: [start_feed]}'
    )
    job = read(text, site).job("mine")
    assert job is not None
    assert job.settings == {"limit": 3}
    assert job.needs == ("start_feed",)


@pytest.mark.parametrize(
    ("url", "stream"),
    [
        ("http://127.0.0.1:5000", "ws://127.0.0.1:8765"),
        ("http://desk.lan", "ws://desk.lan:8765"),
        ("http://[::1]:5000", "ws://[::1]:8765"),
        ("https://algo.example.in", "wss://algo.example.in/ws"),
        ("https://algo.example.in:8443", "wss://algo.example.in:8443/ws"),
        ("https://[::1]:8443", "wss://[::1]:8443/ws"),
    ],
)
def test_the_stream_follows_from_the_url(url, stream, site):
    assert derived_stream(url) == stream
    assert read(MINIMAL.replace("http://127.0.0.1:5000", f"'{url}/'"), site).stream_url == stream


def test_a_stream_and_a_dashboard_that_are_given_win(site):
    text = MINIMAL.replace(
        "openalgo:\n", "openalgo:\n  stream: ws://10.0.0.2:9000\n  dashboard: https://algo.example.in\n"
    )
    config = read(text, site)
    assert (config.stream_url, config.dashboard) == ("ws://10.0.0.2:9000", "https://algo.example.in")
    assert read(MINIMAL, site).dashboard == "http://127.0.0.1:5000"


def test_the_database_lies_beside_the_file_unless_it_is_absolute(site):
    assert read(MINIMAL, site).database_path == (site / "runbook.db").resolve()
    assert read(MINIMAL + "database: sqlite:////srv/desk/a.db\n", site).database_path == Path("/srv/desk/a.db")


@pytest.mark.parametrize(("mode", "gateway"), [("local_paper", "live"), ("analyzer", "analyze"), ("live", "live")])
def test_each_mode_says_where_the_switch_must_stand(mode, gateway, site):
    assert read(MINIMAL.replace("local_paper", mode), site).settings.mode.gateway == gateway


def test_what_is_allowed_but_should_be_known_is_noted(site):
    bare = MINIMAL.split("notify:", maxsplit=1)[0]
    notes = " ".join(read(bare.replace("NFO", "NSE", 1) + "bot: {unit: bot.service}\n", site).notes)
    assert all(word in notes for word in ("nobody will be told", "cannot be reconciled", "cash"))
    quiet = read(MINIMAL + "bot: {trades: ~/trades_*.csv}\n", site)
    assert quiet.notes == ()
    assert quiet.settings.bot.trades is not None
    assert quiet.settings.bot.trades.format == "csv"


def test_the_hash_is_stable_and_moves_with_the_file_but_not_with_a_key(site):
    first = read(MINIMAL, site)
    assert re.fullmatch(r"[0-9a-f]{12}", first.hash)
    assert read(MINIMAL + "# a remark\n", site).hash == first.hash
    assert read(MINIMAL, site, ENV | {"OPENALGO_API_KEY": "a-new-key-of-the-desk"}).hash == first.hash
    assert read(MINIMAL + "rest: {max_per_hour: 1000}\n", site).hash != first.hash
    assert read(MINIMAL + jobs("{name: check_feed, timeout: 9s}"), site).hash != first.hash


# -- all faults at once --------------------------------------------------------------------------------------------------

EVERYTHING = """\
version: 2
exchange: nfo
mode: paper
openalgo:
  url: 127.0.0.1:5000
  api_kee: ${OPENALGO_API_KEY}
symbols: [NIFTY, SBIN]
bot: {trades: {files: x.csv, zone: Asia/Calcuta}}
notify:
  phone: tgram://x/y
  mail: {url: a, url_file: b}
rest: {max_per_hour: many}
feed: {warn_after: 90, fallback_after: 60s}
database: postgresql://x
jobs:
  - name: verify_broker
    tiemout: 20s
  - name: check_feed
    every: 30
  - name: report_day
    latest_start: close+5m
    needs: [reconcile_papr]
    alert: {to: [phon]}
  - name: mine
    run: jobs.no_such_file:check
    at: opens-5m
  - name: mine
    run: jobs.check_feed:chekc
    at: open
    every: 30s
    from: open
    until: close
  - name: Bad Name
    run: check_feed
    every: 30s
    after: [nobody]
  - name: early
    run: jobs.check_feed:check
    at: 930
  - name: backwards
    run: jobs.check_feed:check
    every: 30s
    from: close
    until: close-1m
"""


def test_all_faults_are_told_at_once_each_with_its_place(site):
    found = faults(EVERYTHING, site)
    places = {
        "version": "version: 2", "exchange": "exchange: nfo", "mode": "mode: paper", "openalgo.url": "url: 127",
        "openalgo.api_kee": "api_kee", "symbols[1]": "symbols", "bot.trades.zone": "Calcuta", "notify.mail": "mail:",
        "rest.max_per_hour": "many", "feed.warn_after": "warn_after", "database": "postgresql",
        "jobs[0].tiemout": "tiemout", "jobs[1].every": "every: 30", "jobs[2].needs": "reconcile_papr",
        "jobs[2].alert.to": "[phon]", "jobs[3].run": "no_such_file", "jobs[3].at": "opens-5m",
        "jobs[4].run": "chekc", "jobs[5].name": "Bad Name", "jobs[5].run": "run: check_feed",
        "jobs[5].after": "nobody", "jobs[6].at": "at: 930",
    }  # fmt: skip
    assert places.keys() <= found.keys(), sorted(places.keys() - found.keys())
    assert {path: found[path].line for path in places} == {p: line_of(EVERYTHING, part) for p, part in places.items()}
    assert found["jobs[4].name"].line == line_of(EVERYTHING, "  - name: mine") + 3
    whole = {p.removesuffix(".name"): f for p, f in found.items() if p in ("jobs[2]", "jobs[4]", "jobs[7]")}
    assert "not before" in whole["jobs[2]"].found
    assert "not once when it runs" in whole["jobs[4]"].found
    assert "close is not before close-1m" in whole["jobs[7]"].found
    assert all(f.found and f.accepted and f.where == "config.yaml" and f.line for f in found.values()), found


def test_the_faults_stand_in_the_order_of_the_file(site):
    lines = [f.line or 0 for f in faults(EVERYTHING, site).values()]
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("addition", "path", "found", "accepted"),
    [
        ("sybols: []\n", "sybols", "unknown key 'sybols'", "did you mean symbols? "),
        ("rest: {max_per_hour: 10}\n", "rest.max_per_hour", "found 10 (a number)", "60 to 100000"),
        ("feed: {poll_every: 0s}\n", "feed.poll_every", "'0s' is no time at all", "more than nothing"),
        ('feed: {relay: "ws://127.0.0.1:0"}\n', "feed.relay", "names no port", "a port from 1"),
        ('feed: {relay: "ws://127.0.0.1:8766/x"}\n', "feed.relay", "no address to listen on", "without a path"),
        ('feed: {relay: "wss://127.0.0.1:8766"}\n', "feed.relay", "no address to listen on", "ws://HOST:PORT"),
        ('feed: {relay: "ws://me:pw@127.0.0.1:8766"}\n', "feed.relay", "with a user in it", "ws://HOST:PORT"),
        ('feed: {relay: "ws://localhost:8765"}\n', "feed.relay", "OpenAlgo's own stream", "another port"),
        ('feed: {relay: "ws://0.0.0.0:8766"}\n', "feed", "can be reached from other hosts", "relay_public: true"),
        ('feed: {relay: "ws://desk.example:8766"}\n', "feed", "can be reached from other hosts", "relay_public: true"),
        ("alerts: {escalate: [[phone], [male]]}\n", "alerts.escalate[1]", "no channel 'male'", "phone"),
        ("alerts: {escalate: [phone, phone]}\n", "alerts", "names 'phone' twice", "each channel once"),
        ("alerts: {escalate: [[phone], []]}\n", "alerts", "a level without a channel", "channels of `notify:`"),
        ("alerts: {escalate: phone}\n", "alerts.escalate", "'phone'", "a list of levels"),
        ("alerts: {after: 0s}\n", "alerts.after", "'0s' is no time at all", "more than nothing"),
        ("alerts: {quiet: always}\n", "alerts.quiet", "'always'", "sessions"),
        ("alerts: {arround: 1h}\n", "alerts.arround", "unknown key", "did you mean around?"),
        ("feed: {warn_after: 60}\n", "feed.warn_after", "60 has no unit", "a number with h, m, s or ms"),
        (jobs("{name: check_fed}"), "jobs[0].run", "the key is missing", ""),
        (jobs("{name: check_feed, timeout: soon}"), "jobs[0].timeout", "'soon' is no duration", "h, m, s"),
        (jobs("{name: check_feed, needs: [check_feed]}"), "jobs[0].needs", "no job 'check_feed'", "verify_broker"),
        (jobs("{name: start_feed, after: [verify_brokr]}"), "jobs[0].after", "verify_brokr", "did you mean verify_broker?"),
        (jobs("{name: check_feed, alert: {to: [fone]}}"), "jobs[0].alert.to", "no channel 'fone'", "phone"),
        (jobs("{name: verify_broker, repeat_until_ok: 100ms}"), "jobs[0]", "too often", "at least 1s"),
        (jobs("{name: check_feed, every: 500ms, from: open, until: close}"), "jobs[0]", "too often", "at least 1s"),
        (jobs("{name: check_feed, every: 30s}"), "jobs[0]", "every needs from and until", "both"),
        (jobs("{name: check_feed, at: open, from: open}"), "jobs[0]", "go with every", "together"),
        (jobs("{name: check_feed, at: []}"), "jobs[0].at", "no anchor", "at least one"),
        (jobs("{name: report_day, latest_start: close+30m}"), "jobs[0]", "is not before", "latest_start after"),
        (jobs("{name: check_feed, timeout: 31s}"), "jobs[0]", "timeout 31s is longer than every 30s", "before the next"),
        (jobs("{name: check_feed, retries: {max: 1}}"), "jobs[0]", "no retries", "runs at an anchor"),
        (jobs("{name: verify_broker, retries: {max: 1}}"), "jobs[0]", "tries again already", "runs at an anchor"),
        (jobs("{name: report_day, acts: true, retries: {max: 1}}"), "jobs[0]", "what acts", "only looks"),
        (jobs("{name: report_day, retries: {max: 0}}"), "jobs[0].retries.max", "found 0", "1 to 10"),
        (jobs("{name: report_day, latest_start: close+35m, retries: {max: 3, backoff: 1m}}"), "jobs[0]",
         "4 attempts of 1m and the waits between them need 11m, and from close+30m to latest_start close+35m there are 5m",
         "less retries"),
        (jobs("{name: report_day, retries: {max: 1, until: close+31m}}"), "jobs[0]", "to retries.until close+31m there are 1m", "less"),
        (jobs("{name: start_feed, latest_start: close-15m, repeat_until_ok: null, timeout: 10m, retries: {max: 5}}"), "jobs[0]",
         "from open-15m to latest_start close-15m there are 1h", "less retries"),
        (jobs("{name: report_day, timeout: 31m}"), "jobs[0]", "to the deadline close+60m there are 30m", "a deadline that"),
        (jobs("{name: report_day, if_late: wait}"), "jobs[0].if_late", "'wait'", "'run', 'skip' or 'ask'"),
        (jobs("just text"), "jobs[5]", "'just text'", ""),
        ("jobs: {name: x}\n", "jobs", "(a mapping)", "tuple"),
        ("database: sqlite:///\n", "database", "no file of SQLite", "a path"),
        ("database: postgresql+psycopg://desk/runbook\n", "database", "no file of SQLite", "sqlite:///"),
        ("backup: {keep: 0}\n", "backup.keep", "found 0 (a number)", "1 to 1000 daily copies"),
        ("backup: {folder: ''}\n", "backup.folder", "'' is no folder", "relative to the database or absolute"),
        ("backup: {folder: 7}\n", "backup.folder", "7 is no folder", "relative to the database or absolute"),
        ("backup: {every: 1h}\n", "backup.every", "unknown key 'every'", ""),
        ("retention: {repeats_sessions: 9}\n", "retention.repeats_sessions", "found 9 (a number)", "10 to 5000 sessions"),
        ("retention: {repeat_sessions: 30}\n", "retention.repeat_sessions", "unknown key", "did you mean repeats_sessions? "),
    ],
)  # fmt: skip
def test_each_fault_says_what_was_found_and_what_is_accepted(addition, path, found, accepted, site):
    one = fault(addition, site, path if path != "jobs[5]" else "jobs[0]")
    assert found in one.found, one
    assert accepted in one.accepted, one
    assert one.line is not None
    assert one.line > len(MINIMAL.splitlines())


def test_without_a_word_every_channel_is_told_at_once_and_the_quiet_hours_follow_the_sessions(site):
    policy = read(MINIMAL, site).alert_policy
    assert (policy.levels, policy.quiet, policy.remote) == ((), True, False)
    assert (policy.after, policy.undelivered, policy.around) == (
        timedelta(minutes=5), timedelta(seconds=60), timedelta(minutes=60),
    )  # fmt: skip


def test_the_order_of_the_channels_may_be_written_short_or_in_levels(site):
    text = MINIMAL.replace("http://127.0.0.1:5000", "https://algo.example.in") + "  mail: ${PHONE}\n"
    for given in ("[phone, mail]", "[[phone], [mail]]"):
        policy = read(text + f"alerts: {{escalate: {given}, after: 3m, quiet: never}}\n", site).alert_policy
        assert (policy.levels, policy.after) == ((("phone",), ("mail",)), timedelta(minutes=3))
        assert (policy.quiet, policy.remote) == (False, True)


@pytest.mark.parametrize("address", ["ws://127.0.0.1:8766", "ws://[::1]:8766", "ws://localhost:8766/"])
def test_a_relay_that_only_this_host_can_reach_needs_no_more_words(address, site):
    config = read(MINIMAL + f'feed: {{relay: "{address}"}}\n', site)
    assert config.settings.feed.relay == address.rstrip("/")
    assert not [note for note in config.notes if "relay" in note]
    assert app.policy_of(config).bot_served


def test_a_relay_for_other_hosts_must_be_meant_and_is_warned_of(site):
    config = read(MINIMAL + 'feed: {relay: "ws://0.0.0.0:8766", relay_public: true}\n', site)
    assert [note for note in config.notes if "travel in clear" in note]


@pytest.mark.parametrize(
    "url", ["127.0.0.1:5000", "ftp://host", "http://", "http://host:99999", "http://host:x", "http://[::1", "5000"]
)
def test_what_is_no_address_is_refused_with_an_example(url, site):
    one = faults(MINIMAL.replace("http://127.0.0.1:5000", f'"{url}"'), site)["openalgo.url"]
    assert (one.accepted, one.example) == (
        "an address that begins with http:// or https://",
        "http://127.0.0.1:5000",
    )


def test_a_password_in_an_address_is_refused_and_not_repeated(site):
    one = faults(MINIMAL.replace("127.0.0.1:5000", "me:hunter22@127.0.0.1"), site)["openalgo.url"]
    assert "a user or a password" in one.found
    assert "hunter22" not in str(one)


def test_a_clock_time_without_quotes_is_read_as_one_or_refused_with_a_word_about_quotes(site):
    job = read(MINIMAL + jobs("{name: report_day, at: 16:30}"), site).job("report_day")
    assert job is not None
    assert str(job.trigger) == "16:30"
    assert "quoted" in fault(jobs("{name: report_day, at: 1630}"), site, "jobs[0].at").accepted


def test_a_fault_of_a_shipped_job_is_named_after_it(site):
    (site / "jobs" / "report_day.py").write_text("def other(ctx):\n    return None\n")
    one = faults(MINIMAL, site)["jobs[report_day].run"]
    assert "report_day.py has no function report" in one.found


def test_a_site_from_before_a_step_was_shipped_has_it_all_the_same(site):
    (site / "jobs" / "report_day.py").unlink()
    parsed = parse(parse_yaml(MINIMAL, "config.yaml"), site, ENV)
    assert parsed.job("report_day") is not None


def test_a_job_file_that_raises_at_import_is_a_named_fault(site):
    for how, shown in (
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
    ):
        (site / "jobs" / "report_day.py").write_text(how)
        one = faults(MINIMAL, site)["jobs[report_day].run"]
        assert shown in one.found


def test_a_file_that_is_no_yaml_is_one_fault_with_line_and_column(site):
    (one,) = faults("version: 1\nmode: [live\n", site).values()
    assert one.line in (2, 3)
    assert "no YAML" in one.found


def test_a_key_given_twice_hides_no_other_fault(site):
    found = faults(MINIMAL + "mode: live\nrest: {max_per_hour: 1}\n", site)
    assert found["mode"].line == len(MINIMAL.splitlines()) + 1
    assert "second time" in found["mode"].found
    assert "1 (a number)" in found["rest.max_per_hour"].found


def test_a_list_where_the_file_should_be_a_mapping_is_refused(site):
    with pytest.raises(FileFaults, match="a list at the top"):
        read("- 1\n", site)


def test_a_folder_without_a_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError) as caught:
        app.load_config(tmp_path)
    assert "there is no config.yaml here" in str(caught.value)
    assert "runbook init" in (caught.value.hint or "")


def test_an_empty_file_lists_every_key_it_must_have(site):
    assert {"version", "mode", "openalgo", "symbols"} <= faults("", site).keys()


def test_a_fault_quotes_the_file_and_never_the_environment(site):
    text = MINIMAL + jobs("{name: check_feed, timeout: '${TOKEN}'}") + "rest: {max_per_hour: '${TOKEN}'}\n"
    found = faults(text, site, ENV | {"TOKEN": "s3cr3t-value"})
    assert "${TOKEN}" in found["rest.max_per_hour"].found
    assert "s3cr3t" not in found["rest.max_per_hour"].found


# -- secrets ------------------------------------------------------------------------------------------------------------


def test_a_missing_secret_is_listed_not_raised(site):
    text = (
        MINIMAL.replace("${PHONE}", "${PHONE:?ask the office for the bot}") + "  mail: mailto://me:${PASSWORD}@x.org\n"
    )
    config = read(text, site, {})
    told = {f.path: f for f in config.secrets.missing}
    assert told.keys() == {"openalgo.api_key", "notify.phone", "notify.mail"}
    assert told["openalgo.api_key"].found == "missing secret: environment variable OPENALGO_API_KEY is not set"
    assert told["openalgo.api_key"].line == line_of(text, "api_key")
    assert told["notify.phone"].found == "missing secret: ask the office for the bot"
    assert told["notify.mail"].example == "export PASSWORD=..."
    assert config.secrets.api_key is None
    assert config.secrets.channels == {}
    with pytest.raises(ConfigError) as caught:
        app.need_secrets(config)
    assert len(caught.value.faults) == 3
    app.need_secrets(read(MINIMAL, site))


def test_an_empty_variable_is_as_good_as_none(site):
    assert read(MINIMAL, site, ENV | {"PHONE": ""}).secrets.missing[0].path == "notify.phone"


def test_a_file_without_a_key_at_all_misses_one(site):
    config = read(MINIMAL.replace("  api_key: ${OPENALGO_API_KEY}\n", ""), site)
    assert [f.found for f in config.secrets.missing] == ["missing secret: no api_key"]


def test_a_value_that_is_wrong_only_because_its_variable_is_not_set_says_so(site):
    one = faults(MINIMAL.replace("http://127.0.0.1:5000", "${URL}"), site)["openalgo.url"]
    assert one.found == "missing secret: environment variable URL is not set"


def test_two_dollars_are_one(site):
    config = read(MINIMAL.replace("${OPENALGO_API_KEY}", "a$$b$${c}"), site)
    assert config.secrets.api_key == "a$b${c}"
    assert config.secrets.missing == ()


def with_file(text: str) -> str:
    return text.replace("api_key: ${OPENALGO_API_KEY}", "api_key_file: secrets/key").replace(
        "phone: ${PHONE}", "phone: {url_file: secrets/phone}"
    )


def test_a_secret_in_a_file_is_read_from_the_site_or_from_home(site, monkeypatch):
    (site / "secrets").mkdir()
    for name, text in (("key", "the-key-in-a-file\n"), ("phone", "tgram://1:2/3")):
        (site / "secrets" / name).write_text(text)
        (site / "secrets" / name).chmod(0o600)
    config = read(with_file(MINIMAL), site)
    assert (config.secrets.api_key, config.secrets.channels) == ("the-key-in-a-file", {"phone": "tgram://1:2/3"})
    monkeypatch.setenv("HOME", str(site))
    home = read(with_file(MINIMAL).replace("secrets/key", "~/secrets/key"), site)
    assert home.secrets.api_key == "the-key-in-a-file"


def test_a_secret_file_that_everyone_can_read_is_refused(site):
    (site / "secrets").mkdir()
    for name in ("key", "phone"):
        (site / "secrets" / name).write_text("the-key-in-a-file")
        (site / "secrets" / name).chmod(0o644)
    found = faults(with_file(MINIMAL), site)
    assert found.keys() == {"openalgo.api_key_file", "notify.phone.url_file"}
    one = found["openalgo.api_key_file"]
    assert "can be read by everyone" in one.found
    assert one.example == "chmod 600 secrets/key"


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"", "one line"), (b"one\ntwo\n", "one line"), (b"\xff\xfe", "not UTF-8")],
)
def test_a_secret_file_without_one_secret_in_it_is_listed_as_missing(content, why, site):
    if content is not None:
        (site / "key").write_bytes(content)
        (site / "key").chmod(0o600)
    config = read(
        with_file(MINIMAL).replace("secrets/key", "key").replace("{url_file: secrets/phone}", "json://x"), site
    )
    (one,) = config.secrets.missing
    assert why in one.found
    assert one.path == "openalgo.api_key_file"
    assert config.secrets.api_key is None


def test_a_key_and_a_file_of_it_are_one_too_many(site):
    (site / "key").write_text("k")
    (site / "key").chmod(0o600)
    one = faults(MINIMAL.replace("  api_key:", "  api_key_file: key\n  api_key:"), site)["openalgo.api_key_file"]
    assert one.accepted == "one of them"


def test_a_literal_secret_in_a_file_that_everyone_can_read_is_refused(site):
    text = MINIMAL.replace("${OPENALGO_API_KEY}", "literal-key-0123456789").replace("${PHONE}", "json://u:pw@host")
    assert read(text, site).secrets.missing == ()  # mode 600: the operator's own affair
    (site / "config.yaml").chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        app.load_config(site, ENV)
    assert {f.path for f in caught.value.faults} == {"openalgo.api_key", "notify.phone"}
    assert "literal-key" not in str(caught.value)
    assert {f.line for f in caught.value.faults} == {line_of(text, "api_key"), line_of(text, "phone")}


def test_nothing_that_is_shown_or_kept_holds_a_secret(site):
    text = MINIMAL.replace("http://", "https://", 1) + "  mail: mailto://me:pa55word@example.org\n"
    text += jobs('{name: mine, run: "jobs.check_feed:check", at: open, with: {hook: {token: ["${HOOK}"]}, plain: 1}}')
    config = read(text, site, ENV | {"HOOK": "token-of-the-hook"})
    job = config.job("mine")
    assert job is not None
    assert job.settings == {"hook": {"token": ["token-of-the-hook"]}, "plain": 1}
    merged = config.merged()
    assert merged["openalgo"]["api_key"] == "***"
    assert merged["openalgo"]["stream"] == "wss://127.0.0.1:5000/ws"
    assert merged["notify"] == {"phone": "tgram://***", "mail": "mailto://***"}
    assert [j["with"] for j in merged["jobs"] if j["name"] == "mine"] == [{"hook": {"token": ["***"]}, "plain": 1}]
    for shown in (repr(config), str(merged), repr(config.settings)):
        assert not [s for s in ("desk-0123456789", "token-of-the", "pa55word") if s in shown]


def test_the_redactor_is_told_every_secret_and_the_telling_parts_of_urls(site):
    text = MINIMAL + "  mail: mailto://me:pa55word9@example.org\n"
    text += jobs('{name: check_feed, with: {token: "${HOOK}"}}')
    told = set(read(text, site, ENV | {"HOOK": "token-of-the-hook"}).secrets.values())
    assert {ENV["OPENALGO_API_KEY"], ENV["PHONE"], "pa55word9", "token-of-the-hook"} <= told
    assert "42" not in told
    odd = read(MINIMAL, site, ENV | {"PHONE": "json://[half-an-address"})
    assert "json://[half-an-address" in set(odd.secrets.values())


@pytest.mark.parametrize(("url", "masked"), [("tgram://1:2/3", "tgram://***"), ("", "not set"), ("word", "not set")])
def test_a_masked_channel_shows_its_kind_alone(url, masked):
    assert mask_url(url) == masked


def test_the_shipped_jobs_are_plain_data_that_nobody_changes(site):
    before = repr(defaults.JOBS)
    read(MINIMAL + jobs("{name: check_feed, timeout: 9s}"), site)
    assert repr(defaults.JOBS) == before


def test_a_document_can_be_parsed_without_a_file(site):
    config = parse(parse_yaml(MINIMAL, "here"), site, {})
    assert {f.where for f in config.secrets.missing} == {"here"}


def test_the_process_environment_is_read_in_one_place(monkeypatch):
    monkeypatch.setenv("RUNBOOK_TEST_ENVIRONMENT", "yes")
    assert environment()["RUNBOOK_TEST_ENVIRONMENT"] == "yes"


# -- who watches the watcher --------------------------------------------------------------------------------------------

PING = "https://hc.example/3b6d2c1e-secret-of-the-check"
WATCHED = "watch:\n  ping: ${PING}\n  milestones: {url_file: day}\n"


def test_the_addresses_of_a_dead_mans_switch_are_secrets_like_a_channels(site):
    (site / "day").touch(mode=0o600)
    (site / "day").write_text(PING.replace("3b6d", "4c7e") + "\n", encoding="utf-8")
    config = read(MINIMAL + WATCHED, site, ENV | {"PING": PING})
    assert config.secrets.pings == {"ping": PING, "milestones": PING.replace("3b6d", "4c7e")}
    assert config.merged()["watch"] == {"ping": "https://***", "milestones": "https://***"}
    assert "secret-of-the-check" not in repr(config) + str(config.merged()) + str(config.settings)
    assert PING in set(config.secrets.values())
    assert PING.rsplit("/", 1)[1] in set(config.secrets.values())


def test_a_ping_url_that_is_not_in_the_environment_is_a_missing_secret_and_no_fault(site):
    config = read(MINIMAL + "watch: {ping: '${PING}'}\n", site)
    assert [f.path for f in config.secrets.missing] == ["watch.ping"]
    assert config.secrets.pings == {}
    assert config.merged()["watch"]["ping"] == "not set"


@pytest.mark.parametrize(
    "url", ["hc.example/secret-of-the-check", "ftp://x/secret-of", "https://", "http://h:0/secret"]
)
def test_what_cannot_be_pinged_is_a_fault_that_does_not_quote_it(site, url):
    found = faults(MINIMAL + "watch: {ping: '${PING}'}\n", site, ENV | {"PING": url})["watch.ping"]
    assert "no ping URL" in found.found
    assert "https://hc-ping.com/" in found.example
    assert "secret" not in str(found)


def test_a_ping_url_in_a_file_that_all_can_read_is_refused(site):
    (site / "config.yaml").write_text(MINIMAL + f"watch: {{ping: '{PING}'}}\n", encoding="utf-8")
    (site / "config.yaml").chmod(0o644)
    with pytest.raises(ConfigError) as caught:
        app.load_config(site, ENV)
    assert [f.path for f in caught.value.faults] == ["watch.ping"]
    assert "secret-of-the-check" not in str(caught.value)


def test_the_watch_names_channels_that_exist(site):
    found = fault("watch: {to: [phnoe]}\n", site, "watch.to")
    assert "'phnoe'" in found.found
    assert "phone" in found.accepted
    assert read(MINIMAL + "watch: {to: [phone]}\n", site).settings.watch.to == ("phone",)
