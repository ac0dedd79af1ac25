"""From the lines of worker logs, one after the other, to what happened: whose boot a step belongs to, whose request a line."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, TypeVar

from ops.logs.evidence import IDLE_TIMEOUT, judge
from ops.logs.lines import Form, Line, number
from ops.logs.signs import BEGINNINGS, ENDS, ENGINE, STEPS
from ops.logs.story import Gap, Process, Request, Step, Story

#: Lines that were not understood and are kept, to be shown.
SHOWN: Final = 3
#: Steps that end with a line which does not say how long they took: since the line of the boot before.
SINCE_BEFORE: Final = ("imports", "engine_process")

Told = TypeVar("Told", Process, Request)


@dataclass(eq=False)
class _Worker:
    """What is being read of one worker: its present process, whether its own lines name processes, and when it last spoke."""

    processes: list[Process] = field(default_factory=list)
    by_id: dict[str, Process] = field(default_factory=dict)
    open: list[Request] = field(default_factory=list)
    latest: dict[str, Request] = field(default_factory=dict)
    spoke: float | None = None
    silence: tuple[float, float] | None = None
    blind: bool = False
    empty: bool = True
    opens_log: bool = False

    @property
    def process(self) -> Process | None:
        return self.processes[-1] if self.processes else None


def tell(lines: Iterable[Line], idle_timeout: float = IDLE_TIMEOUT) -> Story:
    """The story of all lines, those of one worker as they were written. ``idle_timeout`` is the endpoint's, in seconds."""
    workers: dict[str, _Worker] = {}
    forms: Counter[Form] = Counter()
    odd: list[Line] = []
    for line in lines:
        forms[line.form] += 1
        if line.form == "unknown" and len(odd) < SHOWN:
            odd.append(line)
        if line.form != "blank":
            name = line.worker or line.source
            _Hearing(workers.setdefault(name, _Worker()), line, line.worker or PurePath(line.source).stem).hear()
    processes = [process for worker in workers.values() for process in worker.processes]
    requests = [request for process in processes for request in process.requests]
    for request in requests:
        judge(request, idle_timeout)
    return Story(_in_order(processes), _in_order(requests), forms, odd)


def _in_order(told: list[Told]) -> list[Told]:
    """By time; what has none stays behind what it came after."""
    last, times = 0.0, []
    for one in told:
        last = one.begun if one.begun is not None else last
        times.append(last)
    return [one for _, one in sorted(zip(times, told, strict=True), key=lambda pair: pair[0])]


