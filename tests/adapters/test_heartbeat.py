"""The door to the dead-man's switch: a healthchecks of our own on loopback, that hangs, refuses and does not know us."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from runbook.adapters.heartbeat import Healthchecks
from runbook.clock import host_monotonic
from tests.fakes import until
from tests.outside import CHECK, Server

RUN = UUID("11111111-2222-3333-4444-555555555555")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture
def door(server: Server) -> Iterator[Healthchecks]:
    made = Healthchecks({"ping": server.url, "milestones": f"{server.url}/?create=1"}, timeout=0.3)
    yield made
    made.close()


def test_success_start_and_fail_are_paths_and_the_run_is_in_the_query(server: Server, door: Healthchecks):
    assert door.ping("ping", "", json.dumps({"open_alerts": 0})) == ""
    assert door.ping("milestones", "start", "{}", RUN) == ""
    assert door.ping("milestones", "fail", "{}", RUN) == ""
    paths = [path for path, _ in server.got]
    assert paths == [f"/{CHECK}", f"/{CHECK}/start?create=1&rid={RUN}", f"/{CHECK}/fail?create=1&rid={RUN}"]
    assert json.loads(server.got[0][1]) == {"open_alerts": 0}


@pytest.mark.parametrize(
    ("status", "says", "why"),
    [
        (404, "not found", "127.0.0.1 does not know this check: copy its ping URL again"),
        (200, "OK (not found)", "127.0.0.1 does not know this check: copy its ping URL again"),
        (429, "rate limited", "127.0.0.1 answered 429"),
        (500, "oops", "127.0.0.1 answered 500"),
        (302, "", "127.0.0.1 answered 302"),
    ],
)
def test_an_answer_that_is_no_yes_says_why(server: Server, door: Healthchecks, status: int, says: str, why: str):
    server.status, server.says = status, says
    assert door.ping("ping", "", "{}") == why


def test_a_server_that_hangs_costs_its_time_and_no_more(server: Server, door: Healthchecks):
    server.hangs = True
    began = host_monotonic()
    assert door.ping("ping", "", "{}").startswith("127.0.0.1: ")
    assert host_monotonic() - began < 5
    server.hangs, server.drips = False, True
    assert door.ping("ping", "", "{}").startswith("127.0.0.1: the answer was not complete after 0.3")
    assert host_monotonic() - began < 5, "a byte now and then buys no time"


def test_a_ping_under_way_is_given_up_when_the_daemon_stops(server: Server):
    server.hangs = True
    door = Healthchecks({"ping": server.url}, timeout=20.0)
    said: list[str] = []
    pinging = threading.Thread(target=lambda: said.append(door.ping("ping", "", "{}")))
    pinging.start()
    until(lambda: server.got, "it is under way")
    door.close()
    pinging.join(5)
    assert said == ["127.0.0.1: given up"]


def test_no_fault_and_no_log_line_holds_the_address(caplog: pytest.LogCaptureFixture):
    """Who knows the address can silence the alarm."""
    logging.getLogger("runbook").setLevel(logging.DEBUG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    urls = {
        "refused": f"http://127.0.0.1:{port}/{CHECK}",
        "nameless": f"http://no-such-host.invalid/{CHECK}",
        "odd": f"http://127.0.0.1:99999/{CHECK}",
        "tls": f"https://127.0.0.1:{port}/{CHECK}",
    }
    door = Healthchecks(urls, timeout=0.5)
    for name in urls:
        why = door.ping(name, "", "{}")
        assert why
        assert "secret" not in why
    assert "secret" not in caplog.text
    door.close()
