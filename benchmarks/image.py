"""What the GPU image weighs, and what a change of the code costs: a table of figures and goals.

    python benchmarks/image.py [--stack mineru-4.0] [--compressed]

Builds the gpu target of a worker whose weights lie on a volume, so without weights; needs a Docker engine, 40 GB of disk
and, at the first run, a quarter of an hour. ``--compressed`` adds the size that is pulled, another five minutes. IMAGE_PYTHON,
IMAGE_UV and IMAGE_NETWORK replace the base images and the network as in the tests.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from pathlib import Path
from typing import IO

from cookiecutter.main import cookiecutter
from rich.console import Console
from rich.table import Table

TEMPLATE = Path(__file__).parent.parent

#: The founding worker's image in GB, its weights, and what is aimed at without weights (unpacked).
FOUNDING, FOUNDING_WEIGHTS, GOAL = 27, 4, 9
GB, MB = 1e9, 1e6

#: Imports of the engine, timed as CPU seconds of the process that makes them.
IMPORTS = {"mineru-4.0": "mineru.parser, mineru.model.vlm.runtime", "mineru-3.4": "mineru.cli.common"}
TIMED = (
    "import {modules}, transformers, resource; from vllm.v1.engine.async_llm import AsyncLLM; "
    "usage = resource.getrusage(resource.RUSAGE_SELF); print(usage.ru_utime + usage.ru_stime)"
)
FORGET = "find /opt/venv -name __pycache__ -prune -exec rm -rf {} + && PYTHONDONTWRITEBYTECODE=1 "

Row = tuple[str, str, str]


def docker(*arguments: str, folder: Path | None = None) -> str:
    """What a docker command prints; its progress goes to the terminal."""
    return subprocess.run(["docker", *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def build(worker: Path, tag: str) -> float:
    """Build the gpu target; returns seconds."""
    based = [f"--build-arg={name}={os.environ[f'IMAGE_{name}']}" for name in ("PYTHON", "UV") if f"IMAGE_{name}" in os.environ]
    network = ["--network", os.environ.get("IMAGE_NETWORK", "default")]
    begun = time.monotonic()
    docker("build", "--quiet", *network, *based, "--target", "gpu", "--tag", tag, ".", folder=worker)
    return time.monotonic() - begun


def layers(tag: str) -> list[str]:
    """The digests of the image's layers, oldest first."""
    return list(json.loads(docker("inspect", tag))[0]["RootFS"]["Layers"])


def weight(tag: str) -> int:
    """The image's size on disk, in bytes."""
    return int(json.loads(docker("inspect", tag))[0]["Size"])


def compressed(tag: str) -> int:
    """Bytes of the image's layers as a registry holds them, compressed by gzip at its default level."""
    with subprocess.Popen(["docker", "save", tag], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        with tarfile.open(fileobj=saving.stdout, mode="r|") as archive:
            files = (archive.extractfile(member) for member in archive if member.isfile())
            return sum(deflated(file) for file in files if file is not None)


def deflated(file: IO[bytes]) -> int:
    """Bytes of a file's content after compression."""
    compressor, size = zlib.compressobj(), 0
    while chunk := file.read(1 << 20):
        size += len(compressor.compress(chunk))
    return size + len(compressor.flush())


def importing(tag: str, stack: str, before: str = "") -> float:
    """CPU seconds that importing the engine takes in the image, the better of two tries; ``before`` runs in a shell first."""
    script = f'{before}python -c "{TIMED.format(modules=IMPORTS[stack])}"'
    run = [
        "run",
        "--rm",
        "--network",
        "none",
        "--user",
        "0",
        "--entrypoint",
        "sh",
        tag,
        "-c",
        f"{script}; {script.removeprefix(before)}",
    ]
    return min(float(line) for line in docker(*run).splitlines() if line.replace(".", "").isdigit())


def change_code(worker: Path, tag: str) -> list[Row]:
    """Change a line of the code, build again, and see what that takes and what has to be uploaded."""
    before = layers(tag)
    with (worker / "worker" / "handler.py").open("a", encoding="utf-8") as file:
        file.write(f"\n# {time.time_ns()}\n")
    seconds = build(worker, tag)
    # The newest layers come first in the history, which also has entries for what made none.
    sizes = [int(size) for size in docker("history", "--human=false", "--format", "{{.Size}}", tag).split() if size != "0"]
    uploaded = sum(sizes[: len(set(layers(tag)) - set(before))])
    return [
        ("rebuild after a change of the code", f"{seconds:.1f} s", "5 s"),
        ("uploaded after it", f"{uploaded / MB:.2f} MB", "1 MB"),
    ]


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the GPU image.")
    parser.add_argument("--stack", default="mineru-4.0", choices=IMPORTS)
    parser.add_argument("--compressed", action="store_true", help="also measure what is pulled: minutes")
    options = parser.parse_args(arguments)
    tag = f"benchmark:{options.stack}"
    with tempfile.TemporaryDirectory() as folder:
        answers = {"stack": options.stack, "weights": "volume"}
        worker = Path(cookiecutter(str(TEMPLATE), no_input=True, output_dir=folder, default_config=True, extra_context=answers))
        build(worker, tag)
        unpacked = weight(tag)
        rows = [("unpacked, without weights", f"{unpacked / GB:.2f} GB, of {FOUNDING - FOUNDING_WEIGHTS} GB", f"{GOAL} GB")]
        rows += change_code(worker, tag)
        compiled, uncompiled = importing(tag, options.stack), importing(tag, options.stack, FORGET)
        rows.append(
            (
                "engine's import, of one without byte code",
                f"{compiled:.1f} of {uncompiled:.1f} s: {compiled / uncompiled:.2f}",
                "0.65",
            )
        )
        if options.compressed:
            rows.append(("compressed, without weights", f"{compressed(tag) / GB:.2f} GB", ""))
    table = Table("what", "measured", "goal", title=f"GPU image, {options.stack}")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
