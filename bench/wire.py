"""An OpenAlgo's stream for benches: it authenticates, acknowledges, and then sends ticks at a pace, or as fast as they are taken.

    python bench/wire.py NUMBER RATE NAMES        RATE 0 is as fast as it goes

It prints its port and the time stamp of the first tick; each further one is a millisecond later.

It begins once NAMES instruments are subscribed. Each tick is a frame and a send of its own where there is a pace. The
frames are OpenAlgo's to the byte (LTP, as an Angel broker's), with a price that moves and a trade time that advances.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

_BLOB = 200  # frames in one send where there is no pace


def tick(symbol: str, exchange: str, n: int, millis: int) -> bytes:
    """One frame, with its head."""
    data = {"ltp": 20_000 + n % 997 / 20, "ltt": millis, "symbol": symbol, "exchange": exchange, "mode": 1}
    whole = {"type": "market_data", "symbol": symbol, "exchange": exchange, "mode": 1}
    text = json.dumps(whole | {"data": data | {"timestamp": millis}, "broker": "angel"}).encode()
    return b"\x81\x7e" + len(text).to_bytes(2, "big") + text


def pour(ws: ServerConnection, names: list[tuple[str, str]], number: int, rate: float, first: int) -> None:
    frames = [tick(*names[n % len(names)], n, first + n) for n in range(number)]
    with suppress(OSError, ConnectionClosed):
        if not rate:
            for n in range(0, number, _BLOB):
                ws.socket.sendall(b"".join(frames[n : n + _BLOB]))
            return
        began = time.perf_counter()
        for n in range(number):
            left = began + n / rate - time.perf_counter()
            if left > 0:
                time.sleep(left)
            ws.socket.sendall(frames[n])


def main(number: int, rate: float, wanted: int) -> None:
    first = int(time.time() * 1000)

    def talk(ws: ServerConnection) -> None:
        names: list[tuple[str, str]] = []
        begun = False
        with suppress(ConnectionClosed):
            for message in ws:
                asked = json.loads(message)
                if asked["action"] == "authenticate":
                    ws.send(json.dumps({"type": "auth", "status": "success", "broker": "angel", "user_id": "bench"}))
                elif asked["action"] == "subscribe":
                    new = [(s["symbol"], s["exchange"]) for s in asked.get("symbols", [asked])]
                    names += [one for one in new if one not in names]
                    rows = [{"symbol": s, "exchange": e, "status": "success", "mode": "LTP"} for s, e in new]
                    ws.send(json.dumps({"type": "subscribe", "status": "success", "subscriptions": rows}))
                if len(names) >= wanted and not begun and number:
                    begun = True
                    threading.Thread(target=pour, args=(ws, names, number, rate, first), daemon=True).start()

    with serve(talk, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        print(server.socket.getsockname()[1], first, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
