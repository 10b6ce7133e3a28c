"""Units for systemd, as text: the daemon, the look from outside it, and the rule by which it may restart what it may restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

WATCHDOG = 60  # seconds without a turn of the engine after which systemd restarts it
GIVE_UP = 70  # the exit code with which a process asks to be restarted whatever else is said
_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - looked for, never written to
_WIDTH = 118


@dataclass(frozen=True, slots=True)
class Place:
    """Where a desk lives. `python` runs runbook; `reads` are the bot's files; all are absolute paths.

    `variables` are what config.yaml asks the environment for, `credentials` what it reads from ${CREDENTIALS_DIRECTORY}.
    """

    site: Path
    database: Path
    python: Path
    user: str
    openalgo: str = "openalgo"
    reads: Sequence[Path] = ()
    variables: Sequence[str] = ()
    credentials: Sequence[str] = ()
    restarts: Sequence[str] = ()

    def at(self, folders: Sequence[str]) -> bool:
        """Whether anything it needs lies in one of these, which systemd would hide otherwise."""
        needed = (self.site, self.database, self.python, *self.reads)
        return any(path.is_relative_to(folder) for path in needed for folder in folders)


def daemon(place: Place, *, user: bool = False) -> str:
    """runbook.service; `user`: for `systemctl --user`, where only part of the hardening is to be had."""
    lines = [
        *_heading("runbook.service", "Watches the trading day and never trades", user=user),
        "Wants=network-online.target",
        f"After=network-online.target {unit(place.openalgo)}",
        "StartLimitIntervalSec=300",
        "StartLimitBurst=5",
        "",
        "[Service]",
        "Type=notify",
        "NotifyAccess=main",
        f"ExecStart={_command(place, 'serve')}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        f"WorkingDirectory={_path(place.site)}",
        *_secrets(place),
        "# fed by the engine's own turn, which has just renewed its lease: a turn that hangs is restarted",
        f"WatchdogSec={WATCHDOG}",
        "Restart=on-failure",
        "RestartSec=5",
        f"RestartForceExitStatus={GIVE_UP}",
        "# a configuration that is refused does not get better by trying again",
        "RestartPreventExitStatus=2",
        "# the calendar's child may take a minute on a cold disk",
        "TimeoutStartSec=180",
        "TimeoutStopSec=15",
        "KillMode=mixed",
        "OOMPolicy=continue",
        "MemoryMax=768M",
        "TasksMax=128",
        *_limits(place, user=user),
        *([] if user else _folders(place)),
        "",
        "[Install]",
        f"WantedBy={'default.target' if user else 'multi-user.target'}",
    ]
    return "\n".join(lines) + "\n"


def watch(place: Place, *, user: bool = False) -> dict[str, str]:
    """The look from outside the daemon, by file name: a service and the timer that starts it each minute."""
    service = [
        *_heading("runbook-watch.service", "Tells when runbook is gone", user=user),
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={_command(place, 'watch', '--once')}",
        "# 3 says that the daemon is absent: that is this unit's news, not its failure",
        "SuccessExitStatus=3",
        f"WorkingDirectory={_path(place.site)}",
        *_secrets(place),
        "TimeoutStartSec=120",
        "MemoryMax=256M",
        "TasksMax=64",
        *_limits(place, user=user),
        *([] if user else _folders(place)),
    ]
    timer = [
        *_heading("runbook-watch.timer", "Looks each minute whether runbook is there", user=user),
        "",
        "[Timer]",
        "OnBootSec=120",
        "OnUnitActiveSec=60",
        "AccuracySec=5",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {
        "runbook-watch.service": "\n".join(service) + "\n",
        "runbook-watch.timer": "\n".join(timer) + "\n",
    }


def polkit(place: Place) -> str:
    """The rule by which the daemon's user may restart exactly these units, and do nothing else with them."""
    if not place.restarts:
        return "// 50-runbook.rules: nothing to allow; config.yaml names no unit that runbook may restart\n"
    units = ", ".join(f'"{unit(name)}"' for name in dict.fromkeys(map(unit, place.restarts)))
    return f"""\
// 50-runbook.rules, for /etc/polkit-1/rules.d/: {place.user} may restart these units, and nothing else.
// sudo cannot do it: the unit has NoNewPrivileges. `systemctl restart` asks the manager, and the manager asks polkit.
polkit.addRule(function (action, subject) {{
    if (action.id == "org.freedesktop.systemd1.manage-units" &&
        subject.user == "{place.user}" &&
        action.lookup("verb") == "restart" &&
        [{units}].indexOf(action.lookup("unit")) >= 0) {{
        return polkit.Result.YES;
    }}
}});
"""


