"""The conformance statement says what the listener does: negotiated with it, line by line."""

import inspect
import re
from pathlib import Path

from pydicom.uid import UID_dictionary
from pynetdicom import AE
from pynetdicom.presentation import PresentationContext, build_context

from pipeline.records.deliveries import claim_due
from pipeline.settings import NodeSettings
from scp_node.conformance import conformance_statement
from scp_node.contexts import EXPLICIT_LITTLE
from tests.listening import RunningListener
from tests.scp_node.senders import closing

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
CONTEXTS_AT_ONCE = 128  # PS3.8 9.3.2.2


def statement(**settings: object) -> str:
    return conformance_statement(NodeSettings(**settings))


def uids_below(heading: str) -> list[str]:
    """The last column of the table that follows these words."""
    table = statement().partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    return re.findall(r"\| ([\d.]+) \|$", table, re.MULTILINE)


def accepted(running: RunningListener, contexts: list[PresentationContext]) -> list[PresentationContext]:
    """What the listener takes of any number of contexts."""
    found = []
    for first in range(0, len(contexts), CONTEXTS_AT_ONCE):
        association = AE("MODALITY").associate(
            "127.0.0.1",
            running.port,
            contexts=contexts[first : first + CONTEXTS_AT_ONCE],
            ae_title="BONECRAFT",
            evt_handlers=closing(),
        )
        found += association.accepted_contexts
        association.release()
    return found


def test_the_page_is_what_the_command_prints():
    assert PAGE.read_text() == statement(), "write it again: bonecraft conformance > docs/conformance.md"


def test_the_listener_takes_the_transfer_syntaxes_that_are_stated_and_no_others(running: RunningListener) -> None:
    known = [uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax"]
    taken = accepted(running, [build_context(DX, uid) for uid in known])
    stated = uids_below("Where several transfer syntaxes are offered")
    assert len(stated) > 10
    assert {str(context.transfer_syntax[0]) for context in taken} == set(stated)


def test_of_several_transfer_syntaxes_the_one_that_is_stated_first_is_taken(running: RunningListener) -> None:
    stated = uids_below("Where several transfer syntaxes are offered")
    (context,) = accepted(running, [build_context(DX, list(reversed(stated)))])
    assert str(context.transfer_syntax[0]) == stated[0]


def test_the_listener_takes_the_sop_classes_that_are_stated(running: RunningListener) -> None:
    stated = uids_below("They are accepted for each of these")
    taken = accepted(running, [build_context(uid, EXPLICIT_LITTLE) for uid in stated])
    assert {str(context.abstract_syntax) for context in taken} == set(stated)


def test_the_statement_names_the_ports_of_this_node(tmp_path: Path) -> None:
    shown = statement(dicom_plain=False, dicom_tls_port=2763, tls_certificate=tmp_path / "node.pem")
    assert "| Port without TLS | closed |" in shown
    assert "| Port with TLS | 2763 |" in shown


def test_the_statement_says_how_results_are_sent_and_sent_again() -> None:
    claimed = inspect.signature(claim_due).parameters["limit"].default
    shown = statement(delivery_attempts=7)
    assert f"| Files in one association | {claimed} at the most |" in shown
    assert "grow to about 60 minutes: 7 times in all" in shown
    assert "in none of the presentation contexts is not offered again" in shown
    assert "grow to about 5 minutes, which uses up no attempts; what has waited for 7 days is given up" in shown
