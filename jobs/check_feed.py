"""Every 30 seconds: say how the feed stands. The feed raises its own alerts; this leaves the evidence."""

from runbook import Context, Found


def check(ctx: Context) -> Found:
    return ctx.desk.check_feed(ctx)
