"""What all charts share: colours that read on a white page and on a dark one, and a figure that becomes SVG and PNG."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: Colours of middling lightness; the background is left out.
INK: Final = "#7a828c"
MUTED: Final = "#a2aab4"
PURPLE: Final = "#9a6dd7"
BLUE: Final = "#3f8fe0"
TEAL: Final = "#2aa5a0"
ORANGE: Final = "#e08a2e"
GREEN: Final = "#35a55a"
PINK: Final = "#d6568a"
GREY: Final = "#8d949e"

#: Of each kind of start.
KINDS: Final = {"fresh": ORANGE, "restored": GREEN, "warm": BLUE}


@contextmanager
def figure(title: str, size: tuple[float, float], folder: Path, name: str) -> Iterator[tuple[Any, list[Path]]]:
    """Axes to draw on, ``size`` in inches, and the files that ``folder`` holds afterwards: ``name`` as SVG and as PNG.

    Raises ``ImportError`` without matplotlib.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    coloured = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK)
    # Text stays text, and the same chart the same bytes.
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": "chart", "font.size": 10, **coloured}
    files = [folder / f"{name}.svg", folder / f"{name}.png"]
    with rc_context(style):
        drawn = Figure(figsize=size, layout="constrained")
        axes = drawn.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["bottom", "left"]].set_color(MUTED)
        axes.set_title(title, loc="left", fontsize=11, pad=30)
        yield axes, files
        for file in files:
            drawn.savefig(file, transparent=True, dpi=160, metadata={"Date": None} if file.suffix == ".svg" else None)


def legend(axes: Any, handles: dict[str, Any] | None = None, columns: int = 7) -> None:
    """A row between title and plot, where it covers nothing; ``handles`` by their labels, in the order to be shown."""
    handles = handles or dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    options = {"frameon": False, "fontsize": 9, "handlelength": 1, "columnspacing": 1.2, "borderaxespad": 0.2}
    axes.legend(handles.values(), handles.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, **options)
