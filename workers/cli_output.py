"""How a document leaves the command."""

import json
import sys
from typing import Any


def write_document(document: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def write_line(document: Any) -> None:
    """Write one JSON document as one line, for a reader that follows."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()
