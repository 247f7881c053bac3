"""What operators read of a comparison in the Temporal UI."""

from domain.reconciliation import Finding, Report
from domain.risk import AccountState

MOST_LINES = 40


def table(report: Report, state: AccountState) -> str:
    """Return a report as a table."""
    head = [
        f"**{report.result}** at {report.ended_at:%Y-%m-%d %H:%M:%S} UTC"
        f" ({report.reason}, asked by {report.asked_by}"
        + (", report only)" if report.is_report_only else ")"),
        f"The account is **{state}**.",
    ]
    head += [f"- not read or not mended: {words}" for words in report.warnings]
    if not report.findings:
        return "\n\n".join([*head, "Nothing differs."])
    lines = ["| what | of | ours | exchange | done |", "|---|---|---|---|---|"]
    lines += [_line(finding) for finding in report.findings[:MOST_LINES]]
    left = len(report.findings) - MOST_LINES
    more = [f"{left} more: `holdfast reconcile --json`"] if left > 0 else []
    return "\n\n".join([*head, "\n".join(lines), *more])


def _line(finding: Finding) -> str:
    words = f"{finding.outcome}: {finding.words}" if finding.words else str(finding.outcome)
    cells = (finding.kind, finding.subject[:18], finding.ours, finding.theirs, words)
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"
