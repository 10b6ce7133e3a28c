from __future__ import annotations

import pytest

from runbook.adapters.openalgo import plaintext_warning, stream_url
from runbook.errors import UsageError


@pytest.mark.parametrize(
    ("rest", "stream"),
    [
        ("http://127.0.0.1:5000", "ws://127.0.0.1:8765"),
        ("http://127.0.0.1:5600/", "ws://127.0.0.1:8765"),
        ("http://openalgo", "ws://openalgo:8765"),
        ("http://[::1]:5000", "ws://[::1]:8765"),
        ("https://algo.example.in", "wss://algo.example.in/ws"),
        ("https://algo.example.in/", "wss://algo.example.in/ws"),
        ("https://algo.example.in:443/x", "wss://algo.example.in/ws"),
        ("https://algo.example.in:8443", "wss://algo.example.in:8443/ws"),
        ("https://user:pass@algo.example.in", "wss://algo.example.in/ws"),
    ],
)
def test_the_stream_is_found_from_the_rest_address(rest: str, stream: str) -> None:
    assert stream_url(rest) == stream


def test_an_address_that_is_none_has_no_stream_and_its_password_is_not_repeated() -> None:
    with pytest.raises(UsageError) as raised:
        stream_url("htp://user:hunter22@host")
    assert "hunter22" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8:5000",
        "ws://8.8.8.8:8765",
        "http://algo.example.in",
        "http://algo.example.in.",
        "http://[2606:4700::1111]:5000",
        "http://[::ffff:8.8.8.8]:5000",
        "http://134744072:5000",  # 8.8.8.8 in one number
        "http://0x08080808",
        "http://172.32.0.1",
    ],
)
def test_a_key_in_clear_over_a_public_network_is_shouted_about(url: str) -> None:
    warning = plaintext_warning(url)
    assert warning is not None
    assert "CLEAR TEXT" in warning


@pytest.mark.parametrize(
    "url",
    [
        "https://8.8.8.8",
        "wss://algo.example.in/ws",
        "http://127.0.0.1:5000",
        "http://127.8.9.1",
        "http://localhost:5000",
        "http://LOCALHOST",
        "http://openalgo:5000",
        "http://nas.local:5000",
        "http://192.168.1.7:5000",
        "http://10.0.0.1",
        "http://172.16.0.1",
        "http://[::1]:5000",
        "http://[fd00::1]:5000",
        "http://[::ffff:192.168.1.1]",
        "http://100.64.1.2:5000",  # a tailnet
    ],
)
def test_loopback_a_private_network_and_tls_are_quiet(url: str) -> None:
    assert plaintext_warning(url) is None


def test_the_warning_repeats_no_password() -> None:
    assert "hunter22" not in str(plaintext_warning("http://user:hunter22@8.8.8.8"))
