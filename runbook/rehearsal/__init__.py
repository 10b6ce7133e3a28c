"""A short trading day against the simulator: the same engine, steps, client, feed, ledger, outbox and Apprise as `serve`.

scenarios     what goes wrong when, and what must come of it
stage         the site, the session of twelve minutes, the phone
director      gives the cues and moves the clock on
expectations  what the day came to, asked of ledger, phone and files
"""

from runbook.rehearsal.director import Director, Staging, rehearse

__all__ = ["Director", "Staging", "rehearse"]
