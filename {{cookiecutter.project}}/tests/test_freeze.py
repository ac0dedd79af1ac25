"""The platform on this machine: who is frozen when, what comes back where, and what each way of freezing keeps."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from programs import quick_command, sdk_command

from ops import snapshots
from ops.control_plane import ControlPlane
from ops.freeze import Platform
from ops.hosts import Endpoint
from ops.jobs import Job, Status
from ops.local_worker import WorkerError
from ops.mechanisms import Sigstop
from ops.snapshots import Image, Mechanism, SnapshotError

Open = Callable[..., Awaitable[Platform]]


@pytest.fixture
async def opened(control_plane: ControlPlane, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens a platform of quick workers; it is closed when the test ends. Further keywords go to ``Endpoint``."""
    async with AsyncExitStack() as stack:

        async def begin(mechanism: Any = None, command: tuple[str, ...] = quick_command(tmp_path), **settings: Any) -> Platform:
            endpoint = Endpoint(**{"idle_timeout": 0.3, **settings})
            options = {"mechanism": mechanism, "command": command}
            return await stack.enter_async_context(Platform(control_plane, endpoint, **options))

        yield begin


Ask = Callable[..., Awaitable[Job]]


@pytest.fixture
def ask(control_plane: ControlPlane) -> Ask:
    async def ask(**wish: object) -> Job:
        job = await control_plane.submit(wish).finished()
        assert job.status == Status.COMPLETED, job.error
        return job

    return ask


async def cold(platform: Platform, ask: Ask, times: int) -> list[str]:
    """What each of so many jobs met, with scale to zero after each."""
    met: list[str] = []
    for _ in range(times):
        met.append(platform.truth(await ask())[0])
        await platform.scaled_to_zero()
    return met


# Hosts and snapshots.


async def test_a_start_on_the_same_host_restores_and_one_on_another_boots(opened: Open, ask: Ask) -> None:
    platform = await opened(order=tuple("AABB"))
    assert await cold(platform, ask, 4) == ["fresh", "restored", "fresh", "restored"]
    assert [(start.host, start.worker) for start in platform.starts] == [("A", "A-1"), ("A", "A-1"), ("B", "B-2"), ("B", "B-2")]


async def test_a_job_that_comes_before_the_worker_is_taken_away_meets_it_warm(opened: Open, ask: Ask) -> None:
    platform = await opened(idle_timeout=30)
    assert [platform.truth(await ask())[0] for _ in range(3)] == ["fresh", "warm", "warm"]


async def test_an_evicted_snapshot_is_gone_and_so_is_its_process(opened: Open, ask: Ask) -> None:
    platform = await opened(hosts=("A",))
    await cold(platform, ask, 1)
    worker = platform.hosts["A"].worker
    assert worker is not None
    assert await platform.evict("A")
    assert not await platform.evict("A")
    assert not psutil.pid_exists(worker.pid)
    assert await cold(platform, ask, 1) == ["fresh"]


async def test_no_snapshot_fits_another_image(opened: Open, ask: Ask) -> None:
    platform = await opened(hosts=("A",))
    await cold(platform, ask, 1)
    await platform.deploy({"MINERU_TIER": "basic"})
    assert await cold(platform, ask, 1) == ["fresh"]


async def test_a_worker_of_an_earlier_image_serves_until_it_idles_and_is_not_kept(opened: Open, ask: Ask) -> None:
    platform = await opened(hosts=("A",), idle_timeout=1)
    await ask()
    await platform.deploy({"MINERU_TIER": "basic"})
    await platform.scaled_to_zero()
    assert platform.freezes[0].note == "its image is not the endpoint's any more"
    assert platform.hosts["A"].worker is None


async def test_free_hosts_are_chosen_anew_and_the_same_for_the_same_seed() -> None:
    def chosen(seed: int) -> list[str | None]:
        platform = Platform(ControlPlane(), Endpoint(hosts=tuple("ABCD"), seed=seed))
        return [platform._choose() for _ in range(12)]

    assert chosen(1) == chosen(1) != chosen(2)
    assert len(set(chosen(1))) == 4


@pytest.mark.parametrize("settings", [{"order": ("C",)}, {"hosts": ()}, {"workers_min": 2}])
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"hosts are|may not be larger"):
        Endpoint(**settings)


# The scaler.


async def test_a_worker_is_not_taken_away_from_its_job(opened: Open, ask: Ask) -> None:
    platform = await opened()
    await ask(seconds=1)
    assert platform.freezes == []