def restarts(argvs: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The units that these commands restart: `systemctl restart UNIT` and nothing less plain."""
    plain = (argv for argv in argvs if len(argv) == 3 and Path(argv[0]).name == "systemctl" and argv[1] == "restart")
    return tuple(dict.fromkeys(argv[2] for argv in plain if not argv[2].startswith("-")))


def unit(name: str) -> str:
    """The whole name of a unit: a bare one is a service."""
    ends = (".service", ".socket", ".target", ".timer", ".mount", ".path", ".slice", ".scope", ".device", ".swap")
    return name if name.endswith(ends) else f"{name}.service"


def _heading(name: str, text: str, *, user: bool) -> list[str]:
    folder = "~/.config/systemd/user" if user else "/etc/systemd/system"
    return [f"# {folder}/{name}, written by `runbook service print`", "[Unit]", f"Description={text}"]


def _command(place: Place, *words: str) -> str:
    quoted = (_word(str(place.python)), "-P", "-m", "runbook", "--site", _word(str(place.site)), *words)
    return " ".join(quoted)


def _secrets(place: Place) -> list[str]:
    """Where secrets come from: never from this text, which everybody on the host can read."""
    lines = []
    if place.variables:
        lines += [f"# {text}" for text in _wrapped("holds a line NAME=value for each of: ", place.variables)]
        lines += [
            "# owned by root, mode 600; systemd reads it, the service cannot",
            "EnvironmentFile=-/etc/runbook/env",
        ]
    if place.credentials:
        lines.append("# each a file with the secret alone, owned by root, mode 600")
        lines += [f"LoadCredential={name}:/etc/runbook/{name}" for name in place.credentials]
    return lines


def _limits(place: Place, *, user: bool) -> list[str]:
    """What the process cannot do. A user's manager can only take away what needs no privilege to be taken away."""
    both = [
        "UMask=0077",
        "LimitCORE=0",  # an image of the memory holds the key
        "NoNewPrivileges=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "RestrictNamespaces=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        "SystemCallErrorNumber=EPERM",
    ]
    if user:
        return ["", *both]
    return [
        "",
        f"User={place.user}",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        *both,
        "KeyringMode=private",
        f"PrivateTmp={'no' if place.at(_TEMPORARY) else 'yes'}",
        "PrivateDevices=yes",
        "DevicePolicy=closed",
        "ProtectSystem=strict",
        f"ProtectHome={'read-only' if place.at(_HOMES) else 'yes'}",
        "ProtectProc=invisible",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectControlGroups=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "RemoveIPC=yes",
    ]


def _folders(place: Place) -> list[str]:
    """What it writes to: the site, and the database's folder where that is elsewhere; never the code and rules it runs by."""
    folders = [place.site]
    if not place.database.parent.is_relative_to(place.site):
        folders.append(place.database.parent)
    lines = [f"ReadWritePaths={_word(str(folder))}" for folder in folders]
    return lines + [f"ReadOnlyPaths=-{_word(str(place.site / name))}" for name in ("config.yaml", "jobs")]


def _path(path: Path) -> str:
    """A path that stands alone: there only the percent sign means something."""
    return str(path).replace("%", "%%")


def _word(text: str) -> str:
    """One word of a unit's list or command line."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if any(c in text for c in " \t'\"\\;") else text


def _wrapped(lead: str, names: Iterable[str]) -> list[str]:
    lines = [lead]
    for name in names:
        if len(lines[-1]) + len(name) > _WIDTH:
            lines.append("  ")
        lines[-1] += f"{name} "
    return [line.rstrip() for line in lines]
