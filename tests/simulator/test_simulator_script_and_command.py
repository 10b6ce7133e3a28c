"""The simulator on its own: scripts, the control address, the command line, the bot."""

from __future__ import annotations

import csv
import threading
from datetime import UTC, datetime, timedelta

import pytest

from runbook.errors import UsageError
from runbook.market import Instrument
from runbook.simulator import Fault, Step
from runbook.simulator.bot import BotRefused, Plant, RehearsalBot
from runbook.simulator.command import main
from runbook.simulator.script import read, steps_of


def written(tmp_path, text):
    path = tmp_path / "script.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_yaml_and_json_lines_say_the_same(tmp_path):
    yaml = read(
        written(tmp_path, "- {at: 30s, fault: mute}\n- {at: 2m30s, clear: mute}\n- {at: 5m, fault: slow, seconds: 3}\n")
    )
    lines = read(
        written(
            tmp_path,
            '{"at": "30s", "fault": "mute"}\n{"at": "150s", "clear": "mute"}\n{"at": 300, "fault": "slow", "seconds": 3}\n',
        )
    )
    assert yaml == lines
    assert yaml[0] == Step(timedelta(seconds=30), (Fault.MUTE,), arguments={"until": "cleared"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("- {at: 30s, fault: mtue}", "step 1: there is no fault 'mtue'; did you mean 'mute'?"),
        ("- {at: half past, fault: mute}", "step 1: `at` is 'half past', not a time"),
        ("- {fault: mute}", "step 1: `at` is missing"),
        ("- {at: 1s, fault: mute, clear: mute}", "either `fault` or `clear`"),
        ("- {at: 1s, fault: slow, seconds: long}", "seconds is 'long', it must be a number"),
        ("- {at: 1s, clear: mute, until: cleared}", "`clear` takes nothing beside it"),
        ("- {at: 2026-11-23T09:20, fault: mute}", "has no zone"),
        ("faults: mute", "a script is a list of steps"),
        ("", "found nothing, a script is a list of steps"),
        ("- [", "not YAML"),
        ('{"at": 1', "not JSON"),
    ],
)
def test_a_bad_script_says_what_was_found_and_shows_an_example(tmp_path, text, found):
    with pytest.raises(UsageError) as wrong:
        read(written(tmp_path, text))
    assert found in str(wrong.value)
    assert "- {at: 30s, fault: mute}" in str(wrong.value.hint)


def test_steps_may_be_tuples_with_opposites_and_instants():
    when = datetime(2026, 11, 23, 4, tzinfo=UTC)
    steps = steps_of([(when, "mute"), (5, "unmute"), (timedelta(minutes=1), "clear:slow"), (9, "slow", {"seconds": 1})])
    assert [s.clear for s in steps] == [False, True, True, False]
    assert steps[0].due(datetime(2026, 1, 1, tzinfo=UTC)) == when


def test_a_script_runs_by_the_clock(simulate, until, clock):
    clock.set_rate(60)
    sim = simulate(script=[(5, "mute"), (30, "unmute"), (31, "zero")])
    until(lambda: Fault.MUTE in sim.faults)
    until(lambda: set(sim.faults) == {Fault.ZERO})


def test_the_control_address_switches_faults_and_leaks_nothing_into_openalgo(simulate, web_to):
    sim = simulate(control_port=0)
    control, rest = web_to(sim, sim.control_url), web_to(sim)
    assert set(control.ask("GET", "/faults").body["known"]) == set(Fault)
    assert "slow" in control.ask("POST", "/fault/slow?seconds=0.1").body["on"]
    assert control.ask("POST", "/fault/slow", {"seconds": 2}).body["on"]["slow"]["seconds"] == 2.0
    assert control.ask("DELETE", "/fault/slow").body["on"] == {}
    assert control.ask("POST", "/fault/mute").body["on"]["mute"]["until"] == "cleared"
    assert control.ask("DELETE", "/faults").body["on"] == {}
    refused = control.ask("POST", "/fault/mtue")
    assert (refused.status, "did you mean 'mute'" in refused.body["error"]) == (400, True)
    assert rest.ask("GET", "/faults").status == 404
    assert rest.ask("POST", "/fault/mute").status == 404


