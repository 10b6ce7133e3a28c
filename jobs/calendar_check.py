"""Long before the open: does the calendar know the coming days, and does OpenAlgo say otherwise?"""

from runbook import Context, Found


def check(ctx: Context) -> Found:
    return ctx.desk.check_calendar(ctx)
