"""How one node process is set up: `node.toml`, then the environment (`BONECRAFT_…`), then secrets files.

Only what a process needs before it can reach its database lives here. Institutions, peers and users are data: see
`pipeline.site`. Built by entry points alone and handed to everybody else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline.errors import ConfigurationError

Port = Annotated[int, Field(ge=1, le=65535)]

SECRETS_FOLDER = Path("/run/secrets")

SHORTEST_TOKEN: Final = 20
DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def _token(text: str) -> str:
    """Nothing, or a token that nobody guesses; the message does not repeat it."""
    if text and len(text) < SHORTEST_TOKEN:
        raise ValueError(f"it has {len(text)} letters: take {SHORTEST_TOKEN} or more, as of `openssl rand -hex 20`")
    return text


def _browser_origin(text: str) -> str:
    """An address in the very letters in which a browser's `Origin` names it (RFC 6454 6.2): else none would match."""
    scheme, host = urlsplit(text).scheme, urlsplit(text).netloc
    named = f"{scheme}://{host}".lower()
    if scheme not in DEFAULT_PORTS or not host or "@" in host or text != named or host.endswith(DEFAULT_PORTS[scheme]):
        raise ValueError(
            f"{text!r} is not as a browser names it: scheme and host in small letters, the port where it is not the "
            "usual one, and nothing behind, no slash either, like https://viewer.example.org"
        )
    return text


BrowserOrigin = Annotated[str, AfterValidator(_browser_origin)]


class NodeSettings(BaseSettings):
    """One node's settings; each may be given as `name` in node.toml or as `BONECRAFT_NAME` in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="BONECRAFT_",
        extra="forbid",
        frozen=True,
        secrets_dir=SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None,
    )
    toml_file: ClassVar[Path | None] = None

    data_folder: Path = Path("var")
    """Where an embedded database, local blobs, incoming files and logs live."""
    database_url: str = ""
    """`postgresql+psycopg://user:password@host/name`; empty: an embedded PostgreSQL in the data folder."""
    blob_url: str = ""
    """`s3://bucket/prefix`; empty: the folder `blobs` in the data folder."""
    models_folder: Path | None = None
    """Where `manifest.toml` and the models lie; empty: those that came with Bonecraft."""

    dicom_host: str = "0.0.0.0"  # noqa: S104 - modalities call from outside; peers are checked by title and address
    """The address that the listener takes associations at."""
    dicom_port: Port = 11112
    """Its port."""
    maximum_associations: Annotated[int, Field(ge=1)] = 256
    """More at a time are turned away; each peer has a limit of its own besides."""
    dicom_plain: bool = True
    """Whether `dicom_port` takes associations without TLS."""
    dicom_tls_port: Port = 2762
    """The port for DICOM over TLS, open where `tls_certificate` is set."""
    tls_certificate: Path | None = None
    """PEM file: the node's certificate, with the chain above it."""
    tls_key: Path | None = None
    """PEM file of the certificate's private key."""
    tls_trusted_cas: Path | None = None
    """PEM file of the CAs that peers' certificates come from; without, callers are asked for none, and those we call
    must have one of a CA that the system trusts."""

    peer_secrets_folder: Path | None = None
    """Holds a folder for each institution, named by its slug, with the files that its peers' settings name: passwords,
    tokens and CAs; empty: `peer-secrets` in the data folder."""

    web_host: str = "127.0.0.1"
    """The address that the viewer is served at."""
    web_port: Port = 8080
    """Its port."""
    web_origin: str = ""
    """The address people type (`https://bonecraft.example.org`), where it differs from web_host and web_port."""

    metrics_token: Annotated[str, AfterValidator(_token)] = ""
    """Whoever shows it as a bearer token gets the metrics at `/metrics`; 20 letters or more; empty: nobody does."""

    dicomweb_origins: tuple[BrowserOrigin, ...] = ()
    """Where web viewers come from that may read from this node's DICOMweb door with a token, as a browser names it:
    `["https://viewer.example.org"]`. None: in a browser only viewers that are served at the node's own address."""

    workers: Annotated[int, Field(ge=1)] = 1
    """How many studies are reconstructed at a time."""
    threads_per_worker: Annotated[int, Field(ge=0)] = 0
    """Threads for one reconstruction; 0: cores divided by workers."""
    minimum_free_megabytes: Annotated[int, Field(ge=0)] = 1024
    """Below this nothing more is taken in: the listener answers 0xA700 (out of resources), the web door 503."""
    maximum_dataset_megabytes: Annotated[int, Field(ge=1)] = 2048
    """A dataset that is larger is refused as it comes in; its first megabyte is kept in quarantine."""
    job_timeout_seconds: Annotated[int, Field(ge=10)] = 600
    """A reconstruction that takes longer is ended, and tried again."""
    job_attempts: Annotated[int, Field(ge=1)] = 3
    """So often a reconstruction is tried before it is given up."""
    job_heartbeat_seconds: Annotated[float, Field(ge=1)] = 30
    """A job whose worker has been silent for so long is taken over by another."""
    delivery_attempts: Annotated[int, Field(ge=1)] = 12
    """So often a result is sent to a peer before it is given up."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, environment, secrets files, node.toml, defaults: the first that says something wins."""
        del dotenv_settings
        toml = TomlConfigSettingsSource(settings_cls, cls.toml_file)
        return init_settings, env_settings, file_secret_settings, toml

    @property
    def threads(self) -> int:
        """Threads for one reconstruction."""
        return self.threads_per_worker or max(1, (os.cpu_count() or 1) // self.workers)

    @property
    def peer_secrets(self) -> Path:
        """Where the secrets of institutions' peers lie."""
        return self.peer_secrets_folder or self.data_folder / "peer-secrets"

    @property
    def origin(self) -> str:
        """The address people type into the browser."""
        return self.web_origin or f"http://{self.web_host}:{self.web_port}"


def load_settings(config: Path | None = None, **overrides: object) -> NodeSettings:
    """Settings from `config` (node.toml), the environment and secrets files.

    Raises:
        ConfigurationError: The file is missing or a value is wrong; the message names it.
    """
    if config is not None and not config.is_file():
        raise ConfigurationError(f"no settings file at {config}: create it or leave out --config")
    source = type("NodeSettingsFromFile", (NodeSettings,), {"toml_file": config, "__module__": __name__})
    try:
        settings: NodeSettings = source(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"settings are wrong: {problems}") from error
    return settings
