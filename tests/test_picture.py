"""The README's picture shows the founding experiment's numbers as the worker's tools know them."""

import ast
from pathlib import Path

TEMPLATE = Path(__file__).parent.parent
FINDINGS = TEMPLATE / "{{cookiecutter.project}}" / "ops" / "findings.py"


def founding() -> list[tuple[float, str]]:
    """Seconds and host of each request, read from the source: the worker's packages are not installed here."""
    for node in ast.parse(FINDINGS.read_text("utf-8")).body:
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "FOUNDING" and node.value:
            return list(ast.literal_eval(node.value))
    raise LookupError("ops/findings.py has no FOUNDING.")


def test_the_picture_of_four_requests_has_their_numbers_and_is_in_the_readme() -> None:
    picture = (TEMPLATE / "docs" / "four-requests.svg").read_text("utf-8")
    for number, (wall, host) in enumerate(founding(), start=1):
        assert f"{wall:g} s</text>" in picture
        assert f"{number}  host {host}</text>" in picture
    assert "docs/four-requests.svg" in (TEMPLATE / "README.md").read_text("utf-8")
