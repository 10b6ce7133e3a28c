"""After the report: copy the ledger, read the copy back, and only then let old rows go."""

from runbook import Context, Found


def backup(ctx: Context) -> Found:
    return ctx.desk.back_up(ctx)
