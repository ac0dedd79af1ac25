"""``python -m ops deploy`` and ``destroy``: the endpoint as ``endpoint.toml`` declares it, made and unmade."""

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from ops import show
from ops.commands.common import AS_JSON, LIVE_URL, finish, python, rest_api
from ops.deploy import comparison, declaration, rollout, standing_cost
from ops.deploy.comparison import Change
from ops.deploy.declaration import DeclarationError
from ops.deploy.declared import Declaration
from ops.endpoint import REST_URL, Described, Rest, RestError
from worker import choices

#: Seconds to wait for workers: a host that has not seen the image pulls it first.
PATIENCE: Final = 1800

#: How an endpoint's line ends, by what was done.
DONE: Final = {
    "created": "is created.",
    "updated": "is changed:",
    "differs": "would be changed:",
    "unchanged": "is as declared; nothing to change.",
}

FILE = Annotated[Path, typer.Option(help="The declaration.")]
ENDPOINT = Annotated[str, typer.Option(help="Id of the endpoint, in place of finding it by the file's name.")]
API = Annotated[str, typer.Option(help="Where the REST API is; `python -m ops.rest_server` runs one on this machine.")]


@dataclass(frozen=True)
class Deployed:
    """What a deploy did: the endpoint as the platform describes it, what was done to it and which fields changed."""

    endpoint: Described
    action: str
    changes: list[Change]


def deploy(
    file: FILE = declaration.FILE,
    image: Annotated[str, typer.Option(help="Image to run, in place of the file's.")] = "",
    endpoint: ENDPOINT = "",
    url: API = REST_URL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the request and send nothing.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Print what differs from the live endpoint and change nothing.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until workers.min workers serve what was deployed.")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait at most.")] = PATIENCE,
    as_json: AS_JSON = False,
) -> None:
    """Make the endpoint what `endpoint.toml` says: create it, change what differs, or find nothing to change.

    The key is taken from RUNPOD_API_KEY. The endpoint is found by its name. Secrets never stand in the file: it names variables of
    your environment, or secrets in RunPod's own store. Workers that are kept running (workers.min) are told with what they cost.

    `--dry-run` shows the whole request, secrets masked; `--diff` asks the platform what is live and shows the difference. Exits
    with 1 if the file, the platform or a worker refuses.

    Example: `python -m ops deploy --image registry.example.com/worker:1 --diff`, then the same without `--diff`.
    """
    if dry_run and diff:
        raise typer.BadParameter("--dry-run asks nobody, --diff asks the platform; choose one.", param_hint="--dry-run")
    try:
        declared = declaration.read(file, image)
        body = declaration.request(declared, os.environ)
    except DeclarationError as error:
        show.failed(str(error))
        raise typer.Exit(1) from None
    if cost := standing_cost.sentence(body):
        show.errors.print(f"[yellow]{escape(cost)}[/yellow]", soft_wrap=True)
    secrets = declared.secrets.from_environment
    if dry_run:
        print(json.dumps(comparison.masked(body, secrets), indent=2, ensure_ascii=False))
    elif diff:
        live, differing = finish(_differing(url, body, endpoint))
        _report(live, "differs" if differing else "unchanged", differing, secrets, as_json=as_json)
    else:
        deployed = finish(_deploy(url, declared, body, endpoint))
        _report(deployed.endpoint, deployed.action, deployed.changes, secrets, as_json=as_json)
        if wait and declared.workers.min:
            finish(_serving(url, deployed.endpoint["id"], declared.workers.min, timeout, quiet=as_json))
        if not as_json:
            _next_commands(deployed.endpoint, declared)


def destroy(
    file: FILE = declaration.FILE,
    endpoint: ENDPOINT = "",
    url: API = REST_URL,
    yes: Annotated[bool, typer.Option("--yes", help="Agree beforehand.")] = False,
) -> None:
    """Delete the endpoint for good: its workers end whatever they do, and jobs that wait or run are lost.

    Found by the name in `endpoint.toml`, or named by --endpoint. It asks before; images, volumes and secrets stay. Exits with 0
    also if there is no such endpoint, with 1 if you say no.

    Example: `python -m ops destroy`
    """
    try:
        name = "" if endpoint else declaration.name(file)
    except DeclarationError as error:
        show.failed(str(error))
        raise typer.Exit(1) from None
    doomed, workers, spent = finish(_doomed(url, name, endpoint))
    if doomed is None:
        show.console.print(f"There is no endpoint named {escape(name)}; nothing to destroy.")
        return
    busy = f"{workers} worker{'' if workers == 1 else 's'}"
    cost = "" if spent is None else f" and has cost ${spent:,.2f} in the last 30 days"
    what = f"Endpoint {doomed['id']} ({doomed['name']}) has {busy}{cost}."
    if not yes and not typer.confirm(f"{what} Delete it for good, with every job that waits or runs?", err=True):
        raise typer.Exit(1)
    finish(_destroy(url, doomed["id"]))
    show.console.print(f"Endpoint {escape(doomed['id'])} is deleted.")


