"""What can go wrong with a job, in the words its sender reads.

Every room raises one of these; the handler turns it into the job's error response. Anything else that reaches the
handler is a defect of the worker and is reported with its traceback.
"""


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
