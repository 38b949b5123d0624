"""One line at the end of a test run: how many rights were asked for, and how many are not as listed."""

import pytest

SQL_QUESTIONS, GATEWAY_QUESTIONS, DIFFERENCES = "rights_sql", "rights_gateway", "rights_differences"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests of the matrix recorded, in whichever process they ran."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    counted = [(name, value) for report in reports for name, value in report.user_properties]
    totals = [
        sum(int(str(value)) for name, value in counted if name == wanted)
        for wanted in (SQL_QUESTIONS, GATEWAY_QUESTIONS, DIFFERENCES)
    ]
    if any(totals):
        line = "rights: {} questions asked as SQL, {} through the gateway, differences {}"
        terminalreporter.write_line(line.format(*totals))