async def test_workers_min_keeps_that_many_running(opened: Open, ask: Ask) -> None:
    platform = await opened(workers_min=1, workers_max=2, queue_delay=0)
    await asyncio.gather(*(ask(seconds=1) for _ in range(4)))
    await platform._changes.until(lambda: bool(platform.freezes), 30)
    await asyncio.sleep(1)
    assert [host.state for host in platform.active] == ["serving"]


async def test_a_job_that_waits_longer_than_the_queue_delay_gets_a_further_worker(opened: Open, ask: Ask) -> None:
    await opened(workers_max=2, queue_delay=0.2)
    jobs = await asyncio.gather(ask(seconds=3), ask(seconds=0))
    assert len({job.worker for job in jobs}) == 2


async def test_there_are_never_more_workers_than_the_maximum(opened: Open, ask: Ask) -> None:
    platform = await opened(workers_max=1, queue_delay=0)
    await asyncio.gather(*(ask(seconds=0.3) for _ in range(3)))
    assert len(platform.starts) == 1


class Slow(Sigstop):
    """Takes a moment to freeze, as a large worker does."""

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        await asyncio.sleep(1)
        return await super().snapshot(pid, folder, log)


async def test_a_job_that_arrives_while_its_worker_is_being_frozen_waits_and_is_served(opened: Open, ask: Ask) -> None:
    platform = await opened(Slow(), hosts=("A",))
    await ask()
    async with asyncio.timeout(30):
        while platform.hosts["A"].state != "freezing":
            await asyncio.sleep(0.01)
    assert platform.truth(await ask())[0] == "restored"


async def test_a_worker_that_died_is_replaced(opened: Open, ask: Ask) -> None:
    platform = await opened(hosts=("A",), idle_timeout=30)
    await ask()
    worker = platform.hosts["A"].worker
    assert worker is not None
    await worker.kill()
    assert platform.truth(await ask())[0] == "fresh"


async def test_leaving_ends_every_process_frozen_or_not(control_plane: ControlPlane, tmp_path: Path, ask: Ask) -> None:
    endpoint = Endpoint(order=("A", "B"), idle_timeout=0.3)
    async with Platform(control_plane, endpoint, command=quick_command(tmp_path)) as platform:
        await cold(platform, ask, 1)
        await ask()
        processes = [process for host in platform.hosts.values() if host.worker for process in snapshots.tree(host.worker.pid)]
    assert len(processes) >= 2
    assert not any(map(snapshots.runs, processes))


async def test_a_worker_that_cannot_boot_ends_the_platform_with_its_last_words(control_plane: ControlPlane) -> None:
    with pytest.raises(WorkerError, match="no model here"):
        async with Platform(control_plane, command=(sys.executable, "-c", "raise SystemExit('no model here')")):
            await control_plane.submit({}).finished()


# What fails.


class Refusing(Sigstop):
    """Fails to freeze or to restore, as asked."""

    def __init__(self, what: str) -> None:
        self._what = what

    async def snapshot(self, pid: int, folder: Path, log: Path) -> Image:
        if self._what == "snapshot":
            raise SnapshotError("the disk is full")
        return await super().snapshot(pid, folder, log)

    async def restore(self, image: Image) -> None:
        raise SnapshotError("the image is torn")


async def test_a_worker_that_cannot_be_frozen_is_ended_and_the_reason_kept(opened: Open, ask: Ask) -> None:
    platform = await opened(Refusing("snapshot"), hosts=("A",))
    assert await cold(platform, ask, 2) == ["fresh", "fresh"]
    assert platform.freezes[0].note == "the disk is full"


async def test_a_snapshot_that_cannot_be_restored_gives_a_fresh_boot_and_the_reason(opened: Open, ask: Ask) -> None:
    platform = await opened(Refusing("restore"), hosts=("A",))
    assert await cold(platform, ask, 2) == ["fresh", "fresh"]
    assert platform.starts[-1].note == "the image is torn"


async def test_a_worker_of_the_sdk_goes_on_polling_after_it_came_back(
    opened: Open, ask: Ask, mechanism: Mechanism, control_plane: ControlPlane, tmp_path: Path
) -> None:
    platform = await opened(mechanism, sdk_command(tmp_path), hosts=("A",))
    assert await cold(platform, ask, 3) == ["fresh", "restored", "restored"]
    assert [job.status for job in control_plane.jobs.values()] == [Status.COMPLETED] * 3
