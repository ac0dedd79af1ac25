"""The worker's SDK contract, held against real releases, against SDKs broken on purpose, and against a sdk.py with a line missing.

Each runs the worker's own contract tests in a render, with an environment that has everything the worker imports:
``build/worker-venv``, which ``make test`` makes.
"""

import ast
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Bake, BakedProject

TEMPLATE = Path(__file__).parent.parent
PYTHON = TEMPLATE / "build" / "worker-venv" / "bin" / "python"
UV = Path(sysconfig.get_path("scripts")) / "uv"

#: The contract's checks, the quick ones first.
SHAPE, COMPOSITION, *BEHAVIOUR = (
    f"tests/sdk_contract/test_{part}.py" for part in ("shape", "composition", "behaviour", "look_ahead", "polls")
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="build/worker-venv is missing: run make test, which makes it"),
]


@dataclass(frozen=True)
class Verdict:
    """What the contract says: the tests that failed, by file, and everything that was printed."""

    failed: tuple[str, ...]
    printed: str

    @property
    def caught_by(self) -> str:
        return ", ".join(sorted({re.sub(r".*sdk_contract/test_(\w+)\.py.*", r"\1", name) for name in self.failed}))


@pytest.fixture(scope="module")
def worker(bake_into: Bake, tmp_path_factory: pytest.TempPathFactory) -> BakedProject:
    return bake_into(tmp_path_factory.mktemp("drift"))


Tell = Callable[[str, str, str], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Adds a row to the summary that conftest.py prints: what was tried, what came of it, which check said so."""
    return lambda tried, outcome, by: record_property("sdk_contract", (tried, outcome, by))


def contract(project: Path, *checks: str, sdk: Path | None = None, first_failure: bool = True) -> Verdict:
    """Run the worker's contract tests, with the SDK at ``sdk`` before the one installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(sdk)} if sdk else {}
    command = [
        str(PYTHON),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        *(["-x"] if first_failure else []),
        *checks,
    ]
    run = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    failed = tuple(re.findall(r"^(?:FAILED|ERROR) (\S+)", run.stdout, re.MULTILINE))
    assert failed or run.returncode == 0, run.stdout + run.stderr
    return Verdict(failed, run.stdout)


def installed_sdk() -> Path:
    code = "import runpod, pathlib; print(pathlib.Path(runpod.__file__).parent)"
    return Path(subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True).stdout.strip())


# A sdk.py with a line missing. First, since it takes longest.

#: The functions that compose the SDK's own start, and deliver in its place; by each, what of the behaviour it brings about, as
#: pytest picks tests by their names.
COMPOSED = {
    "register_fitness_check": "one_by_one",
    "run_fitness_checks": "one_by_one",
    "start_heartbeat": "pings_carry or heartbeat",
    "renew_heartbeat": "heartbeat",
    "serve": "one_by_one or batches or sigterm or replaced or soon_as",
    "_run_and_deliver": "one_by_one or refused or soon_as or last_result or while_a_result",
    "_report_loss": "refused or never_arrives",
    "_ask_with_patience": "one_by_one or idle or stop_signal or given_up",
    "_take": "one_by_one or soon_as or next_job or backlog or given_up",
    "_finish_what_came_last": "loops_end",
}


def lines(source: str) -> dict[str, str]:
    """The source without one statement, for each statement of the composition: by its function, line and text."""
    without = {}
    for function in [node for node in ast.parse(source).body if getattr(node, "name", "") in COMPOSED]:
        for node in ast.walk(function):
            documents = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if isinstance(node, (ast.Expr, ast.Assign, ast.Return, ast.ImportFrom)) and not documents:
                rows = source.split("\n")
                indent = rows[node.lineno - 1][: node.col_offset]
                rows[node.lineno - 1 : node.end_lineno] = [f"{indent}pass"]
                without[f"{function.name}:{node.lineno} {ast.unparse(node)[:60]}"] = "\n".join(rows)  # type: ignore[attr-defined]
    return without


def test_no_line_of_the_composition_can_be_removed_unnoticed(worker: BakedProject, tmp_path: Path, tell: Tell) -> None:
    source = (worker.path / "worker" / "sdk.py").read_text("utf-8")

    def verdict(number: int, function: str, changed: str) -> Verdict:
        project = tmp_path / str(number)
        shutil.copytree(worker.path, project)
        (project / "worker" / "sdk.py").write_text(changed, "utf-8")
        quick = contract(project, SHAPE, COMPOSITION)
        return quick if quick.failed else contract(project, *BEHAVIOUR, "-k", COMPOSED[function])

    removed = lines(source)
    with ThreadPoolExecutor(3) as pool:
        verdicts = list(pool.map(verdict, range(len(removed)), [name.partition(":")[0] for name in removed], removed.values()))
    unnoticed = [name for name, found in zip(removed, verdicts, strict=True) if not found.failed]
    assert unnoticed == []
    tell(f"{len(removed)} lines of sdk.py removed", "every one caught", "shape, composition, behaviour")


