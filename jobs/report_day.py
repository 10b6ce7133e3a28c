"""After the close: write the day down, and send it."""

from runbook import Context, Found


def report(ctx: Context) -> Found:
    return ctx.desk.report(ctx)
