"""Says what to do next. Touches nothing: upgrades render the template again, and what a hook did would show as a change."""

from pathlib import Path


def advice(project: str) -> str:
    """The next three commands, for the folder ``project``."""
    return f"""
{project} is ready. Next:

  cd {project}
  git init && git add --all && git commit --message "As generated"
  make demo

Commit before you change anything: upgrades are merged against that commit. The demo parses a document on this machine."""


if __name__ == "__main__":
    print(advice(Path.cwd().name))
