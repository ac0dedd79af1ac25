"""How large a document may be, by the way it comes, and what is said of one that is larger."""

from worker.errors import SourceFailed
from worker.settings import MB, Settings


def too_large(field: str, size: int | None, settings: Settings) -> SourceFailed:
    """``size`` in bytes, None where reading stopped at the limit."""
    name, limit = (
        ("MINERU_MAX_BASE64_MB", settings.max_base64_mb) if field == "file_b64" else ("MINERU_MAX_FILE_MB", settings.max_file_mb)
    )
    came = "more" if size is None else f"{size / MB:.1f} MB"
    other = "send it as file_url or volume_path instead" if field == "file_b64" else "send a smaller document or split it"
    return SourceFailed(f"{field}: a document of at most {limit:g} MB ({name}) is accepted, {came} came; {other}.")
