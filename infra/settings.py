"""The one typed configuration: two TOML files and the environment, every key known by name."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as UnreadableError
from pydantic_settings import TomlConfigSettingsSource as TomlSource
from typing_extensions import override

from domain.errors import HoldfastError
from domain.risk import Limits
from domain.stop import StopRule, Trigger

PREFIX: Final = "HOLDFAST_"
CONFIG_VARIABLE: Final = "HOLDFAST_CONFIG"
SECRETS_VARIABLE: Final = "HOLDFAST_SECRETS"
DATA_DIR_VARIABLE: Final = "HOLDFAST_DATA_DIR"
MARK_VARIABLE: Final = "HOLDFAST_UP"  # `up` marks its children with it
COMMANDS: Final = "api"  # the source of operators' commands in the inbox
NOT_SETTINGS: Final = frozenset(
    {
        CONFIG_VARIABLE,
        SECRETS_VARIABLE,
        DATA_DIR_VARIABLE,
        MARK_VARIABLE,
        "HOLDFAST_FAILPOINT",
        "HOLDFAST_FAILPOINT_DIR",
    }
)

HttpAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+")]
StreamAddress = Annotated[str, StringConstraints(pattern=r"^wss?://[^/\s]+")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]
Usd = Annotated[Decimal, Field(gt=0, max_digits=18, decimal_places=6)]


class SettingsError(HoldfastError):
    """The configuration cannot be used; the message has one line for each fault."""


def _database_url(url: SecretStr) -> SecretStr:
    """Return `url` if it names a PostgreSQL database."""
    if not url.get_secret_value().startswith("postgresql://"):
        raise ValueError("must begin with postgresql://")
    return url


class Section(BaseModel):
    """A part of the configuration: every key known, nothing changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class TemporalSettings(Section):
    """Where the Temporal server listens.

    Attributes:
        ui_url: its web interface, for links; None where there is none.
    """

    address: str = "127.0.0.1:7233"
    namespace: str = "default"
    ui_url: HttpAddress | None = None


class ExchangeSettings(Section):
    """Addresses of the exchange; the defaults are production's.

    Attributes:
        admin_url: the paper exchange's own controls; None for a real exchange.
        rate_tier: the exchange's name for how fast an account may place and cancel orders,
            until its own answers tell.
    """

    clob_url: HttpAddress = "https://clob.polymarket.com"
    market_ws_url: StreamAddress = "wss://ws-subscriptions-clob.polymarket.com/ws/market"
    user_ws_url: StreamAddress = "wss://ws-subscriptions-clob.polymarket.com/ws/user"
    gamma_url: HttpAddress = "https://gamma-api.polymarket.com"
    data_url: HttpAddress = "https://data-api.polymarket.com"
    relayer_url: HttpAddress = "https://relayer-v2.polymarket.com"
    rpc_url: HttpAddress = "https://polygon.drpc.org"
    admin_url: HttpAddress | None = None
    rate_tier: Literal[
        "standard", "copper", "bronze", "silver", "gold", "platinum", "diamond", "elite"
    ] = "standard"


class ApiKeySettings(Section):
    """A caller of the API.

    Attributes:
        sha256: hex digest of the key; the key itself is never configured.
    """

    name: str
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Literal["signal", "read", "operate"], ...]


