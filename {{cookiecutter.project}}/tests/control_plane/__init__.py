"""A job in a worker's hands, and what the sides of the control plane are asked alike."""

import httpx

from ops.control_plane import ControlPlane
from ops.jobs import Job

MB = 1_000_000

#: A handler that streams.
COUNTING = """
async def handle(job):
    for number in range(job["input"]["to"]):
        yield number
"""


async def taken(control_plane: ControlPlane, client: httpx.AsyncClient) -> Job:
    """A job in the hands of worker w."""
    job = control_plane.submit({})
    await client.get("/job-take/w?")
    return job
