"""How what comes on an association is taken: datasets straight into their files, and nothing that breaks its threads.

pynetdicom copies every PDU several times on its way to the file and looks for something else to do between two of them.
With several senders at once that was most of what a radiograph cost. Here a dataset's fragments (PS3.8 9.3.5.1) go from
the connection's buffer into the file; everything else takes pynetdicom's way through its state machine.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from queue import Empty
from typing import Final, cast

from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE, StateMachine

from scp_node.fragments import Alike
from scp_node.incoming import IncomingFile
from scp_node.waiting import Line

LONGEST_PDU: Final = 1 << 20
"""Bytes of a PDU that are read: more than an association request of 128 contexts, and than a P-DATA that we allow."""
PDU_TYPES: Final = range(0x01, 0x08)
P_DATA_TYPE: Final = 0x04
PDU_HEADER: Final = struct.Struct(">BxL")
"""PS3.8 9.3.1: type, length of what follows."""
PDV_HEADER: Final = struct.Struct(">LBB")
"""PS3.8 9.3.5.1 and Annex E: length of what follows, presentation context, control header."""
IS_COMMAND: Final = 0x01
IS_LAST: Final = 0x02

CONNECTION_CLOSED: Final = "Evt17"
INVALID_PDU: Final = "Evt19"
OWN_WISHES: Final = ("Evt1", "Evt2", "Evt7", "Evt8", "Evt9", "Evt11", "Evt14", "Evt15")
"""Events of PS3.8 9.2.1 that stand for something in the queue of what is to be sent."""


class InvalidPdu(ValueError):  # noqa: N818 - says what is the matter
    """What came is no PDU that may come now (PS3.8 9.2.1, Evt19)."""


class Machine(StateMachine):
    """The upper layer's state machine (PS3.8 9.2), which messages that make no sense cannot stop.

    pynetdicom's raises, and its thread ends without a word to the other side.
    """

    def do_action(self, event: str) -> None:
        """Do what the event asks for; whatever cannot be understood ends the association as an invalid PDU does."""
        if (event, self.current_state) not in TRANSITION_TABLE:
            if event in OWN_WISHES:  # for example an answer to whom has just aborted
                with suppress(Empty):
                    self.dul.to_provider_queue.get(block=False)
            return
        try:
            super().do_action(event)
        except Exception:  # noqa: BLE001 - whatever the decoders of commands choke on
            if event != INVALID_PDU:
                self.dul._kill_thread = False
                self.dul.event_queue.put(INVALID_PDU)


class Reception(DULServiceProvider):
    """The upper layer of an incoming association."""

    def __init__(self, association: Association) -> None:
        """Idle."""
        super().__init__(association)
        self.state_machine = Machine(self)

    def _read_pdu_data(self) -> None:
        """Read what has come; what it means goes to the state machine as an event (PS3.8 9.2.1)."""
        try:
            self._read_pdu()
        except OSError:
            self.event_queue.put(CONNECTION_CLOSED)
        except InvalidPdu:
            self.event_queue.put(INVALID_PDU)

    def _read_pdu(self) -> None:
        """One PDU, or as many of a dataset as come without a pause.

        Raises:
            OSError: The connection ended, or the PDU came too slowly.
            InvalidPdu: It is none.
        """
        line = cast("Line", self.socket)
        while True:
            pdu_type, length = PDU_HEADER.unpack(line.recv(PDU_HEADER.size))
            if pdu_type not in PDU_TYPES or length > LONGEST_PDU:
                raise InvalidPdu(f"type {pdu_type}, {length} bytes")
            file = self._dataset_on_its_way() if pdu_type == P_DATA_TYPE else None
            if file is None:
                self._take_whole(pdu_type, line.recv(length))
                return
            if self._take_fragments(line, file, length) or not self._goes_on(line):
                return

    def _dataset_on_its_way(self) -> IncomingFile | None:
        message = self.assoc.dimse.message
        is_transfer = self.state_machine.current_state == "Sta6"
        return getattr(message, "_data_set_file", None) if is_transfer else None

    def _goes_on(self, line: Line) -> bool:
        """Whether more of the dataset comes soon, and nothing else is to be done."""
        self._idle_timer.restart()
        return self._is_free() and (line.has_begun or line.ready)

    def _is_free(self) -> bool:
        """Whether nothing else is to be done."""
        return not self._kill_thread and self.to_provider_queue.empty()

    def _take_whole(self, pdu_type: int, content: bytes | bytearray) -> None:
        """A PDU for pynetdicom.

        Raises:
            InvalidPdu: It cannot be decoded.
        """
        try:
            pdu, event = self._decode_pdu(bytearray(PDU_HEADER.pack(pdu_type, len(content)) + content))
        except Exception as error:  # whatever pynetdicom's decoders choke on
            raise InvalidPdu(f"PDU of type {pdu_type}") from error
        self._recv_pdu.put(pdu)
        self.event_queue.put(event)

    def _take_fragments(self, line: Line, file: IncomingFile, length: int) -> bool:
        """Write the dataset's fragments of one PDU; whether there was the last of them.

        Raises:
            OSError: The connection ended, or the PDU came too slowly.
            InvalidPdu: The fragments' lengths do not fit, or there is one of a command among them (PS3.7 6.3.1).
        """
        whole = length
        while length > 0:
            if length < PDV_HEADER.size:
                raise InvalidPdu("bytes behind the last fragment")
            item_length, context_id, control = PDV_HEADER.unpack(line.recv(PDV_HEADER.size))
            data_length, length = item_length - 2, length - 4 - item_length
            if data_length < 0 or length < 0 or control & IS_COMMAND:
                raise InvalidPdu("a fragment that does not fit")
            header = PDU_HEADER.pack(P_DATA_TYPE, whole) + PDV_HEADER.pack(item_length, context_id, control)
            is_alone = item_length + 4 == whole and not control & IS_LAST
            self._take_data(line, file, data_length, Alike(header=header, size=data_length) if is_alone else None)
            if control & IS_LAST:  # apart from what else is in this PDU: pynetdicom looks no further than to an end
                self._take_whole(P_DATA_TYPE, PDV_HEADER.pack(2, context_id, IS_LAST))
                if length:
                    self._take_whole(P_DATA_TYPE, line.recv(length))
                return True
        return False

    def _take_data(self, line: Line, file: IncomingFile, missing: int, alike: Alike | None) -> None:
        """Write what is missing of a fragment, and of those that come behind it and are alike.

        Raises:
            OSError: The connection ended, or a PDU came too slowly.
        """
        until = line.deadline()
        while missing > 0:
            if alike is not None and self._is_free():
                missing, is_another = alike.receive(line, file, missing, until)
                if is_another:
                    self._idle_timer.restart()
                    until = line.deadline()
            else:
                count = line.recv_into(file.room()[:missing], until)
                file.took(count)
                missing -= count


def receive_well(association: Association) -> None:
    """Let a new association of ours, not started yet and without a connection, receive like this."""
    association.dul = Reception(association)
    association.acse_timeout, association.network_timeout = association.acse_timeout, association.network_timeout
