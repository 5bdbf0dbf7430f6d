"""A study whose sender is still connected waits for it, and goes on when the sender has finished."""

from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy import select, text, update

from pipeline.database import Database
from pipeline.records import associations, tables
from pipeline.records.directory import get_peer
from scp_node.access import Admitted
from tests.factories import make_dx
from tests.listening import RunningListener
from tests.node_helpers import NOON, after
from tests.scp_node.senders import associate, wait_until


def study_rows(database: Database) -> Sequence[dict]:
    with database.begin() as connection:
        return [dict(row) for row in connection.execute(select(tables.studies)).mappings()]


def test_a_complete_study_is_queued_when_its_sender_releases_the_association(
    running: RunningListener, database: Database
) -> None:
    views = [make_dx(view=view) for view in ("AP", "LATERAL")]
    sender = associate(running.port, views[0])
    for view in views:
        assert sender.send_c_store(view).Status == 0x0000
    [study] = study_rows(database)
    assert (study["state"], study["waits_for"]) == ("receiving", "the sender, which is still connected")
    sender.release()
    wait_until(lambda: study_rows(database)[0]["state"] == "queued")


def test_a_sender_that_aborts_has_finished_as_well(running: RunningListener, database: Database) -> None:
    views = [make_dx(view=view) for view in ("AP", "LATERAL")]
    sender = associate(running.port, views[0])
    for view in views:
        sender.send_c_store(view)
    sender.abort()
    wait_until(lambda: study_rows(database)[0]["state"] == "queued")


def test_a_connected_sender_is_written_down_with_its_study_until_it_is_gone(
    running: RunningListener, database: Database
) -> None:
    senders = running.handlers.senders
    view = make_dx(view="AP")
    sender = associate(running.port, view)
    senders.write_down()
    assert who_sends(database) == [("MODALITY", None)]
    sender.send_c_store(view)
    senders.write_down()
    [study] = study_rows(database)
    assert who_sends(database) == [("MODALITY", study["id"])]
    with database.begin() as connection:
        connection.execute(update(tables.open_associations).values(seen_at=NOON))
        assert associations.is_being_sent(connection, study["id"], now=after(1))
    sender.release()
    wait_until(lambda: who_sends(database) == [])
    assert study_rows(database)[0]["state"] == "receiving", "a lateral view is still missing"


def test_who_may_not_send_is_nobody_to_wait_for(running: RunningListener, database: Database) -> None:
    reader = associate(running.port, make_dx(), calling="PACS")
    running.handlers.senders.write_down()
    assert who_sends(database) == []
    reader.release()


def test_a_sender_of_a_removed_institution_keeps_no_other_off_the_list(
    running: RunningListener, database: Database
) -> None:
    senders = running.handlers.senders
    sender = associate(running.port, make_dx())
    with database.begin() as connection:
        peer = get_peer(connection, connection.execute(select(tables.peers.c.id).limit(1)).scalar_one())
    assert peer is not None
    senders.opened(sender, Admitted(institution_id=uuid4(), peer=peer))
    senders.write_down()
    assert who_sends(database) == [("MODALITY", None)]
    sender.release()


def test_the_list_is_written_again_after_anything_failed(running: RunningListener, database: Database) -> None:
    sender = associate(running.port, make_dx())
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE open_associations RENAME TO elsewhere"))
    running.handlers.senders.write_down()
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO open_associations"))
    running.handlers.senders.write_down()
    assert who_sends(database) == [("MODALITY", None)]
    sender.release()


def who_sends(database: Database) -> Sequence[tuple]:
    with database.begin() as connection:
        columns = (tables.open_associations.c.calling_ae_title, tables.open_associations.c.study_id)
        return [tuple(row) for row in connection.execute(select(*columns))]