async def _find(rest: Rest, name: str, endpoint_id: str) -> Described | None:
    """The endpoint meant, if there is one."""
    if endpoint_id:
        return await rest.endpoint(endpoint_id)
    found = await rest.named(name)
    if len(found) > 1:
        ids = " or ".join(endpoint["id"] for endpoint in found)
        raise RestError(f"{len(found)} endpoints are named {name}; say which one you mean: --endpoint {ids}.")
    return found[0] if found else None


async def _differing(url: str, body: Described, endpoint_id: str) -> tuple[Described | None, list[Change]]:
    async with rest_api(url) as rest:
        return await _compared(rest, body, endpoint_id)


async def _compared(rest: Rest, body: Described, endpoint_id: str) -> tuple[Described | None, list[Change]]:
    """The live endpoint and how it differs; everything does if there is none."""
    live = await _find(rest, body["name"], endpoint_id)
    if live is None:
        return None, comparison.changes(body, {"name": ""})
    if live.get("type", "QUEUE") != "QUEUE" or not live.get("gpu"):
        kind = "runs on CPUs" if live.get("cpu") else f"is a {live.get('type')} endpoint"
        raise RestError(
            f"{live['name']} ({live['id']}) {kind}, which cannot be changed into one with a queue and GPUs: give yours another "
            "name in the file, or destroy that one."
        )
    return live, comparison.changes(body, live)


async def _deploy(url: str, declared: Declaration, body: Described, endpoint_id: str) -> Deployed:
    async with rest_api(url) as rest:
        live, differing = await _compared(rest, body, endpoint_id)
        if live is None:
            return Deployed(await rest.create(body), "created", [])
        if not differing:
            return Deployed(live, "unchanged", [])
        return Deployed(await rest.update(live["id"], comparison.update(body, differing)), "updated", differing)


async def _serving(url: str, endpoint_id: str, count: int, patience: float, *, quiet: bool) -> None:
    async with rest_api(url) as rest:
        with rollout.View(show.errors if quiet else show.console, count) as view:
            await rollout.until_serving(rest, endpoint_id, count, patience, (lambda _: None) if quiet else view.saw)
    if not quiet:
        show.console.print(f"[green]{count} worker{' serves' if count == 1 else 's serve'}.[/green]")


async def _doomed(url: str, name: str, endpoint_id: str) -> tuple[Described | None, int, float | None]:
    """The endpoint to delete, its workers and what it has cost, where the key may know."""
    async with rest_api(url) as rest:
        found = await _find(rest, name, endpoint_id)
        if found is None:
            return None, 0, None
        workers, spent = len(await rest.workers(found["id"])), None
        with contextlib.suppress(RestError):
            spent = await rest.spent(found["id"])
        return found, workers, spent


async def _destroy(url: str, endpoint_id: str) -> None:
    async with rest_api(url) as rest:
        await rest.delete(endpoint_id)


def _report(live: Described | None, action: str, differing: list[Change], secrets: list[str], *, as_json: bool) -> None:
    """What was done, or would be, and to which fields."""
    visible = [
        Change(change.field, *(comparison.shown(change.field, value, secrets) for value in (change.live, change.declared)))
        for change in differing
    ]
    if as_json:
        content = {"endpoint": live and live["id"], "action": action, "changes": [asdict(change) for change in visible]}
        print(json.dumps(content, ensure_ascii=False))
        return
    if live is None:
        show.console.print("There is no such endpoint yet; a deploy would create it:")
    else:
        show.console.print(f"Endpoint [bold]{escape(live['id'])}[/bold] ({escape(live['name'])}) {DONE[action]}", soft_wrap=True)
    for change in visible:
        before = "" if live is None else f"{_value(change.live)} → "
        show.console.print(f"  {escape(change.field)}: {escape(before + _value(change.declared))}", soft_wrap=True)


def _value(value: Any) -> str:
    return "nothing" if value in (None, "", []) else json.dumps(value, ensure_ascii=False)


def _next_commands(endpoint: Described, declared: Declaration) -> None:
    """What to do with the endpoint from here on."""
    run = str(endpoint.get("requestUrls", {}).get("run", ""))
    jobs = f"--url {run.partition('/v2/')[0] or LIVE_URL} --endpoint {endpoint['id']}"
    if not declared.workers.min:
        note = "No worker runs until there is a job (workers.min is 0); the first one waits for a boot."
        show.console.print(note, soft_wrap=True)
    if declared.env.get("MINERU_WEIGHTS", choices.WEIGHTS) == "cached":
        note = "Set the endpoint's model in the console (Edit endpoint, Model): the REST API has no word for it."
        show.console.print(note, soft_wrap=True)
    commands = [f"parse FILE {jobs}", f"batch FOLDER {jobs}", f"coldstart {jobs}"]
    show.console.print("\n[bold]Next[/bold]")
    for command in commands:
        show.console.print(f"  {python()} -m ops {command}", soft_wrap=True)
