"""The life of a worker: fitness checks, heartbeat, warm-up, serving, on one event loop.

The engine may be bound to the loop it was first used on (MinerU 3's is), so the warm-up and every job run under the same
``asyncio.run``. A snapshot taken when the worker scales to zero then holds a model that is loaded and proven to answer.
"""

import asyncio
import contextlib
import functools
import gc
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NoReturn

from pydantic import ValidationError

from worker import caches, choices, fitness, log_stream, request, restore, sdk, telemetry, vlm
from worker import log as logs
from worker.boot import Boot
from worker.engine import VERSION, Engine
from worker.handler import Handler
from worker.log import log
from worker.settings import Settings
from worker.source import Document

#: One page with a heading, a table, a formula and an image; ``ops/fixture.py`` makes it.
FIXTURE: Final = Path(__file__).with_name("fixture.pdf")

#: Words of the fixture that MinerU's flash tier always finds.
FIXTURE_WORDS: Final = ("Tides at Saltmere", "What raises the tide", "Constituent", "principal lunar", "12.4206")

#: Exit codes: the worker could not start as configured; it started and is not fit to serve.
BAD_SETTINGS, NOT_WARM = 2, 1

#: Seconds between two looks at whether the engine still lives.
ENGINE_CHECK: Final = 0.5
#: Seconds an engine may take to shut down before its processes are killed; vLLM kills its own after 5.
STOP_PATIENCE: Final = 10.0

#: Seconds the last telemetry may take to leave when the worker ends.
TELEMETRY_FLUSH: Final = 2.0


class WarmupFailed(RuntimeError):
    """The warm-up did not prove that this worker can parse."""


def main(arguments: list[str]) -> NoReturn:
    """Run the worker until it is told to stop; ends the process with 0, or with a code above that says why it could not serve."""
    settings = _settings()
    log_stream.outlive_readers()
    logs.configure(settings, secrets=[os.environ.get("RUNPOD_AI_API_KEY", "")])
    boot = Boot()
    telemetry.setup(settings, boot.id)
    engine = Engine(settings)
    renewal = restore.Renewal(settings, boot, functools.partial(_parse_fixture, settings, engine))
    handler = Handler(settings, engine, boot, renewal)
    if not sdk.on_platform(arguments):
        sdk.serve_locally(handler.handle, settings.concurrency)
        sys.exit(0)
    _stop_when_told()
    with logs.bind(boot={"id": boot.id}):
        asyncio.run(_serve_and_end(settings, engine, boot, renewal, handler))


async def _serve_and_end(settings: Settings, engine: Engine, boot: Boot, renewal: restore.Renewal, handler: Handler) -> NoReturn:
    """End from within the loop: ``asyncio.run`` would first wait for the threads of parses that were left behind."""
    code = await serve(settings, engine, boot, renewal, handler)
    telemetry.stop(TELEMETRY_FLUSH)
    _end(code)


async def serve(settings: Settings, engine: Engine, boot: Boot, renewal: restore.Renewal, handler: Handler) -> int:
    """Bring the worker up and serve the platform's queue; returns the exit code."""
    log.info("booting", versions=choices.STACK, mineru=VERSION, tier=settings.tier, worker=choices.TEMPLATE_VERSION)
    cache = caches.open_cache(settings)
    fitness.register(settings, engine, boot)
    with boot.phase("fitness"):
        await sdk.run_fitness_checks()
    sdk.start_heartbeat()
    log_stream.write_in_background()
    try:
        await warm_up(settings, engine, boot)
    except WarmupFailed as failure:
        log.error(
            "warm-up failed, the worker exits so that the platform replaces it",
            error=str(failure),
            phases=boot.phases,
        )
        return NOT_WARM
    boot.compile_cache = await asyncio.to_thread(cache.close)
    # What the boot has made stays for good: a full collection would walk through it each time, and hold up the loop for 0.15 s.
    gc.collect()
    gc.freeze()
    log.info(
        "serving",
        compile_cache=boot.compile_cache,
        phases=boot.phases,
        concurrency=settings.concurrency,
        warmup=settings.warmup_mode,
    )
    telemetry.booted(boot.phases)
    boot.watch(functools.partial(asyncio.get_running_loop().call_soon_threadsafe, renewal.begin))
    watching = asyncio.create_task(_end_with(engine))
    await sdk.serve(handler.handle, handler.places)
    watching.cancel()
    log.info("stopped")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_PATIENCE):
            await engine.stop()
    return 0


