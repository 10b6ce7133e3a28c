"""The endpoints around orders and money: place, books, funds, status, in the shapes of the mode the server is in."""

from __future__ import annotations

from runbook.market import Instrument
from runbook.simulator import prints
from runbook.simulator.answers import Answer, bad, good, instrument_of
from runbook.simulator.book import Refused, Ticket, book_day
from runbook.simulator.faults import Fault
from runbook.simulator.forms import Body, as_number
from runbook.simulator.openalgo import OpenAlgo

_NOT_JSON = "Expecting value: line 1 column 1 (char 0)"


def _book_trouble(server: OpenAlgo) -> Answer | None:
    """How a live book fails when the broker's gateway does; a dead token is no failure but an empty book."""
    if Fault.BROKER_502 in server.faults:
        return bad("Invalid JSON response (HTTP 502)", 500)
    if Fault.BROKER_LIMITED in server.faults:
        return bad("Invalid JSON response (HTTP 403)", 500)
    return None


def _hidden(server: OpenAlgo) -> bool:
    """Live books look empty, with success, while the broker refuses the token."""
    return not server.analyze and server.faults.any(Fault.TOKEN_DEAD, Fault.EMPTY_SUCCESS)


def _tag(server: OpenAlgo) -> dict[str, object]:
    return {"mode": "analyze"} if server.analyze else {}


def funds(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001 - one signature for all endpoints
    if server.analyze:
        return good(prints.paper_funds(server.paper, server.now()), **_tag(server))
    if server.faults.any(Fault.BROKER_502, Fault.BROKER_LIMITED):
        return bad(_NOT_JSON, 500)
    return good({} if _hidden(server) else prints.live_funds(server.live, server.now()))


def orderbook(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001
    if not server.analyze and (no := _book_trouble(server)):
        return no
    server.book.match(server.now())
    orders = [] if _hidden(server) else server.book.orders_of(book_day(server.now()))
    if server.analyze:
        rows = [prints.paper_order(o) for o in orders]
    else:
        rows = [prints.live_order(o) for o in reversed(orders)]
    return good({"orders": rows, "statistics": prints.statistics(orders, analyze=server.analyze)}, **_tag(server))


def tradebook(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001
    if server.analyze:
        server.paper.match(server.now())
        return good(prints.paper_trades(server.paper, server.now()), **_tag(server))
    if no := _book_trouble(server):
        return no
    return good([] if _hidden(server) else list(reversed(prints.live_trades(server.live, server.now()))))


def positionbook(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001
    now = server.now()
    if not server.analyze:
        if no := _book_trouble(server):
            return no
        held = [] if _hidden(server) else server.live.positions_of(book_day(now))
        return good([prints.live_position(p, now) for p in held])
    server.paper.match(now)
    rows = [prints.paper_position(p, now) for p in server.paper.positions_of(book_day(now))]
    return good(rows, **_tag(server), **prints.paper_totals(server.paper, now))


def holdings(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001
    empty = {"totalholdingvalue": 0.0, "totalinvvalue": 0.0, "totalpnlpercentage": 0.0, "totalprofitandloss": 0.0}
    return good({"holdings": [], "statistics": empty}, **_tag(server))


def pnl_symbols(server: OpenAlgo, body: Body) -> Answer:  # noqa: ARG001
    if not server.analyze:
        return bad("This endpoint is only available in sandbox/analyzer mode", 400)
    now = server.now()
    kept = (
        "exchange",
        "pnl",
        "product",
        "quantity",
        "symbol",
        "today_realized_pnl",
        "total_pnl_today",
        "unrealized_pnl",
    )
    rows = [prints.paper_position(p, now) for p in server.paper.positions_of(book_day(now))]
    cut = [{k: row[k] for k in kept} for row in rows]
    return good(cut, **_tag(server), **prints.paper_totals(server.paper, now))


def openposition(server: OpenAlgo, body: Body) -> Answer:
    position = server.book.positions.get((instrument_of(body), str(body["product"])))
    return Answer({**_tag(server), "quantity": position.quantity if position else 0, "status": "success"})


def orderstatus(server: OpenAlgo, body: Body) -> Answer:
    if not server.analyze and (no := _book_trouble(server)):
        return no
    server.book.match(server.now())
    wanted = str(body["orderid"])
    found = None if _hidden(server) else next((o for o in server.book.orders if o.id == wanted), None)
    if found is None:
        return bad(f"Order {wanted} not found", 404, **_tag(server))
    return good(prints.paper_status(found) if server.analyze else prints.live_status(found), **_tag(server))


def placeorder(server: OpenAlgo, body: Body) -> Answer:
    ticket = Ticket(
        Instrument(str(body["symbol"]), str(body["exchange"])),
        str(body["action"]).upper(),
        int(as_number(body["quantity"])),
        str(body.get("pricetype", "MARKET")),
        str(body.get("product", "MIS")),
        as_number(body.get("price")),
        as_number(body.get("trigger_price")),
        str(body["strategy"]),
    )
    if server.analyze:
        server.analyzer_logs += 1
    elif server.faults.any(Fault.TOKEN_DEAD, Fault.EMPTY_SUCCESS):
        return bad("Invalid Token", 500)
    elif no := _book_trouble(server):
        return no
    try:
        order = server.book.place(ticket, server.now())
    except Refused as refusal:
        row = {"orderid": refusal.order_id} if refusal.order_id else {}
        return bad(str(refusal), 400, **row, **_tag(server))
    return Answer({**_tag(server), "orderid": order.id, "status": "success"})


def cancelorder(server: OpenAlgo, body: Body) -> Answer:
    wanted = str(body["orderid"])
    if not server.book.cancel(wanted):
        return bad(f"Order {wanted} not found", 404, **_tag(server))
    return Answer({**_tag(server), "orderid": wanted, "status": "success"})
