"""Lines of worker logs, whoever wrote them: by which worker and when, in what form, and what the line is a sign of.

The platform's log viewer and other tools put a time, a worker's id and a level before a line, or wrap it in JSON; what stands
outside wins over what the line says itself, since every line has it.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from ops.logs.signs import Sign, sign_of

#: Who wrote a line, as far as its form tells. ``text`` is a bare line with a message that is known, ``unknown`` any other.
Form = Literal["worker", "SDK", "founding worker", "vLLM", "library", "JSON", "text", "blank", "unknown"]

#: The forms that are understood, for people.
KNOWN_FORMS: Final = (
    "this worker's JSON lines and its console lines; the RunPod SDK's JSON lines and its plain ones (INFO   | …); lines of the "
    "platform's log viewer (a time, perhaps a worker's id, the message); lines of vLLM and MinerU"
)

DAY: Final = 86400.0
#: Times of undated logs count from a midnight: whatever is smaller than this is no Unix time of this century.
DATED_FROM: Final = 900_000_000.0

_LEVELS: Final = r"(?:TRACE|DEBUG|INFO|TIP|SUCCESS|WARN|WARNING|ERROR|CRITICAL)"
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_DATED: Final = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z| ?[+-]\d\d:?\d\d)?)\]?[\s|]*", re.ASCII)
_CLOCK: Final = re.compile(r"\[?([01]?\d|2[0-3]):([0-5]\d):([0-5]\d(?:[.,]\d+)?)\]?(?:[\s|]+|$)", re.ASCII)
_LEVEL: Final = re.compile(rf"\[({_LEVELS})\s*\]\s*", re.IGNORECASE)
#: An id in brackets, or with the level in brackets behind it; an id has a digit, which a library's name has not.
_WORKER: Final = re.compile(r"\[(?=[^\]]*\d)([\w.-]{4,})\]\s*|(?=\w*\d)([a-z0-9]{8,})(?=\[\w+\])", re.ASCII)
#: An id with nothing around it: only before what surely begins a line.
_BARE_WORKER: Final = re.compile(
    rf"(?!{_LEVELS}\b)([\w.-]+)(?:\s*\|\s*|:?\s+)"
    rf"(?={_LEVELS}\s*\| |--- Starting|\(\w+ pid=\d|"
    r'\{"|\d{4}-\d\d-\d\d[T ])',
    re.ASCII,
)
_WORD: Final = re.compile(r"(\S+)(?:\s+|$)")

_SDK: Final = re.compile(rf"({_LEVELS})\s*\| ?(?:(\S+) \| )?(.*)", re.DOTALL)
_LOGURU: Final = re.compile(rf"{_LEVELS}\s*\| [\w.<>]+:[\w<>]+:\d+ - (.*)", re.DOTALL)
_VLLM: Final = re.compile(
    rf"(?:\((\w+ pid=\d+)\) ?)?(?:{_LEVELS} \d\d-\d\d ((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?) \[[^\]]+\] ?"
    rf"|vllm: {_LEVELS} )(.*)",
    re.DOTALL | re.ASCII,
)
#: Progress bars, tracebacks and the warnings of PyTorch's own log: nothing to tell, but no surprise either.
_NOISE: Final = re.compile(r'.*(?:it/s|s/it)[\],]|Traceback \(most recent|\s*File ".+", line \d+|\[[IWEF]\d{4} \d\d:', re.DOTALL)
_PROCESS: Final = re.compile(r"\((\w+ pid=\d+)\) ?(.*)", re.DOTALL)
_QUOTED: Final = re.compile(r'"([^"]+)" ?(\{.*)?$', re.DOTALL)
_PAIR: Final = re.compile(r"(?:^|\s)(\w+)=(\{.*?\}(?=\s\w+=|$)|\[.*?\](?=\s\w+=|$)|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\S*)")
_LOOSE_PAIR: Final = re.compile(r"[\"']?(\w+)[\"']?\s*[:=]\s*[\"']?(\d+(?:\.\d+)?(?=[\s,}.]|$)|[^\"',}\s]+)")

#: The names that JSON around a line has for its parts.
_MESSAGES: Final = ("message", "msg", "log", "line", "event")
_TIMES: Final = ("ts", "dt", "timestamp", "time", "@timestamp")
_WORKERS: Final = ("workerId", "worker_id", "podId", "pod_id")
_REQUESTS: Final = ("requestId", "request_id", "job_id", "jobId")


@dataclass(frozen=True)
class Line:
    """One line. ``at`` is Unix time, or seconds since the first midnight of a log without dates; None where nothing tells.

    ``source`` and ``number`` say where it stands; ``worker`` is empty where nothing names one; ``process`` is vLLM's name for its
    process and its id; ``sign`` what it shows, with ``seconds`` if it says how long that took.
    """

    source: str
    number: int
    text: str
    form: Form = "unknown"
    at: float | None = None
    worker: str = ""
    message: str = ""
    request: str = ""
    process: str = ""
    sign: Sign = ""
    seconds: float | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def boot(self) -> dict[str, Any]:
        """The worker's own account of its boot, where the line has one."""
        boot = self.fields.get("boot")
        return boot if isinstance(boot, dict) else {"id": boot} if isinstance(boot, str) and boot else {}


