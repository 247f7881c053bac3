"""The folder in which one machine's stack keeps its state: whose it is and what lies where."""

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain.errors import HoldfastError

CLAIM: Final = ".holdfast"  # marks a folder as ours; whoever runs it holds a lock on this file


class FolderError(HoldfastError):
    """The folder cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Folder:
    """Where each part keeps its state, under `root`."""

    root: Path

    @property
    def postgres(self) -> Path:
        """PostgreSQL's cluster."""
        return self.root / "postgres"

    @property
    def temporal(self) -> Path:
        """The Temporal server's SQLite file and its journal."""
        return self.root / "temporal"

    @property
    def paper(self) -> Path:
        """The paper exchange's ledger."""
        return self.root / "paper"

    @property
    def logs(self) -> Path:
        """One log for each child."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What is running now, and on which ports."""
        return self.root / "run"

    @property
    def keys(self) -> Path:
        """What was generated once."""
        return self.root / "keys.json"

    @property
    def config(self) -> Path:
        """The configuration all roles read."""
        return self.root / "config.toml"

    @property
    def secrets(self) -> Path:
        """The signing keys, for the trading worker alone."""
        return self.root / "secrets.toml"

    @property
    def endpoints(self) -> Path:
        """Where clients find the running stack."""
        return self.root / "endpoints.json"

    def create(self) -> None:
        """Make the folders that are missing."""
        for path in (self.temporal, self.paper, self.logs, self.run):
            path.mkdir(mode=0o700, exist_ok=True)

    def wipe(self) -> None:
        """Delete all that is ours in it; a stranger's file stays. Nothing of it may be running."""
        for path in (self.postgres, self.temporal, self.paper, self.logs, self.run):
            shutil.rmtree(path, ignore_errors=True)
        for path in (self.keys, self.config, self.secrets, self.endpoints):
            path.unlink(missing_ok=True)


@contextmanager
def claimed(root: Path) -> Generator[Folder]:
    """Hold `root` for this process until the block ends; make it if it is missing.

    The lock is the kernel's and falls with its holder, so a dead one's is simply taken.

    Raises:
        FolderError: another process holds it; the message names the process.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (root / CLAIM).open("a+") as claim:
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.seek(0)
            holder = claim.read().strip() or "another"
            raise FolderError(
                f"{root} is in use by process {holder}: stop that, or choose another --data-dir"
            ) from None
        claim.truncate(0)
        claim.write(f"{os.getpid()}\n")
        claim.flush()
        yield Folder(root)


def refuse_strange(root: Path) -> None:
    """Refuse to empty a folder that was never ours.

    Raises:
        FolderError: `root` holds something and lacks our mark.
    """
    if root.is_dir() and any(root.iterdir()) and not (root / CLAIM).is_file():
        raise FolderError(f"{root} is not a data folder of holdfast: nothing in it was deleted")


def write_private(path: Path, text: str) -> None:
    """Replace a file at once and whole, readable by its owner alone."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
