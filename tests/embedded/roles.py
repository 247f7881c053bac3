"""Stand-ins for the roles, as small as their part in `up`: migrate, answer, poll a queue."""

import asyncio
import os
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psycopg
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@activity.defn
async def nothing() -> None:
    return


def config() -> dict[str, Any]:
    return tomllib.loads(Path(os.environ["HOLDFAST_CONFIG"]).read_text())


def migrate() -> None:
    with psycopg.connect(os.environ["HOLDFAST_DATABASE_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS runs (n int)")
        connection.execute("INSERT INTO runs VALUES (1)")


async def work(task_queue: str) -> None:
    client = await Client.connect(config()["temporal"]["address"])
    async with Worker(client, task_queue=task_queue, activities=[nothing]):
        await asyncio.Event().wait()


def main(role: str, *rest: str) -> None:
    if not sys.stdin.readline():
        raise SystemExit(f"{role} was never told to begin")
    if os.environ.get("FAILING_ROLE") == role:
        raise SystemExit(f"{role} cannot start")
    if role == "migrate":
        migrate()
    elif role == "api":
        HTTPServer(("127.0.0.1", config()["api"]["port"]), Ready).serve_forever()
    else:
        asyncio.run(work(*rest))


if __name__ == "__main__":
    main(*sys.argv[1:])
