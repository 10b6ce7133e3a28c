"""`runbook serve` and the commands beside it, in real time: processes, signals, sockets, and a sink for the messages.

Two stories run ahead in the background, since most of them is waiting: an incident of the feed, and a daemon that is killed.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from runbook.config.defaults import JOBS
from runbook.day import DayFacts
from runbook.outbox import State as Told
from runbook.run import State
from runbook.simulator import Simulator
from tests.scenarios.days import hold
from tests.scenarios.serving import HANGING_JOB, PASSWORD, QUICK_FEED, TOKEN, Serving, Site, answer, cli, wait_until

STORY = 110.0  # real seconds for one story


@dataclass
class Incident:
    """The feed went mute for a while; then the daemon was told to stop while a step hung."""

    site: Site
    during: DayFacts
    after: DayFacts
    code: int
    took: float
    left: list[int]  # processes that outlived it
    log: str


def incident(folder: Path, stack: ExitStack) -> Incident:
    sim = stack.enter_context(Simulator(seed=3, mode="analyze"))
    site = Site(folder / "incident", sim, extra=QUICK_FEED + HANGING_JOB)
    stack.callback(site.phone.stop)
    serving = site.serve()
    stack.callback(serving.kill)
    serving.ready().feed("LIVE")
    sim.switch("mute")
    wait_until("the fallback is told", lambda: site.heard("feed on REST"), 40)
    during = site.facts()
    sim.clear("mute")
    wait_until("the recovery is told", lambda: site.heard("[OK] feed back"), 60)
    wait_until("nothing waits to be sent", lambda: all(row.final for row in site.facts().messages))
    family = serving.family()
    code, took = serving.end(signal.SIGTERM)
    return Incident(site, during, site.facts(), code, took, [p for p in family if alive(p)], serving.said())


@dataclass
class Restart:
    """The daemon was killed in mid-session and started again; then it was told to stop while a step hung."""

    site: Site
    before: DayFacts
    told_before: list[str]
    after: DayFacts
    told: list[str]
    orphans: list[int]
    code: int
    took: float
    at_end: DayFacts


def restart(folder: Path, stack: ExitStack) -> Restart:
    sim = stack.enter_context(Simulator(seed=4, mode="analyze"))
    site = Site(folder / "restart", sim, extra=HANGING_JOB)
    stack.callback(site.phone.stop)
    first = site.serve()
    stack.callback(first.kill)
    first.ready().feed("LIVE")
    wait_until(
        "READY is told, and all else", lambda: site.heard("READY") and all(row.final for row in site.facts().messages)
    )
    family = first.family()
    before, told_before = site.facts(), list(site.titles)
    first.end(signal.SIGKILL)
    wait_until("its children notice", lambda: not any(alive(p) for p in family), 10)
    orphans = [p for p in family if alive(p)]
    second = site.serve()
    stack.callback(second.kill)
    second.ready()
    wait_until("the feed is watched again", lambda: [str(c.now) for c in site.facts().changes].count("LIVE") == 2, 60)
    wait_until("the restart is told", lambda: site.titles.count(MID_SESSION) > told_before.count(MID_SESSION))
    wait_until("nothing waits to be sent", lambda: all(row.final for row in site.facts().messages))
    after, told = site.facts(), list(site.titles)
    code, took = second.end(signal.SIGINT)
    return Restart(site, before, told_before, after, told, orphans, code, took, site.facts())


MID_SESSION = "[WARN] runbook started in mid-session"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Stories:
    """The two stories and a quiet desk before its open, all under way."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        pool = ThreadPoolExecutor(2)
        stack.callback(pool.shutdown)
        self._incident: Future[Incident] = pool.submit(incident, folder, stack.enter_context(ExitStack()))
        self._restart: Future[Restart] = pool.submit(restart, folder, stack.enter_context(ExitStack()))
        sim = stack.enter_context(Simulator(seed=5, mode="analyze"))
        self.desk = Site(folder / "desk", sim, opens=14)
        stack.callback(self.desk.phone.stop)
        self.serving = self.desk.serve()
        stack.callback(self.serving.kill)
        self.serving.ready()

    @property
    def incident(self) -> Incident:
        return self._incident.result(STORY)

    @property
    def restart(self) -> Restart:
        return self._restart.result(STORY)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stories]:
    with ExitStack() as stack:
        yield Stories(tmp_path_factory.mktemp("serve"), stack)


