"""What the local REST v2 server takes: RunPod's OpenAPI document of 2026-08-20, written down as models that refuse all else."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
NotEmpty = Annotated[str, StringConstraints(min_length=1)]
#: A card's id; a dash in front was how older APIs excluded one.
CardId = Annotated[str, StringConstraints(pattern=r"^\s*[^-\s]")]
Flashboot = Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"]
Kind = Literal["QUEUE", "LOAD_BALANCER"]

#: Values of a new endpoint that its request leaves out.
DEFAULTS: Final[dict[str, Any]] = {
    "args": "",
    "disk": 20,
    "ports": [],
    "env": {},
    "registry": None,
    "workers": {"min": 0, "max": 3, "idleTimeout": 10},
    "dataCenterIds": [],
    "networkVolumes": [],
    "timeout": 300_000,
    "flashboot": "OFF",
}
GPU_DEFAULTS: Final[dict[str, Any]] = {"count": 1, "excludedTypes": [], "allowedCudaVersions": [], "minCudaVersion": None}


class _Object(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _no_null(cls, values: Any) -> Any:
        """A field may be left out, and none but ``registry`` be null."""
        if isinstance(values, dict):
            for name, value in values.items():
                if value is None and name != "registry":
                    raise ValueError(f"{name} must not be null")
        return values


class _Gpu(_Object):
    excludedTypes: list[CardId] | None = None  # noqa: N815
    count: int | None = Field(None, ge=1)
    allowedCudaVersions: list[Version] | None = None  # noqa: N815

    @model_validator(mode="after")
    def _unique(self) -> Self:
        excluded = [card.strip() for card in self.excludedTypes or []]
        if len(excluded) != len(set(excluded)):
            raise ValueError("excludedTypes: items must be unique")
        return self


class CreateGpu(_Gpu):
    """``gpu`` of a new endpoint."""

    pools: list[str] = Field(min_length=1)
    minCudaVersion: Version | None = None  # noqa: N815


class UpdateGpu(_Gpu):
    """``gpu`` of a change: an empty string takes the floor away."""

    pools: list[str] | None = Field(None, min_length=1)
    minCudaVersion: Annotated[str, StringConstraints(pattern=r"^$|^\d+\.\d+$")] | None = None  # noqa: N815

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        if self.excludedTypes is not None and self.pools is None:
            raise ValueError("excludedTypes requires pools")
        return self


class Workers(_Object):
    """How many workers, and the seconds until an idle one is scaled down."""

    min: int | None = Field(None, ge=0)
    max: int | None = Field(None, ge=0)
    idleTimeout: int | None = Field(None, ge=1, le=3600)  # noqa: N815


class QueueDelay(_Object):
    """Scale on the time that jobs wait."""

    type: Literal["QUEUE_DELAY"]
    queueDelay: float = Field(ge=0.5)  # noqa: N815


class RequestCount(_Object):
    """Scale on the number of jobs."""

    type: Literal["REQUEST_COUNT"]
    requestCount: int = Field(ge=1)  # noqa: N815


Scaling = Annotated[QueueDelay | RequestCount, Field(discriminator="type")]


class _Endpoint(_Object):
    args: str | None = None
    disk: int | None = Field(None, ge=1)
    ports: list[str] | None = None
    env: dict[str, str] | None = None
    registry: str | None = None
    workers: Workers | None = None
    dataCenterIds: list[str] | None = None  # noqa: N815
    networkVolumes: list[str] | None = None  # noqa: N815
    timeout: int | None = None
    flashboot: Flashboot | None = None


class CreateEndpoint(_Endpoint):
    """Body of POST /v2/serverless. Templates and CPU endpoints are not known here."""

    name: NotEmpty
    type: Kind
    image: str
    scaling: Scaling
    gpu: CreateGpu

    @model_validator(mode="after")
    def _scaler_of_the_kind(self) -> Self:
        if self.type == "LOAD_BALANCER" and self.scaling.type != "REQUEST_COUNT":
            raise ValueError("scaling: a LOAD_BALANCER endpoint needs REQUEST_COUNT")
        return self


class UpdateEndpoint(_Endpoint):
    """Body of PATCH /v2/serverless/{id}: only what it holds is changed."""

    name: NotEmpty | None = None
    image: str | None = None
    scaling: Scaling | None = None
    gpu: UpdateGpu | None = None


class Tail(BaseModel):
    """Query of a worker's logs; values come as text."""

    model_config = ConfigDict(extra="forbid")
    source: Literal["container", "system"] | None = None
    tail: int = Field(100, ge=0, le=5000)
    since: str = ""


class Billing(BaseModel):
    """Query of the billing history: the latest buckets, or a span of time, not both."""

    model_config = ConfigDict(extra="forbid")
    serverlessId: str = ""  # noqa: N815
    bucketSize: Literal["hour", "day", "week", "month", "year"] = "day"  # noqa: N815
    lastN: int | None = Field(None, ge=1)  # noqa: N815
    startTime: str | None = None  # noqa: N815
    endTime: str | None = None  # noqa: N815


def faults(model: type[BaseModel], given: Any) -> list[str]:
    """Everything in ``given`` that the model does not take, in the form of the platform's ``errors``; empty if all is well."""
    try:
        TypeAdapter(model).validate_python(given)
    except ValidationError as error:
        return [f"{'.'.join(['$', *map(str, fault['loc'])])}: {fault['msg']}" for fault in error.errors()]
    return []
