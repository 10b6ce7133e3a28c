"""After the close: hold the bot's trade log against the gateway's books and the recorded prices."""

from runbook import Context, Found


def reconcile(ctx: Context) -> Found:
    return ctx.desk.reconcile(ctx)
