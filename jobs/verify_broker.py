"""Before the open: prove, rung by rung, that the broker can be traded through today."""

from runbook import Context, Found


def verify(ctx: Context) -> Found:
    return ctx.desk.verify_broker(ctx)
