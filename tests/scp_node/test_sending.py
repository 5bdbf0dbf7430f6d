"""Sending single files: how long an answer is waited for."""

from pathlib import Path

from scp_node.peer import ANSWER_SECONDS, Target, open_association
from scp_node.sending import SLOWEST_BYTES_PER_SECOND, Fate, OutgoingFile, answer_seconds, proposed, store
from tests.factories import make_dx, save
from tests.peers import free_port
from tests.scp_node.test_postman import archive


def test_a_large_file_has_the_time_that_a_slow_line_takes(tmp_path: Path) -> None:
    file = OutgoingFile.read(save(make_dx(rows=1000, columns=1000), tmp_path / "large.dcm"))
    size, port = file.path.stat().st_size, free_port()
    target = Target(ae_title="PACS", host="127.0.0.1", port=port)
    with (
        archive(tmp_path / "kept", port),
        open_association(target, calling="BONECRAFT", contexts=proposed([file])) as association,
    ):
        assert store(association, file, target).fate is Fate.STORED
        assert association.dimse_timeout == answer_seconds(size) == ANSWER_SECONDS + size / SLOWEST_BYTES_PER_SECOND
