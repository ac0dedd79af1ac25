"""Keeps what the GPU's compilers made, so that a later worker does not make it again.

vLLM, Triton, Inductor and FlashInfer each compile at the first boot and keep the outcome in a folder. Here those folders lie
on the worker's own disk, and the SDK mirrors them on the network volume where there is one: small files in one archive,
large ones beside it, replaced whole. The mirror's name holds the stack and the GPU's architecture, since neither may differ.

    cache = caches.open_cache(settings)    before the engine is imported
    ...                                    the warm-up
    cache.close()                          "hit", "miss" or "off", for the boot report
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from worker import choices
from worker.log import log
from worker.settings import Settings

State = Literal["hit", "miss", "off"]

#: Where each compiler keeps its output, by its own variable, below our folder.
FOLDERS: Final = {
    "VLLM_CACHE_ROOT": "vllm",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
}

#: The folders whose files are compiled code; vLLM also keeps notes that change with every boot.
COMPILED: Final = ("vllm/torch_compile_cache", "triton", "inductor", "flashinfer")


@dataclass
class Cache:
    """One boot's compiled code. ``key`` names stack and architecture, ``restored`` counts files that came from the volume."""

    folder: Path
    volume: Path
    key: str
    on: bool
    restored: int = 0
    found: frozenset[str] = field(default_factory=frozenset)

    def close(self) -> State:
        """Give the volume what this boot compiled. A hit is a boot that had something restored and compiled nothing."""
        if not self.on:
            return "off"
        new = _compiled(self.folder) - self.found
        if self.restored and not new:
            return "hit"
        log.info("compiled code goes to the volume", key=self.key, files=len(new))
        self._mirror().sync(background=False)
        return "miss"

    def _mirror(self) -> Any:
        from runpod.serverless import VolumeCache

        return VolumeCache([self.folder], namespace=self.key, volume_path=self.volume)


def open_cache(settings: Settings) -> Cache:
    """Point the compilers at their folders, restored from the volume if there is one. Blocks for as long as copying takes."""
    architecture = gpu_architecture()
    folder = settings.home.expanduser() / "compiled"
    for name, place in FOLDERS.items():
        os.environ.setdefault(name, str(folder / place))
    on = settings.compile_cache and settings.volume.is_dir() and bool(architecture)
    cache = Cache(folder, settings.volume, f"{choices.STACK}-{architecture or 'cpu'}", on)
    if on:
        cache.restored = cache._mirror().hydrate()
        cache.found = _compiled(folder)
    return cache


def gpu_architecture() -> str:
    """The first GPU's architecture, such as sm86; empty without one. The driver's tool is asked: CUDA would occupy the GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    asked = [program, "--query-gpu=compute_cap", "--format=csv,noheader"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30).stdout  # noqa: S603
    found = re.match(r"\s*(\d+)\.(\d+)", answer)
    return f"sm{found[1]}{found[2]}" if found else ""


def _compiled(folder: Path) -> frozenset[str]:
    """Every file of compiled code below ``folder``."""
    return frozenset(str(path) for name in COMPILED for path in (folder / name).rglob("*") if path.is_file())
