"""Three routes lead from one release to another: ``make update``, cruft itself, and a branch that keeps the template's renders.

docs/upgrades.md in the worker describes them.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import upstream
from conftest import TEMPLATE
from upstream import CRUFT, Worker, numbered

from updates import MAKE_FAILED, Generated

#: What the worker's own tests need, which ``make test`` installs.
PYTHON = TEMPLATE / "build" / "worker-venv" / "bin" / "python"

Update = Callable[[Worker], subprocess.CompletedProcess[str]]


def edit(worker: Worker) -> None:
    """Change a worker as owners do: far from the template's changes, in files of their own, by deleting, renaming and adding."""
    worker.edit("docs/changed.md", "tide 55", "mine")
    worker.edit("README.md", "## Try it", "## Try it out")
    worker.edit("worker/custom.py", "return dict()", 'return {"mine": True}')
    worker.edit("worker/handler.py", '"""One job from request to response', '"""Mine: one job from request to response')
    (worker.path / "docs" / "deleted-here.md").unlink()
    (worker.path / "worker" / "mine.py").write_text('"""Mine."""\n')
    worker.commit()


def assert_edits_are_kept(worker: Worker) -> None:
    assert worker.read("docs/changed.md") == numbered("tide", line_20="second", line_40="third", line_55="mine")
    assert "## Try it out" in worker.read("README.md")
    assert 'return {"mine": True}' in worker.read("worker/custom.py")
    assert worker.read("worker/handler.py").startswith('"""Mine: one job')
    assert worker.read("worker/mine.py") == '"""Mine."""\n'
    assert not (worker.path / "docs" / "deleted-here.md").exists()


def assert_is_at_the_newest_release(worker: Worker) -> None:
    assert 'TEMPLATE_VERSION: Final[str] = "0.3.0"' in worker.read("worker/choices.py")
    assert tomllib.loads(worker.read("pyproject.toml"))["tool"]["template"]["version"] == "0.3.0"
    assert worker.read("docs/added.md") == numbered("moor")
    assert worker.read("docs/after.md") == numbered("wave", line_20="second", line_40="third")
    assert "# Early." not in worker.read("locks/gpu.txt")
    assert [name for name in ("docs/before.md", "docs/removed.md") if (worker.path / name).exists()] == []
    assert list(worker.path.rglob("*.rej")) == []
    assert [name for name, content in worker.files().items() if re.search(rb"^(<{7}|>{7}) ", content, re.MULTILINE)] == []


# The three routes.


def by_make(worker: Worker) -> subprocess.CompletedProcess[str]:
    return worker.make_update()


def by_cruft(worker: Worker) -> subprocess.CompletedProcess[str]:
    return worker.run(str(CRUFT), "update", "--skip-apply-ask", "--checkout", "v0.3.0")


def by_branch(worker: Worker) -> subprocess.CompletedProcess[str]:
    """The commands that docs/upgrades.md names, its example values replaced."""
    *_, commands = re.findall(r"```sh\n(.*?)```", worker.read("docs/upgrades.md"), re.DOTALL)
    _, _, script = commands.partition("\n")
    template = json.loads(worker.read(".cruft.json"))["template"]
    config = f'export COOKIECUTTER_CONFIG="{upstream.configuration(worker.tools)}"'
    return worker.run("bash", "-ec", f'{config}\nTEMPLATE={template} RELEASE=v0.3.0 ANSWERS="gpu=AMPERE_24"\n{script}')


