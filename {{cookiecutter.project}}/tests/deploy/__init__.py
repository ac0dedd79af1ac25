"""An ``endpoint.toml`` in order, and what is said of one that is not."""

from pathlib import Path

import pytest

from ops.deploy import declaration, declared
from ops.deploy.declaration import DeclarationError

GOOD = """
name = "reader"
image = "registry.example.com/reader:1"
registry = ""
disk = 40
flashboot = "FLASHBOOT"
execution_timeout = 600
network_volumes = ["vol1"]
data_centers = []

[gpu]
pools = ["AMPERE_24", "ADA_24"]
excluded_cards = ["NVIDIA L4"]
min_cuda_version = "13.0"

[workers]
min = 0
max = 3
idle_timeout = 5

[scaling]
type = "QUEUE_DELAY"
value = 4

[env]
MINERU_MODEL_VLM_SERVER_URL = "https://vlm.example.com/v1"
MINERU_JOB_TIMEOUT = "570"

[secrets]
from_environment = ["BUCKET_ACCESS_KEY_ID"]

[secrets.platform]
BUCKET_SECRET_ACCESS_KEY = "bucket"
"""
ENVIRONMENT = {"BUCKET_ACCESS_KEY_ID": "key-1"}


def read(file: Path, text: str = GOOD, **options: str) -> declared.Declaration:
    file.write_text(text, "utf-8")
    return declaration.read(file, **options)


def refused(file: Path, text: str) -> str:
    """The words with which a file is refused."""
    with pytest.raises(DeclarationError) as told:
        read(file, text)
    return str(told.value)


def changed(old: str, new: str) -> str:
    """The good file with one part of it replaced."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)
