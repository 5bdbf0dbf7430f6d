"""`bonecraft institutions` and `bonecraft peers`: whom the node listens to, and to whom it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from pipeline.certificates import fingerprints
from pipeline.cli.admin_rejected import admit, show_rejected
from pipeline.cli.administration import (
    AsJson,
    Config,
    DryRun,
    Institution,
    OneInstitution,
    added,
    edited,
    options,
    removed,
    set_value,
    show_kind,
)
from pipeline.site_values import Subject, SubjectKind

ANY: Final = "any"
"""`--certificate any`: every certificate of a trusted CA passes again."""

institutions = typer.Typer(add_completion=False, no_args_is_help=True, help="The institutions that this node serves.")
peers = typer.Typer(add_completion=False, no_args_is_help=True, help="An institution's DICOM peers.")

Slug = Annotated[str, typer.Option("--slug", help="Its short name: a-z, 0-9 and hyphens.")]
Name = Annotated[str | None, typer.Option("--name", help="What people call it.")]
CalledAeTitles = Annotated[
    list[str] | None, typer.Option("--called-ae-title", help="An AE title that modalities call; may be repeated.")
]
QuietSeconds = Annotated[
    int | None, typer.Option("--quiet-seconds", help="So long without a new image and a study counts as complete.")
]
MaximumWait = Annotated[
    int | None,
    typer.Option(
        "--maximum-wait-seconds", help="So long after its first image a study is reconstructed at the latest."
    ),
]
WaitFor = Annotated[
    list[str] | None,
    typer.Option(
        "--wait",
        metavar="BODY_PART:ENTRY=VALUE,…",
        help="A body part that is waited for in another way, KNEE:quiet_seconds=20,maximum_wait_seconds=300 or "
        "PELVIS:by_content=false; may be repeated, and replaces what was set before. An empty one: none.",
    ),
]
AeTitle = Annotated[str, typer.Option("--ae-title", help="The peer's AE title: 1 to 16 characters.")]
Host = Annotated[str | None, typer.Option("--host", help="Where we call it: a name or an IP address.")]
Port = Annotated[int | None, typer.Option("--port", help="Where we call it.")]
AllowFrom = Annotated[
    list[str] | None, typer.Option("--allow-from", help="Addresses it may call from, 10.0.0.0/24; may be repeated.")
]
Sends = Annotated[bool | None, typer.Option("--sends/--no-sends", help="May send to us.")]
Tls = Annotated[bool | None, typer.Option("--tls/--no-tls", help="We call it over TLS.")]
RequiresCertificate = Annotated[
    bool | None,
    typer.Option(
        "--requires-certificate/--no-requires-certificate",
        help="Must show a certificate of a trusted CA when it calls; whose, says --certificate.",
    ),
]
Certificates = Annotated[
    list[str] | None,
    typer.Option(
        "--certificate",
        metavar="FILE|FINGERPRINT|any",
        help="Its certificate, or the CA that issues them: no other passes for it; may be repeated. any: each trusted.",
    ),
]
MaximumAssociations = Annotated[
    int | None, typer.Option("--maximum-associations", help="So many at a time it may have open.")
]
TimeZone = Annotated[
    str | None, typer.Option("--time-zone", help="Where its clocks are, Europe/Berlin; none: where this machine's are.")
]
AnswersRefusals = Annotated[
    bool | None,
    typer.Option(
        "--answers-refusals/--no-answers-refusals",
        help="A study that is not reconstructed gets a report and a picture that say why.",
    ),
]
SilenceAlarm = Annotated[
    bool | None,
    typer.Option("--silence-alarm/--no-silence-alarm", help="Tell when it sends nothing for unusually long."),
]
Commitment = Annotated[
    str | None, typer.Option("--commitment", help="Ask it to commit to keep results: auto (where it can) or never.")
]
AskedFor = Annotated[
    str | None,
    typer.Option(
        "--asked-for",
        help="What the node asks it for by itself: nothing, missing-views, or priors (both, with an earlier study).",
    ),
]
DicomwebUrl = Annotated[
    str | None, typer.Option("--dicomweb-url", help="Its DICOMweb service, called instead of by DIMSE; '' for none.")
]
DicomwebUser = Annotated[str | None, typer.Option("--dicomweb-user", help="As whom we log in there.")]
DicomwebPasswordFile = Annotated[
    str | None,
    typer.Option("--dicomweb-password-file", help="The password's file: its name in peer_secrets_folder/INSTITUTION."),
]
DicomwebTokenFile = Annotated[
    str | None, typer.Option("--dicomweb-token-file", help="Likewise, a bearer token to show instead.")
]
DicomwebCaFile = Annotated[
    str | None, typer.Option("--dicomweb-ca-file", help="Likewise, the CA that its certificate must come from.")
]
Receives = Annotated[bool | None, typer.Option("--receives/--no-receives", help="Gets the results.")]


@institutions.command("list")
def list_institutions(config: Config = None, as_json: AsJson = False) -> None:
    """List the institutions and the AE titles they answer to."""
    show_kind(SubjectKind.INSTITUTION, None, config, as_json=as_json)


@institutions.command("add")
def add_institution(
    slug: Slug,
    name: Name = None,
    called_ae_title: CalledAeTitles = None,
    quiet_seconds: QuietSeconds = None,
    time_zone: TimeZone = None,
    maximum_wait_seconds: MaximumWait = None,
    wait: WaitFor = None,
    answers_refusals: AnswersRefusals = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Add an institution."""
    subject = Subject.of_institution(slug)
    said = options(
        name=name,
        called_ae_titles=called_ae_title,
        quiet_seconds=quiet_seconds,
        time_zone=time_zone,
        maximum_wait_seconds=maximum_wait_seconds,
        waits=None if wait is None else [_wait(text) for text in wait if text],
        answers_refusals=answers_refusals,
    )
    set_value(config, subject, added(subject, subject.value(said)), dry_run=dry_run)