def test_alone_it_says_where_it_is_and_that_its_market_never_shuts(capsys, until):
    stop, done = threading.Event(), []
    arguments = ["--rest-port", "0", "--stream-port", "0", "--control-port", "0"]
    thread = threading.Thread(target=lambda: done.append(main(arguments, stop=stop)))
    thread.start()
    said = ""

    def greeted():
        nonlocal said
        said += capsys.readouterr().out
        return "Ctrl+C" in said

    until(greeted)
    stop.set()
    thread.join(5)
    assert done == [0]
    assert "always open" in said
    assert "ws://127.0.0.1:" in said
    assert "/fault/mute" in said


def test_a_bad_script_ends_the_command_with_2(tmp_path, capsys):
    assert main(["--script", str(written(tmp_path, "- {at: 30s, fault: mtue}"))]) == 2
    assert "did you mean 'mute'" in capsys.readouterr().err


def test_a_taken_port_ends_the_command_with_1(sim, capsys):
    port = sim.rest_url.rsplit(":", 1)[1]
    assert main(["--rest-port", port, "--stream-port", "0", "--control-port", "0"]) == 1
    assert "--rest-port 0" in capsys.readouterr().err


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_bot_trades_over_http_and_logs_what_the_gateway_booked(simulate, web_to, clock, tmp_path):
    sim = simulate(mode="analyze")
    bot = RehearsalBot(sim, tmp_path / "trades.csv", clock)
    bot.trade("RELIANCE", "NSE", "BUY", 10)
    bot.trade(sim.market.near_future.symbol, "NFO", "SELL", 75, product="NRML")
    log, book = rows(tmp_path / "trades.csv"), web_to(sim).post("tradebook").body["data"]
    assert [(r["order_id"], float(r["fill_price"]), int(r["qty"]), r["strategy"]) for r in log] == [
        (t["orderid"], t["average_price"], t["quantity"], t["strategy"]) for t in reversed(book)
    ]


def test_the_bot_plants_one_lie_per_trade(simulate, web_to, clock, tmp_path):
    sim = simulate(mode="analyze")
    lies: tuple[Plant, ...] = ("missing_at_gateway", "price", "quantity", "missing_in_log")
    bot = RehearsalBot(sim, tmp_path / "trades.csv", clock, plant=lies)
    made = [bot.trade("SBIN", "NSE", "BUY", 5) for _ in range(5)]
    log = {r["order_id"]: r for r in rows(tmp_path / "trades.csv")}
    book = {t["orderid"]: t for t in web_to(sim).post("tradebook").body["data"]}
    assert made[0].order_id in log
    assert made[0].order_id not in book
    assert float(log[made[1].order_id]["fill_price"]) != book[made[1].order_id]["average_price"]
    assert int(log[made[2].order_id]["qty"]) == 2 * book[made[2].order_id]["quantity"]
    assert made[3].order_id not in log
    assert made[3].order_id in book
    assert (made[4].planted, made[4].order_id in log, made[4].order_id in book) == (None, True, True)


def test_a_local_bot_asks_nobody_and_numbers_its_papers(sim, clock, tmp_path):
    bot = RehearsalBot(sim, tmp_path / "trades.csv", clock, local=True)
    traded = bot.trade("NIFTY", "NSE_INDEX", "BUY", 75)
    assert (traded.order_id, sim.calls) == ("PAPER_1", [])
    assert abs(traded.fill_price - sim.price(Instrument("NIFTY", "NSE_INDEX"))) < 50


def test_a_refused_order_is_told_in_the_servers_words(simulate, clock, tmp_path):
    bot = RehearsalBot(simulate(mode="analyze"), tmp_path / "trades.csv", clock)
    with pytest.raises(BotRefused, match="Symbol NOPE not found on NSE"):
        bot.trade("NOPE", "NSE", "BUY", 1)


def test_a_bot_cannot_plant_what_it_does_not_know(sim, clock, tmp_path):
    with pytest.raises(UsageError, match="cannot plant 'colour'"):
        RehearsalBot(sim, tmp_path / "trades.csv", clock, plant=("colour",))  # type: ignore[arg-type]
