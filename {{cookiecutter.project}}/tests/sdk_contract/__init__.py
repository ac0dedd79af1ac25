"""What ``worker/sdk.py`` composes of the SDK's internals, held to the SDK itself: shape, composition, and behaviour."""

from ops.jobs import Job, Status


async def running(job: Job) -> Job:
    return await job.until(lambda job: job.status == Status.IN_PROGRESS)