class ApiSettings(Section):
    """Where the API listens and who may call it.

    Attributes:
        trusted_proxies: networks whose word on a caller's address is taken (X-Forwarded-For);
            nobody else's is.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8080
    keys: tuple[ApiKeySettings, ...] = ()
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()


class LimitSettings(Section):
    """What an account may risk; the defaults suit a first, careful day.

    Attributes:
        max_order_notional_usd: of one order, at its limit price.
        max_market_exposure_usd, max_event_exposure_usd, max_account_exposure_usd: what is held, at
            cost, and open buys: of a market, of all markets of its event, of the whole account.
        max_daily_loss_fraction: share of what the day (UTC) began with that may be lost.
        max_consecutive_failures: orders in a row that may be rejected or abandoned.
        close_positions_on_trip: whether the last two, which stop the account, sell what is held.
        cooldown_seconds: how long an account that was killed may not be resumed, unless forced.
        exit_floor_fraction: of the stop's price, or of the best bid when an exit began: below it
            an exit sells nothing, calls for help and waits.
        confirmed: these limits were read and are meant; a real exchange demands it.
    """

    max_order_notional_usd: Usd = Decimal(100)
    max_market_exposure_usd: Usd = Decimal(500)
    max_event_exposure_usd: Usd = Decimal(1_000)
    max_account_exposure_usd: Usd = Decimal(2_500)
    max_open_orders: Annotated[int, Field(gt=0)] = 50
    max_daily_loss_fraction: Annotated[Decimal, Field(gt=0, le=1)] = Decimal("0.1")
    max_consecutive_failures: Annotated[int, Field(gt=0, le=1_000)] = 5
    close_positions_on_trip: bool = False
    cooldown_seconds: Annotated[int, Field(ge=0)] = 60
    exit_floor_fraction: Annotated[Decimal, Field(ge=0, lt=1)] = Decimal("0.5")
    confirmed: bool = False

    def as_limits(self) -> Limits:
        """Return the limits that entries are held to."""
        return Limits(**self.model_dump(include={field.name for field in fields(Limits)}))


class StopSettings(Section):
    """What triggers the stops of an account.

    Attributes:
        trigger: the price that is held against a stop: the best bid, the middle, or the last
            trade.
        beyond_ticks: how many ticks below the stop it must be.
        beyond_seconds: for how long it must stay there; 0 lets a single reading do.
    """

    trigger: Trigger = Trigger.BEST_BID
    beyond_ticks: Annotated[int, Field(ge=0, le=100)] = 0
    beyond_seconds: Annotated[float, Field(ge=0, le=60)] = 0

    def as_rule(self) -> StopRule:
        """Return the rule that prices are judged by."""
        return StopRule(
            trigger=self.trigger,
            beyond_ticks=self.beyond_ticks,
            beyond=timedelta(seconds=self.beyond_seconds),
        )


class ReconcileSettings(Section):
    """What is done about differences between our books and the exchange.

    Attributes:
        unknown_orders: an order that we did not place is adopted, or cancelled.
        halt_above_usd: entries halt where shares or collateral worth more moved unexplained.
    """

    unknown_orders: Literal["adopt", "cancel"] = "adopt"
    halt_above_usd: Usd = Decimal(50)


class AccountSettings(Section):
    """An account at the exchange.

    Attributes:
        heartbeat_seconds: how often the exchange is told that we live; ten seconds without, and
            it cancels every order of the account. None never tells it, and it never does.
        wallet: the address that holds the collateral and makes the orders.
        signature_type: 0 plain key, 1 proxy, 2 Safe, 3 deposit wallet.
        signer: address of the signing key, for processes that are not given the key itself;
            not needed where the wallet is the key's own (type 0).
        private_key: signs orders; only the trading worker is given it.
        api_key: with `secret` and `passphrase`, the exchange's own credentials; None in a
            process that does not speak for the account.
    """

    wallet: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")]
    signature_type: Literal[0, 1, 2, 3] = 3
    signer: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{40}$")] | None = None
    private_key: SecretStr | None = None
    api_key: SecretStr | None = None
    secret: SecretStr | None = None
    passphrase: SecretStr | None = None
    limits: LimitSettings = LimitSettings()
    stops: StopSettings = StopSettings()
    heartbeat_seconds: Annotated[float, Field(ge=0.5, le=5)] | None = None
    reconcile: ReconcileSettings = ReconcileSettings()


class HmacSettings(Section):
    """How a source signs: HMAC-SHA256 of `timestamp.body`, in hex.

    Attributes:
        timestamp_header: names the header with the moment of signing, in unix seconds.
        window_seconds: how far that moment may be from ours, either way.
    """

    signature_header: HeaderName = "X-Holdfast-Signature"
    timestamp_header: HeaderName = "X-Holdfast-Timestamp"
    window_seconds: Annotated[int, Field(gt=0, le=3_600)] = 300


class WebhookSettings(Section):
    """A source of signals.

    Attributes:
        secret: what its sender proves itself with, as a token, in the body or as the key of a
            signature; empty closes the source.
        old_secrets: taken as well while senders change over to a new one.
        proofs: the ways to prove itself that are taken.
        account: id of the account its signals trade on.
        max_age_seconds: an entry that could not be started for so long expires.
        aliases: the sender's ticker to `market-slug:Outcome`.
    """

    secret: SecretStr
    old_secrets: tuple[SecretStr, ...] = ()
    proofs: Annotated[tuple[Literal["token", "body", "hmac"], ...], Field(min_length=1)] = (
        "token",
        "body",
        "hmac",
    )
    hmac: HmacSettings = HmacSettings()
    account: str
    max_age_seconds: Annotated[int, Field(gt=0)] = 60
    aliases: dict[str, Annotated[str, StringConstraints(pattern=r"^[^:\s]+:.+$")]] = {}

    @property
    def secrets(self) -> list[str]:
        """Everything its sender may prove itself with."""
        known = (one.get_secret_value() for one in (self.secret, *self.old_secrets))
        return [one for one in known if one]


class Settings(BaseSettings):
    """Everything two machines may differ in.

    Attributes:
        storage_key: 32 bytes in urlsafe base64; encrypts signed orders at rest. Only the
            trading worker is given it.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: Annotated[SecretStr, AfterValidator(_database_url)]
    temporal: TemporalSettings = TemporalSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    api: ApiSettings = ApiSettings()
    accounts: dict[str, AccountSettings] = {}
    webhooks: dict[str, WebhookSettings] = {}
    storage_key: SecretStr | None = None
    log_format: Literal["console", "json"] = "json"

    @model_validator(mode="after")
    def _webhooks_name_known_accounts(self) -> Self:
        if COMMANDS in self.webhooks:
            raise ValueError(f"webhooks.{COMMANDS}: the name of operators' commands: take another")
        for source, webhook in self.webhooks.items():
            if webhook.account not in self.accounts:
                raise ValueError(f"webhooks.{source}.account: no account {webhook.account!r}")
        return self

    @override
    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the strongest first; tables of several sources are merged."""
        secrets, config = _named_file(SECRETS_VARIABLE), _named_file(CONFIG_VARIABLE)
        files = [TomlSource(settings_cls, path) for path in (secrets, config) if path is not None]
        return (init_settings, env_settings, *files)


def load_settings() -> Settings:
    """Return the configuration of this process.

    Raises:
        SettingsError: a file is missing or unreadable, a key is unknown, or a value is wrong.
    """
    unknown = [_unknown_variable(name) for name in sorted(os.environ) if _is_unknown(name)]
    if unknown:
        raise SettingsError("\n".join(unknown))
    try:
        return Settings()  # pyright: ignore[reportCallIssue]  # the sources fill the fields
    except ValidationError as error:
        raise SettingsError("\n".join(_faults(error))) from None
    except UnreadableError as error:
        raise SettingsError(str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"not TOML: {error}") from None


def demand_confirmed(settings: Settings) -> None:
    """Refuse to risk real money by limits that nobody confirmed.

    Raises:
        SettingsError: an account at a real exchange has such; one line for each.
    """
    lines = [
        f"accounts.{name}.limits.confirmed: real money is at risk here; read this account's limits"
        f" (`holdfast config show`), then write confirmed = true under [accounts.{name}.limits]"
        for name, account in settings.accounts.items()
        if settings.exchange.admin_url is None and not account.limits.confirmed
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the configuration as JSON values, with a mask in the place of every secret."""
    shown = settings.model_dump(mode="json")
    url = urlsplit(settings.database_url.get_secret_value())
    address = url.netloc.rpartition("@")[2]
    who = f"{url.username}:***@" if url.username else ""
    return shown | {"database_url": f"{url.scheme}://{who}{address}{url.path}"}


