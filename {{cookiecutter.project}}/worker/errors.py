"""What can go wrong with a job, in the words its sender reads.

Every room raises one of these; the handler turns it into the job's error response. Anything else that reaches the
handler is a defect of the worker and is reported with its traceback.
"""

import errno
from pathlib import Path
from typing import Final

#: What the system says when a file cannot grow: no space, the quota of a volume, a limit on the size of files.
NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class JobError(Exception):
    """The job cannot be done; the message says what was given, why it fails and what would work.

    ``refresh_worker`` is true where the process must not serve another job after this one.
    """

    refresh_worker = False


class InvalidRequest(JobError):
    """The job's input is not what the API accepts."""


class SourceFailed(JobError):
    """The document cannot be brought to local disk: unreachable, refused, too large or not a document."""


class ParseFailed(JobError):
    """MinerU cannot parse this document; the next one may be fine."""


class ParseTimedOut(JobError):
    """The parse took longer than the worker allows. Whether it was slow or stuck cannot be told, so the process ends after it."""

    refresh_worker = True


class ModelMissing(JobError):
    """The tier needs a model that is not in this worker."""


class EngineDead(JobError):
    """The engine has died and no later job can succeed in this process."""

    refresh_worker = True


class DiskFull(JobError):
    """The temporary folder has no room for this job."""


class OutOfMemory(JobError):
    """This job took more memory than there is. What it left behind cannot be known, so the process ends after it."""

    refresh_worker = True


class WorkerBroken(JobError):
    """A job before this one has left the process unfit, and this one has not been begun."""

    refresh_worker = True


class Garbled(JobError):
    """A restored worker reads a known page differently than before it was frozen; nothing that it parses can be trusted."""

    refresh_worker = True


class ServerFailed(JobError):
    """The vision-language model is served elsewhere, and that server does not answer as it should."""


class ResultUndeliverable(JobError):
    """The result exists but cannot be returned: too large for a response, or its upload failed."""


def engine_died() -> EngineDead:
    """The error of a job whose parse the engine did not survive."""
    return EngineDead(
        "The vision-language model's engine died while this document was parsed; the worker is being replaced. Send it again."
    )


def unreadable(error: Exception, suffix: str) -> ParseFailed:
    """The error of a job whose document MinerU gave up on with ``error``."""
    if "password" in str(error).lower():
        return ParseFailed(f"The {suffix} document is encrypted; remove its password and send it again.")
    return ParseFailed(f"MinerU could not read the {suffix} document, it may be damaged: {type(error).__name__}: {error}")


def exhausted(error: BaseException, folder: Path) -> JobError | None:
    """The error to report if ``error`` came of a full disk or of too little memory, however it was put on its way here.

    ``folder`` is where the job wrote.
    """
    chain: BaseException | None = error
    seen: set[int] = set()  # What raises an error while it handles the same one makes a ring.
    while chain is not None and id(chain) not in seen:
        seen.add(id(chain))
        if isinstance(chain, OSError) and chain.errno in NO_ROOM:
            return DiskFull(
                f"The worker has no room left for this job in {folder} (MINERU_TEMP_DIR): {chain.strerror}. Give the worker a "
                "larger container disk or another folder, or send a smaller document or page_range."
            ).with_traceback(error.__traceback__)
        if isinstance(chain, MemoryError) or type(chain).__name__ == "OutOfMemoryError":  # PyTorch's, for a GPU.
            return OutOfMemory(
                "The worker ran out of memory on this document, and is being replaced. Send the document in parts with "
                "page_range, or have the worker given more memory or a lower MINERU_CONCURRENCY."
            ).with_traceback(error.__traceback__)
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    return None
