"""``python -m ops coldstart``: the experiment with cold starts, here or on a live endpoint."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ops import coldstart as experiments
from ops import coldstart_chart, findings, mechanisms, serving, show
from ops.client import Client
from ops.commands.common import AS_JSON, BOOT, ENGINE, ENGINE_BOOT, LIVE_URL, LOCAL_TIER, client, finish, samples, with_engine
from ops.snapshots import Image


def coldstart(
    requests: Annotated[int, typer.Option(min=1, help="Requests, with scale to zero before each.")] = len(experiments.ORDER),
    hosts: Annotated[
        str, typer.Option(help="Host of each start, such as AABB; free: a random one of two; free:8, of eight.")
    ] = "".join(experiments.ORDER),
    mechanism: Annotated[str, typer.Option(help="How workers are frozen: auto, criu, cgroup or sigstop.")] = "auto",
    variant: Annotated[
        experiments.Variant, typer.Option(help="The worker's own warm-up, or what happens with none, or with a careless one.")
    ] = "warm-up",
    engine: ENGINE = "",
    idle_timeout: Annotated[float, typer.Option(min=0.1, help="Seconds without jobs after which a worker is frozen.")] = 3,
    frozen: Annotated[float, typer.Option(min=0, help="Seconds at zero before the next request.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the random choice of hosts: the same seed, the same hosts.")] = 0,
    endpoint: Annotated[str, typer.Option(help="Id of a live endpoint to run it on; its key is taken from RUNPOD_API_KEY.")] = "",
    url: Annotated[str, typer.Option(help="Job API of the live endpoint.")] = LIVE_URL,
    price: Annotated[float | None, typer.Option(help="Dollars per worker second of the live endpoint, to tell the cost.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the cost of a live run beforehand.")] = False,
    output: Annotated[Path, typer.Option(help="Folder for the lines of JSON and the chart.")] = Path("out/coldstart"),
    as_json: AS_JSON = False,
) -> None:
    """See cold starts for yourself: four requests, scale to zero before each, on two hosts.

    A platform that freezes idle workers brings one back on the host it was frozen on; on another host a worker boots. This runs
    the real worker under a platform of this machine that does so, and says for each request what the worker called its start,
    what that rests on, and what the platform really did. Exits with 1 if a request failed.

    `--variant` shows why the worker warms up as it does: no-warm-up freezes a worker that has loaded nothing, other-tier one
    that has loaded the wrong thing, and wrong-loop (vllm-cpu only) one whose engine cannot be called any more.

    With --endpoint it runs on a live endpoint, which costs money: it asks before. Set --idle-timeout to the endpoint's.

    Example: `python -m ops coldstart`, or `python -m ops coldstart --requests 40 --hosts free:4 --mechanism sigstop`
    """
    here = not endpoint
    tell: Any = (lambda line: None) if as_json else lambda line: show.console.print(f"[dim]{escape(line)}[/dim]")
    about = {"variant": variant, "engine": engine or "flash"} if here else {"endpoint": endpoint}
    try:
        experiment = _experiment(requests, hosts, engine, variant, idle_timeout, frozen, seed)
        frozen_by, note = mechanisms.choose(mechanism) if here else (None, "")
    except ValueError as error:
        show.failed(str(error))
        raise typer.Exit(1) from None
    if note:
        tell(note)
    images: list[Image] = []
    if frozen_by is not None:
        run = finish(experiments.run_here(experiment, frozen_by, tell))
        seen, images, about = run.findings, run.images, {**about, "mechanism": frozen_by.name}
    else:
        _agree(experiments.cost(experiment, experiments.LIVE_SECONDS, price), yes=yes)
        seen = finish(_coldstart_live(client(url, endpoint), experiment, tell))
    _report(seen, images, about, output, as_json=as_json)
    raise typer.Exit(int(any(finding.error for finding in seen)))


def _experiment(
    requests: int, hosts: str, engine: str, variant: experiments.Variant, idle_timeout: float, frozen: float, seed: int
) -> experiments.Experiment:
    names, order = experiments.hosts(hosts)
    experiment = experiments.Experiment(
        experiments.document(samples()[0]),
        requests=requests,
        hosts=names,
        order=order,
        seed=seed,
        idle_timeout=idle_timeout,
        frozen=frozen,
        boot_patience=ENGINE_BOOT if engine else BOOT,
        environment=with_engine() if engine else serving.environment(LOCAL_TIER, "json"),
    )
    return experiments.vary(experiment, variant, engine=bool(engine))


def _agree(cost: str, *, yes: bool) -> None:
    """Go on only once the cost has been agreed to."""
    if not yes and not typer.confirm(f"{cost} Go on?", err=True):
        raise typer.Exit(1)


async def _coldstart_live(live: Client, experiment: experiments.Experiment, tell: Any) -> list[findings.Finding]:
    async with live:
        return await experiments.run_live(experiment, live, tell)


def _report(seen: list[findings.Finding], images: list[Image], about: dict[str, Any], output: Path, *, as_json: bool) -> None:
    output.mkdir(parents=True, exist_ok=True)
    lines = output / "coldstart.jsonl"
    findings.write_lines(seen, about, lines)
    words = findings.sentence(seen)
    title = f"Cold starts: scale to zero before each request ({', '.join(map(str, about.values()))})"
    try:
        files = [lines, *coldstart_chart.draw(seen, title, output)]
    except ImportError:
        files = [lines]
        show.errors.print("No chart was drawn: this Python lacks matplotlib, which `make coldstart` installs.")
    if as_json:
        print(lines.read_text("utf-8"), end="")
        return
    show.console.print(findings.table(seen))
    for problem in findings.problems(seen):
        show.errors.print(f"[yellow]{escape(problem)}[/yellow]")
    show.console.print(f"\n{escape(words)}", soft_wrap=True)
    if images:
        show.console.print(escape(findings.snapshots(images)), soft_wrap=True)
    show.console.print(f"[dim]Written: {', '.join(escape(str(file)) for file in files)}[/dim]", soft_wrap=True)
