"""Every lesson is proved by tests that exist, under the names it gives them."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LESSONS: Final = (ROOT / "docs/lessons.md").read_text()
NAMED: Final = re.compile(r"`(test_\w+)`")
DEFINED: Final = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)


def test_every_test_that_a_lesson_names_exists() -> None:
    sources = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = {name for source in sources for name in DEFINED.findall(source)}
    assert set(NAMED.findall(LESSONS)) - defined == set()


def test_every_lesson_names_a_test() -> None:
    rows = [line for line in LESSONS.splitlines() if line.startswith("| ") and "---" not in line]
    lessons = [row for row in rows if "| proved by |" not in row]
    assert len(lessons) > 50
    assert [row for row in lessons if not NAMED.search(row)] == []
