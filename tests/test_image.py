"""The Dockerfile: sound in every combination, and built for real up to the weights where that is asked for.

A build of the GPU stack takes gigabytes and minutes, so it runs only with IMAGE_STACKS naming stacks, such as
"mineru-4.0 mineru-3.4". IMAGE_PYTHON, IMAGE_UV and IMAGE_NETWORK are the worker's own tests' (tests/test_image.py there).
"""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from combinations import CONTEXT, Answers, pairwise
from conftest import Bake, BakedProject

HADOLINT = Path(sysconfig.get_path("scripts")) / "hadolint"
NETWORK = os.environ.get("IMAGE_NETWORK", "host")

#: What the worker imports of its stack, and what the stack compiles at run time: a launcher in C, with Python's headers.
IMPORTS = {
    "mineru-4.0": "import mineru.parser, mineru.model.vlm.runtime",
    "mineru-3.4": "import mineru.cli.common, mineru.backend.hybrid.hybrid_analyze",
}
PROOF = """
from vllm.v1.engine.async_llm import AsyncLLM
import torch, torchvision, transformers, runpod, gradio, onnxruntime
from triton.runtime.build import _build
import inspect, pathlib, tempfile
folder = tempfile.mkdtemp()
source = pathlib.Path(folder, "launcher.c")
source.write_text("#include <Python.h>\\nstatic struct PyModuleDef m = {PyModuleDef_HEAD_INIT, \\"launcher\\"};"
    "PyMODINIT_FUNC PyInit_launcher(void) { return PyModule_Create(&m); }")
_build("launcher", str(source), folder, *([[]] * (len(inspect.signature(_build).parameters) - 3)))
print("versions", torch.__version__, torch.version.cuda, transformers.__version__)
"""


def models_of(project: BakedProject) -> list[str]:
    """The models that the image's build downloads."""
    return re.findall(r"worker\.models fetch (\S+) ", project.read("Dockerfile"))


@pytest.mark.parametrize("answers", pairwise(), ids=lambda answers: "-".join(map(str, answers.values()))[:60])
def test_hadolint_finds_nothing(bake: Bake, answers: Answers) -> None:
    bake(**answers).run(str(HADOLINT), "--no-color", "--failure-threshold", "style", "Dockerfile")


def test_nothing_is_pulled_but_the_two_images_that_can_be_replaced(bake: Bake) -> None:
    dockerfile = bake().read("Dockerfile")
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE))
    assert bases - stages == {"${PYTHON}", "${UV}"}
    assert "# syntax" not in dockerfile


@pytest.mark.parametrize(
    ("answers", "models"),
    [
        ({}, ["MinerU-4_models_torch", "MinerU2.5-Pro-2605-1.2B"]),
        ({"stack": "mineru-3.4"}, ["PDF-Extract-Kit-1.0", "MinerU2.5-Pro-2605-1.2B"]),
        ({"tier": "basic"}, ["MinerU-4_models_torch"]),
        ({"model": "remote"}, ["MinerU-4_models_torch"]),
        ({"tier": "flash"}, []),
        ({"weights": "cached"}, ["MinerU-4_models_torch"]),
        ({"weights": "volume"}, []),
    ],
)
def test_the_image_holds_the_models_that_are_to_be_in_it(bake: Bake, answers: Answers, models: list[str]) -> None:
    assert models_of(bake(**answers)) == models


def test_models_are_listed_for_every_stack() -> None:
    assert CONTEXT["_models"].keys() - {"_origin"} == set(CONTEXT["stack"])


def test_the_code_is_the_last_layer_of_both_images(bake: Bake) -> None:
    for target in re.split(r"^FROM \S+ AS (?:cpu|gpu)$", bake().read("Dockerfile"), flags=re.MULTILINE)[1:]:
        copies = re.findall(r"^(?:COPY|ADD|RUN) .*", target.partition("\nFROM ")[0], re.MULTILINE)
        assert copies[-1] == "COPY --link --from=code /app /app"


@pytest.mark.slow
@pytest.mark.parametrize("stack", CONTEXT["stack"])
def test_the_gpu_stack_installs_and_imports_in_its_image(bake: Bake, stack: str) -> None:
    if stack not in os.environ.get("IMAGE_STACKS", "").split():
        pytest.skip(f"set IMAGE_STACKS={stack} to build its image: 9 GB, 40 GB of free disk, minutes")
    project, tag = bake(stack=stack), f"test-gpu:{stack}"
    based = [f"--build-arg={name}={os.environ[f'IMAGE_{name}']}" for name in ("PYTHON", "UV") if f"IMAGE_{name}" in os.environ]
    project.run("docker", "build", "--network", NETWORK, *based, "--target", "gpu-packages", "--tag", tag, ".")
    proof = f"{IMPORTS[stack]}\n{PROOF}"
    run = ["docker", "run", "--rm", "--network", "none", "--user", "1000", "--entrypoint", "python", tag, "-c", proof]
    result = subprocess.run(run, capture_output=True, text=True, check=False)
    facts = CONTEXT["_stacks"][stack]
    assert result.returncode == 0, result.stdout + result.stderr
    versions = re.search(r"versions (\S+) (\S+) (\S+)", result.stdout)
    assert versions is not None
    assert versions[1].startswith(facts["torch"])
    assert (versions[2], versions[3]) == (facts["cuda"], facts["transformers"])
