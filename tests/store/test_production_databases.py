"""Production's databases, made on a real PostgreSQL by the script that its image runs."""

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.postgres import BINARIES

pytestmark = pytest.mark.services
SCRIPT = Path(__file__).parents[2] / "infra/production/databases.sh"


def test_each_owner_reaches_its_own_databases_and_not_the_other_s(postgres: str) -> None:
    server = urlsplit(postgres)
    variables = {
        "PATH": os.pathsep.join([str(BINARIES), os.environ["PATH"]]),
        "PGHOST": server.hostname or "",
        "PGPORT": str(server.port),
        "DATABASE_PASSWORD": "it's",
        "TEMPORAL_DATABASE_PASSWORD": "other",
    }
    subprocess.run([SCRIPT], env=variables, check=True, capture_output=True)  # noqa: S603

    def reaches(user: str, database: str) -> bool:
        address = f"postgresql://{user}@{server.hostname}:{server.port}/{database}"
        try:
            with psycopg.connect(address) as connection:
                connection.execute("CREATE TABLE made_by_its_owner (id int)")
        except psycopg.OperationalError:
            return False
        return True

    assert reaches("holdfast", "holdfast")
    assert reaches("temporal", "temporal")
    assert reaches("temporal", "temporal_visibility")
    assert not reaches("holdfast", "temporal")
    assert not reaches("temporal", "holdfast")
