"""A folder of its own for each test, where PostgreSQL's unprivileged user can come, too."""

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

from infra.embedded.folder import Folder


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    made = Path(tempfile.mkdtemp(prefix="holdfast-")).resolve()
    monkeypatch.setenv("XDG_STATE_HOME", str(made / "state"))
    yield made / "stack"
    shutil.rmtree(made)


@pytest.fixture
def folder(root: Path) -> Folder:
    root.mkdir()
    made = Folder(root)
    made.create()
    return made
