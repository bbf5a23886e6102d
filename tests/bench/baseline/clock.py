"""The time of day as the tables and events hold it."""

from datetime import UTC, datetime


def now():
    """Now, as RFC 3339 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
