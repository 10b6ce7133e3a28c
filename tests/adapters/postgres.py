"""A real PostgreSQL on a socket of its own, from Debian's binaries; gone with the tests that asked for it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine
from sqlalchemy.engine import URL

from runbook.adapters.store import HEAD, Store
from runbook.adapters.store.schema import metadata
from tests.fakes import until

NONE_HERE = "no PostgreSQL server here (Debian: apt-get install postgresql)"


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`, the newest release first; None where there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda f: int(f.parent.name), reverse=True)
    found = shutil.which("initdb")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


class Cluster:
    """A cluster in a short path (a socket's name has at most 107 characters), which forgets a power cut gladly."""

    def __init__(self) -> None:
        self._bin = binaries()
        assert self._bin is not None
        self._folder = Path(tempfile.mkdtemp(prefix="pg"))
        self._numbers = count()
        self._user = pwd.getpwuid(os.getuid()).pw_name
        as_owner: list[str] = []
        if (setpriv := shutil.which("setpriv")) is not None:
            as_owner = [setpriv, "--pdeathsig=QUIT"]  # it does not outlive tests that are killed
        if os.getuid() == 0:  # the server refuses root
            self._user = next((name for name in ("postgres", "nobody") if _there_is(name)), "nobody")
            shutil.chown(self._folder, self._user)
            assert as_owner, "as root a PostgreSQL for tests needs setpriv (util-linux)"
            as_owner += [f"--reuid={self._user}", f"--regid={_group(self._user)}", "--clear-groups"]
        data = self._folder / "data"
        made = subprocess.run(
            [*as_owner, self._bin / "initdb", "-D", data, "-U", "runbook", "-A", "trust", "-E", "UTF8", "--no-sync",
             "--locale=C"],
            cwd=self._folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        settings = {
            "listen_addresses": "", "unix_socket_directories": self._folder, "fsync": "off", "full_page_writes": "off",
            "synchronous_commit": "off", "shared_buffers": "16MB", "max_connections": "30", "autovacuum": "off",
        }  # fmt: skip
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        self._log = (self._folder / "log").open("w+")
        self._server = subprocess.Popen(
            [*as_owner, self._bin / "postgres", "-D", data, *options],
            cwd=self._folder, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._admin = create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT")
        self._ledger = create_engine(self._url("ledger"))
        try:
            until(self._answers, "PostgreSQL does not start", 30.0)
            self._sql("CREATE DATABASE ledger")
            store = Store(self.address("ledger"))
            store.migrate()
            store.close()
        except BaseException:
            self.stop()
            raise

    def address(self, name: str) -> str:
        return self._url(name).render_as_string()

    def empty(self) -> str:
        """The address of a new database without tables."""
        name = f"empty{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name}")
        return self.address(name)

    def ledger(self) -> str:
        """The address of a ledger with nothing in its tables; whoever had the one before must be done with it."""
        self._sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'ledger'")
        with self._ledger.begin() as connection:
            tables = ", ".join(name for name in metadata.tables)
            connection.exec_driver_sql(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{HEAD}'")
        self._ledger.dispose()
        return self.address("ledger")

    def stop(self) -> None:
        self._admin.dispose()
        self._ledger.dispose()
        self._server.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        self._server.wait(30.0)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _url(self, name: str) -> URL:
        return URL.create("postgresql+psycopg", "runbook", database=name, query={"host": str(self._folder)})

    def _sql(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)

    def _answers(self) -> bool:
        if self._server.poll() is not None:
            self._log.seek(0)
            raise AssertionError(f"PostgreSQL ended: {self._log.read()[-2000:]}")
        try:
            self._admin.connect().close()
        except Exception:
            return False
        return True


def _there_is(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _group(name: str) -> int:
    return pwd.getpwnam(name).pw_gid
