"""Behind nginx both doors speak TLS: the same answers, and a certificate that nobody vouches for is refused."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from runbook.adapters.openalgo import OpenAlgo
from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.adapters.trust import authorities
from runbook.budget import Budget
from runbook.clock import SystemClock, host_monotonic
from runbook.errors import GatewayUnreachable
from runbook.feed.events import ConnectFailed, StreamEvent, TickReceived
from runbook.market import Instrument
from tests.adapters.ear import Heard
from tests.adapters.replay import KEY, ack, auth_ok, frame, market_data, raw_server, read_request, upgraded

NIFTY = Instrument("NIFTY", "NSE_INDEX")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(who vouches, the server's own chain and key), each in a file."""
    at = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(at / "authority.pem")
    authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(at / "server.pem")
    return at / "authority.pem", at / "server.pem"


@pytest.fixture
def context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(certificate[1])
    return made


def stream_over(context: ssl.SSLContext, stop: threading.Event) -> Callable[[socket.socket], None]:
    """Acknowledges, then sends fifty ticks in one TLS record: after the first, poll() does not see the others."""

    def talk(conn: socket.socket) -> None:
        ticks = [frame(json.dumps(market_data(26000.0 + i))) for i in range(50)]
        with context.wrap_socket(conn, server_side=True) as tls:
            upgraded(tls)
            tls.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))) + b"".join(ticks))
            stop.wait(10)

    return talk


NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of these tests names no authority by itself."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", NAMES)
def test_the_stream_reads_every_tick_over_tls_and_closes_at_once(
    name: str, context: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(certificate[0]))
    heard = Heard()
    stop = threading.Event()
    with raw_server(stream_over(context, stop)) as port:
        stream = OpenAlgoStream(f"wss://127.0.0.1:{port}/ws", KEY, SystemClock())
        stream.connect(1, [NIFTY], heard.put)
        ticks: list[float] = []
        while len(ticks) < 50:
            event = heard.get(timeout=2)
            if isinstance(event, TickReceived):
                ticks.append(event.tick.ltp)
        assert ticks == [26000.0 + i for i in range(50)]
        began = host_monotonic()
        stream.close()
        assert host_monotonic() - began < 1
        stop.set()


def test_a_certificate_that_nobody_vouches_for_is_refused_by_the_stream(context: ssl.SSLContext) -> None:
    heard: queue.Queue[StreamEvent] = queue.Queue()
    stop = threading.Event()
    with raw_server(stream_over(context, stop)) as port:
        stream = OpenAlgoStream(f"wss://127.0.0.1:{port}/ws", KEY, SystemClock())
        stream.connect(1, [NIFTY], heard.put)
        event = heard.get(timeout=5)
        stream.close()
        stop.set()
    assert isinstance(event, ConnectFailed)
    assert "TLS failed" in event.reason
    assert not event.refused


def test_a_tls_handshake_that_never_ends_is_given_up() -> None:
    heard: queue.Queue[StreamEvent] = queue.Queue()
    stop = threading.Event()

    def silent(conn: socket.socket) -> None:
        stop.wait(10)

    with raw_server(silent) as port:
        stream = OpenAlgoStream(f"wss://127.0.0.1:{port}", KEY, SystemClock(), Patience(connect=0.3))
        stream.connect(1, [NIFTY], heard.put)
        assert isinstance(heard.get(timeout=2), ConnectFailed)
        stream.close()
        stop.set()


@pytest.mark.parametrize("name", NAMES)
def test_rest_over_tls_answers_and_keeps_its_deadline(
    name: str, context: ssl.SSLContext, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(certificate[0]))
    stop = threading.Event()
    body = b'{"status":"success","data":{"broker":"angel"}}'

    def talk(conn: socket.socket) -> None:
        with context.wrap_socket(conn, server_side=True) as tls:
            read_request(tls)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            read_request(tls)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not stop.wait(0.05):
                tls.sendall(b" ")

    with raw_server(talk) as port:
        gateway = OpenAlgo(f"https://127.0.0.1:{port}", KEY, SystemClock(), connect_timeout=2, read_timeout=2)
        assert gateway.ping(Budget(5)) == "angel"
        began = host_monotonic()
        with pytest.raises(GatewayUnreachable, match="not complete"):
            gateway.ping(Budget(0.5))
        assert host_monotonic() - began < 2
        stop.set()
        gateway.close()


def test_rest_refuses_a_certificate_that_nobody_vouches_for(context: ssl.SSLContext) -> None:
    def talk(conn: socket.socket) -> None:
        context.wrap_socket(conn, server_side=True).close()

    with raw_server(talk) as port:
        gateway = OpenAlgo(f"https://127.0.0.1:{port}", KEY, SystemClock(), connect_timeout=2)
        with pytest.raises(GatewayUnreachable, match="TLS failed") as raised:
            gateway.ping(Budget(5))
        gateway.close()
    assert "certificate" in str(raised.value.hint)


def test_https_to_a_port_without_tls_says_so() -> None:
    def plain(conn: socket.socket) -> None:
        conn.recv(100)
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with raw_server(plain) as port:
        gateway = OpenAlgo(f"https://127.0.0.1:{port}", KEY, SystemClock(), connect_timeout=2)
        with pytest.raises(GatewayUnreachable, match="TLS failed"):
            gateway.ping(Budget(5))
        gateway.close()


def test_an_authority_that_is_no_file_is_said_and_does_not_stand_for_the_usual_ones(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/gone.pem")
    assert authorities() is None
    assert "SSL_CERT_FILE names /gone.pem, which is no file" in caplog.text
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    assert authorities() == str(certificate[0])


def test_without_tls_nobody_is_told_of_authorities(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/gone.pem")
    OpenAlgo("http://127.0.0.1:5000", KEY, SystemClock()).close()
    assert caplog.text == ""
    OpenAlgo("https://127.0.0.1:5000", KEY, SystemClock()).close()
    assert "/gone.pem" in caplog.text
