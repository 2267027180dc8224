"""Reports: numbers, lines and tables of what came out."""

import pytest

from altercell.testing import Check, Outcome, Report


def _outcome(number, status, reason="", seconds=0.5):
    return Outcome(Check(f"C1-{number}", f"Statement {number}.", print), status, reason, seconds)


@pytest.fixture
def report():
    return Report(
        "Model",
        (
            _outcome(1, "passed"),
            _outcome(2, "failed", "it differs"),
            _outcome(3, "declared", "draws at random"),
            _outcome(4, "not applicable", "has no predict", 0.0),
            _outcome(5, "passed", seconds=1.0),
        ),
    )


def test_the_summary_counts_what_was_run(report):
    expected = "Model: 2 of 4 checks passed, 1 failed, 1 declared failures; 1 do not apply; 2.5 s"
    assert report.summary() == expected
    assert (report.run, report.seconds) == (4, 2.5)


def test_outcomes_by_status(report):
    assert [one.check.id for one in report.of("passed")] == ["C1-1", "C1-5"]
    assert [one.reason for one in report.of("declared")] == ["draws at random"]
    assert len(list(report)) == 5


def test_the_text_tells_failures_and_declarations_with_their_reasons(report):
    lines = str(report).splitlines()
    assert len(lines) == 3
    assert lines[0] == report.summary()
    assert lines[1].split() == ["failed", "C1-2", "it", "differs"]
    assert "draws at random" in lines[2]


def test_what_passed_is_told_by_its_statement(report):
    assert str(report.outcomes[0]).split(maxsplit=2) == ["passed", "C1-1", "Statement 1."]


def test_the_table_has_a_row_a_check(report):
    table = report.to_frame()
    assert list(table.index) == [f"C1-{number}" for number in range(1, 6)]
    assert list(table.columns) == ["statement", "status", "reason", "seconds"]
    assert table.loc["C1-2", "reason"] == "it differs"
    assert (table["status"] == "passed").sum() == 2


def test_a_report_of_nothing():
    empty = Report("Model", ())
    assert empty.summary() == "Model: 0 of 0 checks passed, 0 failed, 0 declared failures; 0 do not apply; 0.0 s"
    assert empty.to_frame().empty
