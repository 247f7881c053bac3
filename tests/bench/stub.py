"""The stub that webhook answers are compared with: token check, one INSERT, 202.

FastAPI on uvicorn with uvloop and a psycopg pool, as the product has them; nothing is understood
and nothing is started. `python -m tests.bench.stub PORT`, the database in BENCH_DATABASE.
"""

import hmac
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from psycopg_pool import AsyncConnectionPool

from tests.bench.tables import STUB_INSERT

SECRET = os.environ.get("BENCH_SECRET", "")


def create() -> FastAPI:
    """Return the application."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["BENCH_DATABASE"], min_size=10, max_size=10, open=False
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await pool.open(wait=True)
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/webhook")
    async def webhook(request: Request) -> JSONResponse:  # pyright: ignore[reportUnusedFunction]  # the route holds it
        body = await request.body()
        secret = str((await request.json()).get("secret"))
        if not hmac.compare_digest(secret.encode(), SECRET.encode()):
            return JSONResponse({"error": "not accepted"}, 401)
        identity = sha256(body).hexdigest()[:20]
        async with pool.connection() as connection:
            await connection.execute(STUB_INSERT, (identity, body))
        return JSONResponse({"signal_id": identity, "status": "received"}, 202)

    return app


if __name__ == "__main__":
    uvicorn.run(create(), port=int(sys.argv[1]), loop="uvloop", access_log=False, log_level="error")
