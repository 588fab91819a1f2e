"""Configuration: environment over secrets folder over file over Google Secret Manager over default.

Every setting is `ALPHINTRA_<NAME>` in the environment, a file of that name (without the prefix) in
the folder that `ALPHINTRA_SECRETS_DIR` names, or a key in the TOML file that
`ALPHINTRA_CONFIG_FILE` names.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from limits import parse
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    GoogleSecretManagerSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "ALPHINTRA_"


def _split(value: object) -> object:
    return (
        [part.strip() for part in value.split(",") if part.strip()]
        if isinstance(value, str)
        else value
    )


def _rate(value: str) -> str:
    parse(value)
    return value


#: "100/minute", "5 per hour", "10/2 minutes".
Rate = Annotated[str, AfterValidator(_rate)]
CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """All settings of the product. A wrong value stops the start with its name and the reason."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    database_url: SecretStr = Field(
        default=SecretStr(""),
        description="postgresql://user:password@host/name; empty: embedded server",
    )
    bus_url: SecretStr = Field(
        default=SecretStr(""), description="nats://…; empty: embedded server"
    )
    cache_url: SecretStr = Field(
        default=SecretStr("memory://"), description="memory:// or redis://host:port for rate limits"
    )
    master_key: SecretStr = Field(
        default=SecretStr(""),
        description="32 bytes in URL-safe base64 that encrypt secrets at rest; `up` makes its own",
    )
    environment: str = Field(default="development", description="a name for logs and traces")
    host: str = Field(default="127.0.0.1", description="address that the HTTP server listens on")
    port: int = Field(default=8000, ge=0, le=65535, description="port of the HTTP server")
    history_host: str = Field(
        default="127.0.0.1", description="address of the gRPC history service"
    )
    history_port: int = Field(
        default=50051, ge=0, le=65535, description="port of the gRPC history service"
    )
    desk_host: str = Field(
        default="127.0.0.1", description="address under which other processes reach this desk"
    )
    public_url: str = Field(default="http://127.0.0.1:8000", description="what clients call us")
    cors_origins: CommaSeparated = Field(
        default_factory=list, description="origins that browsers may call from, comma separated"
    )
    trusted_proxies: CommaSeparated = Field(
        default_factory=list, description="addresses whose X-Forwarded-For is believed"
    )
    rate_limit_auth: Rate = Field(default="10/minute", description="/auth/*, per address")
    rate_limit_orders: Rate = Field(
        default="100/minute",
        description="placing, cancelling and reading orders, each by itself, per user",
    )
    rate_limit_market_data: Rate = Field(
        default="1000/minute", description="/market-data/*, per user"
    )
    rate_limit_backtests: Rate = Field(default="5/hour", description="backtests begun, per user")
    rate_limit_other: Rate = Field(default="1000/minute", description="all else, per user")
    rate_limit_plans: dict[
        str, dict[Literal["orders", "market_data", "backtests", "other"], Rate]
    ] = Field(
        default_factory=dict,
        description='limits of a plan, as JSON: {"market_maker": {"orders": "6000/minute"}}',
    )
    http_connections_max: int = Field(
        default=10_000, ge=1, description="open HTTP and WebSocket connections of one process"
    )
    stream_connections_per_user: int = Field(
        default=20, ge=1, description="WebSocket connections of one user to one process"
    )
    stream_slow_reader_s: float = Field(
        default=30.0,
        gt=0,
        description="a WebSocket client that takes nothing for this long is disconnected",
    )
    access_token_s: int = Field(
        default=600, ge=30, le=1_800, description="how long an access token lives"
    )
    session_idle_s: int = Field(
        default=7 * 86_400, ge=600, description="a session that is not refreshed this long ends"
    )
    session_s: int = Field(
        default=30 * 86_400, ge=600, description="a session ends this long after its login"
    )
    signing_key_s: int = Field(
        default=30 * 86_400, ge=3_600, description="age at which a signing key is replaced"
    )
    log_level: str = Field(
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="DEBUG, INFO, WARNING or ERROR",
    )
    log_format: str = Field(
        default="json",
        pattern="^(json|console)$",
        description="json for machines, console for people",
    )
    otlp_endpoint: str = Field(
        default="", description="OTLP/HTTP collector for traces; empty: none"
    )
    metrics_token: SecretStr = Field(
        default=SecretStr(""),
        description="bearer token for GET /metrics; empty: loopback callers only",
    )
    database_pool_size: int = Field(
        default=10, ge=1, le=200, description="database connections that one process keeps open"
    )
    paper_cash: str = Field(default="100000", description="what a new paper account starts with")
    paper_currency: str = Field(default="USD", description="currency of paper accounts")
    paper_maker_bps: str = Field(
        default="2", description="fee of a resting fill on paper, in basis points of its value"
    )
    paper_taker_bps: str = Field(
        default="5", description="fee of a taking fill on paper, in basis points of its value"
    )
    desk_shards: str = Field(
        default="0-63",
        pattern=r"^\d{1,2}(-\d{1,2})?$",
        description="the account shards that this desk may write",
    )
    feed: str = Field(
        default="simulator", pattern="^(simulator|none)$", description="default market feed"
    )
    tick_retention_days: int = Field(
        default=3, ge=1, le=36_500, description="days that ticks of a live feed are kept"
    )
    research_seconds_max: int = Field(
        default=3_600, ge=1, le=7 * 86_400, description="how long one backtest or search may take"
    )
    research_memory_mb: int = Field(
        default=4_096, ge=256, description="memory that one backtest or search may have, in MiB"
    )
    live_needs_certificate: bool = Field(
        default=True,
        description="a strategy trades at a broker only after a day with a passed certificate",
    )
    deployment_frame_s: float = Field(
        default=5.0,
        gt=0,
        description="a deployed strategy that thinks longer over one event is ended",
    )
    deployment_record_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="days that what an ended deployment has lived through is kept; certificates"
        " need it",
    )
    deployment_memory_mb: int = Field(
        default=512, ge=128, description="memory that one deployed strategy may have, in MiB"
    )
    sandbox: str = Field(
        default="auto",
        pattern="^(auto|bubblewrap|landlock)$",
        description="what isolates users' code and the reading of their uploads: bubblewrap,"
        " landlock alone, or what works",
    )
    venue_record_days: int = Field(
        default=30,
        ge=1,
        le=36_500,
        description="days that the paper venue's record is kept; `alphintra parity` needs it",
    )
    objects_url: str = Field(
        default="",
        description="file:///folder for the files of datasets; empty: in the data folder",
    )
    dataset_quota_mb: int = Field(
        default=4_096, ge=1, description="room for the datasets of one user, in MiB"
    )
    feed_seed: int = Field(default=7, description="seed of the market simulator")
    feed_silence_s: float = Field(
        default=15.0,
        gt=0,
        description="a feed without a tick for this long is stale and blocks orders",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if folder := os.environ.get(f"{PREFIX}SECRETS_DIR"):
            sources.append(
                SecretsSettingsSource(settings_cls, secrets_dir=Path(folder), env_prefix="")
            )
        if file := os.environ.get(f"{PREFIX}CONFIG_FILE"):
            sources.append(TomlConfigSettingsSource(settings_cls, toml_file=Path(file)))
        if project := os.environ.get(f"{PREFIX}GCP_PROJECT"):
            sources.append(
                GoogleSecretManagerSettingsSource(
                    settings_cls, project_id=project, env_prefix=PREFIX
                )
            )
        return tuple(sources)


@lru_cache
def load_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
