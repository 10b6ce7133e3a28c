"""How OpenAlgo prints its books: the analyzer's own shapes, and those a live broker (Angel) is passed through with."""

from __future__ import annotations

from datetime import datetime

from runbook.simulator.book import Book, Order, Position, Status, book_day
from runbook.simulator.market import IST

Row = dict[str, object]


def stamp(when: datetime) -> str:
    """The analyzer's stamp: IST without saying so."""
    return f"{when.astimezone(IST):%Y-%m-%d %H:%M:%S}"


def statistics(orders: list[Order], *, analyze: bool) -> Row:
    """The counts under an order book; a rejected order counts as bought or sold all the same."""
    found: Row = {
        "total_buy_orders": sum(o.is_buy for o in orders),
        "total_sell_orders": sum(not o.is_buy for o in orders),
        "total_completed_orders": sum(o.status is Status.COMPLETE for o in orders),
        "total_open_orders": sum(o.status is Status.OPEN for o in orders),
        "total_rejected_orders": sum(o.status is Status.REJECTED for o in orders),
    }
    if analyze:
        found["total_trigger_pending_orders"] = sum(o.status is Status.TRIGGER_PENDING for o in orders)
    return found


def paper_order(order: Order) -> Row:
    return {
        "action": order.action,
        "average_price": order.average,
        "exchange": order.instrument.exchange,
        "filled_quantity": order.filled,
        "order_status": str(order.status),
        "orderid": order.id,
        "pending_quantity": order.pending,
        "price": float(order.price),
        "pricetype": order.pricetype,
        "product": order.product,
        "quantity": order.quantity,
        "rejection_reason": order.reason,
        "strategy": order.strategy,
        "symbol": order.instrument.symbol,
        "timestamp": stamp(order.placed),
        "trigger_price": float(order.trigger),
    }


def paper_status(order: Order) -> Row:
    """The same order as `orderstatus` tells it: another name for the price type, no reason."""
    row = paper_order(order)
    del row["rejection_reason"]
    row["price_type"] = row.pop("pricetype")
    return row


def live_order(order: Order) -> Row:
    return {
        "action": order.action,
        "exchange": order.instrument.exchange,
        "order_status": str(order.status),
        "orderid": order.id,
        "price": 0.0 if order.pricetype == "MARKET" else float(order.price),
        "pricetype": order.pricetype,
        "product": order.product,
        "quantity": str(order.quantity),
        "symbol": order.instrument.symbol,
        "timestamp": f"{order.placed.astimezone(IST):%d-%b-%Y %H:%M:%S}",
        "trigger_price": float(order.trigger),
    }


def live_status(order: Order) -> Row:
    return {**live_order(order), "average_price": order.average}


def paper_trades(book: Book, now: datetime) -> list[Row]:
    return [
        {
            "action": t.order.action,
            "average_price": t.price,
            "exchange": t.order.instrument.exchange,
            "orderid": t.order.id,
            "price": t.price,
            "product": t.order.product,
            "quantity": t.order.quantity,
            "strategy": t.order.strategy,
            "symbol": t.order.instrument.symbol,
            "timestamp": stamp(t.at),
            "trade_value": round(t.price * t.order.quantity, 2),
            "tradeid": t.id,
        }
        for t in book.trades_of(book_day(now))
    ]


def live_trades(book: Book, now: datetime) -> list[Row]:
    """Angel's trade book: prices are strings, the stamp has no date, nothing says which strategy it was."""
    return [
        {
            "action": t.order.action,
            "average_price": f"{t.price:.2f}",
            "exchange": t.order.instrument.exchange,
            "orderid": t.order.id,
            "product": t.order.product,
            "quantity": t.order.quantity,
            "symbol": t.order.instrument.symbol,
            "timestamp": f"{t.at.astimezone(IST):%H:%M:%S}",
            "trade_value": f"{t.price * t.order.quantity:.2f}",
        }
        for t in book.trades_of(book_day(now))
    ]


def paper_position(position: Position, now: datetime) -> Row:
    realized = position.realized.get(book_day(now), 0.0)
    pnl = round(realized + position.unrealized, 2)
    cost = position.average * abs(position.quantity)
    return {
        "average_price": position.average,
        "exchange": position.instrument.exchange,
        "lot_size": 1.0,
        "ltp": position.mark,
        "pnl": pnl,
        "pnlpercent": pnl / cost * 100 if cost else 0.0,
        "product": position.product,
        "quantity": position.quantity,
        "symbol": position.instrument.symbol,
        "today_realized_pnl": realized,
        "total_pnl_today": pnl,
        # the server repeats the realised profit here once a position is closed
        "unrealized_pnl": position.unrealized if position.quantity else realized,
    }


def live_position(position: Position, now: datetime) -> Row:
    return {
        "average_price": position.average,
        "exchange": position.instrument.exchange,
        "ltp": position.mark,
        "pnl": round(position.realized.get(book_day(now), 0.0) + position.unrealized, 2),
        "product": position.product,
        "quantity": position.quantity,
        "symbol": position.instrument.symbol,
    }


def paper_totals(book: Book, now: datetime) -> Row:
    """The totals that stand beside the rows of the analyzer's position book."""
    realized = book.realized(book_day(now))
    unrealized = round(sum((p.unrealized for p in book.positions.values()), 0.0), 2)
    total = round(realized + unrealized, 2)
    return {
        "total_pnl": total,
        "total_pnl_today": total,
        "total_today_realized_pnl": realized,
        "total_unrealized_pnl": unrealized,
    }


def paper_funds(book: Book, now: datetime) -> Row:
    book.positions_of(book_day(now))  # marks them
    totals = paper_totals(book, now)
    used = book.used_margin()
    if book.first_used is None:
        book.first_used = now
    return {
        "availablecash": book.available(),
        "collateral": 0.0,
        "grossexposure": used,
        "last_reset": stamp(book.first_used),
        "m2mrealized": totals["total_today_realized_pnl"],
        "m2munrealized": totals["total_unrealized_pnl"],
        "reset_count": 0,
        "today_realized_pnl": totals["total_today_realized_pnl"],
        "total_realized_pnl": book.realized(),
        "totalpnl": totals["total_pnl"],
        "utiliseddebits": used,
    }


def live_funds(book: Book, now: datetime) -> Row:
    """Five strings with two decimals."""
    book.positions_of(book_day(now))
    totals = paper_totals(book, now)
    return {
        "availablecash": "505200.75",
        "collateral": "0.00",
        "m2mrealized": f"{totals['total_today_realized_pnl']:.2f}",
        "m2munrealized": f"{totals['total_unrealized_pnl']:.2f}",
        "utiliseddebits": "1200.25",
    }