# Releases.


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The SDK of a release, unpacked by itself: what it needs is in the worker's environment."""

    def release(version: str) -> Path:
        folder = tmp_path_factory.mktemp("release")
        install = [str(UV), "pip", "install", "--quiet", "--no-deps", "--python", str(PYTHON), "--target", str(folder)]
        command = [*install, f"runpod=={version}"]
        subprocess.run(command, check=True, capture_output=True)
        return folder

    return release


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("1.9.1", r"runpod 1\.9\.1 has no worker_state\.PingJobMirror"),
        ("1.10.0", r"runpod 1\.10\.0 has no worker_state\.PingJobMirror"),
    ],
)
def test_a_release_that_is_not_supported_fails_with_what_it_lacks(
    worker: BakedProject, release: Callable[[str], Path], tell: Tell, version: str, missing: str
) -> None:
    begun = time.monotonic()
    verdict = contract(worker.path, SHAPE, COMPOSITION, sdk=release(version), first_failure=False)
    assert re.search(missing, verdict.printed)
    assert f"runpod {version} is not among" in verdict.printed
    tell(f"runpod {version}", f"refused, {time.monotonic() - begun:.0f} s", verdict.caught_by)


@pytest.mark.parametrize("version", ["1.10.1", "1.11.0"])
def test_a_release_that_is_supported_passes(worker: BakedProject, release: Callable[[str], Path], tell: Tell, version: str) -> None:
    begun = time.monotonic()
    verdict = contract(worker.path, SHAPE, COMPOSITION, *BEHAVIOUR, sdk=release(version))
    assert verdict.failed == (), verdict.printed[-3000:]
    tell(f"runpod {version}", f"passes, {time.monotonic() - begun:.0f} s", "")


# SDKs broken on purpose.

#: What an SDK could become: the file, what stands there, and what would.
MUTANTS = {
    "JobScaler renamed": ("serverless/modules/rp_scale.py", "class JobScaler:", "class Scaler:"),
    "run made sync": ("serverless/modules/rp_scale.py", "    async def run(self):", "    def run(self):"),
    "constructor changed": ("serverless/modules/rp_scale.py", "def __init__(self, config:", "def __init__(self, endpoint, config:"),
    "a call added to run_worker": (
        "serverless/worker.py",
        "    job_scaler.start()",
        "    announce(config)\n    job_scaler.start()",
    ),
    "a setting added to start": (
        "serverless/__init__.py",
        "    worker.main(config)",
        "    config['a'] = 1\n    worker.main(config)",
    ),
    "mirror removed": ("serverless/modules/worker_state.py", "class PingJobMirror:", "class _Gone:"),
    "heartbeat signature changed": (
        "serverless/modules/rp_ping.py",
        "def start_ping(self, mirror=None,",
        "def start_ping(self, jobs=None,",
    ),
    "stop channel removed": ("serverless/modules/rp_job.py", "def _job_stop_url()", "def _gone()"),
    "job-take path changed": ("serverless/modules/rp_job.py", '"/job-take/", "/job-take-batch/"', '"/job-take/", "/jobs/take/"'),
    "shutdown event renamed": ("serverless/modules/rp_scale.py", "_shutdown_event", "_stop_event"),
    "delivery made private": ("serverless/modules/rp_http.py", "_transmit", "_deliver"),
    "fitness checks made sync": ("serverless/modules/rp_fitness.py", "async def run_fitness_checks", "def run_fitness_checks"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_sdk_is_noticed(worker: BakedProject, tmp_path: Path, tell: Tell, name: str) -> None:
    file, stands, becomes = MUTANTS[name]
    shutil.copytree(installed_sdk(), tmp_path / "runpod", ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / "runpod" / file).read_text("utf-8")
    assert stands in source
    (tmp_path / "runpod" / file).write_text(source.replace(stands, becomes), "utf-8")
    verdict = contract(worker.path, SHAPE, COMPOSITION, sdk=tmp_path, first_failure=False)
    assert verdict.failed, f"nothing noticed: {name}"
    tell(name, "caught", verdict.caught_by)


def test_a_new_call_is_named_with_its_file_and_line(worker: BakedProject, tmp_path: Path) -> None:
    file, stands, becomes = MUTANTS["a call added to run_worker"]
    shutil.copytree(installed_sdk(), tmp_path / "runpod", ignore=shutil.ignore_patterns("__pycache__"))
    source = (tmp_path / "runpod" / file).read_text("utf-8").replace(stands, becomes)
    (tmp_path / "runpod" / file).write_text(source, "utf-8")
    line = source[: source.index("announce(config)")].count("\n") + 1
    assert f"worker.run_worker: announce (worker.py:{line})" in contract(worker.path, COMPOSITION, sdk=tmp_path).printed


# make drift.


def drift(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PYTHON), "-m", "ops.drift"], cwd=project, capture_output=True, text=True, check=False)


def test_make_drift_says_that_the_newest_sdk_would_not_break_the_worker(worker: BakedProject, tell: Tell) -> None:
    begun = time.monotonic()
    told = drift(worker.path)
    assert told.returncode == 0, told.stdout + told.stderr
    for part in ("runpod", "mineru", "vllm", "would not break"):
        assert part in told.stdout
    tell("the newest runpod, by make drift", f"passes, {time.monotonic() - begun:.0f} s", "")


def test_make_drift_fails_and_names_what_moved(worker: BakedProject, tmp_path: Path) -> None:
    project = shutil.copytree(worker.path, tmp_path / "worker")
    steps = project / "tests" / "sdk_contract" / "steps.py"
    listed = steps.read_text("utf-8")
    known = '    "worker.run_worker: PingJobMirror": "start_heartbeat",\n'
    assert known in listed
    steps.write_text(listed.replace(known, ""), "utf-8")
    told = drift(project)
    assert told.returncode == 1
    assert "worker.run_worker:PingJobMirror(worker.py:" in re.sub(r"\s", "", told.stderr)
    assert "would break" in told.stdout