def read(texts: Iterable[str], source: str) -> list[Line]:
    """Every line of a log, the blank and the unknown among them; ``source`` is the log's name."""
    workers: set[str] = set()
    lines: list[tuple[Line, float | None]] = []
    for number, text in enumerate(texts, 1):
        line, clock = _read(Line(source, number, _COLOURS.sub("", text.rstrip("\r\n"))), workers)
        lines.append((line, clock))
    return list(_placed(lines))


def number(value: object) -> float | None:
    """A finite number, from whatever a log holds; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _placed(lines: list[tuple[Line, float | None]]) -> Iterator[Line]:
    """The lines with a time for each clock that came without a date: on the day that brings it nearest to the time before."""
    last = next((line.at for line, _ in lines if line.at is not None), None)
    for line, clock in lines:
        at = line.at
        if at is None and clock is not None:
            at = clock if last is None else clock + DAY * round((last - clock) / DAY)
        last = last if at is None else at
        yield replace(line, at=at)


def _read(line: Line, workers: set[str]) -> tuple[Line, float | None]:
    """The line with all that it tells, and its time of day in seconds if that is all it has of a time.

    ``workers`` are the ids seen before lines so far.
    """
    found, clock = _understood(line, line.text.strip(), workers)
    has_job = bool(found.request or found.form == "founding worker")
    sign, seconds = sign_of(found.message, has_boot=bool(found.boot), has_job=has_job)
    form: Form = "text" if found.form == "unknown" and sign else found.form
    return replace(found, form=form, sign=sign, seconds=seconds), clock


def _understood(line: Line, text: str, workers: set[str]) -> tuple[Line, float | None]:
    """The line with what ``text`` tells, which is the line or a part of it; and its time of day if it has no other."""
    at, clock, worker, has_level, rest = _peel(text, workers)
    known = replace(line, worker=line.worker or worker)
    found, inner_clock = _from_console(known, rest, workers) if has_level else _content(known, rest, workers)
    clock = clock if clock is not None else inner_clock
    at = at if at is not None else None if clock is not None else found.at
    return replace(found, at=at), None if at is not None else clock


def _peel(text: str, workers: set[str]) -> tuple[float | None, float | None, str, bool, str]:
    """Take off what others put before a line: Unix time, time of day, worker's id, a level in brackets or none; and the rest."""
    at = clock = None
    worker, has_level = "", False
    while text:
        if match := _DATED.match(text):  # Of two times the first is the viewer's, which all lines have.
            at = _unix(match[1]) if at is None and clock is None else at
        elif match := _CLOCK.match(text):
            time = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3].replace(",", "."))
            clock = time if at is None and clock is None else clock
        elif match := _LEVEL.match(text):
            has_level = True
        elif not worker and (match := _WORKER.match(text) or _BARE_WORKER.match(text)):
            worker = match[1] or match[2]
            workers.add(worker)
        elif not worker and (match := _WORD.match(text)) and match[1] in workers:
            worker = match[1]
        else:
            break
        text = text[match.end() :]
    return at, clock, worker, has_level, text


