"""A fuzzer that watches which of our lines an input reaches finds none that escapes. It is there for Linux on x86-64."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.local_worker import PROJECT
from soak import LONG, SEED, Tally

FUZZ = Path(__file__).with_name("fuzz.py")
RUNS = 300_000 if LONG else 5_000

pytestmark = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="there is no atheris for this system")


@pytest.mark.parametrize("target", ["job_input", "headers", "archive"])
def test_no_input_that_the_fuzzer_makes_up_escapes(target: str, tally: Tally, tmp_path: Path) -> None:
    tally.update({"inputs tried": RUNS, "escapes": 1})
    options = [f"-runs={RUNS}", f"-seed={SEED}", "-max_len=4096", "-len_control=0", f"-artifact_prefix={tmp_path}/"]
    path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, str(FUZZ), target, *options]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-4000:]
    tally["escapes"] -= 1
