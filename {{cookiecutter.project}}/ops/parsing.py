"""Many documents through one endpoint: submit, wait, write, and say what became of each."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ops import show
from ops.client import Client, ClientError
from ops.results import folder_names, save

#: Documents under way at the same time, from reading the file to writing its result.
IN_FLIGHT: Final = 8


async def parse_files(client: Client, files: Sequence[Path], options: dict[str, Any], output: Path) -> list[show.Outcome]:
    """Parse ``files`` under a progress bar, each into a folder of its own below ``output``; outcomes in the order given.

    ``options`` are fields of the job's input. A document that fails keeps no other from being parsed.
    """
    names = folder_names(files)
    slots = asyncio.Semaphore(IN_FLIGHT)
    with show.Documents(len(names)) as progress:

        async def parse(file: Path) -> show.Outcome:
            async with slots:
                try:
                    asked = {"basename": names[file], **options}
                    answer = await client.parse_file(file, asked, lambda described: progress.saw(file, described))
                    folder = output / names[file]
                    await save(answer.response, client, folder)
                except ClientError as error:
                    return show.Outcome(file, error=str(error))
                finally:
                    progress.done(file)
            return show.Outcome(file, answer, folder)

        return list(await asyncio.gather(*(parse(file) for file in names)))