def _content(line: Line, text: str, workers: set[str]) -> tuple[Line, float | None]:
    """The line with what its own text tells, and a time of day that vLLM put into it."""
    if not text:
        return replace(line, form="blank"), None
    if text.startswith("{") and (fields := _json(text)) is not None:
        return _from_json(line, fields, workers)
    if match := _LOGURU.match(text):
        return replace(line, form="library", message=match[1]), None
    if match := _SDK.match(text):
        return replace(line, form="SDK", request=match[2] or "", message=match[3]), None
    if match := _VLLM.match(text):
        hours, minutes, seconds = match[2].split(":") if match[2] else ("", "", "")
        clock = int(hours) * 3600 + int(minutes) * 60 + float(seconds) if hours else None
        return replace(line, form="vLLM", process=match[1] or "", message=match[3]), clock
    if _NOISE.match(text):
        return replace(line, form="library", message=text), None
    if match := _PROCESS.match(text):
        return replace(line, form="vLLM", process=match[1], message=match[2]), None
    if match := _QUOTED.match(text):
        loose: dict[str, Any] = dict(_LOOSE_PAIR.findall(match[2] or ""))
        fields = _json(match[2] or "") or loose
        return replace(line, form="founding worker", message=match[1], request=_first(fields, _REQUESTS), fields=fields), None
    return replace(line, message=text), None


def _from_json(line: Line, fields: dict[str, Any], workers: set[str]) -> tuple[Line, float | None]:
    message = _first(fields, _MESSAGES)
    at = next((found for name in _TIMES if (found := _time(fields.get(name))) is not None), None)
    known = replace(line, at=at, worker=line.worker or _first(fields, _WORKERS), request=_first(fields, _REQUESTS), fields=fields)
    if "boot" in fields or ("ts" in fields and "requestId" in fields):
        return replace(known, form="worker", message=message), None
    if set(fields) == {"requestId", "message", "level"}:
        return replace(known, form="SDK", message=message), None
    if not message:
        return replace(known, form="JSON"), None
    # JSON around a line: the line within tells more.
    within, clock = _understood(replace(known, fields={}), message.strip(), workers)
    form: Form = "JSON" if within.form in ("unknown", "blank") else within.form
    within = replace(within, form=form, request=within.request or known.request, fields=within.fields or fields)
    return (within, clock) if at is None else (replace(within, at=at), None)


def _from_console(line: Line, text: str, workers: set[str]) -> tuple[Line, float | None]:
    """A line of this worker's for people: the message, then names and values; or any other after a level in brackets."""
    pairs = [(match.start(), match[1], _value(match[2])) for match in _PAIR.finditer(text)]
    fields = {name: value for _, name, value in pairs}
    if "boot" not in fields and "requestId" not in fields:
        return _content(line, text, workers)
    message = text[: pairs[0][0]].strip()
    return replace(line, form="worker", message=message, request=_first(fields, _REQUESTS), fields=fields), None


def _value(text: str) -> Any:
    """A value as Python writes it; text where it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _json(text: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _first(fields: dict[str, Any], names: Iterable[str]) -> str:
    return next((value for name in names if isinstance(value := fields.get(name), str) and value), "")


def _time(value: object) -> float | None:
    """Unix time from ISO 8601, or from seconds, milliseconds or nanoseconds since 1970."""
    if isinstance(value, str) and (found := _unix(value)) is not None:
        return found
    count = number(value)
    if count is None or count < DATED_FROM:
        return None
    return count / next(unit for unit in (1e9, 1e6, 1e3, 1) if count / unit >= DATED_FROM)


def _unix(text: str) -> float | None:
    """Unix time of an ISO 8601 text; without a zone it is taken for UTC, which containers run on."""
    try:
        time = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
