"""The template with a history, and workers from its releases."""

from functools import cache
from pathlib import Path

import pytest
import upstream
from upstream import Worker

from updates import Generated


@pytest.fixture(scope="session")
def address(template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the template with a history is."""
    return upstream.build(template, tmp_path_factory.mktemp("upstream") / "template.git")


@pytest.fixture(scope="session")
def generated(address: str, tmp_path_factory: pytest.TempPathFactory) -> Generated:
    """Renders workers: release, maker and answers; each combination once."""

    @cache
    def generated(release: str, maker: str = "cookiecutter", **answers: str) -> Worker:
        return upstream.generate(address, release, tmp_path_factory.mktemp("generated"), maker, **answers)

    return generated


@pytest.fixture
def worker(generated: Generated, tmp_path: Path) -> Worker:
    """A worker from the first release, as it came."""
    return generated("0.1.0").copy(tmp_path)
