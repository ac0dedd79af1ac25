"""Every knob of the worker, once: its name, type, default, limits and meaning.

Values come from environment variables: ``MINERU_`` and the field's name in capitals, except where the platform, MinerU
or the SDK already has a name for the same thing (``BUCKET_…`` for S3 as in the RunPod SDK). Where MinerU reads a variable
of the same name, both mean the same. Defaults come from the answers given at generation (``choices.py``).
"""

import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker import choices
from worker.choices import Tier, Weights

Warmup = Literal["strict", "lazy", "skip"]
Transport = Literal["inline", "archive", "s3"]
OcrMode = Literal["auto", "txt", "ocr"]
LogLevel = Literal["trace", "debug", "info", "warning", "error", "critical"]
LogFormat = Literal["json", "console"]

#: Bytes in the MB of every setting and message.
MB: Final = 1_000_000

#: The platform's cap on a job's result, in MB of serialised response: /runsync takes 20, /run 10 (RunPod documentation).
RESPONSE_LIMIT_MB = 20


class Settings(BaseSettings):
    """The worker's configuration, read from the environment once at start.

    Raises ``pydantic.ValidationError`` naming each variable that cannot be used, and why.
    """

    model_config = SettingsConfigDict(env_prefix="MINERU_", env_ignore_empty=True, frozen=True, extra="ignore")

    # What a job gets when it says nothing.
    tier: Tier = Field(choices.TIER, description="Tier of a job that names none.")
    ocr_mode: OcrMode = Field("auto", description="OCR of a job that says nothing: auto, txt (never) or ocr (always).")
    image_analysis: bool = Field(True, description="Describe images with the vision-language model where the tier has one.")
    transport: Transport = Field("inline", description="How a result is returned when the job does not say: inline, archive or s3.")

    # Boot.
    warmup: Warmup = Field(
        "strict",
        description="strict: parse a fixture before the first job, exit if that fails. lazy: serve even if it fails. skip: none.",
    )
    skip_warmup: bool = Field(False, description="The founding worker's switch: 1 means MINERU_WARMUP=skip.")
    warmup_timeout: float = Field(600, gt=0, description="Seconds the warm-up may take before it counts as failed.")
    selftest_after_restore: bool = Field(
        False,
        description="Parse the warm-up's fixture again after a freeze, and replace the worker if it reads differently: the first "
        "job after each restore waits for one page more.",
    )

    # Serving.
    concurrency: int = Field(choices.CONCURRENCY, ge=1, le=64, description="Documents parsed at the same time by one worker.")
    look_ahead: int = Field(
        1,
        ge=0,
        le=4,
        description="Jobs taken while every place is busy, as long as more wait and each takes under 5 s. 0 takes none: for "
        "several workers and documents of mixed lengths. Off with MINERU_REFRESH_AFTER_….",
    )
    job_timeout: float = Field(
        0,
        ge=0,
        description="Seconds one parse may take before its job fails and the worker is replaced; 0 sets no limit. Keep it below "
        "the endpoint's execution timeout.",
    )
    max_pages: int = Field(0, ge=0, description="Most pages one job may parse; 0 sets no limit.")
    refresh_after_jobs: int = Field(0, ge=0, description="Replace the worker after this many jobs; 0 never does.")
    refresh_after_pages: int = Field(0, ge=0, description="Replace the worker after this many pages; 0 never does.")

    # Documents in.
    max_file_mb: float = Field(200, gt=0, description="Largest document, in MB, by URL or from a volume.")
    max_base64_mb: float = Field(20, gt=0, description="Largest document, in MB, sent as base64 inside the job.")
    source_timeout: float = Field(120, gt=0, description="Seconds a download may take in all.")
    source_max_redirects: int = Field(5, ge=0, le=20, description="Redirects followed for one document.")
    source_allow_private: bool = Field(False, description="Allow URLs on private networks. Only for trusted senders.")
    volume_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (Path("/runpod-volume"),), description="Folders a job's volume_path may lie in, separated by colons."
    )
    temp_dir: Path = Field(Path(tempfile.gettempdir()), description="Folder for documents and results while a job runs.")
    min_free_disk_mb: int = Field(1024, ge=0, description="Free space, in MB, that the temp folder must have at boot.")

    # Results out.
    max_response_mb: float = Field(
        RESPONSE_LIMIT_MB, gt=0, description="Largest response, in MB as serialised; a larger result goes to S3 or fails."
    )
    bucket_endpoint_url: str = Field("", validation_alias="BUCKET_ENDPOINT_URL", description="S3 endpoint; empty for AWS.")
    bucket_name: str = Field("", validation_alias="BUCKET_NAME", description="S3 bucket for results; empty turns S3 off.")
    bucket_access_key_id: SecretStr = Field(SecretStr(""), validation_alias="BUCKET_ACCESS_KEY_ID", description="S3 access key id.")
    bucket_secret_access_key: SecretStr = Field(
        SecretStr(""), validation_alias="BUCKET_SECRET_ACCESS_KEY", description="S3 secret access key."
    )
    bucket_region: str = Field("", validation_alias="BUCKET_REGION", description="S3 region; empty takes the client's default.")
    bucket_prefix: str = Field("", validation_alias="BUCKET_PREFIX", description="Put before the key of every result.")
    bucket_url_expires: int = Field(
        3600, ge=60, le=604800, validation_alias="BUCKET_URL_EXPIRES", description="Seconds a presigned result URL stays valid."
    )

    # The engine. MinerU reads the variables of the same names.
    home: Path = Field(Path("~/.mineru"), description="MinerU's folder for its configuration and, by default, its models.")
    model_base_dir: Path | None = Field(None, description="Folder of model folders; empty means models below MINERU_HOME.")
    model_source: Literal["local", "huggingface", "modelscope", "auto"] = Field(
        "local", description="Where missing weights come from; local never downloads."
    )
    weights: Weights = Field(
        choices.WEIGHTS,
        description="Where this worker keeps its weights: baked (in the image), volume, or cached (the platform's model cache).",
    )
    image_models_dir: Path = Field(Path("/models"), description="Folder of the models that were built into the image.")
    volume: Path = Field(Path("/runpod-volume"), description="Where the network volume, or the platform's model cache, is mounted.")
    weights_timeout: float = Field(1200, gt=0, description="Seconds to wait for another worker that is filling the volume.")
    compile_cache: bool = Field(
        True, description="Keep compiled GPU code on the network volume, if there is one, for later workers."
    )
    model_vlm_engine: Literal["auto", "vllm", "llama-cpp"] = Field("auto", description="Engine of the vision-language model.")
    model_vlm_server_url: str = Field("", description="URL of a vision-language model served elsewhere; empty runs it here.")
    vllm_gpu_memory_utilization: float | None = Field(
        None, gt=0, le=1, description="Share of the GPU's memory for vLLM in the worker; empty leaves it to MinerU. 3.4 only."
    )
    vllm_max_model_len: int | None = Field(
        None, ge=1024, description="Longest context of vLLM in the worker, in tokens; empty takes the model's. 3.4 only."
    )
    vllm_enforce_eager: bool = Field(
        False, description="Have vLLM in the worker capture no CUDA graphs: a shorter boot, slower pages. 3.4 only."
    )
    model_vlm_api_key: SecretStr = Field(SecretStr(""), description="API key of that server.")
    model_vlm_model: str = Field("", description="Model name to ask of that server; empty asks for its first.")

    # Watching.
    log_level: LogLevel = Field("info", description="Least important log line that is written.")
    log_format: LogFormat = Field("json", description="json: one object per line. console: for people.")
    telemetry: bool = Field(
        choices.TELEMETRY,
        description="Send OpenTelemetry traces, metrics and logs; where to is set by OTEL_EXPORTER_OTLP_ENDPOINT.",
    )

    @model_validator(mode="before")
    @classmethod
    def _split_roots(cls, values: dict[str, object]) -> dict[str, object]:
        roots = values.get("volume_roots")
        if isinstance(roots, str):
            values["volume_roots"] = tuple(Path(root) for root in roots.split(":") if root)
        return values

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_lower_case(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @model_validator(mode="after")
    def _refuse_what_cannot_work(self) -> "Settings":
        if self.tier not in choices.TIERS:
            allowed = ", ".join(choices.TIERS)
            raise ValueError(f"MINERU_TIER={self.tier} is not served by {choices.STACK}; choose one of {allowed}.")
        if self.transport == "s3" and not self.bucket_name:
            raise ValueError("MINERU_TRANSPORT=s3 needs BUCKET_NAME and, unless the host has a role, the two BUCKET_ keys.")
        if self.selftest_after_restore and self.warmup_mode == "skip":
            raise ValueError(
                "MINERU_SELFTEST_AFTER_RESTORE=1 compares with what the warm-up read, and this worker skips it: unset "
                "MINERU_SKIP_WARMUP and set MINERU_WARMUP=strict, or turn the self-test off."
            )
        passed = (self.vllm_gpu_memory_utilization, self.vllm_max_model_len, self.vllm_enforce_eager or None)
        if choices.STACK == "mineru-4.0" and any(option is not None for option in passed):
            raise ValueError(
                "MINERU_VLLM_… cannot be honoured: MinerU 4 passes no options to vLLM. Run vLLM as a server with the options you "
                "want and set MINERU_MODEL_VLM_SERVER_URL; for the share of memory alone, set MINERU_VIRTUAL_VRAM_SIZE to the "
                "GB that 6 GB should be the share of."
            )
        return self

    @property
    def warmup_mode(self) -> Warmup:
        """How to warm up, with the founding worker's switch taken into account."""
        return "skip" if self.skip_warmup else self.warmup

    @property
    def jobs_ahead(self) -> int:
        """Most jobs to have at hand; none where the worker is to leave after so much work, since they would be too much."""
        return 0 if self.refresh_after_jobs or self.refresh_after_pages else self.look_ahead

    @property
    def models_dir(self) -> Path:
        """Folder that holds one folder per model."""
        return (self.model_base_dir or self.home / "models").expanduser()
