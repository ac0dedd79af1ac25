"""``endpoint.toml``: what is refused, and in which words."""

import tomllib
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy import changed, read, refused
from ops.deploy import declaration, declared
from ops.deploy.declaration import DeclarationError
from ops.hub import variable
from worker import choices
from worker.settings import Settings


def test_the_projects_own_file_lacks_only_what_its_owner_knows() -> None:
    text = declaration.FILE.read_text("utf-8")
    assert tomllib.loads(text)["image"].startswith(f"{declared.PLACEHOLDER}{choices.PROJECT}:")
    lacking = {
        "network_volumes is empty": choices.WEIGHTS == "volume",
        f"env.{declared.SERVER_URL} is empty": choices.MODEL == "remote",
    }
    try:
        declaration.read(declaration.FILE, image="registry.example.com/reader:1")
        found = ""
    except DeclarationError as error:
        found = str(error)
    assert {words: words in found for words in lacking} == lacking
    assert len(found.splitlines()) == sum(lacking.values())


def test_every_field_of_the_file_is_told_of_in_the_projects_own() -> None:
    text = declaration.FILE.read_text("utf-8")
    tables = (declared.Declaration, declared.Gpu, declared.Workers, declared.Scaling, declared.Secrets)
    assert [name for table in tables for name in table.model_fields if f"{name} =" not in text and f"{name}]" not in text] == []


def test_another_image_can_be_named_than_the_files(file: Path) -> None:
    assert read(file, changed("registry.example.com/reader:1", "your-registry/reader:1"), image="a/b:2").image == "a/b:2"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "reader"', "", "endpoint.toml: name is missing; it takes a name in quotes."),
        ('name = "reader"', 'name = " "', "name is ' '; it takes a name in quotes."),
        ("disk = 40", 'disk = "40"', "disk is '40'; it takes whole GB from 1."),
        ("disk = 40", "disc = 40", "disc is not known here; did you mean disk?"),
        ("pools = [", "pool = [", "gpu.pool is not known here; did you mean pools?"),
        (
            'pools = ["AMPERE_24", "ADA_24"]',
            "pools = []",
            'gpu.pools is []; it takes one or more names of pools, such as ["AMPERE_24"].',
        ),
        ('pools = ["AMPERE_24", "ADA_24"]', "pools = [24]", "gpu.pools is 24; it takes one or more names of pools"),
        ('"13.0"', "13.0", 'gpu.min_cuda_version is 13.0; it takes a CUDA version in quotes, such as "13.0".'),
        ("idle_timeout = 5", "idle_timeout = 0", "workers.idle_timeout is 0; it takes whole seconds from 1 to 3600."),
        ("min = 0", "min = true", "workers.min is True; it takes a whole number from 0."),
        ('"QUEUE_DELAY"', '"DELAY"', 'scaling.type is \'DELAY\'; it takes "QUEUE_DELAY" or "REQUEST_COUNT".'),
        ("value = 4", "value = 0.4", "scaling.value is 0.4; it takes seconds from 0.5"),
        ('"FLASHBOOT"', "true", 'flashboot is True; it takes "FLASHBOOT", "PRIORITY_FLASHBOOT" or "OFF".'),
        ('"570"', "570", 'env.MINERU_JOB_TIMEOUT is 570; it takes lines of the form NAME = "value", numbers in quotes, too.'),
        ("MINERU_JOB_TIMEOUT", '"MINERU JOB"', "it takes lines of the form NAME"),
        ("[scaling]", "[scale]", "scale is not known here; did you mean scaling?"),
    ],
)
def test_what_is_malformed_is_told_with_what_belongs_there(file: Path, old: str, new: str, words: str) -> None:
    assert words in refused(file, changed(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("registry.example.com/", "your-registry/", "image is still 'your-registry/reader:1'; push yours"),
        ("min_cuda", 'allowed_cuda_versions = ["13.0"]\nmin_cuda', "exclude each other; remove one"),
        ("min = 0", "min = 4", "workers.min is 4 and workers.max 3; it can be 3 at most."),
        ('"QUEUE_DELAY"', '"REQUEST_COUNT"', "workers.idle_timeout is for QUEUE_DELAY"),
        (
            'type = "QUEUE_DELAY"\nvalue = 4',
            'type = "REQUEST_COUNT"\nvalue = 1.5',
            "scaling.value is 1.5; REQUEST_COUNT takes a whole",
        ),
        ('"570"', '"600"', "the worker has to be the first to end a job: 570 would work."),
        ('"570"', '"soon"', "env.MINERU_JOB_TIMEOUT: Input should be a valid number"),
        ("[secrets]", 'MINERU_TIER = "best"\n[secrets]', "env.MINERU_TIER: Input should be"),
        ("[secrets]", 'MINERU_TRANSPORT = "s3"\n[secrets]', "MINERU_TRANSPORT=s3 needs BUCKET_NAME"),
        ('= ["BUCKET_ACCESS_KEY_ID"]', '= ["BUCKET_SECRET_ACCESS_KEY"]', "BUCKET_SECRET_ACCESS_KEY stands in more than one of"),
        ("[secrets]", 'HF_TOKEN = "hf_1"\n[secrets]', "env.HF_TOKEN is a secret by its name"),
        ("[secrets]", 'MINERU_WEIGHTS = "volume"\n[secrets]', ""),
    ],
)
def test_what_cannot_work_is_told_with_what_would(file: Path, old: str, new: str, words: str) -> None:
    text = changed(old, new)
    assert words in refused(file, text if words else text.replace('["vol1"]', "[]"))


def test_every_problem_is_told_at_once(file: Path) -> None:
    text = changed("min = 0", "min = 4").replace("registry.example.com/", "your-registry/").replace('"570"', '"900"')
    assert [line.split(" is ")[0] for line in refused(file, text).splitlines()] == [
        "endpoint.toml: image",
        "endpoint.toml: workers.min",
        "endpoint.toml: env.MINERU_JOB_TIMEOUT",
    ]


def test_a_worker_without_a_model_of_its_own_needs_the_url_of_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "MODEL", "remote")
    read(file)
    assert "needs the URL of one" in refused(file, changed('"https://vlm.example.com/v1"', '""'))
    read(
        file,
        changed('MINERU_MODEL_VLM_SERVER_URL = "https://vlm.example.com/v1"', "") + 'MINERU_MODEL_VLM_SERVER_URL = "vlm_url"\n',
    )


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if field.annotation is SecretStr])
def test_no_secret_of_the_worker_may_stand_in_the_file(file: Path, name: str) -> None:
    key = variable(name, Settings.model_fields[name])
    assert f"env.{key} is a secret by its name" in refused(file, changed("[secrets]", f'{key} = "x"\n[secrets]'))


def test_the_environment_of_this_machine_is_not_the_workers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINERU_TIER", "nonsense")
    read(file)


@pytest.mark.parametrize(("content", "words"), [(b"name = reader", "is not TOML: "), (b'name = "\xff"', "is not UTF-8 text")])
def test_what_is_no_toml_is_told(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(DeclarationError, match=words):
        declaration.read(file)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"cannot be read .* name the file with --file"):
        declaration.read(tmp_path / "none.toml")
