"""What an update refuses, before it touches anything."""

import json
from pathlib import Path

import pytest
import upstream
from upstream import CRUFT, Worker, git

from updates import MAKE_FAILED, Generated


def test_what_is_not_committed_is_in_the_way(worker: Worker) -> None:
    worker.edit("README.md", "## Try it", "## Mine")
    outcome = worker.make_update()
    assert outcome.returncode != 0
    assert "1 changes are not committed (README.md): commit or stash them first." in outcome.stderr


@pytest.mark.slow
def test_answers_are_refused_before_anything_is_touched(worker: Worker) -> None:
    for answers, words in {
        "stak=mineru-3.4": "stak is no question of the template; did you mean stack?",
        "gpu=H100": "gpu=H100 is no choice of the template; it takes AMPERE_24, ADA_24",
        "stack=mineru-3.4 tier=flash": "tier=flash is not served by stack=mineru-3.4",
        "ADA_24": "'ADA_24' is no answer; write question=answer",
    }.items():
        outcome = worker.make_update(ANSWERS=answers)
        assert outcome.returncode == MAKE_FAILED
        assert words in outcome.stderr
    assert worker.git("status", "--porcelain") == ""
    assert worker.git("rev-list", "--count", "HEAD") == "1"


@pytest.mark.slow
def test_a_choice_that_a_release_took_away_leads_to_its_successor(address: str, generated: Generated, tmp_path: Path) -> None:
    worker = generated("0.3.0", weights="cached").copy(tmp_path)
    later = tmp_path / "later"
    git(tmp_path, "clone", "--quiet", address, str(later))
    questions = json.loads((later / "cookiecutter.json").read_text("utf-8"))
    questions["_retired"]["weights"] = {"cached": "volume"}
    (later / "cookiecutter.json").write_text(json.dumps(questions))
    upstream.stamp(later, "0.4.0")
    upstream.begin(later, "Release 0.4.0")
    git(later, "tag", "v0.4.0")
    refused = worker.make_update(TEMPLATE=later.as_uri())
    assert 'weights=cached was retired, and weights=volume takes its place: make update ANSWERS="weights=volume".' in refused.stderr
    by_cruft_alone = worker.run(str(CRUFT), "update", "--skip-apply-ask", "--template-path", later.as_uri(), "--checkout", "v0.4.0")
    assert "weights=cached was retired, and weights=volume takes its place." in by_cruft_alone.stderr


@pytest.mark.slow
def test_a_worker_from_between_two_releases_asks_for_its_commit(worker: Worker) -> None:
    worker.edit(".cruft.json", '"v0.1.0"', '"v0.1.1.dev0"')
    worker.commit()
    assert "Name its commit: make update FROM=<commit>." in worker.make_update().stderr
    assert "Nothing to do" in worker.make_update(FROM="v0.1.0", TO="v0.1.0").stdout
