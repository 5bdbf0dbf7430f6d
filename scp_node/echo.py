"""C-ECHO: is the peer there, and does it take our associations? `python -m scp_node.echo AE@host:port`."""

from __future__ import annotations

import argparse
import sys
import time

from pipeline.addresses import DEFAULT_AE_TITLE
from pipeline.errors import BonecraftError, ConfigurationError, InputError
from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE, VERIFICATION, contexts_for
from scp_node.peer import ConnectionProblem, Target, open_association
from scp_node.tls_options import add_tls_options, over_tls


def echo(target: Target, *, calling: str) -> float:
    """Ask whether the peer is there; gives the seconds that association and answer took.

    Raises:
        ConnectionProblem: It is not, and what to change where.
    """
    started = time.monotonic()
    contexts = contexts_for([(VERIFICATION, EXPLICIT_LITTLE), (VERIFICATION, IMPLICIT_LITTLE)])
    with open_association(target, calling=calling, contexts=contexts) as association:
        status = getattr(association.send_c_echo(), "Status", None)
        if status != 0x0000:
            raise ConnectionProblem(f"{target} took the association but did not answer C-ECHO: ask its administrator")
    return time.monotonic() - started


def main() -> None:
    """Command line; exit 0: it answered, 2: wrong arguments, 75: it did not."""
    parser = argparse.ArgumentParser(prog="bonecraft echo", description="Ask a DICOM peer whether it is there.")
    parser.add_argument("peer", help="AE@host:port")
    parser.add_argument("--from", dest="calling", default=DEFAULT_AE_TITLE, help="our AE title (default %(default)s)")
    add_tls_options(parser)
    given = parser.parse_args()
    try:
        target = over_tls(Target.parse(given.peer), given)
        seconds = echo(target, calling=given.calling)
    except BonecraftError as error:
        sys.exit(_tell(error))
    sys.stdout.write(f"{target} answers in {seconds * 1000:.0f} ms\n")


def _tell(error: BonecraftError) -> int:
    sys.stderr.write(f"bonecraft: {error}\n")
    return 2 if isinstance(error, InputError | ConfigurationError) else 75


if __name__ == "__main__":
    main()
