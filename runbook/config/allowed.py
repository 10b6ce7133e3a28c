"""What acts, held against the rest of the file: names that lead nowhere, and ways by which a secret would get out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runbook.config.secrets import Expander, Secrets, mapping
from runbook.fault import Document, Fault, nearest

_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)", re.ASCII)


def crossed(data: Mapping[str, Any], where: Document, expander: Expander) -> Iterator[Fault]:
    """Faults that show when commands, remedies, jobs and secrets are held against each other; looks at the plain data."""
    commands, given = mapping(data.get("commands")), data.get("jobs")
    jobs = {
        str(job.get("name")): (i, job) for i, job in enumerate(map(mapping, given if isinstance(given, list) else []))
    }
    for i, job in jobs.values():
        if job.get("kind") == "command" and isinstance(name := job.get("command"), str) and name not in commands:
            yield _no_command(where, ("jobs", i, "command"), name, commands)
    remedies = data.get("remedies")
    seen: set[str] = set()
    for i, remedy in enumerate(map(mapping, remedies if isinstance(remedies, list) else [])):
        name, verify = remedy.get("command"), remedy.get("verify")
        called = str(remedy.get("name", name))
        if called in seen:
            yield where.fault(
                ("remedies", i),
                f"{called!r} stands twice",
                "each name once; `name:` where two run one command",
                "name: restart_at_night",
            )
        seen.add(called)
        if isinstance(name, str) and name not in commands:
            yield _no_command(where, ("remedies", i, "command"), name, commands)
        if isinstance(verify, str):
            looks = [
                n
                for n, (_, job) in jobs.items()
                if not job.get("acts")
                and job.get("enabled") is not False
                and not job.get("resident")
                and job.get("kind") != "manual"
            ]
            if verify not in looks:
                why = "a job that acts, rests in the daemon or is switched off" if verify in jobs else "no job"
                yield where.fault(
                    ("remedies", i, "verify"),
                    f"{why}: {verify!r}",
                    nearest(verify, looks) + ", ".join(looks),
                    "verify_broker",
                )
    yield from _leaks(commands, where, expander)


def _leaks(commands: Mapping[str, Any], where: Document, expander: Expander) -> Iterator[Fault]:
    """Ways by which a secret would come into a process list, or into a foreign program's environment."""
    unset = {fault.path for fault in expander.missing}
    for path in sorted({p for p in expander.filled if p[:1] == ("commands",)} - unset, key=str):
        accepted = "the words themselves: every user of this host can read them while the command runs"
        yield where.fault(path, "a word from the environment", accepted, "argv: [systemctl, restart, openalgo]")
    ours = {name for key, part in where.data.items() if key != "commands" for name in _variables(part)}
    for name, command in commands.items():
        listed = mapping(command).get("env")
        for i, variable in enumerate(listed if isinstance(listed, list) else []):
            if variable in ours:
                yield where.fault(
                    ("commands", name, "env", i),
                    f"{variable} fills in a value of this site",
                    "variables that hold no secret of ours",
                    "env: [LANG]",
                )


def bare(where: Document, secrets: Secrets) -> Iterator[Fault]:
    """Commands in whose words a secret was written."""
    told = [value for value in secrets.values() if len(value) >= 8]
    for name, command in mapping(where.data.get("commands")).items():
        argv = mapping(command).get("argv")
        words = [word for word in argv if isinstance(word, str)] if isinstance(argv, list) else []
        if any(value in word for word in words for value in told):
            accepted = "no secret: every user of this host can read the words while the command runs"
            yield where.fault(
                ("commands", name, "argv"), "a secret among the words", accepted, "a file that the program reads"
            )


def _no_command(where: Document, path: tuple[str | int, ...], name: str, commands: Mapping[str, Any]) -> Fault:
    listed = nearest(name, list(commands)) + ", ".join(commands)
    accepted = listed or "a name under `commands:` (there is none yet)"
    return where.fault(
        path, f"no command {name!r}", accepted, "commands: {restart_openalgo: {argv: [systemctl, restart, openalgo]}}"
    )


def _variables(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _variables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _variables(inner)
    elif isinstance(value, str):
        yield from _VARIABLE.findall(value.replace("$$", ""))
