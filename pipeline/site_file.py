"""`site.toml` read: institutions, peers, rules and users that the database starts with. `pipeline.site` applies it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from pipeline.errors import ConfigurationError
from pipeline.records.users import Role
from pipeline.rules import Rule
from pipeline.site_values import (
    AeTitle,
    Email,
    InstitutionValue,
    PeerValue,
    RulesValue,
    Slug,
    SourceValue,
    Subject,
    UserValue,
    Value,
    sentence,
)

MAXIMUM_PASSWORD_FILE_BYTES: Final = 4096


class SitePeer(PeerValue):
    """`[[institutions.peers]]`."""

    ae_title: AeTitle

    @property
    def value(self) -> PeerValue:
        """Without its name."""
        return PeerValue(**self.model_dump(exclude={"ae_title"}))


class SiteSource(SourceValue):
    """`[[institutions.sources]]`."""

    name: Slug

    @property
    def value(self) -> SourceValue:
        """Without its name."""
        return SourceValue(**self.model_dump(exclude={"name"}))


class SiteUser(BaseModel):
    """`[[institutions.users]]`; `password_file` is relative to the site file, and read when the user is added."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    email: Email
    role: Role
    password_file: Path | None = None


class SiteInstitution(InstitutionValue):
    """`[[institutions]]`."""

    slug: Slug
    peers: tuple[SitePeer, ...] = ()
    rules: tuple[Rule, ...] = ()
    users: tuple[SiteUser, ...] = ()
    sources: tuple[SiteSource, ...] = ()

    @property
    def value(self) -> InstitutionValue:
        """Itself, without its name and what is below it."""
        below = {"slug", "peers", "rules", "users", "sources"}
        return InstitutionValue(**self.model_dump(exclude=below))


class SiteFile(BaseModel):
    """The whole file; nothing may be named twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    institutions: tuple[SiteInstitution, ...]

    @model_validator(mode="after")
    def _nothing_is_named_twice(self) -> SiteFile:
        each = self.institutions
        _refuse_twins("institution", [i.slug for i in each])
        _refuse_twins("called AE title", [title for i in each for title in i.called_ae_titles])
        _refuse_twins("user", [user.email for i in each for user in i.users])
        for institution in each:
            _refuse_twins(f"peer of {institution.slug!r}", [peer.ae_title for peer in institution.peers])
            _refuse_twins(f"source of {institution.slug!r}", [source.name for source in institution.sources])
            _refuse_twins(f"rule of {institution.slug!r}", [rule.name for rule in institution.rules])
        return self


def _refuse_twins(what: str, names: list[str]) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise ValueError(f"{what} {', '.join(map(repr, twins))} is named twice; remove one")


@dataclass(frozen=True, kw_only=True)
class Site:
    """What `site.toml` wants.

    Attributes:
        path: Where it was read, for messages.
        wanted: A value for each subject.
        password_files: Where a new user's first password lies.
    """

    path: Path
    wanted: Mapping[Subject, Value]
    password_files: Mapping[Subject, Path]


def load_site(path: Path) -> Site:
    """Read `site.toml`.

    Raises:
        ConfigurationError: It is missing, no TOML, or says something impossible; the message names file, entry and
            fix.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        file = SiteFile.model_validate(plain)
    except FileNotFoundError as error:
        raise ConfigurationError(f"no site file at {path}: create it or leave out --site") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        found = "; ".join(_problem(plain, each["loc"], each["type"], each["msg"]) for each in error.errors())
        raise ConfigurationError(f"{path}: {found}") from error
    return _site(path, file)


def _problem(plain: dict[str, Any], where: tuple[int | str, ...], kind: str, message: str) -> str:
    """One problem as `institutions "demo", peers "PACS", port: ...`: by name, as counting entries is tiresome."""
    words: list[str] = []
    at: Any = plain
    for step in where:
        if isinstance(step, int):
            at = at[step] if isinstance(at, list) and step < len(at) else {}
            words[-1] += f" {_name(at, step)}" if words else ""
        else:
            at = at.get(step, {}) if isinstance(at, dict) else {}
            words.append(step)
    said = sentence(kind, message)
    return f"{', '.join(words)}: {said}" if words else said


def _name(entry: object, position: int) -> str:
    names = (
        [entry[key] for key in ("slug", "ae_title", "email", "name", "body_part") if key in entry]
        if isinstance(entry, dict)
        else [entry]
    )
    return f'"{names[0]}"' if names and isinstance(names[0], str) and names[0] else f"number {position + 1}"


def _site(path: Path, file: SiteFile) -> Site:
    wanted: dict[Subject, Value] = {}
    password_files: dict[Subject, Path] = {}
    for institution in file.institutions:
        wanted[Subject.of_institution(institution.slug)] = institution.value
        for peer in institution.peers:
            wanted[Subject.of_peer(institution.slug, peer.ae_title)] = peer.value
        for source in institution.sources:
            wanted[Subject.of_source(institution.slug, source.name)] = source.value
        if institution.rules:
            wanted[Subject.of_rules(institution.slug)] = RulesValue(rules=institution.rules)
        for user in institution.users:
            subject = Subject.of_user(institution.slug, user.email)
            wanted[subject] = UserValue(role=user.role)
            if user.password_file is not None:
                password_files[subject] = path.parent / user.password_file
    return Site(path=path, wanted=wanted, password_files=password_files)


def read_password(file: Path) -> str:
    """The password in `file`, without the line's end that editors add.

    Raises:
        ConfigurationError: The file cannot be read as one line of text.
    """
    try:
        with file.open("rb") as stream:
            text = stream.read(MAXIMUM_PASSWORD_FILE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"the password file {file} cannot be read: {reason}") from error
    password = text.rstrip("\r\n")
    if not password or "\n" in password:
        raise ConfigurationError(f"the password file {file} must hold one line, the password")
    return password
