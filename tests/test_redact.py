from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.clock import host_monotonic
from runbook.redact import Redactor, words

TOKEN = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"tgram://{TOKEN}/-100200", "tgram://***/-100200"),
        (f"https://api.telegram.org/bot{TOKEN}/sendMessage", "https://api.telegram.org/bot***/sendMessage"),
        (f"https://api.telegram.org/bot{quote(TOKEN)}/getMe", "https://api.telegram.org/bot***/getMe"),
        (f"POST /bot{TOKEN}/sendMessage HTTP/1.1", "POST /bot***/sendMessage HTTP/1.1"),
        ('{"apikey": "abc123", "symbol": "NIFTY"}', '{"apikey": "***", "symbol": "NIFTY"}'),
        ('{"action":"authenticate","api_key":"abc123"}', '{"action":"authenticate","api_key":"***"}'),
        ('{"apikey":"a\\"b"}', '{"apikey":"***"}'),
        ("{'apikey': 'abc123', 'mode': 1}", "{'apikey': '***', 'mode': 1}"),
        ('{\\"apikey\\": \\"abc123\\", \\"x\\": 1}', '{\\"apikey\\": \\"***\\", \\"x\\": 1}'),
        ("GET /api/v1/ticker?apikey=abc123&from=2026", "GET /api/v1/ticker?apikey=***&from=2026"),
        ("call(api_key='abc123', mode=1)", "call(api_key='***', mode=1)"),
        ("mailto://me:hunter22@gmail.com?to=x", "mailto://***@gmail.com?to=x"),
        ("mailto://me:hunt@er22@gmail.com", "mailto://***@gmail.com"),
        ("http://user:hunter22@127.0.0.1:5000/x", "http://***@127.0.0.1:5000/x"),
        ("APIKEY=abc123", "APIKEY=***"),
    ],
)
def test_what_looks_like_a_secret_is_masked_without_being_told(text: str, left: str) -> None:
    assert Redactor()(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "NSE:NIFTY 26052.30 at 09:15:00.123 after 12 ticks",
        "http://127.0.0.1:5000/api/v1/ping answered",
        "write to me@example.in about http://127.0.0.1:5000/x",
        "1795337852224:short",
        "order 261122655804537 RELIANCE:NSE",
        "set OPENALGO_API_KEY in the environment; the apikey is missing",
        "",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert Redactor(["hunter22"])(text) == text


@pytest.mark.parametrize("form", [str, quote, lambda s: quote(s, safe=""), quote_plus, lambda s: json.dumps(s)[1:-1]])
def test_a_secret_it_was_told_is_masked_in_each_of_its_forms(form) -> None:
    secret = 'p@ss word/"ü"+1'
    assert Redactor([secret])(f"<{form(secret)}>") == "<***>"


def test_a_secret_within_another_leaves_nothing_of_the_longer_one() -> None:
    assert Redactor(["hunter", "hunter22extra"])("x hunter22extra y hunter z") == "x *** y *** z"


@pytest.mark.parametrize("secret", ["", " ", "1", "live", "NIFTY"])
def test_an_empty_or_tiny_secret_does_not_blot_out_the_text(secret: str) -> None:
    text = "1 NIFTY is live "
    assert Redactor([secret])(text) == text


def test_it_shows_no_secret_itself() -> None:
    assert "hunter22" not in repr(Redactor(["hunter22"]))


@given(
    st.text(max_size=60),
    st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"]), min_size=6, max_size=40),
    st.text(max_size=60),
)
def test_no_text_keeps_a_secret_it_was_told(before: str, secret: str, after: str) -> None:
    if len(secret.strip()) < 6 or secret.strip() in "******":
        return
    left = Redactor([secret])(before + secret + after)
    assert secret.strip() not in left


@pytest.mark.parametrize(
    "text",
    [
        "9" * 100_000 + ":",
        "a." * 100_000,
        "\\" * 100_000,
        '"apikey":"' + "\\" * 100_000,
        "http://" * 20_000,
        "http://" + "a:" * 50_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    began = host_monotonic()
    Redactor(["hunter22"])(text)
    assert host_monotonic() - began < 1


def test_what_a_server_said_becomes_one_short_line_without_the_secret() -> None:
    assert (
        words({"apikey": ["Missing data."], "year": ["Bad.", "Odd."]}, "") == "apikey: Missing data.; year: Bad. Odd."
    )
    assert words("two\n  lines with hunter22", "hunter22") == "two lines with ***"
    assert len(words("x" * 1000, "hunter22")) == 300
    assert "hunter22" not in words("x" * 295 + "hunter22", "hunter22")
