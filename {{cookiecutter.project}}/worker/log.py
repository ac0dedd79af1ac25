"""Logs: one JSON object per line with ``ts``, ``level``, ``message``, ``requestId`` and the event's fields.

The names are those of the platform's log viewer and of the SDK's own lines. Secrets and signed URLs are masked before a
line is written, whatever field they came in.
"""

import logging
import re
import sys
from collections.abc import Iterable, MutableMapping
from typing import Any, Final

import structlog

from worker.settings import Settings

Event = MutableMapping[str, Any]

#: Every module logs through this one. ``bind`` adds fields to the lines of the current job.
log: structlog.stdlib.BoundLogger = structlog.get_logger()
bind = structlog.contextvars.bound_contextvars

MASK: Final = "[redacted]"

#: What is masked wherever it stands: credentials and queries in URLs, bearer tokens, values of secret-looking names.
_PATTERNS: Final = (
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:]*:?[^\s/@]*@"), rf"\1{MASK}@"),
    (re.compile(r"(?i)\b(https?://[^\s?#\"'<>]+)\?[^\s\"'<>]+"), rf"\1?{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (
        re.compile(
            r"(?i)\b([a-z0-9_-]*(?:api[_-]?key|secret|password|token|authorization|signature)[a-z0-9_-]*)(\"?'?\s*[=:]\s*\"?'?)[^\s,;\"'}&]+"
        ),
        rf"\1\2{MASK}",
    ),
)

_secrets: set[str] = set()


def redact(text: str) -> str:
    """The text with known secrets, URL credentials and queries, and secret-looking values masked."""
    for secret in _secrets:
        text = text.replace(secret, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def configure(settings: Settings, secrets: Iterable[str] = ()) -> None:
    """Set up logging for the process. ``secrets`` are masked verbatim, besides those in the settings."""
    named = (settings.bucket_access_key_id, settings.bucket_secret_access_key, settings.model_vlm_api_key)
    _secrets.update(secret for secret in (*secrets, *(value.get_secret_value() for value in named)) if len(secret) >= 4)
    level = "debug" if settings.log_level == "trace" else settings.log_level
    processors: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        _redact_values,
    ]
    structlog.configure(
        processors=[*processors, *_renderers(settings)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    adopt_logging(libraries_level(settings))


def libraries_level(settings: Settings) -> str:
    """The least level at which libraries may speak: warning, so that a job's own lines are not lost among theirs."""
    return "warning" if settings.log_level == "info" else settings.log_level


def adopt_logging(level: str) -> None:
    """Have what libraries say through ``logging`` written as our lines, from ``level`` up."""

    class Adopted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            _adopt(record.levelname, record.getMessage(), record.name)

    logging.basicConfig(handlers=[Adopted()], level="DEBUG" if level == "trace" else level.upper(), force=True)
    # It warns of every bitmap that MinerU closes.
    logging.getLogger("pypdfium2").setLevel("ERROR")


def adopt_loguru(level: str) -> None:
    """Have what MinerU says through loguru written as our lines, from ``level`` up; MinerU keeps a host's choice of sinks."""
    from loguru import logger

    def sink(message: Any) -> None:
        _adopt(message.record["level"].name, message.record["message"], message.record["name"])

    logger.remove()
    logger.add(sink, level=level.upper(), format="{message}")


def _adopt(level: str, message: str, source: str) -> None:
    number = logging.getLevelNamesMapping().get(level, logging.INFO)
    log.log(number, message, logger=source)


def _renderers(settings: Settings) -> list[structlog.types.Processor]:
    if settings.log_format == "console":
        return [structlog.dev.ConsoleRenderer(timestamp_key="ts", colors=sys.stdout.isatty())]
    return [
        structlog.processors.EventRenamer("message"),
        _platform_order,
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
    ]


def _platform_order(_: Any, __: str, event: Event) -> Event:
    """The platform's four keys first, then the event's own fields."""
    first = {"ts": event.pop("ts"), "level": event.pop("level").upper(), "message": event.pop("message")}
    return {**first, "requestId": event.pop("requestId", None), **event}


def _redact_values(_: Any, __: str, event: Event) -> Event:
    return {name: redacted(value) for name, value in event.items()}


def redacted(value: Any) -> Any:
    """The value with every text in it redacted; a tuple becomes a list."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: redacted(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value