async def _end_with(engine: Engine) -> None:
    """Have the worker end in order when its engine dies, also between jobs: the next job would be lost on it."""
    while not engine.is_dead():  # noqa: ASYNC110, since vLLM notes it in an attribute and tells no one
        await asyncio.sleep(ENGINE_CHECK)
    log.error("the engine died, the worker ends so that the platform replaces it")
    signal.raise_signal(signal.SIGTERM)


async def warm_up(settings: Settings, engine: Engine, boot: Boot) -> None:
    """Parse the fixture as a job would, on the tier that jobs get, and check the outcome; within the time allowed.

    Raises:
        WarmupFailed: with the reason, unless the settings say to serve all the same.
    """
    if settings.warmup_mode == "skip":
        return
    try:
        with boot.phase("warmup"):
            async with asyncio.timeout(settings.warmup_timeout):
                for parse in ("first_parse", "second_parse"):
                    with boot.phase(parse):
                        boot.fixture_read.append(await _parse_fixture(settings, engine))
    except TimeoutError:
        failure = WarmupFailed(f"not done within MINERU_WARMUP_TIMEOUT={settings.warmup_timeout:g} s")
    except Exception as error:
        failure = WarmupFailed(f"{type(error).__name__}: {error}")
    else:
        return
    finally:
        boot.phases.update(engine.phases)
    if settings.warmup_mode == "strict":
        raise failure
    log.warning("warm-up failed, serving all the same because MINERU_WARMUP=lazy", error=str(failure))


async def _parse_fixture(settings: Settings, engine: Engine) -> str:
    """One parse for its Markdown.

    OCR is forced where a model is used: with a text layer MinerU never asks the vision-language model.
    """
    importlib.import_module("worker.download")
    suffix = await asyncio.to_thread(engine.identify, FIXTURE)
    document = Document(path=FIXTURE, suffix=suffix, size=FIXTURE.stat().st_size, origin="warm-up")
    wish = request.read({"volume_path": str(FIXTURE), "ocr_mode": "auto" if settings.tier == "flash" else "ocr"}, settings)
    before = engine.vlm_requests
    with tempfile.TemporaryDirectory(prefix="warm-up-", dir=settings.temp_dir) as folder:
        parsed = await engine.parse(document, wish, Path(folder))
        markdown = parsed.markdown()
    if settings.tier in vlm.TIERS and engine.vlm_requests == before:
        raise WarmupFailed("the vision-language model was never asked, so nothing of it is warm")
    missing = [word for word in FIXTURE_WORDS if word not in markdown] if settings.tier == "flash" else []
    if missing or not markdown.strip():
        raise WarmupFailed(f"the fixture's Markdown lacks {', '.join(missing) or 'any text'}: {markdown[:200]!r}")
    return markdown


def _stop_when_told() -> None:
    """End the process at once on SIGTERM or SIGINT, until serving brings handlers that finish the jobs at hand first.

    As process 1 of a container, no handler would mean no reaction. The heartbeat inherits these and ends as quietly.
    """
    worker = os.getpid()

    def stop(number: int, _: object) -> None:
        if os.getpid() == worker:
            log.warning("stopped before serving", signal=signal.Signals(number).name)
            _end(0)
        os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            name = name if not name or name.startswith("BUCKET_") else f"MINERU_{name}"
            print(
                f"worker: {name}: {problem['msg']}, got {problem.get('input')!r}" if name else f"worker: {problem['msg']}",
                file=sys.stderr,
            )
        sys.exit(BAD_SETTINGS)


def _end(code: int) -> NoReturn:
    """End the process and its children now: threads of the engine can hold an orderly exit up for ever."""
    for child in multiprocessing.active_children():
        child.terminate()
    deadline = time.monotonic() + 2
    for child in multiprocessing.active_children():
        child.join(max(0, deadline - time.monotonic()))
    for child in multiprocessing.active_children():
        child.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    log_stream.drain()
    os._exit(code)
