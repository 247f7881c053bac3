"""The few calls to relayer and chain that clients make without trading on-chain."""

from typing import Final

from infra.paper.exchange import Exchange
from infra.paper.routes import Paths
from infra.paper.signatures import CHAIN_ID
from infra.paper.wire import Answer, Json, RefusedError, Request, answered, json_object

_UNKNOWN_METHOD: Final = -32601


def _rpc(exchange: Exchange, request: Request) -> Answer:
    body = request.json("Invalid JSON-RPC payload")
    if isinstance(body, list):
        raise RefusedError(400, "batches are not served")
    call = json_object(body, "Invalid JSON-RPC payload")
    answer: Json = {"jsonrpc": "2.0", "id": call.get("id")}
    match call.get("method"):
        case "eth_chainId":
            answer["result"] = hex(CHAIN_ID)
        case "net_version":
            answer["result"] = str(CHAIN_ID)
        case "eth_blockNumber":
            answer["result"] = hex(exchange.now() // 2_000_000)
        case _:
            answer["error"] = {"code": _UNKNOWN_METHOD, "message": "method not found"}
    return answered(answer)


RELAYER: Final[Paths] = {
    ("GET", "/deployed"): lambda _exchange, _request: answered({"deployed": True}),
}
NODE: Final[Paths] = {("POST", "/"): _rpc}
