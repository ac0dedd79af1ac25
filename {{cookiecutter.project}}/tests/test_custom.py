"""The hooks of worker/custom.py: what each is given and may return, and the words for one that goes wrong."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ops.local_worker import PROJECT
from worker import choices, hooks, request
from worker.boot import Boot
from worker.engine import Engine
from worker.errors import InvalidRequest
from worker.handler import Handler
from worker.hooks import HookFailed
from worker.outputs import Parsed
from worker.request import Request
from worker.restore import Renewal
from worker.settings import Settings
from worker.source import Document

Write = Callable[..., None]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Write:
    """Puts a module with the given functions in the place of worker/custom.py, whatever its owner has written there."""

    def write(**functions: Any) -> None:
        module = ModuleType("worker.custom")
        for name, function in functions.items():
            function.__module__, function.__name__ = module.__name__, name
            setattr(module, name, function)
        monkeypatch.setattr(hooks, "custom", module)

    return write


@pytest.fixture
def document(tmp_path: Path) -> Document:
    return Document(path=tmp_path / "a.csv", suffix="csv", size=3, origin="a test")


@pytest.fixture
def wish() -> Request:
    return request.read({"volume_path": "a.csv"}, Settings())


@pytest.fixture
def parsed(tmp_path: Path) -> Parsed:
    return Parsed(folder=tmp_path, pages=1, tier=choices.TIERS[0])


async def test_without_hooks_everything_passes_as_it_is(write: Write, document: Document, wish: Request, parsed: Parsed) -> None:
    write()
    assert await hooks.before_parse(document, wish) == (document, wish)
    assert await hooks.after_parse(parsed, document, wish) is parsed
    assert await hooks.extra_outputs(parsed, document, wish) == {}
    await hooks.fitness_check(Settings())


async def test_before_parse_may_change_the_document_and_the_wishes(write: Write, document: Document, wish: Request) -> None:
    async def hook(document: Document, wish: Request) -> tuple[Document, Request]:
        return document, wish.model_copy(update={"basename": "changed"})

    write(before_parse=hook)
    assert (await hooks.before_parse(document, wish))[1].basename == "changed"


async def test_an_exception_names_the_file_the_hook_and_what_was_raised(write: Write, document: Document, wish: Request) -> None:
    async def hook(*_: object) -> None:
        raise KeyError("customer")

    write(before_parse=hook)
    with pytest.raises(HookFailed, match=r"worker/custom\.py: before_parse failed: KeyError: 'customer'") as caught:
        await hooks.before_parse(document, wish)
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_refusal_reaches_the_sender_in_the_hook_s_own_words(write: Write, document: Document, wish: Request) -> None:
    async def hook(*_: object) -> None:
        raise InvalidRequest("Only invoices, please.")

    write(before_parse=hook)
    with pytest.raises(InvalidRequest, match=r"^Only invoices, please\.$"):
        await hooks.before_parse(document, wish)


async def test_a_hook_that_hangs_is_ended(write: Write, document: Document, wish: Request, parsed: Parsed) -> None:
    async def hook(*_: object) -> None:
        await asyncio.Event().wait()

    write(after_parse=hook)
    with pytest.raises(HookFailed, match=r"after_parse took longer than MINERU_JOB_TIMEOUT=0\.05 s"):
        await hooks.after_parse(parsed, document, wish, limit=0.05)


@pytest.mark.parametrize("name", ["before_parse", "after_parse", "extra_outputs"])
async def test_a_hook_that_forgets_to_return_is_named(
    write: Write, document: Document, wish: Request, parsed: Parsed, name: str
) -> None:
    async def hook(*_: object) -> None:
        return None

    write(**{name: hook})
    arguments = (document, wish) if name == "before_parse" else (parsed, document, wish)
    with pytest.raises(HookFailed, match=rf"worker/custom\.py: {name} must return .*; it returned NoneType"):
        await getattr(hooks, name)(*arguments)


async def test_extra_outputs_that_json_cannot_write_are_refused(
    write: Write, document: Document, wish: Request, parsed: Parsed
) -> None:
    async def hook(*_: object) -> dict[str, Any]:
        return {"seen": {1, 2}}

    write(extra_outputs=hook)
    with pytest.raises(HookFailed, match=r"extra_outputs must return a dict that JSON can write \(.*set"):
        await hooks.extra_outputs(parsed, document, wish)


async def test_a_slip_in_a_hook_s_name_is_found_at_boot(write: Write) -> None:
    async def hook(*_: object) -> None:
        """Never called."""

    write(befor_parse=hook)
    with pytest.raises(HookFailed, match=r"befor_parse is no hook and would never be called; did you mean before_parse\?"):
        await hooks.fitness_check(Settings())


async def test_a_hook_that_is_not_async_is_found_at_boot(write: Write) -> None:
    write(after_parse=lambda *_: None, _helper=lambda: None)
    with pytest.raises(HookFailed, match="after_parse must be `async def`"):
        await hooks.fitness_check(Settings())


async def test_an_unfit_worker_says_why(write: Write) -> None:
    async def hook(_: Settings) -> None:
        raise RuntimeError("no licence server")

    write(fitness_check=hook)
    with pytest.raises(HookFailed, match="fitness_check failed: RuntimeError: no licence server"):
        await hooks.fitness_check(Settings())


@pytest.mark.skipif("flash" not in choices.TIERS, reason="mineru-3.4 parses nothing without a model")
async def test_a_job_passes_through_every_hook(write: Write, tmp_path: Path) -> None:
    async def before(document: Document, wish: Request) -> tuple[Document, Request]:
        return document, wish.model_copy(update={"formats": ["markdown"]})

    async def after(parsed: Parsed, _: Document, __: Request) -> Parsed:
        (parsed.folder / "markdown.md").write_text("rewritten")
        return parsed

    async def extra(parsed: Parsed, document: Document, _: Request) -> dict[str, Any]:
        return {"suffix": document.suffix, "characters": len(parsed.markdown())}

    write(before_parse=before, after_parse=after, extra_outputs=extra)
    settings, boot = Settings(temp_dir=tmp_path, tier="flash", volume_roots=(PROJECT / "samples",)), Boot()

    async def read() -> str:
        return ""

    engine = Engine(settings)
    handler = Handler(settings, engine, boot, Renewal(settings, boot, read))
    response = await handler.handle({"id": "1", "input": {"volume_path": "table.csv"}})
    await engine.stop()
    assert response["markdown"] == "rewritten"
    assert response["custom"] == {"suffix": "csv", "characters": 9}
    assert "images" not in response


def test_the_version_and_the_answers_are_told_without_starting_anything() -> None:
    command = [sys.executable, "-m", "worker", "--version"]
    told = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert told.startswith(f"{choices.PROJECT}, made by template {choices.TEMPLATE_VERSION} with stack={choices.STACK} ")
    assert f"gpu={choices.GPU}" in told
