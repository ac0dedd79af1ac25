"""A control plane, and workers of the real SDK to serve it, for the tests of every room that talks to the platform."""

import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from programs import OBEDIENT, sdk_command
from rich.console import Console
from rich.table import Table

from ops.control_plane import ControlPlane
from ops.local_worker import LocalWorker
from ops.mechanisms import MECHANISMS
from ops.snapshots import Mechanism
from ops.wire import Settings

# MinerU reads it once, at the first import of any part of it, by whichever test: none may ask a hub for models.
os.environ["MINERU_MODEL_SOURCE"] = "local"

#: Starts a worker of the SDK around a source, as ``sdk_command`` takes it, and returns it once it polls; further keywords go to
#: ``LocalWorker``.
SdkWorker = Callable[..., Awaitable[LocalWorker]]


@pytest.fixture(autouse=True)
def environment_as_it_was() -> Iterator[None]:
    """Undo what a test leaves in the environment: an engine that starts says there what MinerU is to read."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def settings() -> Settings:
    """Short polls and a ping each second, so that no test waits for the platform's habits; override it in a module to differ."""
    return Settings(hold=1, ping_interval=1)


@pytest.fixture
async def control_plane(settings: Settings) -> AsyncIterator[ControlPlane]:
    """A running control plane."""
    async with ControlPlane(settings) as running:
        yield running


@pytest.fixture
async def sdk_worker(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[SdkWorker]:
    """A factory for workers of the real SDK; those still running when the test ends are ended by force."""
    numbers = itertools.count(1)
    async with AsyncExitStack() as stack:

        async def start(source: str = OBEDIENT, **options: object) -> LocalWorker:
            command = sdk_command(tmp_path, source, f"sdk_worker_{next(numbers)}.py")
            worker = LocalWorker(control_plane, command=command, **options)  # type: ignore[arg-type]
            stack.push_async_callback(worker.close)
            stack.push_async_callback(worker.kill)
            await worker.start()
            return await worker.wait_ready()

        yield start


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of tests/soak counted, whichever process they ran in, and what they measured."""
    reports = [report for report in terminalreporter.getreports("") if report.when == "teardown"]
    told = [(name, value) for report in reports for name, value in report.user_properties]
    counts: Counter[str] = Counter()
    for name, value in told:
        if name == "soak":
            counts.update(value)
    if not counts and not any(name == "soak" for name, _ in told):
        return
    table = Table("what", "how many", title="Soak")
    for row in ("faults tried", "jobs sent", "lost", "inputs tried", "escapes"):
        table.add_row(row, f"{counts[row]:,}")
    for name, value in told:
        if name == "soak measured":
            table.add_row(*map(str, value))
    Console(width=120).print("\n", table)


@pytest.fixture(params=sorted(MECHANISMS))
def mechanism(request: pytest.FixtureRequest) -> Mechanism:
    found = MECHANISMS[request.param]
    if reason := found.missing():
        pytest.skip(reason)
    return found
