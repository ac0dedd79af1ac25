"""The endpoints that the local REST v2 server keeps: what each one is, its releases, and its workers with their logs."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ops.rest_server.catalogue import cards_of
from ops.rest_server.schema import DEFAULTS, GPU_DEFAULTS

#: Fields that reach a worker only by its replacement: a change of one makes a new release.
OF_THE_CONTAINER: Final = ("image", "args", "disk", "ports", "env", "registry", "gpu", "networkVolumes", "dataCenterIds")


@dataclass
class ListedWorker:
    """A worker that is only listed. ``fate`` is what it becomes once it has booted; ``lines`` are (id, source, line)."""

    id: str
    version: int
    image: str
    gpu_type: str
    count: int
    started: datetime
    boot: float
    fate: str = "IDLE"
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    gone: bool = False
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def age(self) -> float:
        """Seconds since it started."""
        return (_now() - self.started).total_seconds()

    @property
    def status(self) -> str:
        """What the platform calls it now."""
        return self.fate if self.age >= self.boot or self.fate == "THROTTLED" else "INITIALIZING"

    async def say(self, line: str, source: str = "container", at: str = "") -> None:
        """Write a line into its log, now or with another time (ISO 8601)."""
        stamp = f"{at or f'{_now():%Y-%m-%dT%H:%M:%SZ}'}/{len(self.lines):012d}"
        self.lines.append((stamp, source, line))
        async with self.news:
            self.news.notify_all()

    async def leave(self) -> None:
        """End, and the log with it."""
        self.gone = True
        async with self.news:
            self.news.notify_all()

    async def after(self, seen: int) -> list[tuple[str, str, str]]:
        """The lines after the first ``seen``, once there are any; none from a worker that is gone."""
        async with self.news:
            await self.news.wait_for(lambda: len(self.lines) > seen or self.gone)
        return self.lines[seen:]

    def described(self, latest: int) -> dict[str, Any]:
        """The worker as the platform lists it; ``latest`` is its endpoint's version."""
        placed = self.status != "THROTTLED"
        return {
            "id": self.id,
            "status": self.status,
            "isStale": self.version != latest,
            "version": self.version,
            "gpuCount": self.count,
            "image": self.image,
            "uptimeSeconds": int(self.age) if placed else None,
            "gpuTypeId": self.gpu_type if placed else None,
            "dataCenterId": "EU-RO-1" if placed else None,
            "startedAt": _time(self.started) if placed else None,
        }


@dataclass
class ListedEndpoint:
    """One endpoint. ``config`` is its description but for id, time and URLs; ``boot`` the seconds its workers take to boot."""

    id: str
    config: dict[str, Any]
    boot: float
    ids: Iterator[int]
    created: datetime = field(default_factory=lambda: _now())
    version: int = 1
    releases: list[dict[str, Any]] = field(default_factory=list)
    workers: list[ListedWorker] = field(default_factory=list)

    def change(self, changes: dict[str, Any]) -> None:
        """Take over a change, group by group; one of the container makes a release, and workers of the version before stale."""
        before = self.config
        self.config = merged(before, changes)
        touched = [name for name in OF_THE_CONTAINER if self.config.get(name) != before.get(name)]
        if touched:
            self.version += 1
            self.release([{"field": name, "old": before.get(name), "new": self.config.get(name)} for name in touched])
        self.settle()

    def release(self, diff: list[dict[str, Any]]) -> None:
        """Note a version and what it changed."""
        self.releases.insert(
            0,
            {
                "id": f"release-{next(self.ids)}",
                "version": self.version,
                "source": "MANUAL",
                "buildId": None,
                "createdByUserId": None,
                "createdAt": _time(_now()),
                "diff": diff,
            },
        )

    def settle(self, demand: int = 0) -> None:
        """Have the workers that limits and ``demand`` ask for; those of an old version leave once enough new ones serve."""
        least, most = self.config["workers"]["min"], self.config["workers"]["max"]
        wanted = max(least, min(demand, most))
        new = [worker for worker in self.workers if worker.version == self.version]
        while len(new) < wanted:
            new.append(self._started())
        kept = new[:most]
        serving = [worker for worker in kept if worker.status in ("IDLE", "RUNNING")]
        old = [worker for worker in self.workers if worker.version != self.version]
        self.workers = kept + (old if len(serving) < len(old) else [])

    def _started(self) -> ListedWorker:
        gpu = self.config["gpu"]
        card = next(card for pool in gpu["pools"] for card in cards_of(pool) if card not in gpu["excludedTypes"])
        return ListedWorker(
            f"{self.id}-worker-{next(self.ids)}", self.version, self.config["image"], card, gpu["count"], _now(), self.boot
        )

    def described(self, jobs_url: str) -> dict[str, Any]:
        """The endpoint as the platform describes it."""
        verbs = {"run": "run", "runSync": "runsync", "purgeQueue": "purge-queue", "health": "health"}
        verbs |= {verb: verb + "/{job_id}" for verb in ("status", "stream", "cancel", "retry")}
        urls = {name: f"{jobs_url}/v2/{self.id}/{verb}" for name, verb in verbs.items()}
        return {"id": self.id, "requestUrls": urls, **self.config, "createdAt": _time(self.created)}

    def listed_workers(self) -> dict[str, Any]:
        """The workers and how many are in which state."""
        self.settle()
        workers = [worker.described(self.version) for worker in self.workers]
        states = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")
        counts = {state.lower(): sum(worker["status"] == state for worker in workers) for state in states}
        return {"workers": workers, "summary": {**counts, "total": len(workers)}, "endpointVersion": self.version}

    def listed_releases(self) -> dict[str, Any]:
        """The releases, newest first, and how far the workers have followed."""
        total = len(self.workers)
        latest = sum(worker.version == self.version for worker in self.workers)
        rollout = {
            "inProgress": latest < total,
            "workersOnLatest": latest,
            "workersTotal": total,
            "percentOnLatest": round(100 * latest / total) if total else 0,
        }
        releases = [
            {**release, "workerCount": sum(worker.version == release["version"] for worker in self.workers)}
            for release in self.releases
        ]
        return {"releases": releases, "rollout": rollout, "endpointVersion": self.version}