@pytest.fixture(scope="module")
def updated(generated: Generated, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """A worker from the first release, edited and then brought to the newest by ``make update``."""
    worker = generated("0.1.0").copy(tmp_path_factory.mktemp("updated"))
    edit(worker)
    outcome = worker.make_update()
    assert outcome.returncode == 0, outcome.stderr
    return worker


@pytest.mark.slow
def test_edits_survive_make_update_from_the_first_release(updated: Worker) -> None:
    assert_edits_are_kept(updated)
    assert_is_at_the_newest_release(updated)
    assert updated.git("status", "--porcelain") == ""
    assert updated.git("log", "--format=%s").splitlines() == ["Update from the template, v0.1.0 to v0.3.0", "Mine", "As generated"]


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON.exists(), reason="build/worker-venv is missing: run make test, which makes it")
def test_the_worker_s_tests_pass_after_an_update(updated: Worker) -> None:
    tests = [f"tests/test_{name}.py" for name in ("custom", "hub", "request", "settings", "update")]
    outcome = updated.run(str(PYTHON), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("update", "release", "maker"),
    [
        pytest.param(by_make, "0.2.0", "cruft", id="make update from 0.2.0, made by cruft"),
        pytest.param(by_cruft, "0.1.0", "cookiecutter", id="cruft from 0.1.0"),
        pytest.param(by_cruft, "0.2.0", "cruft", id="cruft from 0.2.0, made by cruft"),
        pytest.param(by_branch, "0.1.0", "cookiecutter", id="branch from 0.1.0"),
        pytest.param(by_branch, "0.2.0", "cruft", id="branch from 0.2.0, made by cruft"),
    ],
)
def test_edits_survive(generated: Generated, tmp_path: Path, update: Update, release: str, maker: str) -> None:
    worker = generated(release, maker).copy(tmp_path)
    edit(worker)
    outcome = update(worker)
    if update is by_branch:
        # git leaves it to the owner whether a file that the template changed stays deleted.
        assert outcome.returncode == 1
        assert worker.git("diff", "--name-only", "--diff-filter=U") == "docs/deleted-here.md"
        worker.git("rm", "--quiet", "docs/deleted-here.md")
        worker.git("commit", "--quiet", "--no-edit")
    else:
        assert outcome.returncode == 0, outcome.stderr
    assert_edits_are_kept(worker)
    assert_is_at_the_newest_release(worker)


@pytest.mark.slow
def test_a_change_in_the_same_line_is_told_and_mended_or_taken_back(worker: Worker) -> None:
    worker.edit("docs/changed.md", "tide 20\n", "mine\n")
    worker.commit()
    before = worker.files()
    outcome = worker.make_update()
    assert outcome.returncode == MAKE_FAILED
    assert "in the same lines, which git has marked (<<<<<<<):\n  docs/changed.md\n" in outcome.stderr
    worker.git("cherry-pick", "--abort")
    assert (worker.files(), worker.git("status", "--porcelain")) == (before, "")
    assert "`git cherry-pick --continue`" in worker.make_update().stderr
    (worker.path / "docs" / "changed.md").write_text(numbered("tide", line_20="mine and second", line_40="third"))
    worker.git("add", "docs/changed.md")
    worker.git("-c", "core.editor=true", "cherry-pick", "--continue")
    assert_is_at_the_newest_release(worker)
    assert json.loads(worker.read(".cruft.json"))["commit"] == "v0.3.0"


@pytest.mark.slow
def test_a_change_in_the_same_line_stops_the_branch(worker: Worker) -> None:
    worker.edit("docs/changed.md", "tide 20\n", "mine\n")
    worker.commit()
    outcome = by_branch(worker)
    assert outcome.returncode == 1
    assert "Merge conflict in docs/changed.md" in outcome.stdout


@pytest.mark.slow
def test_markers_that_cruft_leaves_without_a_word_fail_the_worker_s_tests(worker: Worker) -> None:
    worker.edit("docs/changed.md", "tide 20\n", "mine\n")
    worker.commit()
    assert by_cruft(worker).returncode == 0
    # The test needs no more of the worker than where it lies.
    (worker.path / "ops" / "local_worker.py").write_text("from pathlib import Path\nPROJECT = Path(__file__).parent.parent\n")
    options = ["-c", "/dev/null", "--noconftest", "-p", "no:cacheprovider", "-k", "conflict_markers"]
    outcome = worker.run(sys.executable, "-m", "pytest", *options, "tests/test_update.py")
    assert outcome.returncode == 1
    assert "docs/changed.md" in outcome.stdout


