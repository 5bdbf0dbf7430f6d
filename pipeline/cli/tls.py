"""`bonecraft tls init`: a certificate authority and certificates for DICOM TLS."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.certificate_authority import Pair, issue, make_authority
from pipeline.certificates import read_certificates

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Certificates for DICOM over TLS.")

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@app.command("init")
def init(
    out: Annotated[Path, typer.Option("--out", help="The folder for certificates and keys.")],
    host: Annotated[
        list[str] | None,
        typer.Option("--host", help="A name or address that peers call the node by; may be repeated."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option("--peer", metavar="NAME=HOST", help="Another machine and where it is called; may be repeated."),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=825, help="How long certificates are valid.")] = 397,
) -> None:
    """Make a test CA, the node's certificate and one for each peer; what is there already stays.

    To renew a certificate remove its .pem and .key, and call this again: the node reads new files without a restart.
    """
    wanted = {"node": tuple(host) if host else (socket.getfqdn(), *LOOPBACK)}
    for each in peer or ():
        name, separator, where = each.partition("=")
        if not separator or not name.replace("-", "").replace("_", "").isalnum() or not where:
            raise typer.BadParameter(f"{each!r} is not NAME=HOST, for example pacs=10.0.0.5", param_hint="--peer")
        wanted[name] = (*wanted.get(name, ()), where)
    authority = make_authority(out)
    for name, hosts in wanted.items():
        _issue(authority, Pair.named(out, name), name, hosts, days)
    _show_where_they_go(out, authority, [name for name in wanted if name != "node"])


@app.command("show")
def show(file: Annotated[Path, typer.Argument(help="A PEM file of certificates.")]) -> None:
    """Show whose certificates a file holds, until when, and the fingerprints that a peer's `certificates` names."""
    now = datetime.now(UTC)
    for certificate in read_certificates(file):
        typer.echo(f"{certificate.sentence(now)}\n  for {', '.join(certificate.names) or 'no host'}")
        typer.echo(f"  issued by {certificate.issuer}; {'a CA' if certificate.is_ca else 'no CA'}")
        typer.echo(f"  SHA-256 {certificate.fingerprint}")


def _issue(authority: Pair, pair: Pair, name: str, hosts: tuple[str, ...], days: int) -> None:
    if pair.is_there:
        typer.echo(f"{pair.certificate} is there already")
        return
    issue(authority, pair, name=name, hosts=hosts, days=days)
    typer.echo(f"{pair.certificate} is for {', '.join(hosts)}, valid for {days} days")


def _show_where_they_go(out: Path, authority: Pair, peers: list[str]) -> None:
    node = Pair.named(out.absolute(), "node")
    lines = [
        "",
        "In node.toml:",
        f'  tls_certificate = "{node.certificate}"',
        f'  tls_key = "{node.key}"            # readable by the node alone',
        f'  tls_trusted_cas = "{authority.certificate.absolute()}"',
        *(
            f"To {name}: {out / f'{name}.pem'} and {out / f'{name}.key'} as its certificate and key, and "
            f"{authority.certificate} as the CA that it trusts."
            for name in peers
        ),
        f"Keep {authority.key} where nobody else can read it: whoever has it can be any peer.",
        "Say whose each is, or it passes for that of any peer: bonecraft peers set --institution SLUG "
        f"--ae-title TITLE --certificate {out / 'PEER.pem'}",
    ]
    for line in lines:
        typer.echo(line)
