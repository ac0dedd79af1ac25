"""What ``endpoint.toml`` may hold, table by table, and what in it cannot work together."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from ops.hub import variable
from worker import choices
from worker.settings import Settings

#: How the image begins until somebody has written the real one.
PLACEHOLDER: Final = "your-registry/"

#: Names of variables whose values nobody writes into a file: those of the worker's settings, and by their looks any other.
SECRETS: Final = frozenset(variable(name, field) for name, field in Settings.model_fields.items() if field.annotation is SecretStr)
SECRET_LOOK: Final = re.compile(r"(^|_)(API_?KEY|SECRET|PASSWORD|TOKEN|CREDENTIALS?)(_|$)|_(ACCESS|PRIVATE)_KEY$")
#: Where a model that runs elsewhere is found.
SERVER_URL: Final = variable("model_vlm_server_url", Settings.model_fields["model_vlm_server_url"])

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Cuda = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class Table(BaseModel):
    """A table of the file; what a field takes stands in its description, which is what somebody reads who got it wrong."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Gpu(Table):
    """The cards that workers run on."""

    pools: list[Text] = Field(min_length=1, description='one or more names of pools, such as ["AMPERE_24"]')
    excluded_cards: list[Text] = Field([], description='a list of card ids, such as ["NVIDIA L4"]')
    count: int = Field(1, ge=1, description="a whole number from 1")
    min_cuda_version: Cuda | None = Field(None, description='a CUDA version in quotes, such as "13.0"')
    allowed_cuda_versions: list[Cuda] = Field([], description='a list of CUDA versions in quotes, such as ["12.8", "13.0"]')


class Workers(Table):
    """How many workers, and the seconds until an idle one is stopped."""

    min: int = Field(ge=0, description="a whole number from 0")
    max: int = Field(ge=0, description="a whole number from 0")
    idle_timeout: int | None = Field(None, ge=1, le=3600, description="whole seconds from 1 to 3600")


class Scaling(Table):
    """When another worker is started."""

    type: Literal["QUEUE_DELAY", "REQUEST_COUNT"] = Field(description='"QUEUE_DELAY" or "REQUEST_COUNT"')
    value: int | float = Field(ge=0.5, description="seconds from 0.5 for QUEUE_DELAY, a whole number from 1 for REQUEST_COUNT")


class Secrets(Table):
    """Variables whose values are elsewhere: names in the operator's environment, and names of the platform's secrets."""

    from_environment: list[Variable] = Field([], description='a list of names, such as ["BUCKET_SECRET_ACCESS_KEY"]')
    platform: dict[Variable, Variable] = Field({}, description='lines of the form VARIABLE = "name_of_the_secret"')


class Declaration(Table):
    """The whole file; times are in seconds, sizes in GB."""

    name: Text = Field(description="a name in quotes")
    image: Text = Field(description='an image in quotes, such as "registry.example.com/worker:1"')
    registry: str = Field("", description='the id of a registry credential in quotes, or ""')
    disk: int = Field(ge=1, description="whole GB from 1")
    flashboot: Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"] = Field(description='"FLASHBOOT", "PRIORITY_FLASHBOOT" or "OFF"')
    execution_timeout: int = Field(ge=5, le=604_800, description="whole seconds from 5 to 604800")
    network_volumes: list[Text] = Field([], description="a list of volume ids in quotes")
    data_centers: list[Text] = Field([], description='a list of data centres, such as ["EU-RO-1"]')
    gpu: Gpu = Field(description="a table [gpu]")
    workers: Workers = Field(description="a table [workers]")
    scaling: Scaling = Field(description="a table [scaling]")
    env: dict[Variable, str] = Field({}, description='lines of the form NAME = "value", numbers in quotes, too')
    secrets: Secrets = Field(Secrets(), description="a table [secrets]")


def problems(declared: Declaration) -> Iterator[str]:
    """What is well formed and cannot work all the same, each with what would."""
    gpu, workers, scaling, env = declared.gpu, declared.workers, declared.scaling, declared.env
    if declared.image.startswith(PLACEHOLDER):
        yield f"image is still {declared.image!r}; push yours (make image, docker push) and write its name, or pass it as --image."
    if gpu.min_cuda_version and gpu.allowed_cuda_versions:
        yield "gpu.min_cuda_version and gpu.allowed_cuda_versions exclude each other; remove one of them."
    if workers.min > workers.max:
        yield f"workers.min is {workers.min} and workers.max {workers.max}; it can be {workers.max} at most."
    if scaling.type == "REQUEST_COUNT" and not float(scaling.value).is_integer():
        yield f"scaling.value is {scaling.value}; REQUEST_COUNT takes a whole number from 1."
    if scaling.type == "REQUEST_COUNT" and workers.idle_timeout is not None:
        yield "workers.idle_timeout is for QUEUE_DELAY; the platform refuses it with REQUEST_COUNT: remove the line."
    yield from _problems_of_secrets(declared)
    given = {*env, *declared.secrets.from_environment, *declared.secrets.platform}
    if choices.MODEL == "remote" and not (env.get(SERVER_URL) or SERVER_URL in given - set(env)):
        yield f"env.{SERVER_URL} is empty; this worker has no vision-language model of its own and needs the URL of one."
    if env.get("MINERU_WEIGHTS", choices.WEIGHTS) == "volume" and not declared.network_volumes:
        yield "network_volumes is empty; this worker keeps its weights on one: make one (console, Storage) and write its id."
    yield from _problems_of_settings(env)
    limit = env.get("MINERU_JOB_TIMEOUT", "0")
    if limit.isdecimal() and int(limit) >= declared.execution_timeout:
        yield (
            f"env.MINERU_JOB_TIMEOUT is {limit} and execution_timeout {declared.execution_timeout}; the worker has to be the "
            f"first to end a job: {declared.execution_timeout * 19 // 20} would work."
        )


def _problems_of_secrets(declared: Declaration) -> Iterator[str]:
    """Secrets stand nowhere in the file, and every variable has one source."""
    secrets = declared.secrets
    sources = [*declared.env, *secrets.from_environment, *secrets.platform]
    for twice in sorted({one for one in sources if sources.count(one) > 1}):
        yield f"{twice} stands in more than one of env, secrets.from_environment and secrets.platform; leave it in one."
    for key in declared.env:
        if key in SECRETS or SECRET_LOOK.search(key):
            yield f"env.{key} is a secret by its name; write the name into secrets.from_environment, or under [secrets.platform]."


class _AsDeployed(Settings):
    """The worker's settings from given values alone, none from this machine's environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def _problems_of_settings(env: Mapping[str, str]) -> Iterator[str]:
    """What the worker would refuse when it boots, on a card that is paid for by then."""
    fields = {variable(name, field): (name, field) for name, field in Settings.model_fields.items()}
    given: dict[str, Any] = {}
    for key, value in env.items():
        if key in fields and value:
            name, field = fields[key]
            given[key if field.validation_alias else name] = value
    try:
        _AsDeployed(**given)
    except ValidationError as error:
        keys = {name: key for key, (name, _) in fields.items()}
        for fault in error.errors():
            where = [f"env.{keys.get(str(part), part)}" for part in fault["loc"]]
            yield f"{': '.join([*where, fault['msg'].removeprefix('Value error, ')])}".rstrip(".") + "."