@institutions.command("set")
def set_institution(
    slug: Slug,
    name: Name = None,
    called_ae_title: CalledAeTitles = None,
    quiet_seconds: QuietSeconds = None,
    time_zone: TimeZone = None,
    maximum_wait_seconds: MaximumWait = None,
    wait: WaitFor = None,
    answers_refusals: AnswersRefusals = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Change what is said of an institution; called AE titles are replaced as a whole."""
    subject = Subject.of_institution(slug)
    said = options(
        name=name,
        called_ae_titles=called_ae_title,
        quiet_seconds=quiet_seconds,
        time_zone=time_zone,
        maximum_wait_seconds=maximum_wait_seconds,
        waits=None if wait is None else [_wait(text) for text in wait if text],
        answers_refusals=answers_refusals,
    )
    set_value(config, subject, edited(subject, said), dry_run=dry_run)


@institutions.command("remove")
def remove_institution(slug: Slug, config: Config = None, dry_run: DryRun = False) -> None:
    """Remove an institution that has no peers, users or studies."""
    subject = Subject.of_institution(slug)
    set_value(config, subject, removed(subject), dry_run=dry_run)


@peers.command("list")
def list_peers(institution: OneInstitution = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the DICOM peers."""
    show_kind(SubjectKind.PEER, institution, config, as_json=as_json)


@peers.command("add")
def add_peer(
    institution: Institution,
    ae_title: AeTitle,
    host: Host = None,
    port: Port = None,
    allow_from: AllowFrom = None,
    sends: Sends = None,
    receives: Receives = None,
    tls: Tls = None,
    requires_certificate: RequiresCertificate = None,
    certificate: Certificates = None,
    maximum_associations: MaximumAssociations = None,
    commitment: Commitment = None,
    asked_for: AskedFor = None,
    silence_alarm: SilenceAlarm = None,
    dicomweb_url: DicomwebUrl = None,
    dicomweb_user: DicomwebUser = None,
    dicomweb_password_file: DicomwebPasswordFile = None,
    dicomweb_token_file: DicomwebTokenFile = None,
    dicomweb_ca_file: DicomwebCaFile = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Add a DICOM peer."""
    subject = Subject.of_peer(institution, ae_title)
    said = options(
        host=host,
        port=port,
        allow_from=allow_from,
        sends=sends,
        receives=receives,
        tls=tls,
        requires_certificate=requires_certificate,
        certificates=_fingerprints(certificate),
        maximum_associations=maximum_associations,
        commitment=commitment,
        asked_for=asked_for,
        silence_alarm=silence_alarm,
        dicomweb_url=dicomweb_url,
        dicomweb_user=dicomweb_user,
        dicomweb_password_file=dicomweb_password_file,
        dicomweb_token_file=dicomweb_token_file,
        dicomweb_ca_file=dicomweb_ca_file,
    )
    set_value(config, subject, added(subject, subject.value(said)), dry_run=dry_run)


@peers.command("set")
def set_peer(
    institution: Institution,
    ae_title: AeTitle,
    host: Host = None,
    port: Port = None,
    allow_from: AllowFrom = None,
    sends: Sends = None,
    receives: Receives = None,
    tls: Tls = None,
    requires_certificate: RequiresCertificate = None,
    certificate: Certificates = None,
    maximum_associations: MaximumAssociations = None,
    commitment: Commitment = None,
    asked_for: AskedFor = None,
    silence_alarm: SilenceAlarm = None,
    dicomweb_url: DicomwebUrl = None,
    dicomweb_user: DicomwebUser = None,
    dicomweb_password_file: DicomwebPasswordFile = None,
    dicomweb_token_file: DicomwebTokenFile = None,
    dicomweb_ca_file: DicomwebCaFile = None,
    config: Config = None,
    dry_run: DryRun = False,
) -> None:
    """Change what is said of a peer; addresses it may call from and certificates are replaced as a whole."""
    subject = Subject.of_peer(institution, ae_title)
    said = options(
        host=host,
        port=port,
        allow_from=allow_from,
        sends=sends,
        receives=receives,
        tls=tls,
        requires_certificate=requires_certificate,
        certificates=_fingerprints(certificate),
        maximum_associations=maximum_associations,
        commitment=commitment,
        asked_for=asked_for,
        silence_alarm=silence_alarm,
        dicomweb_url=dicomweb_url,
        dicomweb_user=dicomweb_user,
        dicomweb_password_file=dicomweb_password_file,
        dicomweb_token_file=dicomweb_token_file,
        dicomweb_ca_file=dicomweb_ca_file,
    )
    set_value(config, subject, edited(subject, said), dry_run=dry_run)


@peers.command("remove")
def remove_peer(institution: Institution, ae_title: AeTitle, config: Config = None, dry_run: DryRun = False) -> None:
    """Remove a peer for which no result is waiting."""
    subject = Subject.of_peer(institution, ae_title)
    set_value(config, subject, removed(subject), dry_run=dry_run)


peers.command("rejected")(show_rejected)
peers.command("admit")(admit)


def _fingerprints(given: list[str] | None) -> list[str] | None:
    """As set for a peer: of each certificate in a file, or as typed.

    Raises:
        ConfigurationError: A file holds no certificate.
    """
    if given is None:
        return None
    files = {text: Path(text) for text in given if Path(text).is_file()}
    named = {text: list(fingerprints(path)) for text, path in files.items()}
    return [each for text in given if text != ANY for each in named.get(text, [text])]


def _wait(text: str) -> dict[str, str]:
    """`KNEE:quiet_seconds=20,by_content=false` as the entries of a wait; their values are checked where all are."""
    body_part, _, entries = text.partition(":")
    pairs = (entry.partition("=") for entry in entries.split(",") if entry)
    return {"body_part": body_part, **{name.strip(): value.strip() for name, _, value in pairs}}
