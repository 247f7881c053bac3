"""The folder of a stack: one holder, private files, nothing of a stranger deleted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded.folder import Folder, FolderError, claimed, refuse_strange, write_private
from infra.embedded.keys import kept_keys

CLAIMER = """
import sys, pathlib
from infra.embedded.folder import FolderError, claimed
try:
    with claimed(pathlib.Path(sys.argv[1])):
        print("held")
except FolderError as error:
    print(error)
"""


def claim_elsewhere(root: Path) -> str:
    told = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", CLAIMER, str(root)],
        capture_output=True,
        check=True,
        text=True,
    )
    return told.stdout.strip()


def test_a_second_holder_is_refused_with_the_pid_of_the_first(root: Path) -> None:
    with claimed(root):
        words = claim_elsewhere(root)

    assert f"{root} is in use by process {os.getpid()}" in words
    assert claim_elsewhere(root) == "held"


def test_the_claim_of_a_dead_holder_is_taken_over(root: Path) -> None:
    assert claim_elsewhere(root) == "held"
    (root / ".holdfast").write_text("999999999\n")

    with claimed(root) as folder:
        assert folder.root == root


def test_a_folder_that_was_never_ours_is_not_wiped(root: Path) -> None:
    root.mkdir()
    (root / "thesis.txt").write_text("years of work")

    with pytest.raises(FolderError, match="not a data folder of holdfast"):
        refuse_strange(root)


def test_wiping_leaves_the_files_of_strangers(root: Path) -> None:
    with claimed(root) as folder:
        folder.create()
        kept_keys(folder.keys)
        (folder.paper / "ledger.db").write_text("x")
        (root / "mine.log").write_text("x")

        refuse_strange(root)
        folder.wipe()

    assert sorted(path.name for path in root.iterdir()) == [".holdfast", "mine.log"]


def test_keys_are_drawn_once_and_readable_by_their_owner_alone(folder: Folder) -> None:
    keys = kept_keys(folder.keys)

    assert kept_keys(folder.keys) == keys
    assert folder.keys.stat().st_mode & 0o777 == 0o600
    assert keys.private_key not in repr(keys)


def test_damaged_keys_are_refused_not_replaced(folder: Folder) -> None:
    folder.keys.write_text("{")

    with pytest.raises(FolderError, match="damaged"):
        kept_keys(folder.keys)
    assert folder.keys.read_text() == "{"


def test_a_private_file_is_private_whatever_was_there_before(folder: Folder) -> None:
    path = folder.root / "secret.json"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
