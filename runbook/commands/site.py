"""`init` and `config`: the site on disk."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from runbook import app
from runbook.clock import SystemClock
from runbook.errors import ConfigError, UsageError
from runbook.fault import Fault
from runbook.shipped import shipped_site

_OVERLAY = """\
# Your own layer of the calendar: a day that is written here wins over what ships with runbook.
# All that can be said, with examples: README.md in this folder.
exchange: {exchange}

# closed:
#   - date: 2027-01-26
#     name: Republic Day
#     source: the number of the circular, or the page
#     checked: 2026-12-14
#     confidence: high
"""


def init(args: argparse.Namespace) -> int:
    """Write a site (nothing that is there is touched), then make its ledger and compute the calendar."""
    site: Path = (args.dir or args.site).expanduser()
    fresh = _write(site)
    for name in fresh:
        print(f"wrote {site / name}")
    if not fresh:
        print(f"{site}: a site is there already; nothing was overwritten")
    config = app.load_config(site)
    print("computing the calendar in a child process ...", flush=True)
    for warning in app.prepare(config, SystemClock().now()):
        print(f"  note: {warning}")
    store = app.open_store(config)
    try:
        calendar = app.almanac(config, store).calendar()
    finally:
        store.close()
    coming = calendar.next_session(SystemClock().now())
    print(
        f"{calendar.exchange}: {sum(d.session is not None for d in calendar.days.values())} sessions, known until {calendar.known_until}"
    )
    if coming:
        print(
            f"next session {coming.date:%a %d %b %Y} {coming.open.astimezone(calendar.zone):%H:%M}-{coming.close.astimezone(calendar.zone):%H:%M}"
        )
    here = "" if site.resolve() == Path.cwd() else f"--site {site} "
    print(f"next: export OPENALGO_API_KEY=...; runbook {here}config check; runbook {here}doctor; runbook {here}serve")
    return 0


def _write(site: Path) -> list[str]:
    """Copy the shipped template; gives what was new. jobs/ and config.yaml belong to the operator from now on."""
    template = shipped_site()
    if site.exists() and not site.is_dir():
        raise UsageError(f"{site} is a file; accepted: a folder, or a name for a new one")
    site.mkdir(parents=True, exist_ok=True)
    wrote = []
    if not (site / "config.yaml").exists():
        shutil.copyfile(template / "config.yaml", site / "config.yaml")
        (site / "config.yaml").chmod(0o600)  # a secret typed into it must not be everyone's
        wrote.append("config.yaml")
    for source in sorted((template / "jobs").glob("*.py")):
        target = site / "jobs" / source.name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, target)
            wrote.append(f"jobs/{source.name}")
    overlay = site / "calendar"
    if not overlay.exists():
        overlay.mkdir()
        (overlay / "overlay.yaml").write_text(_OVERLAY.format(exchange=_exchange(site)), encoding="utf-8")
        wrote.append("calendar/overlay.yaml")
        if (template / "calendar" / "README.md").is_file():
            shutil.copyfile(template / "calendar" / "README.md", overlay / "README.md")
            wrote.append("calendar/README.md")
    return wrote


def _exchange(site: Path) -> str:
    """The exchange the site is for; the shipped one when its configuration does not load yet."""
    try:
        return app.load_config(site).settings.exchange
    except ConfigError:
        return "NFO"


def config(args: argparse.Namespace) -> int:
    """`check` lists every fault and exits 2; `show` prints the merged site with secrets masked."""
    try:
        loaded = app.load_config(args.site)
    except ConfigError as exc:
        everything = [*exc.faults, *(app.calendar_faults(args.site) if args.what == "check" else [])]
        if args.json:
            print(json.dumps({"ok": False, "faults": [_fault(f) for f in everything]}, indent=1))
            return 2
        raise ConfigError(everything, hint=exc.hint) from exc
    if args.what == "show":
        print(json.dumps(loaded.merged(), indent=1) if args.json else _yaml(loaded.merged()))
        return 0
    missing, notes = app.command_faults(loaded)
    notes = [*app.warnings(loaded), *notes]
    faults = [*loaded.secrets.missing, *app.channel_faults(loaded), *app.calendar_faults(loaded.site), *missing]
    if args.json:
        print(json.dumps({"ok": not faults, "faults": [_fault(f) for f in faults], "notes": notes}, indent=1))
        return 2 if faults else 0
    for note in notes:
        print(f"note: {note}")
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print(f"{len(faults)} fault{'s' if len(faults) > 1 else ''}", file=sys.stderr)
        return 2
    print(
        f"config.yaml is in order (hash {loaded.hash}): {len(loaded.jobs)} jobs, {len(loaded.secrets.channels)} channels"
    )
    return 0


def _fault(fault: Fault) -> dict[str, object]:
    return {
        "file": fault.where, "line": fault.line, "path": fault.path, "found": fault.found, "accepted": fault.accepted,
        "example": fault.example,
    }  # fmt: skip


def _yaml(data: object, indent: int = 0) -> str:
    """Plain data as YAML for people: mappings by line, everything else in JSON's form, which YAML reads."""
    if not isinstance(data, dict):
        return json.dumps(data)
    lines = []
    for key, value in data.items():
        pad = "  " * indent
        if isinstance(value, dict) and value:
            lines += [f"{pad}{key}:", _yaml(value, indent + 1)]
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            lines += [f"{pad}{key}:", *(f"{pad}  - {json.dumps(item)}" for item in value)]
        else:
            lines.append(
                f"{pad}{key}: {value if isinstance(value, str) and value.isidentifier() else json.dumps(value)}"
            )
    return "\n".join(lines)
