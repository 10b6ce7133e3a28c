"""What the tests of the stream share: a server that replays a script, and an ear for what the stream says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.ear import Ear
from tests.adapters.postgres import NONE_HERE, Cluster, binaries
from tests.adapters.replay import StreamReplay


@pytest.fixture(scope="module")
def server() -> Iterator[StreamReplay]:
    replay = StreamReplay()
    yield replay
    replay.close()


@pytest.fixture
def replay(server: StreamReplay) -> StreamReplay:
    server.scripts.clear()
    for q in (server.heard, server.ended):
        while not q.empty():
            q.get()
    return server


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One PostgreSQL for all tests of this process that ask for it; they skip, by name, where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra `postgres`)")
    if binaries() is None:
        pytest.skip(NONE_HERE)
    made = Cluster()
    yield made
    made.stop()
