"""The conformance statement says what the listener does: negotiated with it, line by line."""

import inspect
import re
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext, build_context

from pipeline.records.deliveries import claim_due
from pipeline.settings import NodeSettings
from scp_node.commitment import PUSH_MODEL, WELL_KNOWN_INSTANCE
from scp_node.conformance import conformance_statement
from scp_node.contexts import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from scp_node.peer import Target, open_association
from scp_node.query import STUDY_ROOT_FIND, find_context
from scp_node.retrieve import STUDY_ROOT_GET, STUDY_ROOT_MOVE, ways_offered
from tests.listening import RunningListener
from tests.scp_node.senders import closing

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
DX = "1.2.840.10008.5.1.4.1.1.1.1"
CONTEXTS_AT_ONCE = 128  # PS3.8 9.3.2.2


def statement(**settings: object) -> str:
    return conformance_statement(NodeSettings(**settings))


def uids_below(heading: str) -> list[str]:
    """The UIDs in the table that follows these words."""
    table = statement().partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0]
    return re.findall(r"\| ([\d.]+) \|", table)


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
    stated = uids_below("are accepted for each of these storage classes")
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


def test_every_heading_is_in_the_table_of_contents() -> None:
    shown = statement()
    before, _, after = shown.partition("## 3 Introduction")
    headings = re.findall(r"^#{2,4} (\d[^\n]*)", "## 3 Introduction" + after, flags=re.MULTILINE)
    assert re.findall(r"- (\d[^\n]*)", before.partition("## 2 Table of Contents")[2]) == headings
    assert [heading[0] for heading in headings if heading[1] == " "] == ["3", "4", "5", "6", "7", "8"]


def test_a_request_for_commitment_is_answered_as_stated(running: RunningListener) -> None:
    stated = statement().partition("N-ACTION is answered with:")[2].partition("Failure Reason")[0]
    context = build_context(PUSH_MODEL, EXPLICIT_LITTLE)
    association = AE("MODALITY").associate("127.0.0.1", running.port, contexts=[context], ae_title="BONECRAFT")
    about_nothing = Dataset()
    about_nothing.TransactionUID = "2.25.1"
    answers = [
        association.send_n_action(about_nothing, action, PUSH_MODEL, WELL_KNOWN_INSTANCE)[0].Status for action in (1, 7)
    ]
    association.release()
    assert [f"0x{answer:04X}" in stated for answer in answers] == [True, True]


def test_what_is_proposed_to_fetch_images_is_what_is_stated(tmp_path: Path) -> None:
    """Negotiated with an archive that offers nothing but takes every proposal down."""
    proposals: list[set[tuple[str, str]]] = []
    receivers: set[str] = set()

    def note(event: evt.Event) -> None:
        requestor = event.assoc.requestor
        contexts = requestor.requested_contexts
        proposals.append({(str(cx.abstract_syntax), str(syntax)) for cx in contexts for syntax in cx.transfer_syntax})
        receivers.update(str(uid) for uid, role in requestor.role_selection.items() if role.scp_role)

    archive = AE("ARCHIVE")
    archive.add_supported_context(STUDY_ROOT_FIND)
    for service in (STUDY_ROOT_GET, STUDY_ROOT_MOVE):
        archive.add_supported_context(service)
    server = archive.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_REQUESTED, note)])
    target = Target(ae_title="ARCHIVE", host="127.0.0.1", port=server.server_address[1])
    try:
        with open_association(target, calling="BONECRAFT", contexts=[find_context()]):
            pass
        ways_offered(target, calling="BONECRAFT")
    finally:
        server.shutdown()
    services, images = uids_below("says so. It is an SCU of:"), uids_below("Where it does not say, the classes are:")
    plain = {EXPLICIT_LITTLE, IMPLICIT_LITTLE}
    every = uids_below("Where several transfer syntaxes are offered")
    stated = {(uid, syntax) for uid in services for syntax in plain} | {(uid, s) for uid in images for s in every}
    assert set().union(*proposals) == stated
    assert receivers == set(images)