@pytest.fixture
def desk(stories: Stories) -> Site:
    """A live daemon on a desk whose session opens in an hour or two: nothing is wrong, nothing is missed."""
    return stories.desk


@pytest.fixture
def serving(stories: Stories) -> Serving:
    return stories.serving


# -- beside a live daemon -----------------------------------------------------------------------------------------------


def test_a_second_serve_refuses_and_names_the_holder(desk: Site, serving: Serving):
    done = desk.run("serve")
    assert done.returncode == 1
    assert f"pid {serving.pid}" in done.stderr
    assert "Traceback" not in done.stderr
    assert serving.process.poll() is None, "the first one is not disturbed"


def test_status_is_green_beside_a_live_daemon(desk: Site, serving: Serving):
    done = desk.run("status", "--json")
    assert done.returncode == 0, done.stdout
    said = answer(done)
    assert said["daemon"]["pid"] == serving.pid
    assert said["daemon"]["heartbeat_age"] < 20
    assert desk.run("status").stdout.count("\n") > 5


def test_plan_report_and_history_answer_while_the_daemon_runs(desk: Site):
    plan = answer(desk.run("plan", "--date", str(desk.today), "--json"))
    assert "verify_broker" in str(plan)
    for words in (["report"], ["report", "--format", "md"], ["history"], ["history", "--json"]):
        done = desk.run(*words)
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout.strip(), words


def test_doctor_looks_at_every_hop_beside_a_live_daemon(desk: Site, serving: Serving):
    done = desk.run("doctor", "--json")
    assert done.returncode == 0, done.stdout
    hops = {hop["hop"]: hop for hop in answer(done)["hops"]}
    assert [hops[name]["health"] for name in ("H0", "H1", "H2", "H3", "H4", "H5")] == ["ok"] * 5 + ["not_due"]
    assert f"(pid {serving.pid}) runs, pulse " in hops["H0"]["evidence"]


def test_a_job_asked_for_beside_a_live_daemon_is_run_by_the_daemon(desk: Site):
    done = desk.run("run", "verify_broker", "--slot", "open-10m", "--reason", "a look ahead")
    assert done.returncode == 0, done.stderr
    assert "started as attempt 1" in done.stdout

    def tries():
        return [
            t for e in desk.facts().entries if (e.key.job, e.key.slot) == ("verify_broker", "open-10m") for t in e.tries
        ]

    wait_until("the daemon ran it", lambda: tries() and tries()[-1].ended)
    assert tries()[0].actor.startswith("cli:")
    assert "a look ahead" in tries()[0].actor
    entry = next(e for e in desk.facts().entries if (e.key.job, e.key.slot) == ("verify_broker", "open-10m"))
    assert entry.state is State.PLANNED, "looked at by hand before its time, its planned run stays planned"


def test_an_unknown_job_is_a_usage_error_that_names_the_jobs(desk: Site):
    done = desk.run("run", "verify_borker")
    assert done.returncode == 2
    assert "verify_broker" in done.stderr


def test_no_process_shows_a_secret_in_its_arguments_or_environment(desk: Site, serving: Serving):
    """The secrets of this desk are in files: wherever else one shows, runbook has put it."""
    done = desk.run("run", "report_day", "--reason", "so that a channel is being served")
    assert done.returncode == 0, done.stderr
    wait_until("the report is on the phone", lambda: desk.titles)
    family = serving.family()
    assert len(family) > 1, "the sending child lives"
    shown = b"\0".join(
        (Path("/proc") / str(pid) / name).read_bytes()
        for pid in family
        for name in ("cmdline", "environ")
        if alive(pid)
    )
    assert b"runbook" in shown
    for secret in (desk.sim.api_key, PASSWORD, TOKEN):
        assert secret.encode() not in shown


# -- what forbids a start -----------------------------------------------------------------------------------------------


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A site as `init` leaves it, without its ledger."""
    for name, text in (("config.yaml", GOOD), ("jobs/own.py", "def step(ctx):\n    return None\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


_OWN_JOBS = "jobs:\n" + "".join(f"  - {{name: {job['name']}, enabled: false}}\n" for job in JOBS)
GOOD = (
    """\
