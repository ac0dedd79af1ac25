"""``endpoint.toml``, the endpoint as it is to be: read, checked, and put into the words of the REST v2 API.

    declared = declaration.read(Path("endpoint.toml"))
    body = declaration.request(declared, os.environ)

What cannot work is refused here, before anything is asked of the platform, all of it at once and in the file's own words.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ops.deploy.declared import Declaration, Table, problems
from ops.local_worker import PROJECT

FILE: Final = PROJECT / "endpoint.toml"


class DeclarationError(ValueError):
    """The file does not describe an endpoint; the message names every reason and what would work."""


def read(path: Path, image: str = "") -> Declaration:
    """The declaration in a file, with ``image`` in place of its own where given; raises ``DeclarationError``."""
    content = _toml(path)
    if image:
        content["image"] = image
    try:
        declared = Declaration.model_validate(content)
    except ValidationError as error:
        found = [_in_words(fault) for fault in error.errors()]
    else:
        found = list(problems(declared))
    if found:
        raise DeclarationError("\n".join(f"{path.name}: {problem}" for problem in found))
    return declared


def name(path: Path) -> str:
    """The endpoint's name, whatever else the file holds; raises ``DeclarationError``."""
    found = _toml(path).get("name")
    if not isinstance(found, str) or not found.strip():
        raise DeclarationError(f"{path.name}: name is missing; it takes {Declaration.model_fields['name'].description}.")
    return found.strip()


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DeclarationError(f"{path} cannot be read ({error.strerror}); name the file with --file.") from None
    except UnicodeDecodeError:
        raise DeclarationError(f"{path} is not UTF-8 text; save it as such.") from None
    except tomllib.TOMLDecodeError as error:
        raise DeclarationError(f"{path} is not TOML: {error}. Strings need quotes, lists brackets, true and false none.") from None


def _in_words(fault: Any) -> str:
    """One of pydantic's findings: where it is, what stands there, what belongs there."""
    table: Any = Declaration
    description: str | None = ""
    known = list(Declaration.model_fields)
    for part in fault["loc"]:
        fields = table.model_fields if isinstance(table, type) and issubclass(table, Table) else {}
        known = list(fields) or known
        if part in fields:
            description, table = fields[part].description, fields[part].annotation
    where = ".".join(str(part) for part in fault["loc"] if not isinstance(part, int) and part != "[key]")
    if fault["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        return f"{where} is not known here; {f'did you mean {near[0]}?' if near else 'known are ' + ', '.join(known) + '.'}"
    if fault["type"] == "missing":
        return f"{where} is missing; it takes {description}."
    return f"{where} is {fault['input']!r}; it takes {description}."


def request(declared: Declaration, environment: Mapping[str, str]) -> dict[str, Any]:
    """The body that makes this endpoint (POST /v2/serverless); raises ``DeclarationError`` for a secret that is not set.

    Lists that are empty are in it, since for a change they say that there shall be none.
    """
    missing = [key for key in declared.secrets.from_environment if not environment.get(key)]
    if missing:
        raise DeclarationError(
            f"{', '.join(missing)} (secrets.from_environment) is not set here; set it for this command, or put it into RunPod's "
            "store (console, Secrets) and name it under [secrets.platform]."
        )
    gpu, workers, scaling = declared.gpu, declared.workers, declared.scaling
    on_delay = scaling.type == "QUEUE_DELAY"
    floor = {"minCudaVersion": gpu.min_cuda_version} if gpu.min_cuda_version else {}
    idle = {} if workers.idle_timeout is None else {"idleTimeout": workers.idle_timeout}
    return {
        "name": declared.name,
        "type": "QUEUE",
        "image": declared.image,
        "registry": declared.registry or None,
        "disk": declared.disk,
        "gpu": {
            "pools": gpu.pools,
            "excludedTypes": gpu.excluded_cards,
            "count": gpu.count,
            "allowedCudaVersions": gpu.allowed_cuda_versions,
            **floor,
        },
        "workers": {"min": workers.min, "max": workers.max, **idle},
        "scaling": {"type": scaling.type, **({"queueDelay": scaling.value} if on_delay else {"requestCount": int(scaling.value)})},
        "timeout": declared.execution_timeout * 1000,
        "flashboot": declared.flashboot,
        "networkVolumes": declared.network_volumes,
        "dataCenterIds": declared.data_centers,
        "env": {
            **declared.env,
            **{key: environment[key] for key in declared.secrets.from_environment},
            **{key: reference(secret) for key, secret in declared.secrets.platform.items()},
        },
    }


def reference(secret: str) -> str:
    """What stands in a variable for a secret of the platform (RunPod documentation, secrets)."""
    return "{" * 2 + f" RUNPOD_SECRET_{secret} " + "}" * 2
