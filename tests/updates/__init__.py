"""Workers meet newer releases of the template: what their owners changed stays, and what does not fit is told.

The releases are those of upstream.py.
"""

from collections.abc import Callable

from upstream import Worker

#: Renders a worker: release, maker and answers.
Generated = Callable[..., Worker]

#: What make itself says of a command that failed with 1.
MAKE_FAILED = 2