@pytest.mark.slow
def test_a_file_changed_here_and_gone_from_the_template_is_the_owner_s_choice(worker: Worker) -> None:
    worker.edit("docs/removed.md", "reef 30", "mine")
    worker.git("mv", "docs/renamed-here.md", "docs/mine.md")
    worker.edit("docs/mine.md", "sand 55", "mine")
    worker.edit("docs/before.md", "wave 55", "mine too")
    worker.commit()
    outcome = worker.make_update()
    assert outcome.returncode == MAKE_FAILED
    assert "`git add` keeps them, `git rm` drops them:\n  docs/removed.md\nThen:" in outcome.stderr
    assert "mine" in worker.read("docs/removed.md")
    # Renames are none of the owner's worries, whichever side made them.
    assert worker.read("docs/mine.md") == numbered("sand", line_20="second", line_40="third", line_55="mine")
    assert worker.read("docs/after.md") == numbered("wave", line_20="second", line_40="third", line_55="mine too")


@pytest.mark.slow
def test_updates_follow_each_other(worker: Worker) -> None:
    """cruft alone cannot: the second merge needs the template's own 0.2.0, which no commit of the worker holds."""
    worker.edit("docs/changed.md", "tide 42", "mine")
    worker.commit()
    assert worker.make_update(TO="v0.2.0").returncode == 0
    outcome = worker.make_update()
    assert outcome.returncode == 0, outcome.stderr
    assert "- Third." in outcome.stdout
    assert "- Second." not in outcome.stdout
    assert worker.read("docs/changed.md") == numbered("tide", line_20="second", line_40="third", line_42="mine")
    assert worker.git("log", "-1", "--format=%B") == "Update from the template, v0.2.0 to v0.3.0\n\n0.3.0\n\n- Third."


@pytest.mark.slow
def test_other_answers_make_another_worker(generated: Generated, tmp_path: Path) -> None:
    description = "It's {{ '{{' }} mine }}: \"100 %\""
    worker = generated("0.2.0", stack="mineru-3.4", description=description).copy(tmp_path)
    outcome = worker.make_update(ANSWERS="stack=mineru-4.0 gpu=BLACKWELL_96")
    assert outcome.returncode == 0, outcome.stderr
    fresh = generated("0.3.0", stack="mineru-4.0", gpu="BLACKWELL_96", description=description)
    changed = {name for name, _ in fresh.files().items() ^ worker.files().items()}
    assert changed == {"worker/custom.py"}, "an owner's file stays as it came"
    assert worker.answers() == fresh.answers()
    assert worker.answers()["concurrency"] == "8", "left to the template, it follows the pool"
    assert 'NVIDIA_REQUIRE_CUDA="cuda>=13.0"' in worker.read("Dockerfile")


@pytest.mark.slow
def test_packages_and_answers_of_one_s_own_stay(generated: Generated, tmp_path: Path) -> None:
    worker = generated("0.1.0", concurrency="5").copy(tmp_path)
    worker.edit("pyproject.toml", '    "typer>=', '    "pendulum>=3",\n    "typer>=')
    (worker.path / "locks" / "gpu.txt").write_text("# Locked here, with pendulum.\n")
    worker.commit()
    outcome = worker.make_update(ANSWERS="gpu=BLACKWELL_96")
    assert outcome.returncode == 0, outcome.stderr
    assert '"pendulum>=3"' in worker.read("pyproject.toml")
    assert worker.read("locks/gpu.txt").endswith("# Locked again.\n")
    assert "Locked here" not in worker.read("locks/gpu.txt")
    assert worker.git("status", "--porcelain") == ""
    assert (worker.answers()["gpu"], worker.answers()["concurrency"]) == ("BLACKWELL_96", "5")


@pytest.mark.slow
def test_a_worker_in_a_larger_repository_is_updated_in_its_place(worker: Worker, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    shutil.copytree(worker.path, outer / "services" / "parser", ignore=shutil.ignore_patterns(".git"))
    (outer / "README.md").write_text("Not the worker's.\n")
    upstream.begin(outer, "Everything")
    inner = Worker(outer / "services" / "parser", worker.tools)
    assert inner.make_update().returncode == 0
    assert_is_at_the_newest_release(inner)
    assert (outer / "README.md").read_text() == "Not the worker's.\n"