@dataclass
class _Hearing:
    """One line heard of a worker."""

    worker: _Worker
    line: Line
    name: str

    def hear(self) -> None:
        worker, line = self.worker, self.line
        self._measure_silence()
        sign = line.sign
        if sign == "queue":
            worker.opens_log = worker.opens_log or worker.empty
        elif line.form != "unknown" or sign:
            process = self._process()
            if line.process:
                self._engine(process)
            if line.form == "vLLM" and not process.requests and process.begun is None:
                process.begun = line.at
            if sign in BEGINNINGS or sign in STEPS or sign in ("serving", "did not start"):
                self._step(process)
            elif sign in ("started", "job") or sign in ENDS or (line.request and line.boot.get("kind")):
                self._job(process)
            elif sign in ("restored", "unsure"):
                self._freeze(process)
        worker.empty = False

    def _measure_silence(self) -> None:
        """Note the longest time without a line since the last job; two lines with no time between them show none."""
        worker, line = self.worker, self.line
        if line.at is None and line.form in ("unknown", "library"):
            return  # The rest of a longer message, such as a traceback.
        if not worker.empty and not worker.open and (line.at is None or worker.spoke is None):
            worker.blind = True
        if line.at is None:
            worker.spoke = None
            return
        if worker.spoke is not None and not worker.open:
            gap = (worker.spoke, line.at)
            if worker.silence is None or gap[1] - gap[0] > worker.silence[1] - worker.silence[0]:
                worker.silence = gap
        worker.spoke = line.at

    def _process(self) -> Process:
        """The process that wrote the line; a new one where a boot begins, or another names itself."""
        worker, line = self.worker, self.line
        now = worker.process
        own = line.boot.get("id")
        if isinstance(own, str) and own:
            if own not in worker.by_id:
                nameless = now is not None and not now.id and not now.requests
                worker.by_id[own] = now if nameless and now is not None else self._new()
                worker.by_id[own].id = own
            return worker.by_id[own]
        if line.request and (known := worker.latest.get(line.request)) in worker.open and known is not None:
            return known.process
        if now is None:
            return self._new()
        if not worker.by_id:
            begins = line.sign in BEGINNINGS and (now.requests or line.sign in now.signs)
            engine_begins = line.sign in ENGINE and now.requests and not worker.open
            if begins or engine_begins:
                return self._new()
        return now

    def _new(self) -> Process:
        process = Process(self.name)
        self.worker.processes.append(process)
        self.worker.open.clear()
        return process

    def _engine(self, process: Process) -> None:
        """Note the engine's processes, and a request that meets another than before though nothing has booted."""
        name, _, pid = self.line.process.partition(" pid=")
        before = process.engines.setdefault(name, pid)
        if before != pid and self.worker.open:
            self.worker.open[-1].other_engine = f"{name} is process {pid}, and was {before}"
        elif before != pid and self.line.sign in ENGINE:
            process.engines[name] = pid

    def _step(self, process: Process) -> None:
        worker, line, sign = self.worker, self.line, self.line.sign
        if process.requests and sign in ENGINE and worker.open:
            worker.open[-1].started_engine = worker.open[-1].started_engine or sign != "engine_process"
        elif process.requests:
            return  # MinerU names its engine again for every job.
        else:
            process.signs.add(sign)
            worker.silence, worker.blind = None, False
            if line.at is not None:
                process.begun = line.at if process.begun is None else process.begun
                _took_place(process, line)
                process.ready = line.at
        if sign == "did not start":
            process.failed = True
        if sign in STEPS and line.seconds is not None:
            key = (sign, line.process)
            process.told[key] = process.told.get(key, 0.0) + line.seconds
            process.phases[sign] = max(seconds for (name, _), seconds in process.told.items() if name == sign)
        _adopt_phases(process, line.fields.get("phases"))

    def _freeze(self, process: Process) -> None:
        frozen = number(self.line.fields.get("frozen_seconds"))
        if self.line.at is not None and frozen:
            process.gaps.append(Gap(self.line.at - frozen, self.line.at, sure=self.line.sign == "restored"))

    def _job(self, process: Process) -> None:
        worker, line = self.worker, self.line
        request = self._request(process)
        if request is None:
            return
        if line.at is not None:
            request.begun = line.at if request.begun is None and request.has_start else request.begun
            request.ended = line.at
        if line.boot.get("kind"):
            request.boot, request.said = line.boot, True
            _adopt_phases(request.process, line.boot.get("phases"))
        if line.sign in ENDS:
            took = number(line.fields.get("seconds", line.fields.get("elapsed_seconds")))
            request.took = took if took is not None else request.took
            request.outcome = request.outcome if request.outcome in ENDS and line.sign == "done" else line.sign
            if request in worker.open:
                worker.open.remove(request)

    def _request(self, process: Process) -> Request | None:
        """The request that the line is about, as far as it is known; a new one where it begins. None for an end already told."""
        worker, line = self.worker, self.line
        known = worker.latest.get(line.request)
        going_on = known is not None and known in worker.open
        begins = line.sign in ("started", "job")
        if known is not None and (going_on or not begins):
            if going_on and known.process is not process and not known.said and line.boot:
                known.process.requests.remove(known)
                process.requests.append(known)
                known.process = process
            repeated = going_on and line.sign == "started" and not line.request
            if not repeated:
                return known
        request = Request(line.request, process, has_start=begins, beside=bool(worker.open))
        request.silence, worker.silence = worker.silence, None
        request.blind, worker.blind = worker.blind, False
        request.opens_log = worker.opens_log or worker.empty
        worker.opens_log = False
        process.requests.append(request)
        worker.latest[line.request] = request
        worker.open.append(request)
        return request


def _took_place(process: Process, line: Line) -> None:
    """Note where a step of a boot lies: it ended with its line, and says how long it took or began with the line before."""
    at, sign = line.at, line.sign
    if at is None:
        return
    if sign in SINCE_BEFORE and process.ready is not None and not process.id:
        process.phases[sign] = round(at - process.ready, 3)
        process.steps.append(Step(sign, process.ready, at))
    elif line.seconds is not None:
        process.steps.append(Step(sign, at - line.seconds, at))
    elif sign == "serving" and process.begun is not None:
        phases = line.fields.get("phases")
        own = {name: found for name, value in phases.items() if (found := number(value))} if isinstance(phases, dict) else {}
        if "fitness" in own:
            process.steps.append(Step("fitness", process.begun, process.begun + own["fitness"]))
        if "warmup" in own:
            process.steps.append(Step("warmup", at - own["warmup"], at))


def _adopt_phases(process: Process, phases: object) -> None:
    """Take the worker's own account of its boot, which knows better than the lines."""
    if isinstance(phases, dict):
        process.phases.update((str(name), found) for name, value in phases.items() if (found := number(value)) is not None)