version: 1
mode: local_paper
openalgo: {url: "http://127.0.0.1:9", api_key: "${OPENALGO_API_KEY}"}
symbols: [NIFTY]
"""
    + _OWN_JOBS
)


@pytest.mark.parametrize("command", [["serve"], ["doctor"], ["run", "verify_broker"], ["notify", "test"]])
def test_a_missing_secret_is_named_before_anything_starts(fresh: Path, command: list[str]):
    done = cli("--site", str(fresh), *command)
    assert done.returncode == 2
    assert "OPENALGO_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (fresh / "runbook.db").exists()


def test_serve_lists_every_fault_of_a_bad_configuration(fresh: Path):
    bad = GOOD.replace("NIFTY]", "nifty?]").replace("local_paper", "paper") + "tyop: 1\n"
    (fresh / "config.yaml").write_text(bad + "feed: {warn_after: soon}\n", encoding="utf-8")
    done = cli("--site", str(fresh), "serve", OPENALGO_API_KEY="k" * 64)
    assert done.returncode == 2
    for found in ("mode", "symbols", "tyop", "warn_after"):
        assert found in done.stderr, found
    assert done.stderr.count("config.yaml:") >= 4, "each with its line"


def test_yaml_that_is_none_says_where(fresh: Path):
    (fresh / "config.yaml").write_text(GOOD + "notify: {phone: [\n", encoding="utf-8")
    done = cli("--site", str(fresh), "serve", OPENALGO_API_KEY="k" * 64)
    assert done.returncode == 2
    assert "config.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_public_address_over_plain_http_is_warned_of_loudly(fresh: Path):
    text = GOOD.replace("http://127.0.0.1:9", "http://8.8.8.8:5000")
    (fresh / "config.yaml").write_text(text, encoding="utf-8")
    for command in (["config", "check"], ["notify", "test"]):
        done = cli("--site", str(fresh), *command, OPENALGO_API_KEY="k" * 64)
        said = done.stdout + done.stderr
        assert "8.8.8.8" in said, command
        assert "clear" in said.lower() or "plain" in said.lower(), command
    (fresh / "config.yaml").write_text(GOOD, encoding="utf-8")
    assert "clear text" not in cli("--site", str(fresh), "config", "check", OPENALGO_API_KEY="k" * 64).stdout


def test_reading_commands_on_a_site_without_a_ledger_say_so(fresh: Path):
    done = cli("--site", str(fresh), "status", OPENALGO_API_KEY="k" * 64)
    assert done.returncode == 1
    assert "no ledger here yet" in done.stderr


# -- killed, and started again ------------------------------------------------------------------------------------------


def test_a_restart_in_mid_session_is_told_once(stories: Stories):
    story = stories.restart
    assert story.told.count(MID_SESSION) == story.told_before.count(MID_SESSION) + 1


def test_nothing_that_was_told_before_the_kill_is_told_again(stories: Stories):
    story = stories.restart
    fresh = story.told[len(story.told_before) :]
    assert not [title for title in fresh if title in story.told_before and title != MID_SESSION]
    assert not [title for title in fresh if "may be a repeat" in title], "all had been answered for"


def test_after_the_kill_nothing_runs_twice_and_nothing_is_lost(stories: Stories):
    story = stories.restart
    rows = {e.key: e for e in story.after.entries}
    for entry in story.before.entries:
        now = rows[entry.key]
        if entry.state.final and entry.key.job != "start_feed":
            assert (now.state, now.tries) == (entry.state, entry.tries), f"{entry.key} was final"
    feeds = [e for e in story.after.entries if e.key.job == "start_feed"]
    assert [len(e.tries) for e in feeds] == [2], "what it had started died with the process: it is run again, once"
    (hung,) = [e for e in story.after.entries if e.key.job == "hangs"]
    assert [t.outcome for t in hung.tries] == [State.ABANDONED, None]
    assert not [k for k, n in Counter((r.key, r.channel, r.kind, r.seq) for r in story.after.messages).items() if n > 1]


def test_the_feed_is_watched_again_after_the_kill(stories: Stories):
    changes = [str(c.now) for c in stories.restart.after.changes]
    assert changes == ["ARMED", "LIVE", "ARMED", "LIVE"]


def test_a_killed_daemon_leaves_no_child_behind(stories: Stories):
    assert not stories.restart.orphans


def test_sigint_ends_it_within_five_seconds_although_a_step_hangs(stories: Stories):
    story = stories.restart
    assert (story.code, story.took <= 5) == (0, True), story.took
    (hung,) = [e for e in story.at_end.entries if e.key.job == "hangs"]
    assert hung.tries[-1].outcome is State.ABANDONED
    assert "stopped while this ran" in hung.tries[-1].reason


def test_with_the_daemon_dead_status_says_so_and_exits_3(stories: Stories):
    done = stories.restart.site.run("status", "--json")
    assert done.returncode == 3
    assert answer(done)["daemon"]["alive"] is False


def test_with_the_daemon_dead_plan_report_and_history_still_answer(stories: Stories):
    site = stories.restart.site
    for words in (["plan"], ["report"], ["report", "--json"], ["history"]):
        done = site.run(*words)
        assert done.returncode == 0, (words, done.stderr)
    assert str(site.today) == answer(site.run("report", "--json"))["date"]


def test_with_the_daemon_dead_a_job_runs_here(stories: Stories):
    site = stories.restart.site
    refused = site.run("run", "verify_broker")
    assert refused.returncode == 1
    assert "--again" in refused.stderr
    done = site.run("run", "verify_broker", "--again")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded, ok" in done.stdout
    resident = site.run("run", "start_feed", "--again")
    assert resident.returncode == 1
    assert "runbook serve" in resident.stderr


def test_with_the_daemon_dead_doctor_looks_for_itself(stories: Stories):
    done = stories.restart.site.run("doctor", "--json")
    hops = {hop["hop"]: hop for hop in answer(done)["hops"]}
    assert [hops[name]["health"] for name in ("H1", "H2", "H3", "H4", "H5")] == ["ok"] * 5, done.stdout
    assert "nobody watches" in hops["H0"]["evidence"]


# -- an incident --------------------------------------------------------------------------------------------------------


def test_fallback_and_recovery_reach_the_phone(stories: Stories):
    feed = [title for title in stories.incident.site.titles if "feed" in title]
    assert [title.split(" since")[0].split(" at")[0] for title in feed] == [
        "[WARN] feed on REST",
        "[OK] feed back on the stream",
    ]


def test_the_fallback_names_what_was_seen_and_what_to_do(stories: Stories):
    one = next(r for r in stories.incident.site.phone.received if "feed on REST" in r.title)
    assert all(word in one.body for word in ("seen:", "done:", "do:", stories.incident.site.sim.rest_url))


def test_prices_went_on_over_rest_while_the_stream_was_mute(stories: Stories):
    story = stories.incident
    before = len(story.during.changes)
    assert [str(c.now) for c in story.during.changes][-3:] == ["LIVE", "SUSPECT", "FALLBACK"]
    assert [str(c.now) for c in story.after.changes][before:] == ["PROBATION", "LIVE", "OFF"]
    assert "[REST_POLLING]" in story.log


def test_sigterm_ends_it_within_five_seconds_although_a_step_hangs(stories: Stories):
    assert (stories.incident.code, stories.incident.took <= 5) == (0, True), stories.incident.took


def test_what_stops_leaves_no_process_and_nothing_half_written(stories: Stories):
    story = stories.incident
    assert not story.left
    assert not [str(e.key) for e in story.after.entries if e.state is State.RUNNING]
    assert not [row.key for row in story.after.messages if row.state is Told.SENDING]
    assert all(t.ended for e in story.after.entries for t in e.tries)


def test_the_log_at_debug_and_every_other_file_hold_no_secret(stories: Stories):
    story = stories.incident
    assert " DEBUG " in story.log, "it did log at DEBUG"
    secrets = (story.site.sim.api_key, PASSWORD, TOKEN)
    assert not [secret[:12] for secret in secrets if secret in story.log]
    given = {story.site.folder / "key", story.site.folder / "phone"}
    files = [p for p in story.site.folder.rglob("*") if p.is_file() and p not in given]
    assert {"runbook.db", "config.yaml"} <= {p.name for p in files}
    assert not [(p.name, secret[:12]) for p in files for secret in secrets if secret.encode() in p.read_bytes()]


def test_the_phone_got_each_message_once(stories: Stories):
    story = stories.incident
    sent = Counter(row.message.title for row in story.after.messages if row.state is Told.SENT)
    assert Counter(story.site.titles) == sent


# -- the last of the desk -----------------------------------------------------------------------------------------------


def test_sigterm_ends_it_within_five_seconds_although_another_process_holds_the_database(desk: Site, serving: Serving):
    """Keep this test last: it ends the desk's daemon."""
    with hold(desk.folder / "runbook.db", 60) as holder:
        try:
            code, took = serving.end(signal.SIGTERM)
        finally:
            holder.kill()
    assert took <= 5, took
    assert code == 1, "it says that it could not write its last words"
    assert "put right at the next start" in serving.said()
    again = desk.serve()
    try:
        again.ready()
        assert again.end(signal.SIGTERM)[0] == 0, "and nothing is the worse for it"
    finally:
        again.kill()
