"""OpenAlgo's own Python SDK as a client of the relay, in an environment made for it alone; it is no dependency of ours."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.feed.table import Mode
from runbook.market import Source
from tests.fakes import until
from tests.relay_world import KEY, NIFTY, SBIN, Feed, RelayWorld, price, relay_world, status

# (version, the lowest Python it takes): 1.0 is what Python 3.11 gets, 2.0 reconnects by itself
VERSIONS = (("1.0.47", (3, 11)), ("2.0.3", (3, 12)))
CLIENT = """
import json, sys
from openalgo import api
key, url = sys.argv[1:]
def tell(**what): print(json.dumps(what), flush=True)
client = api(api_key=key, host="http://127.0.0.1:9", ws_url=url)
tell(connected=client.connect())
names = [{"exchange": "NSE_INDEX", "symbol": "NIFTY"}]
client.subscribe_ltp(names, on_data_received=lambda data: tell(ltp=data))
client.subscribe_quote([{"exchange": "NSE", "symbol": "SBIN"}], on_data_received=lambda data: tell(quote=data))
tell(subscribed=True)
for line in sys.stdin:
    if line.strip() == "get":
        tell(held=client.get_ltp())
    if line.strip() == "leave":
        client.unsubscribe_ltp(names)
        tell(left=True)
client.disconnect()
"""


@pytest.fixture
def world() -> Iterator[RelayWorld]:
    with relay_world() as made:
        yield made


@pytest.fixture(scope="module", params=VERSIONS, ids=[version for version, _ in VERSIONS])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the SDK; skipped by name where none can be had."""
    version, lowest = request.param
    candidates = [sys.executable, *(f"python3.{n}" for n in (12, 13, 14)), *_pyenv()]
    folder = tmp_path_factory.mktemp("sdk")
    for candidate in candidates:
        try:
            told = subprocess.run([candidate, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=True)  # fmt: skip
        except (OSError, subprocess.CalledProcessError):
            continue
        if tuple(map(int, told.stdout.split())) >= lowest:
            break
    else:
        pytest.skip(f"openalgo {version} asks for Python {lowest[0]}.{lowest[1]}, and none is here")
    subprocess.run([candidate, "-m", "venv", str(folder)], check=True)
    install = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", f"openalgo=={version}"]
    done = subprocess.run(install, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        pytest.skip(f"openalgo {version} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
    return folder / "bin" / "python"


def _pyenv() -> list[str]:
    return sorted(map(str, (Path.home() / ".pyenv" / "versions").glob("3.1[2-9]*/bin/python")))


class Sdk:
    """The SDK in a process of its own, one JSON line for each thing it tells."""

    def __init__(self, python: Path, port: int, key: str = KEY) -> None:
        command = [str(python), "-c", CLIENT, key, f"ws://127.0.0.1:{port}"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="sdk", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")  # it has ended

    def hear(self, what: str) -> object:
        """What it tells of `what`; other lines are passed over. Raises queue.Empty when nothing comes for 30 s."""
        while line := self._lines.get(timeout=30):
            if line.startswith("{") and what in (told := json.loads(line)):
                return told[what]
        raise AssertionError(f"the SDK ended before it told {what}")

    def say(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Its input ends, and so it does; what hangs is killed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=15)
        finally:
            self.process.kill()
            self.process.wait()
            self._reader.join()
            self.process.stdout.close()


@pytest.mark.soak
def test_the_official_sdk_takes_the_relay_for_openalgo(world: RelayWorld, python: Path):
    relay = world.relay_of(Feed(NIFTY, SBIN))
    relay.publish_status(status())
    sdk = Sdk(python, relay.port)
    try:
        assert sdk.hear("connected") is True
        sdk.hear("subscribed")  # it has asked; 2.0 does not wait for the answer
        until(lambda: relay.subscriptions == 2, "the relay takes both subscriptions")
        relay.publish([price(ltp=26052.3, ltt=1795337852224)])
        tick = sdk.hear("ltp")
        assert isinstance(tick, dict)
        assert (tick["symbol"], tick["data"]["ltp"], tick["data"]["ltt"]) == ("NIFTY", 26052.3, 1795337852224)
        relay.publish_status(status(Mode.FALLBACK, Source.REST_POLLING, "no ticks for 120 s"))  # it passes over these
        relay.publish([price(ltp=26053.0, source=Source.REST_POLLING), price(SBIN, 901.5, source=Source.REST_POLLING)])
        tick, quoted = sdk.hear("ltp"), sdk.hear("quote")
        assert isinstance(tick, dict)
        assert isinstance(quoted, dict)
        assert (tick["data"]["ltp"], "ltt" in tick["data"]) == (26053.0, False)
        assert quoted["data"]["ltp"] == 901.5
        sdk.say("get")
        held = sdk.hear("held")
        assert isinstance(held, dict)
        assert held["ltp"]["NSE_INDEX"]["NIFTY"]["ltp"] == 26053.0
        sdk.say("leave")
        sdk.hear("left")
    finally:
        sdk.end()


@pytest.mark.soak
def test_the_official_sdk_is_not_connected_with_a_wrong_key(world: RelayWorld, python: Path):
    relay = world.relay_of(Feed(NIFTY))
    sdk = Sdk(python, relay.port, "0" * 64)
    try:
        assert sdk.hear("connected") is False
    finally:
        sdk.end()
