"""``python -m ops plan``: what an endpoint would cost and how long jobs would wait, before there is one."""

import importlib.util
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from ops import prices, show
from ops.commands.common import AS_JSON, INTERRUPTED
from worker import choices


def plan(
    arrivals: Annotated[
        str,
        typer.Option(help="When jobs come: poisson, steady, daily, office, bursts:N, or a CSV file of times (and pages)."),
    ] = "poisson",
    rate: Annotated[float, typer.Option(help="Jobs an hour, on average over the week.")] = 30,
    days: Annotated[float, typer.Option(help="Days to simulate; a CSV file says so itself.")] = 30,
    pages: Annotated[
        str, typer.Option(help="Pages per job: 8 (always), 1-20 (each as likely), geometric:8 (mean 8, mostly fewer).")
    ] = "geometric:10",
    idle_timeout: Annotated[str, typer.Option(help="Idle timeouts to try, in seconds.")] = "5,15,60,300,900",
    workers_min: Annotated[str, typer.Option(help="Least numbers of workers to try; each is billed around the clock.")] = "0,1",
    workers_max: Annotated[int, typer.Option(help="Most workers at once.")] = 3,
    concurrency: Annotated[
        int, typer.Option(help="Documents a worker parses at a time, each as fast as alone.")
    ] = choices.CONCURRENCY,
    queue_delay: Annotated[float, typer.Option(help="Seconds a job waits before a further worker is started (QUEUE_DELAY).")] = 4,
    request_count: Annotated[
        int, typer.Option(help="Scale by REQUEST_COUNT instead: a worker for every so many jobs that wait or run.")
    ] = 0,
    hosts: Annotated[int, typer.Option(help="Hosts that workers may be started on.")] = 8,
    pick: Annotated[
        str, typer.Option(help="How the platform picks a free one: random, recent (the last used) or round-robin.")
    ] = "random",
    snapshot_life: Annotated[
        float, typer.Option(help="Hours a host keeps a snapshot on average, until others need the room; 0: for ever.")
    ] = 1,
    pull: Annotated[
        float, typer.Option(help="Seconds a host pulls the image at its first start; not billed. 334 in the post.")
    ] = 0,
    measured: Annotated[
        Path | None, typer.Option(help="Lines that `ops coldstart` wrote: boots, restores and pages as measured.")
    ] = None,
    page_seconds: Annotated[float | None, typer.Option(min=0, help="Seconds a warm worker takes for each page.")] = None,
    gpu: Annotated[str, typer.Option(help="GPU pool, for its price.")] = choices.GPU,
    price: Annotated[float | None, typer.Option(min=0, help="Dollars per worker second, in place of the pool's.")] = None,
    p95: Annotated[
        float | None, typer.Option(min=0, help="Seconds that 95 % of jobs are to be done within; the cheapest way is chosen.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn: the same seed, the same plan.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Settings simulated at a time.")] = os.cpu_count() or 1,
    output: Annotated[Path, typer.Option(help="Folder for the lines of JSON and the chart.")] = Path("out/plan"),
    as_json: AS_JSON = False,
) -> None:
    """Plan an endpoint: cost and latency of every idle timeout and workers_min, simulated.

    A job meets a warm worker, one that is restored from a snapshot in seconds, or a fresh boot of minutes. How often each happens
    depends on the gaps between jobs: a longer idle timeout bridges more of them and is billed for it. This plays your arrivals
    through the platform's rules, for each setting, and says which to choose: the cheapest that keeps --p95, or without it one and
    a half times the fastest setting's. `ops/simulation/run.py` says what is simulated and what is left out.

    Times are the founding post's (an A5000 or 4090) unless you measure yours: `python -m ops coldstart` and --measured. How many
    hosts there are, how they are picked and how long they keep snapshots is not published: the defaults are guesses, so try what
    you fear. Dollars are at the price of workers that scale to zero; a discount for workers_min is not counted.

    Example: `python -m ops plan --arrivals office --rate 12 --pages 1-40 --p95 60`, or
    `python -m ops plan --arrivals jobs.csv --snapshot-life 1 --measured out/coldstart/coldstart.jsonl`
    """
    missing = [name for name in ("simpy", "numpy") if importlib.util.find_spec(name) is None]
    if missing:
        show.failed(f"This Python lacks {' and '.join(missing)}, which `make plan` installs.")
        raise typer.Exit(1)
    from ops import plan as planning  # Here, since it needs them.
    from ops.simulation.arrivals import Arrivals, Pages
    from ops.simulation.scenario import Scenario

    try:
        times = planning.measured_times(measured) if measured else planning.FOUNDING_TIMES
        times = replace(times, pull=pull, page=times.page if page_seconds is None else page_seconds)
        coming = Arrivals(arrivals, rate, days, Pages(pages), seed)
        idle, least = _numbers("--idle-timeout", idle_timeout), _numbers("--workers-min", workers_min)
        scenario = Scenario(
            times,
            max(idle),
            max(least),
            workers_max,
            concurrency,
            queue_delay,
            request_count,
            hosts,
            pick,
            snapshot_life=snapshot_life * 3600 or math.inf,
            seed=seed,
        )
        each = prices.price(gpu) if price is None else price
        points = _swept(planning.sweep(scenario, coming, idle, least, each, processes), 0 if as_json else len(idle) * len(least))
    except ValueError as error:
        show.failed(str(error))
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        show.console.print("\nStopped.")
        raise typer.Exit(INTERRUPTED) from None
    points.sort(key=lambda point: (point.workers_min, point.idle_timeout))
    title = f"Cost and latency: {arrivals}, {gpu} at ${each:g} a second"
    _report(planning, points, p95, title, output, as_json=as_json)


def _numbers(option: str, text: str) -> list[int]:
    """The numbers between commas, the least first; raises ``ValueError``."""
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise ValueError(f"{option} is {text!r}; write whole numbers with commas between, such as 0,1,2.") from None


def _swept(points: Any, count: int) -> list[Any]:
    """All points, with a bar for so many while they come; with none for 0."""
    with show.Bar("simulating", count, quiet=not count) as bar:
        return list(bar.track(points, total=count, task_id=bar.task))


def _report(planning: Any, points: list[Any], p95: float | None, title: str, output: Path, *, as_json: bool) -> None:
    from ops import plan_chart

    chosen = planning.choose(points, p95)
    output.mkdir(parents=True, exist_ok=True)
    lines = output / "plan.jsonl"
    lines.write_text("".join(f"{planning.line(point, chosen)}\n" for point in points), "utf-8")
    try:
        files = [lines, *plan_chart.draw(points, chosen, title, output)]
    except ImportError:
        files = [lines]
        show.errors.print("No chart was drawn: this Python lacks matplotlib, which `make plan` installs.")
    if as_json:
        print(lines.read_text("utf-8"), end="")
    else:
        show.console.print(planning.table(points, chosen))
        show.console.print(f"\n{escape(planning.advice(points, p95))}", soft_wrap=True)
        show.console.print(f"[dim]Written: {', '.join(escape(str(file)) for file in files)}[/dim]", soft_wrap=True)
    if chosen is None:
        raise typer.Exit(1)