def created(endpoint_id: str, body: dict[str, Any], boot: float, ids: Iterator[int]) -> ListedEndpoint:
    """The endpoint that a request describes, defaults filled in, with its first release and its workers."""
    filled = merged({**DEFAULTS, "gpu": GPU_DEFAULTS}, body)
    endpoint = ListedEndpoint(endpoint_id, filled, boot, ids)
    endpoint.release([])
    endpoint.settle()
    return endpoint


def merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A configuration with changes taken over: ``gpu`` and ``workers`` field by field, everything else whole."""
    after = {**before, **{name: value for name, value in changes.items() if name not in ("gpu", "workers")}}
    gpu, workers = changes.get("gpu", {}), changes.get("workers", {})
    # Pools and the cards left out of them are one selection.
    cleared: dict[str, Any] = {"excludedTypes": []} if "pools" in gpu else {}
    after["gpu"] = {**before["gpu"], **cleared, **gpu}
    after["gpu"]["minCudaVersion"] = after["gpu"]["minCudaVersion"] or None
    after["gpu"]["excludedTypes"] = [card.strip() for card in after["gpu"]["excludedTypes"]]
    after["workers"] = {**before["workers"], **workers}
    if after["scaling"]["type"] == "REQUEST_COUNT" and after["type"] == "QUEUE":
        after["workers"].pop("idleTimeout", None)
    else:
        after["workers"].setdefault("idleTimeout", DEFAULTS["workers"]["idleTimeout"])
    return after


def days_ago(days: int) -> str:
    """A day's beginning, as the API writes times."""
    return _time((_now() - timedelta(days=days)).replace(hour=0, minute=0, second=0))


def _now() -> datetime:
    return datetime.now(UTC)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def conflicts(changes: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """What in a configuration contradicts itself, where each part alone is well formed."""
    gpu, workers = after["gpu"], after["workers"]
    if gpu["allowedCudaVersions"] and gpu["minCudaVersion"]:
        yield "gpu.allowedCudaVersions and gpu.minCudaVersion are mutually exclusive"
    cards = {card for pool in gpu["pools"] for card in cards_of(pool)}
    for pool in gpu["pools"]:
        if not cards_of(pool):
            yield f"gpu.pools: unknown pool {pool!r}"
    for card in gpu["excludedTypes"]:
        if card not in cards:
            yield f"gpu.excludedTypes: {card!r} is not a GPU type in one of the selected pools"
    if cards and cards <= set(gpu["excludedTypes"]):
        yield "gpu.excludedTypes leaves no GPU type in the selection"
    if workers["min"] > workers["max"]:
        yield f"workers.min ({workers['min']}) must not exceed workers.max ({workers['max']})"
    on_count = after["type"] == "QUEUE" and after["scaling"]["type"] == "REQUEST_COUNT"
    if on_count and "idleTimeout" in changes.get("workers", {}):
        yield "workers.idleTimeout does not apply to a queue-based endpoint that scales on requestCount"
    if after["type"] == "LOAD_BALANCER" and after["scaling"]["type"] != "REQUEST_COUNT":
        yield "scaling.type: a LOAD_BALANCER endpoint needs REQUEST_COUNT"
