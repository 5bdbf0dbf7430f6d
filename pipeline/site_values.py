"""What an administrator decides: institutions, their DICOM peers, rules and users, the servers they are watched for.

The same values come from `site.toml`, from the command line and from the web, are stored by `pipeline.records.admin`,
and are checked here, at birth, wherever they come from.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import ConfigurationError
from pipeline.records.users import EMAIL, Role
from pipeline.rules import Rule
from pipeline.waits import PartWait, Seconds

ANYWHERE: Final = ("0.0.0.0/0", "::/0")
"""`allow_from` of a peer that may call from any address."""

MOST_ASSOCIATIONS: Final = 10_000
"""So many at a time may be set for a peer."""

_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_SECRET_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_HOST_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def _ae_title(text: str) -> str:
    """An application entity title, PS3.5 6.2 (VR AE): 1 to 16 characters of the default repertoire, no backslash.

    Leading and trailing spaces are not significant there and are dropped.
    """
    title = text.strip(" ")
    if not title:
        raise ValueError("an AE title needs at least one character that is not a space")
    if len(title) > 16:
        raise ValueError(f"AE title {title!r} has {len(title)} characters; DICOM allows 16")
    if any(not " " <= character <= "~" or character == "\\" for character in title):
        raise ValueError(f"AE title {title!r} may hold ASCII letters, digits, signs and spaces only, no backslash")
    return title


def _slug(text: str) -> str:
    if not _SLUG.fullmatch(text):
        raise ValueError(f"slug {text!r} may hold a-z, 0-9 and inner hyphens, at most 63; for example 'demo-hospital'")
    return text


def _host(text: str) -> str:
    """A host name (RFC 1123) or an IP address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        labels = text.rstrip(".").split(".")
    looks_like_address = all(label.isdigit() for label in labels)
    if looks_like_address or not all(_HOST_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{text!r} is neither a host name nor an IP address; write it without scheme and port")
    return text


def _network(text: str) -> str:
    """A range of addresses in CIDR notation (RFC 4632), or one address."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a range of addresses; for example '10.0.0.0/24' or '10.0.0.7'") from error
    raise ValueError(f"{text!r} names an address inside a range; write '{interface.network}' or '{interface.ip}'")


def _url(text: str) -> str:
    """The address of a web service; without user and password, which lie in files."""
    parts = urlsplit(text)
    try:
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        has_port = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        raise ValueError(f"{text!r} is no web address; for example 'https://orthanc.example.org:8042'")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("a web address may hold no user, password, query or fragment; they are set by themselves")
    return text.rstrip("/")


def _fingerprint(text: str) -> str:
    """SHA-256 of a certificate, in hexadecimal; as `openssl x509 -fingerprint -sha256` writes it, too."""
    digits = text.rpartition("=")[2].replace(":", "").strip().lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise ValueError(f"{text!r} is not the SHA-256 fingerprint of a certificate: bonecraft tls show FILE prints it")
    return digits


def _time_zone(text: str) -> str:
    """A name of the IANA time zone database; empty: none."""
    if text and text not in available_timezones():
        raise ValueError(f"{text!r} is no time zone; for example 'Europe/Berlin'")
    return text


def _url_if_any(text: str) -> str:
    """The address of a web service; empty: there is none."""
    return _url(text) if text else text


def _secret_name(text: str) -> str:
    if text and not _SECRET_NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} is not the name of a file in the institution's folder of peer_secrets_folder; "
            "write it without a path, for example 'pacs-password'"
        )
    return text


def _email(text: str) -> str:
    if not EMAIL.fullmatch(text):
        raise ValueError(f"{text!r} is not an e-mail address")
    return text.lower()


def _sorted_once(texts: Iterable[str]) -> tuple[str, ...]:
    """Order and repetition mean nothing here, so equal settings compare equal."""
    return tuple(sorted(set(texts)))


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Slug = Annotated[str, AfterValidator(_slug)]
Host = Annotated[str, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
ServiceUrl = Annotated[str, AfterValidator(_url_if_any)]
SecretName = Annotated[str, AfterValidator(_secret_name)]
Email = Annotated[str, AfterValidator(_email)]
Url = Annotated[str, AfterValidator(_url)]
Port = Annotated[int, Field(ge=1, le=65535, strict=True)]
Days = Annotated[int, Field(ge=0, le=36_500, strict=True)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


class Value(BaseModel):
    """What is set for one subject; compares by content and travels as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> dict[str, Any]:
        """As stored, compared and shown."""
        return self.model_dump(mode="json")

    def entries(self) -> dict[str, Any]:
        """What a difference is made of: each entry by its name."""
        return self.to_json()


def _check_wait(whose: str, quiet: int, maximum: int) -> None:
    if maximum < quiet:
        raise ValueError(
            f"{whose}maximum_wait_seconds = {maximum} is shorter than quiet_seconds = {quiet}: raise the first"
        )


def _by_body_part(waits: Iterable[PartWait]) -> tuple[PartWait, ...]:
    """In order; each body part once."""
    ordered = tuple(sorted(waits, key=lambda wait: wait.body_part))
    twins = sorted({one.body_part for one, other in pairwise(ordered) if one.body_part == other.body_part})
    if twins:
        raise ValueError(f"body part {', '.join(twins)} is named twice; remove one")
    return ordered


class InstitutionValue(Value):
    """An institution: who answers to which called AE titles, when a study is complete, how long what is kept.

    Attributes:
        name: What people call it.
        called_ae_titles: What modalities call.
        quiet_seconds: So long without a new image and a study counts as complete.
        maximum_wait_seconds: So long after its first image a study is reconstructed, whatever still comes.
        waits: Body parts that are waited for in another way.
        answers_refusals: A study that is not reconstructed gets a report and a picture that say why.
        time_zone: Where its clocks are (`Europe/Berlin`); empty: where this machine's are.
        keep_images_days: So many days what was received is kept; 0, here and below: for ever.
        keep_results_days: The same for results.
        keep_replaced_results_days: The same for results that a newer one has replaced.
        keep_quarantine_days: The same for what could not be taken in.
        keep_rejected_attempts_days: The same for the list of who was turned away.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    called_ae_titles: Annotated[tuple[AeTitle, ...], AfterValidator(_sorted_once)] = ()
    quiet_seconds: Seconds = 60
    maximum_wait_seconds: Seconds = 600
    waits: Annotated[tuple[PartWait, ...], AfterValidator(_by_body_part)] = ()
    answers_refusals: bool = False
    time_zone: TimeZone = ""
    keep_images_days: Days = 0
    keep_results_days: Days = 0
    keep_replaced_results_days: Days = 0
    keep_quarantine_days: Days = 0
    keep_rejected_attempts_days: Days = 0

    @model_validator(mode="after")
    def _the_longest_wait_is_the_longest(self) -> InstitutionValue:
        _check_wait("", self.quiet_seconds, self.maximum_wait_seconds)
        for wait in self.waits:
            quiet = self.quiet_seconds if wait.quiet_seconds is None else wait.quiet_seconds
            maximum = self.maximum_wait_seconds if wait.maximum_wait_seconds is None else wait.maximum_wait_seconds
            _check_wait(f"{wait.body_part}: ", quiet, maximum)
        return self


class PeerValue(Value):
    """A DICOM peer of an institution.

    Attributes:
        host: Where we call it.
        port: Where we call it.
        allow_from: The addresses it may call us from; what it sends from elsewhere is rejected.
        sends: It may send to us.
        receives: It gets the results.
        tls: We call it over TLS.
        requires_certificate: It must show a certificate of a trusted CA when it calls us.
        certificates: SHA-256 fingerprints, of its own certificates or of CAs: it must show one of these, or one that
            such a CA has issued, when it calls us and when we call it over TLS; none: any of a trusted CA passes.
        maximum_associations: So many at a time it may have open here; more are turned away, others get in.
        commitment: Whether it is asked to commit itself to keep what it got: where it offers that, or never.
        asked_for: What we ask it for by ourselves: nothing, views that a study lacks, or these and an earlier study.
        silence_alarm: It is told when this sender has been silent for unusually long.
        dicomweb_url: Its DICOMweb service; where given, it is called there and no more by DIMSE.
        dicomweb_user: As whom we log in there (HTTP Basic).
        dicomweb_password_file: The file with that user's password: its name in the institution's folder of
            `peer_secrets_folder`.
        dicomweb_token_file: The file, there too, with a token to show instead (HTTP Bearer).
        dicomweb_ca_file: The file, there too, with the CA that its certificate must come from.
    """

    host: Host
    port: Port
    allow_from: Annotated[tuple[Network, ...], AfterValidator(_sorted_once)] = ()
    sends: bool = False
    receives: bool = False
    tls: bool = False
    requires_certificate: bool = False
    certificates: Annotated[tuple[Fingerprint, ...], AfterValidator(_sorted_once)] = ()
    maximum_associations: Annotated[int, Field(ge=1, le=MOST_ASSOCIATIONS)] = 32
    commitment: Literal["auto", "never"] = "auto"
    asked_for: Literal["nothing", "missing-views", "priors"] = "nothing"
    silence_alarm: bool = True
    dicomweb_url: ServiceUrl = ""
    dicomweb_user: Annotated[str, Field(max_length=200, pattern=r"^[^:\x00-\x1f]*$")] = ""
    dicomweb_password_file: SecretName = ""
    dicomweb_token_file: SecretName = ""
    dicomweb_ca_file: SecretName = ""

    @model_validator(mode="after")
    def _its_credentials_fit_together(self) -> PeerValue:
        if bool(self.dicomweb_user) != bool(self.dicomweb_password_file):
            raise ValueError("dicomweb_user and dicomweb_password_file belong together: give both or none")
        if self.dicomweb_user and self.dicomweb_token_file:
            raise ValueError("give dicomweb_user or dicomweb_token_file, not both")
        given = self.dicomweb_user or self.dicomweb_token_file or self.dicomweb_ca_file
        if given and not self.dicomweb_url:
            raise ValueError("dicomweb_url is missing: the other entries of DICOMweb belong to it")
        return self

    @model_validator(mode="after")
    def _a_sender_calls_from_somewhere(self) -> PeerValue:
        if self.sends and not self.allow_from:
            raise ValueError(
                "a peer that sends needs allow_from, the addresses it calls from; any address at all is "
                f"{', '.join(ANYWHERE)}"
            )
        return self


class RulesValue(Value):
    """An institution's rules in their order, which decides: `pipeline.rules`. Without rules there is no such value."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _names_tell_them_apart(self) -> RulesValue:
        names = [rule.name for rule in self.rules]
        twins = sorted({name for name in names if names.count(name) > 1})
        if twins:
            raise ValueError(f"rule {', '.join(map(repr, twins))} is named twice; rename one")
        return self

    def entries(self) -> dict[str, Any]:
        """Their order, and each rule in words."""
        return {"order": [rule.name for rule in self.rules]} | {f"rule {rule.name}": str(rule) for rule in self.rules}


class UserValue(Value):
    """A user's role, and whether they may come in.

    Passwords are no setting: they are never compared, shown or recorded as one.

    Attributes:
        role: What they may do.
        verified: An administrator vouches for who they are; only those who registered themselves wait for it.
        disabled: Shut out, with everything they did kept.
    """

    role: Role
    verified: bool = True
    disabled: bool = False


class SourceValue(Value):
    """An Orthanc server whose change feed we watch, and whose radiographs we take.

    Attributes:
        url: Where its REST API answers.
        user_name: As whom we ask; empty: without a login.
        password_file: The file with that user's password: its name in the institution's folder of
            `peer_secrets_folder`.
        ca_file: The file, there too, with the CA that its certificate must come from; empty: one the system trusts.
        history: Take what it holds from before we began to watch, too.
    """

    url: Url
    user_name: str = ""
    password_file: SecretName = ""
    ca_file: SecretName = ""
    history: bool = False

    @model_validator(mode="after")
    def _a_user_has_a_password(self) -> SourceValue:
        if bool(self.user_name) != bool(self.password_file):
            raise ValueError("user_name and password_file go together: set both or none")
        return self


class TokenValue(Value):
    """What a program may do that shows its token at the DICOMweb door.

    The token itself is no setting: it is never compared, shown or recorded as one.

    Attributes:
        may_read: Search and retrieve.
        may_store: Store radiographs.
        revoked: Shut out.
    """

    may_read: bool = False
    may_store: bool = False
    revoked: bool = False

    @model_validator(mode="after")
    def _it_may_do_something(self) -> TokenValue:
        if not self.may_read and not self.may_store:
            raise ValueError("a token that may do nothing is of no use: let it read, store or both")
        return self


class SubjectKind(StrEnum):
    """What can be set; each kind has its own `Value`. What others stand on comes before them."""

    INSTITUTION = "institution"
    PEER = "peer"
    RULES = "rules"
    USER = "user"
    SOURCE = "source"
    TOKEN = "token"  # noqa: S105 - a word, no secret


_VALUES: Final[dict[SubjectKind, type[Value]]] = {
    SubjectKind.INSTITUTION: InstitutionValue,
    SubjectKind.PEER: PeerValue,
    SubjectKind.RULES: RulesValue,
    SubjectKind.USER: UserValue,
    SubjectKind.SOURCE: SourceValue,
    SubjectKind.TOKEN: TokenValue,
}


@dataclass(frozen=True, kw_only=True, order=True)
class Subject:
    """What a value is set for: `institution demo`, `peer demo/PACS`, `rules demo`, `user demo/admin@example.org`.

    Attributes:
        kind: Institution, peer, rules, user, source or token.
        institution: The institution's slug.
        name: The peer's AE title, the user's e-mail address, the source's name or the token's program; empty for the
            institution itself and its rules.
    """

    kind: SubjectKind
    institution: str
    name: str = ""

    def __post_init__(self) -> None:
        """Check the parts.

        Raises:
            ConfigurationError: One of them is not well formed.
        """
        try:
            _slug(self.institution)
            if self.kind is SubjectKind.PEER:
                object.__setattr__(self, "name", _ae_title(self.name))
            if self.kind is SubjectKind.USER:
                object.__setattr__(self, "name", _email(self.name))
            if self.kind in (SubjectKind.SOURCE, SubjectKind.TOKEN):
                _slug(self.name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def __str__(self) -> str:
        """As stored and shown."""
        return f"{self.kind} {self.institution}" + (f"/{self.name}" if self.name else "")

    @classmethod
    def parse(cls, text: str) -> Subject:
        """The subject of which `text` is the `str`."""
        kind, _, rest = text.partition(" ")
        institution, _, name = rest.partition("/")
        return cls(kind=SubjectKind(kind), institution=institution, name=name)

    @classmethod
    def of_institution(cls, slug: str) -> Subject:
        """The institution itself."""
        return cls(kind=SubjectKind.INSTITUTION, institution=slug)

    @classmethod
    def of_peer(cls, slug: str, ae_title: str) -> Subject:
        """A peer of the institution."""
        return cls(kind=SubjectKind.PEER, institution=slug, name=ae_title)

    @classmethod
    def of_rules(cls, slug: str) -> Subject:
        """The institution's rules."""
        return cls(kind=SubjectKind.RULES, institution=slug)

    @classmethod
    def of_user(cls, slug: str, email: str) -> Subject:
        """A user of the institution."""
        return cls(kind=SubjectKind.USER, institution=slug, name=email)

    @classmethod
    def of_source(cls, slug: str, name: str) -> Subject:
        """A source of the institution."""
        return cls(kind=SubjectKind.SOURCE, institution=slug, name=name)

    @classmethod
    def of_token(cls, slug: str, program: str) -> Subject:
        """The token of a program at the institution."""
        return cls(kind=SubjectKind.TOKEN, institution=slug, name=program)

    def value(self, plain: dict[str, Any]) -> Value:
        """`plain` as this kind's value.

        Raises:
            ConfigurationError: It is not one; the message names the subject, the entry and the fix.
        """
        try:
            return _VALUES[self.kind].model_validate(plain)
        except ValidationError as error:
            raise ConfigurationError(f"{self}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """A validation error as one line: each entry with what is wrong with it."""
    return "; ".join(f"{where}: {what}" if where else what for where, what in problems(error))


def problems(error: ValidationError) -> tuple[tuple[str, str], ...]:
    """Each problem as (entry, sentence)."""
    return tuple((".".join(map(str, each["loc"])), sentence(each["type"], each["msg"])) for each in error.errors())


def sentence(kind: str, message: str) -> str:
    """Pydantic's own message in this project's words where they say more."""
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known here; check the spelling"
    return message.removeprefix("Value error, ")


def differences(before: Value | None, after: Value | None) -> tuple[str, ...]:
    """What changes from `before` to `after`, a line per entry, `- ` for what goes and `+ ` for what comes."""
    old = before.entries() if before else {}
    new = after.entries() if after else {}
    lines: list[str] = []
    for entry in {**old, **new}:
        if old.get(entry, ...) == new.get(entry, ...):
            continue
        lines += [f"- {entry} = {shown(old[entry])}"] if entry in old else []
        lines += [f"+ {entry} = {shown(new[entry])}"] if entry in new else []
    return tuple(lines)


def shown(plain: object) -> str:
    """As one would write it in TOML, which has no word for nothing."""
    if isinstance(plain, bool):
        return str(plain).lower()
    if isinstance(plain, list | tuple):
        return f"[{', '.join(map(shown, plain))}]"
    if isinstance(plain, dict):
        entries = (f"{entry} = {shown(value)}" for entry, value in plain.items() if value is not None)
        return f"{{{', '.join(entries)}}}"
    return f'"{plain}"' if isinstance(plain, str) else str(plain)
