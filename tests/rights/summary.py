"""Summary line at the end of a test run: numbers of questions about rights and of differences from the list."""

import pytest

SQL_QUESTIONS, GATEWAY_QUESTIONS, DIFFERENCES = "rights_sql", "rights_gateway", "rights_differences"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up the counts that the tests of the matrix recorded in all processes."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    counted = [(name, value) for report in reports for name, value in report.user_properties]
    totals = [
        sum(int(str(value)) for name, value in counted if name == wanted)
        for wanted in (SQL_QUESTIONS, GATEWAY_QUESTIONS, DIFFERENCES)
    ]
    if any(totals):
        line = "rights: {} questions asked as SQL, {} through the gateway, differences {}"
        terminalreporter.write_line(line.format(*totals))