def _named_file(variable: str) -> Path | None:
    """Return the file an environment variable names, None if it is not set."""
    name = os.environ.get(variable)
    if not name:
        return None
    path = Path(name)
    if not path.is_file():
        raise SettingsError(f"{variable}: there is no file {path}")
    return path


def _is_unknown(variable: str) -> bool:
    """Tell whether an environment variable looks like ours and is none of ours."""
    if not variable.startswith(PREFIX) or variable in NOT_SETTINGS:
        return False
    return _top_level(variable) not in Settings.model_fields


def _top_level(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower().partition("__")[0]


def _unknown_variable(variable: str) -> str:
    """Return the line that refuses `variable`, with the nearest name that exists."""
    names = [PREFIX + field.upper() for field in Settings.model_fields] + sorted(NOT_SETTINGS)
    nearest = get_close_matches(PREFIX + _top_level(variable).upper(), names, n=1, cutoff=0)
    return f"{variable}: unknown setting; the nearest is {nearest[0]}"


def _faults(error: ValidationError) -> Iterator[str]:
    """Yield one line for each fault, naming the key, never the value."""
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        place = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            yield f"{place}: unknown setting{_nearest(fault['loc'])}"
        elif fault["type"] == "missing":
            yield f"{place}: missing in the file {CONFIG_VARIABLE} names and in the environment"
        else:
            yield f"{place}: {fault['msg']}".removeprefix(": Value error, ")


def _nearest(place: tuple[int | str, ...]) -> str:
    """Return the hint for an unknown key: the most alike of those its section has."""
    fields = _fields_at(place[:-1])
    nearest = get_close_matches(str(place[-1]), list(fields), n=1, cutoff=0)
    section = "".join(f"{part}." for part in place[:-1])
    return f"; the nearest is {section}{nearest[0]}" if nearest else ""


def _fields_at(place: tuple[int | str, ...]) -> Mapping[str, Any]:
    """Return the fields of the section that lies at `place`."""
    kind: Any = Settings
    for part in place:
        if get_origin(kind) in {dict, tuple}:
            kind = next(one for one in get_args(kind)[::-1] if one is not ...)
        else:
            kind = kind.model_fields[str(part)].annotation
    return kind.model_fields
