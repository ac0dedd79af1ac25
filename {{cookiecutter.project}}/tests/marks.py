"""Marks of tests that need what not every machine has."""

from pathlib import Path

import pytest

needs_proc = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="reads /proc, which only Linux has")
