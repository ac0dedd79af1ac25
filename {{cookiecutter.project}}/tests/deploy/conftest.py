"""A place for the file, and the request that becomes of a good one."""

from pathlib import Path
from typing import Any

import pytest

from deploy import ENVIRONMENT, read
from ops.deploy import declaration


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "endpoint.toml"


@pytest.fixture
def body(file: Path) -> dict[str, Any]:
    return declaration.request(read(file), ENVIRONMENT)
