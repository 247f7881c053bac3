"""The CLOB's keys: trading keys by login, builders' keys, and keys that can only read."""

from typing import Final

from infra.paper import side_keys
from infra.paper.accounts import ApiKey
from infra.paper.authentication import authenticate, builder, create_key, derive_key
from infra.paper.exchange import Exchange
from infra.paper.routes import Paths
from infra.paper.side_keys import BUILDER, READONLY
from infra.paper.wire import Answer, Json, RefusedError, Request, answered

_MICROS_PER_MS: Final = 1_000


def _credentials(key: ApiKey) -> Json:
    return {"apiKey": key.api_key, "secret": key.secret, "passphrase": key.passphrase}


def _create(exchange: Exchange, request: Request) -> Answer:
    return answered(_credentials(create_key(request, exchange.engine.accounts)))


def _derive(exchange: Exchange, request: Request) -> Answer:
    return answered(_credentials(derive_key(request, exchange.engine.accounts)))


def _listed(exchange: Exchange, request: Request) -> Answer:
    accounts = exchange.engine.accounts
    mine = accounts.keys_of(authenticate(request, accounts).address)
    return answered({"apiKeys": [key.api_key for key in mine]})


def _delete(exchange: Exchange, request: Request) -> Answer:
    accounts = exchange.engine.accounts
    accounts.drop_key(authenticate(request, accounts).api_key)
    return answered("OK")


def _closed_only(exchange: Exchange, request: Request) -> Answer:
    authenticate(request, exchange.engine.accounts)
    return answered({"closed_only": False})


def _create_builder(exchange: Exchange, request: Request) -> Answer:
    owner = authenticate(request, exchange.engine.accounts).address
    key = side_keys.create(exchange.ledger, BUILDER, owner, exchange.now())
    return answered({"key": key.api_key, "secret": key.secret, "passphrase": key.passphrase})


def _builders(exchange: Exchange, request: Request) -> Answer:
    owner = authenticate(request, exchange.engine.accounts).address
    return answered(
        [
            {
                "key": key.api_key,
                "createdAt": key.created_at // _MICROS_PER_MS,
                "revokedAt": None if key.revoked_at is None else key.revoked_at // _MICROS_PER_MS,
            }
            for key in side_keys.keys_of(exchange.ledger, BUILDER, owner)
        ]
    )


def _revoke_builder(exchange: Exchange, request: Request) -> Answer:
    """Revoke the builder's key that signed the request; a trading key cannot."""
    side_keys.revoke(exchange.ledger, builder(request, exchange.ledger), exchange.now())
    return answered("OK")


def _create_readonly(exchange: Exchange, request: Request) -> Answer:
    owner = authenticate(request, exchange.engine.accounts).address
    key = side_keys.create(exchange.ledger, READONLY, owner, exchange.now())
    return answered({"apiKey": key.api_key})


def _readonly(exchange: Exchange, request: Request) -> Answer:
    owner = authenticate(request, exchange.engine.accounts).address
    mine = side_keys.keys_of(exchange.ledger, READONLY, owner)
    return answered({"readonlyApiKeys": [key.api_key for key in mine if key.revoked_at is None]})


def _delete_readonly(exchange: Exchange, request: Request) -> Answer:
    owner = authenticate(request, exchange.engine.accounts).address
    wanted = str(request.json_object("Invalid payload").get("key", ""))
    key = side_keys.find(exchange.ledger, READONLY, wanted)
    if key is None or key.address != owner:
        raise RefusedError(404, "readonly api key not found")
    side_keys.revoke(exchange.ledger, key, exchange.now())
    return answered("OK")


PATHS: Final[Paths] = {
    ("POST", "/auth/api-key"): _create,
    ("GET", "/auth/derive-api-key"): _derive,
    ("GET", "/auth/api-keys"): _listed,
    ("DELETE", "/auth/api-key"): _delete,
    ("GET", "/auth/ban-status/closed-only"): _closed_only,
    ("POST", "/auth/builder-api-key"): _create_builder,
    ("GET", "/auth/builder-api-key"): _builders,
    ("DELETE", "/auth/builder-api-key"): _revoke_builder,
    ("POST", "/auth/readonly-api-key"): _create_readonly,
    ("GET", "/auth/readonly-api-keys"): _readonly,
    ("DELETE", "/auth/readonly-api-key"): _delete_readonly,
}
