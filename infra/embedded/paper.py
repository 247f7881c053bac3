"""The paper exchange as a child, and the account `up` trades on there."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from domain.errors import HoldfastError
from infra.embedded.endpoints import AccountEndpoint
from infra.embedded.folder import write_private
from infra.embedded.loopback import HOST, answers, post
from infra.embedded.supervisor import Child, clean_environment
from infra.embedded.wallet import deposit_wallet, signing_address
from infra.settings import ExchangeSettings

ACCOUNT: Final = "main"
COLLATERAL: Final = "10000"
DEPOSIT_WALLET: Final = 3  # production refuses any other kind to newcomers
RANK: Final = 1
ADMIN: Final = "/_paper"


class Credentials(TypedDict):
    """What the exchange answers to a new account, among other things."""

    api_key: str
    secret: str
    passphrase: str


CREDENTIALS: Final = TypeAdapter(Credentials)


@dataclass(frozen=True)
class Paper:
    """One paper exchange: its ledger's folder and its port."""

    folder: Path
    port: int

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"http://{HOST}:{self.port}"

    @property
    def addresses(self) -> ExchangeSettings:
        """The addresses its clients use."""
        streams = f"ws://{HOST}:{self.port}"
        return ExchangeSettings(
            clob_url=f"{self.origin}/clob",
            market_ws_url=f"{streams}/ws/market",
            user_ws_url=f"{streams}/ws/user",
            gamma_url=f"{self.origin}/gamma",
            data_url=f"{self.origin}/data-api",
            relayer_url=f"{self.origin}/relayer",
            rpc_url=f"{self.origin}/rpc",
            admin_url=f"{self.origin}{ADMIN}",
        )

    def child(self) -> Child:
        """Return the exchange as a child."""
        listen = ("--port", str(self.port), "--data-dir", str(self.folder))
        return Child(
            name="paper",
            argv=(sys.executable, "-m", "infra.paper.server", *listen),
            env=clean_environment(),
            rank=RANK,
            is_ready=self._answers,
        )

    async def _answers(self) -> bool:
        """Tell whether the exchange serves."""
        return await answers(self.port, "/clob/ok")

    async def account(self, private_key: str) -> AccountEndpoint:
        """Return the account of `private_key`, opened and funded the first time.

        Raises:
            HoldfastError: the exchange would not open it.
        """
        kept = self.folder / "account.json"
        if kept.exists():
            return AccountEndpoint.model_validate_json(kept.read_bytes())
        signer = signing_address(private_key)
        wallet = deposit_wallet(signer)
        credentials = await self._open(signer, wallet)
        account = AccountEndpoint(
            id=ACCOUNT,
            wallet=wallet,
            signature_type=DEPOSIT_WALLET,
            private_key=private_key,
            api_key=credentials["api_key"],
            secret=credentials["secret"],
            passphrase=credentials["passphrase"],
        )
        write_private(kept, account.model_dump_json())
        return account

    async def _open(self, signer: str, wallet: str) -> Credentials:
        """Open and fund the account of `wallet`; asked again, it is not funded again."""
        body = {
            "wallet": wallet,
            "signer": signer,
            "signature_type": DEPOSIT_WALLET,
            "collateral": COLLATERAL,
        }
        status, answer = await post(self.port, f"{ADMIN}/accounts", body)
        try:
            return CREDENTIALS.validate_json(answer)
        except ValidationError:
            # Not the answer itself: it may hold keys.
            raise HoldfastError(f"the paper exchange opens no account: status {status}") from None
