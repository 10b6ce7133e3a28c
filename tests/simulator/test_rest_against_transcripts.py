"""The simulated REST side held against what a real OpenAlgo 2.0.2.1 answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

_ORDER_ROW = ("symbol", "exchange", "action", "order_status", "quantity", "pricetype", "product", "strategy")
_FAULTS = {
    "[expired]": ("token_dead", {}),
    "[expired403]": ("token_dead", {"answer": "http_403"}),
    "[ratelimit]": ("broker_limited", {}),
    "[html502]": ("broker_502", {}),
    "[zero]": ("zero", {}),
    "[broker token dead]": ("token_dead", {}),
    "[broker says ltp 0]": ("zero", {}),
    "[token dead, HTTP 200 AG8001]": ("token_dead", {}),
    "[token dead, HTTP 403]": ("token_dead", {"answer": "http_403"}),
    "[revoked]": ("session_revoked", {}),
    "[logged in again]": ("login", {}),
    "[proxy stopped]": ("drop", {}),
}


def _filled(request: Any, ids: dict[str, str], key: str) -> Any:
    if isinstance(request, str):
        return request
    if isinstance(request, dict):
        request = {k: ids.get(v, v) if isinstance(v, str) else v for k, v in request.items()}
        if request.get("apikey") == "<APIKEY>":
            request["apikey"] = key
    return request


def _switch(sim: Any, name: str) -> None:
    sim.clear_all()
    label = name[: name.find("]") + 1] if name.startswith("[") else ""
    if label in _FAULTS:
        fault, arguments = _FAULTS[label]
        sim.switch(fault, **arguments)


def _told(web: Any, entry: dict[str, Any], ids: dict[str, str], key: str) -> Any:
    sent = _filled(entry["request"], ids, key)
    kind = "application/x-www-form-urlencoded" if sent == "apikey=x" else "application/json"
    told = web.ask(entry["method"], entry["path"], sent, kind)
    if isinstance(entry["body"], dict) and "orderid" in entry["body"] and told.status == entry["status"]:
        ids[entry["body"]["orderid"]] = told.body["orderid"]
    return told


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("rest_live", "live"),
        ("rest_errors", "live"),
        ("broker_failures", "live"),
        ("analyzer", "live"),
        ("live_book_vanishes", "analyze"),
        ("revoke_relogin_rest", "live"),
    ],
)
def test_every_answer_has_the_status_shape_and_words_of_the_real_one(
    name, mode, simulate, web_to, transcript, differs, clock
):
    sim = simulate(mode=mode)
    web, wrong = web_to(sim), []
    ids: dict[str, str] = {}
    for entry in transcript(name):
        if entry["status"] in (302, 429):
            continue  # asked for in tests of their own
        _switch(sim, entry["name"])
        clock.jump_to(clock.now() + timedelta(seconds=1))  # out of reach of the rate limits
        sim.paper.match(sim.clock.now())
        told = _told(web, entry, ids, sim.api_key)
        if told.status != entry["status"]:
            wrong.append(f"{entry['name']}: {told.status} {told.text[:150]!r}, the real one {entry['status']}")
        elif told.headers.get("content-type") != entry["content_type"]:
            wrong.append(f"{entry['name']}: content type {told.headers.get('content-type')}")
        elif entry["content_type"] == "application/json" and entry["method"] != "HEAD":
            ours = told.body
            if entry["name"].startswith("market/holidays 2026"):
                ours["data"] = ours["data"][: len(entry["body"]["data"])]  # the recorder cut the year short
            if difference := differs(entry["body"], ours):
                wrong.append(f"{entry['name']}: {difference}")
            assert told.text.endswith("\n")
    assert wrong == []


def test_the_paper_book_ends_as_the_real_one_did(simulate, web_to, transcript):
    sim = simulate(mode="live")
    web = web_to(sim)
    ids: dict[str, str] = {}
    entries = transcript("analyzer")
    at = next(n for n, e in enumerate(entries) if e["name"] == "orderbook")
    for entry in entries[:at]:
        _told(web, entry, ids, sim.api_key)
    ours = _told(web, entries[at], ids, sim.api_key).body["data"]
    real = entries[at]["body"]["data"]
    assert [[row[k] for k in _ORDER_ROW] for row in ours["orders"]] == [
        [row[k] for k in _ORDER_ROW] for row in real["orders"]
    ]
    assert ours["statistics"] == real["statistics"]


def test_answers_of_the_framework_below_are_spaced_as_flask_restx_spaces_them(web):
    told = web.ask("POST", "/api/v1/ping", "not json")
    assert told.text == '{"message": "The browser (or proxy) sent a request that this server could not understand."}\n'


def test_own_answers_come_with_sorted_keys_and_no_spaces(web):
    assert web.post("ping").text == '{"data":{"broker":"angel","message":"pong"},"status":"success"}\n'


def test_a_wrong_key_is_refused_with_the_words_of_the_real_server(web):
    told = web.ask("POST", "/api/v1/ping", {"apikey": "0" * 64})
    assert (told.status, told.body) == (403, {"message": "Invalid openalgo apikey", "status": "error"})


def test_health_beyond_its_limit_is_sent_elsewhere(simulate, web_to, clock):
    clock.set_rate(1)
    web = web_to(simulate())
    answers = [web.ask("GET", "/health/status") for _ in range(301)]
    assert [a.status for a in answers] == [200] * 300 + [302]
    assert answers[-1].headers["location"] == "/rate-limited"


def test_the_fifty_first_call_of_a_second_is_over_the_limit(simulate, web_to, clock):
    clock.set_rate(0.1)  # a second of the server is ten of ours: no race with the host
    web = web_to(simulate())
    answers = [web.post("ping") for _ in range(51)]
    assert [a.status for a in answers] == [200] * 50 + [429]
    assert answers[-1].text == '{"message": "50 per 1 second"}\n'


def test_a_banned_address_gets_plain_text_on_every_path(sim, web, transcript):
    sim.switch("banned")
    for entry in transcript("ip_ban"):
        told = web.ask(entry["method"], entry["path"], _filled(entry["request"], {}, sim.api_key))
        assert (told.status, told.headers["content-type"], told.text) == (
            entry["status"],
            entry["content_type"],
            entry["body"],
        )
