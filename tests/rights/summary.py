"""Summary line at the end of a test run: numbers of questions about rights and of differences from the list."""

from collections.abc import Iterable

SQL_QUESTIONS, GATEWAY_QUESTIONS, DIFFERENCES = "rights_sql", "rights_gateway", "rights_differences"


def summary(properties: Iterable[tuple[str, object]]) -> str | None:
    """Add up the counts that the tests of the matrix recorded in all processes; None without any."""
    totals = dict.fromkeys((SQL_QUESTIONS, GATEWAY_QUESTIONS, DIFFERENCES), 0)
    for name, value in properties:
        if name in totals:
            totals[name] += int(str(value))
    if not any(totals.values()):
        return None
    line = "rights: {} questions asked as SQL, {} through the gateway, differences {}"
    return line.format(*totals.values())
