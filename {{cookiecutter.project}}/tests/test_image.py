"""The image: built, and run as the platform runs it, only that nothing but two folders can be written. Skipped without Docker.

Where the machine cannot pull, IMAGE_PYTHON and IMAGE_UV name images to build on, and IMAGE_NETWORK the network to build and run
on. By default that is the host's, where the control plane listens; nothing else is asked of it.
"""

import asyncio
import base64
import io
import json
import os
import re
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from model_hub import Hub
from pypdf import PdfReader, PdfWriter

from ops.control_plane import ControlPlane
from ops.jobs import Status
from worker import models

PROJECT = Path(__file__).parent.parent
REPORT = PROJECT / "samples" / "report.pdf"
NETWORK = os.environ.get("IMAGE_NETWORK", "host")

#: Seconds that a container gets to boot and do a job, and to finish what it does when it is stopped.
BOOT, GRACE = 180, 120

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(shutil.which("docker") is None, reason="there is no docker command"),
]


async def docker(*arguments: str, folder: Path = PROJECT) -> str:
    """What a docker command, run in ``folder``, printed, errors included; fails the test if the command failed."""
    process = await asyncio.create_subprocess_exec(
        "docker", *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output = (await process.communicate())[0].decode().strip()
    assert process.returncode == 0, f"docker {' '.join(arguments)}\n{output}"
    return output


async def inside(container: str, script: str) -> str:
    """What a shell script prints in the container, whatever its exit code."""
    return await docker("exec", container, "sh", "-c", f"{script} 2>&1 || true")


async def build(target: str, *options: str, folder: Path = PROJECT) -> str:
    """Build a stage of the Dockerfile in ``folder``; returns the image's name."""
    based = [f"--build-arg={name}={os.environ[f'IMAGE_{name}']}" for name in ("PYTHON", "UV") if f"IMAGE_{name}" in os.environ]
    tag = f"{PROJECT.name}:test-{target}"
    await docker("build", "--network", NETWORK, *based, *options, "--target", target, "--tag", tag, ".", folder=folder)
    return tag


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def image() -> str:
    """The cpu image, built from this project."""
    try:
        await docker("version")
    except AssertionError:
        pytest.skip("no Docker engine answers")
    return await build("cpu")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control_plane() -> AsyncIterator[ControlPlane]:
    async with ControlPlane() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def container(image: str, control_plane: ControlPlane) -> AsyncIterator[str]:
    """A container of the image that serves the control plane; its name, which is its worker's id."""
    name = f"worker-{uuid.uuid4().hex[:8]}"
    environment = [f"--env={key}={value}" for key, value in control_plane.worker_environment(name).items()]
    folders = ["--read-only", "--tmpfs", "/tmp:exec", "--tmpfs", "/home/worker:uid=1000"]  # noqa: S108 (the container's)
    await docker("run", "--detach", "--name", name, "--network", NETWORK, *folders, *environment, image)
    yield name
    await docker("rm", "--force", name)


def sent(pages: int = 0) -> dict[str, object]:
    """A job's input: the sample report, or that many copies of one of its pages."""
    content = REPORT.read_bytes()
    if pages:
        writer, buffer = PdfWriter(), io.BytesIO()
        page = PdfReader(REPORT).pages[1]
        for _ in range(pages):
            writer.add_page(page)
        writer.write(buffer)
        content = buffer.getvalue()
    return {"file_b64": base64.b64encode(content).decode(), "formats": ["markdown"]}


async def test_it_boots_on_one_loop_and_parses_a_document(container: str, control_plane: ControlPlane) -> None:
    job = control_plane.submit(sent())
    await job.finished(BOOT)
    assert job.status == Status.COMPLETED, await docker("logs", container)
    assert "Saltmere" in json.dumps(job.output)
    assert job.output["boot"]["phases"].keys() >= {"fitness", "warmup"}


async def test_the_worker_is_process_1_and_not_root(container: str) -> None:
    assert (await inside(container, "tr '\\0' ' ' </proc/1/cmdline")).endswith("-m worker")
    assert await inside(container, "id -u") == "1000"


async def test_code_and_packages_are_byte_compiled_and_not_the_workers_to_write(container: str) -> None:
    assert await inside(container, "find /app /opt/venv -writable -not -type l") == ""
    compiled = await inside(container, "find /app/worker /opt/venv/lib/*/site-packages/mineru -name '*.pyc' | wc -l")
    source = await inside(container, "find /app/worker /opt/venv/lib/*/site-packages/mineru -name '*.py' | wc -l")
    assert compiled == source != "0"


@pytest.mark.usefixtures("image")
async def test_no_secret_of_the_builder_is_in_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = uuid.uuid4().hex
    for name in (".dockerignore", "Dockerfile", "LICENSE", "NOTICE"):
        shutil.copy(PROJECT / name, tmp_path)
    for name in ("locks", "worker"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for path in (".env", ".git/config", "worker/.env", "worker/.netrc", "locks/pip.conf"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(secret, encoding="utf-8")
    monkeypatch.setenv("HF_TOKEN", secret)
    image = await build("cpu", "--build-arg", "HF_TOKEN", "--build-arg", f"AWS_SECRET_ACCESS_KEY={secret}", folder=tmp_path)
    told = await docker("history", "--no-trunc", "--format", "json", image) + await docker("inspect", image)
    assert secret not in told
    assert re.findall(r"(?i)\b\w*(?:token|secret|passw|api_?key|credential)\w*=\S+", told) == []
    search = f"grep -rlF {secret} /app /home /root /tmp /etc /opt/venv/*.cfg; find / -xdev -name '.netrc' -o -xdev -name '.env'"
    assert await docker("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-c", f"{search}; true") == ""


async def test_stopped_it_finishes_its_job_and_exits_with_0(container: str, control_plane: ControlPlane) -> None:
    job = control_plane.submit(sent(pages=60))
    await job.until(lambda job: job.status == Status.IN_PROGRESS)
    await docker("stop", "--time", str(GRACE), container)
    assert job.status == Status.COMPLETED
    assert json.loads(await docker("inspect", container))[0]["State"]["ExitCode"] == 0
    assert '"stopped"' in await docker("logs", container)


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize("stage", ["small-models", "vision-language-model"])
async def test_a_model_s_stage_holds_it_whole_and_nothing_that_changes(stage: str) -> None:
    found = re.search(rf" AS {stage}\n.*?worker\.models fetch (\S+) ", (PROJECT / "Dockerfile").read_text("utf-8"), re.DOTALL)
    if found is None:
        pytest.skip("this image holds no such model")
    model = models.named(found[1])
    files = {path if "." in path.rpartition("/")[2] else f"{path}/weights.bin": b"x" for path in model.paths or ("config.json",)}
    with Hub({model.repo: {**files, "README.md": b"about"}}) as hub:
        image = await build(stage, "--build-arg", f"HF_ENDPOINT={hub.url}", "--no-cache-filter", stage)
    listed = await docker("run", "--rm", "--entrypoint", "find", image, "/models", "-type", "f", "-printf", "%P %T@\\n")
    times = dict(line.split() for line in listed.splitlines())
    expected = {*files, models.MARKER} | (set() if model.paths else {"README.md"})
    assert times == {f"{model.name}/{path}": "0.0000000000" for path in expected}
