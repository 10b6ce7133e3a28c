"""Before the open: resolve the symbols of the day and start to watch their prices."""

from runbook import Context, Found


def start(ctx: Context) -> Found:
    return ctx.desk.start_feed(ctx)
