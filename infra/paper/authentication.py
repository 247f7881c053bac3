"""Who is asking: L1 logins by signature, L2 requests by HMAC."""

import base64
import binascii
import hashlib
import hmac
from typing import Final

from infra.paper import side_keys
from infra.paper.accounts import Accounts, ApiKey, derived_key, normal
from infra.paper.ledger import Ledger
from infra.paper.side_keys import SideKey
from infra.paper.signatures import login_signer
from infra.paper.wire import RefusedError, Request

_UNAUTHORIZED: Final = "Unauthorized/Invalid api key"
_BAD_BUILDER: Final = "Unauthorized/Invalid builder api key"
_BAD_LOGIN: Final = "Invalid L1 Request headers"


def request_signature(secret: str, timestamp: str, request: Request) -> str:
    """Return the HMAC a client must send: over time, method, path without query, and body.

    Raises RefusedError when the secret is not url-safe base64.
    """
    try:
        key = base64.urlsafe_b64decode(secret)
    except binascii.Error as error:
        raise RefusedError(401, _UNAUTHORIZED) from error
    message = f"{timestamp}{request.method}{request.path}".encode() + request.body
    return base64.urlsafe_b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()


def authenticate(request: Request, accounts: Accounts) -> ApiKey:
    """Return the API key behind an L2 request. Raises RefusedError (401)."""
    headers = request.headers
    key = accounts.key(headers.get("poly_api_key", ""))
    if key is None or headers.get("poly_passphrase") != key.passphrase:
        raise RefusedError(401, _UNAUTHORIZED)
    if headers.get("poly_address", "").lower() != key.address.lower():
        raise RefusedError(401, _UNAUTHORIZED)
    expected = request_signature(key.secret, headers.get("poly_timestamp", ""), request)
    if not hmac.compare_digest(expected, headers.get("poly_signature", "")):
        raise RefusedError(401, _UNAUTHORIZED)
    request.wallet = request.wallet or key.address
    return key


def reader(request: Request, accounts: Accounts, ledger: Ledger) -> ApiKey:
    """Return who asks to read: the holder of an API key, or of one that can only read.

    Raises RefusedError (401).
    """
    shown = request.headers.get("poly_readonly_api_key")
    if shown is None:
        return authenticate(request, accounts)
    key = side_keys.find(ledger, side_keys.READONLY, shown)
    if key is None or request.headers.get("poly_address", "").lower() != key.address.lower():
        raise RefusedError(401, _UNAUTHORIZED)
    request.wallet = request.wallet or key.address
    return ApiKey(key.api_key, key.address, 0, key.secret, key.passphrase)


def builder(request: Request, ledger: Ledger) -> SideKey:
    """Return the builder's key behind a request. Raises RefusedError (401)."""
    headers = request.headers
    key = side_keys.find(ledger, side_keys.BUILDER, headers.get("poly_builder_api_key", ""))
    if key is None or headers.get("poly_builder_passphrase") != key.passphrase:
        raise RefusedError(401, _BAD_BUILDER)
    timestamp = headers.get("poly_builder_timestamp", "")
    expected = request_signature(key.secret, timestamp, request)
    if not hmac.compare_digest(expected, headers.get("poly_builder_signature", "")):
        raise RefusedError(401, _BAD_BUILDER)
    request.wallet = request.wallet or key.address
    return key


def logged_in(request: Request) -> tuple[str, int]:
    """Return the address and nonce of an L1 request. Raises RefusedError (401)."""
    headers = request.headers
    nonce = headers.get("poly_nonce", "")
    address = headers.get("poly_address", "")
    if not nonce.isdecimal() or not address:
        raise RefusedError(401, _BAD_LOGIN)
    signer = login_signer(
        address, headers.get("poly_timestamp", ""), int(nonce), headers.get("poly_signature", "")
    )
    if signer is None or signer.lower() != address.lower():
        raise RefusedError(401, _BAD_LOGIN)
    request.wallet = signer
    return signer, int(nonce)


def create_key(request: Request, accounts: Accounts) -> ApiKey:
    """Return a new API key. Raises RefusedError when the address has it already."""
    address, nonce = logged_in(request)
    key = derived_key(normal(address), nonce)
    if accounts.key(key.api_key) is not None:
        raise RefusedError(400, "Could not create api key")
    accounts.add_key(key)
    return key


def derive_key(request: Request, accounts: Accounts) -> ApiKey:
    """Return the existing API key of an address and nonce. Raises RefusedError without one."""
    address, nonce = logged_in(request)
    mine = [key for key in accounts.keys_of(normal(address)) if key.nonce == nonce]
    if not mine:
        raise RefusedError(400, "Could not derive api key!")
    return mine[-1]
