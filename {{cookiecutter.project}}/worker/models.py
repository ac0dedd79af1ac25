"""The model repositories MinerU loads: which there are, at which revision, and how one is brought to a folder whole.

``models.json`` lists them. MinerU's own downloader takes whatever is newest; this one takes the revision that is written
down, into the same layout, with the marker by which MinerU knows that a repository is complete. The image's build runs this
module with nothing of the worker but that list, so that a change of the code leaves the layers of the weights alone:

    python -m worker.models fetch NAME FOLDER    bring a model to FOLDER
    python -m worker.models pin                  write into models.json the commits that its revisions stand for today
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CATALOGUE: Final = Path(__file__).with_name("models.json")

#: MinerU's name for the file that says a repository was downloaded whole (``mineru.model.download``). It asks only whether the
#: file is there; we write the revision into it.
MARKER: Final = ".mineru_complete"

#: What huggingface_hub keeps beside a download in progress: of no use once it is complete.
DOWNLOAD_STATE: Final = ".cache"


class ModelUnavailable(RuntimeError):
    """A model cannot be had: not listed, not published, or not reachable."""


@dataclass(frozen=True)
class Model:
    """One repository. ``name`` is its folder's, ``paths`` the files and folders in it that are needed: none means all."""

    name: str
    repo: str
    revision: str
    paths: tuple[str, ...] = ()

    @property
    def patterns(self) -> list[str] | None:
        """The paths as huggingface_hub selects files by them."""
        return [pattern for path in self.paths for pattern in (path, f"{path}/*")] or None

    def needs(self, file: str) -> bool:
        """Whether a file of the repository is one of those needed."""
        return not self.paths or any(file == path or file.startswith(f"{path}/") for path in self.paths)


def named(name: str) -> Model:
    """The model of that name; raises ``ModelUnavailable`` naming those there are."""
    listed: dict[str, dict[str, Any]] = json.loads(CATALOGUE.read_text("utf-8"))
    if name not in listed:
        raise ModelUnavailable(f"No model {name} in {CATALOGUE.name}; it lists {', '.join(listed)}.")
    entry = listed[name]
    return Model(name, entry["repo"], entry["revision"], tuple(entry.get("paths", ())))


def is_complete(model: Model, folder: Path) -> bool:
    """Whether ``folder`` holds the model at its revision; an empty marker is MinerU's own and counts for any."""
    try:
        return (folder / MARKER).read_text("utf-8").strip() in ("", model.revision)
    except OSError:
        return False


def missing(model: Model, folder: Path) -> list[str]:
    """The model's paths that are not in ``folder``; for a model that is needed whole, its config.json stands for it."""
    return [path for path in model.paths or ("config.json",) if not (folder / path).exists()]


def fetch(model: Model, folder: Path) -> None:
    """Download the model to ``folder``, going on where an earlier call was cut off, check it and mark it complete.

    What lies in ``folder`` and is not the model's is removed: vLLM would load weights of an earlier revision beside these.

    Raises:
        ModelUnavailable: the hub cannot be reached, lacks the revision or one of the paths, or sent less than it lists.
    """
    from huggingface_hub import HfApi, snapshot_download

    try:
        # Asked first: without an answer, snapshot_download takes a folder that is not empty for the whole model.
        commit = HfApi().model_info(model.repo, revision=model.revision)
        listed = [file.rfilename for file in commit.siblings or []]
        snapshot_download(model.repo, revision=commit.sha, local_dir=folder, allow_patterns=model.patterns)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelUnavailable(f"{model.repo} at revision {model.revision} cannot be downloaded: {reason}") from error
    lacking = [*missing(model, folder), *(file for file in listed if model.needs(file) and not (folder / file).is_file())]
    if lacking:
        raise ModelUnavailable(f"{model.repo} at revision {model.revision} came without {', '.join(lacking)}.")
    shutil.rmtree(folder / DOWNLOAD_STATE, ignore_errors=True)
    for path in [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).as_posix() not in listed]:
        path.unlink()
    mark(model, folder)


def mark(model: Model, folder: Path) -> None:
    """Say, for MinerU and for ``is_complete``, that ``folder`` holds the model whole."""
    (folder / MARKER).write_text(model.revision, encoding="utf-8")


def pin() -> dict[str, str]:
    """Replace every revision in models.json by the commit it stands for; returns the commits by repository."""
    from huggingface_hub import HfApi

    listed: dict[str, dict[str, Any]] = json.loads(CATALOGUE.read_text("utf-8"))
    for entry in listed.values():
        entry["revision"] = HfApi().model_info(entry["repo"], revision=entry["revision"]).sha
    CATALOGUE.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    return {entry["repo"]: entry["revision"] for entry in listed.values()}


def main(arguments: list[str]) -> int:
    """Run a command of this module; the exit status, 2 where it is not understood."""
    match arguments:
        case ["fetch", name, folder]:
            fetch(named(name), Path(folder))
        case ["pin"]:
            for repo, commit in pin().items():
                print(f"{repo} {commit}")
        case _:
            print("usage: python -m worker.models fetch NAME FOLDER | pin", file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
