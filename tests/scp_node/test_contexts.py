"""What the listener accepts: radiographs in all encodings, and everything else that can be stored."""

import itertools

import pytest
from pydicom import uid
from pynetdicom import AE, AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context

from scp_node.contexts import contexts_for
from tests.listening import RunningListener
from tests.scp_node.senders import closing

RADIOGRAPHS = (
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.XRayAngiographicImageStorage,
    uid.XRayRadiofluoroscopicImageStorage,
)
ENCODINGS = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
    uid.JPEG2000,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.HTJ2K,
)


def accepted(port: int, contexts: list[PresentationContext]) -> list[PresentationContext]:
    association = AE("MODALITY").associate(
        "127.0.0.1", port, ae_title="BONECRAFT", contexts=contexts, evt_handlers=closing()
    )
    assert association.is_established
    association.release()
    return association.accepted_contexts


def test_a_radiograph_may_come_in_any_encoding(running: RunningListener) -> None:
    offered = [build_context(*pair) for pair in itertools.product(RADIOGRAPHS, ENCODINGS)]
    assert len(accepted(running.port, offered)) == len(offered)


def test_every_storage_class_is_taken_our_own_results_included(running: RunningListener) -> None:
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    assert uid.SurfaceSegmentationStorage in classes
    halves = classes[::2], classes[1::2]  # an association has at most 128 contexts
    taken = [accepted(running.port, [build_context(sop_class) for sop_class in half]) for half in halves]
    assert [len(half) for half in taken] == [len(half) for half in halves]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([uid.JPEG2000, uid.ExplicitVRLittleEndian], uid.ExplicitVRLittleEndian),
        ([uid.JPEG2000, uid.JPEG2000Lossless], uid.JPEG2000Lossless),
        ([uid.JPEGBaseline8Bit, uid.ImplicitVRLittleEndian], uid.ImplicitVRLittleEndian),
    ],
)
def test_of_several_encodings_the_one_that_loses_least_is_chosen(
    running: RunningListener, offered: list[str], chosen: str
) -> None:
    (context,) = accepted(running.port, [build_context(RADIOGRAPHS[0], offered)])
    assert context.transfer_syntax == [chosen]


def test_a_sender_proposes_each_kind_of_file_once() -> None:
    files = [(RADIOGRAPHS[0], uid.JPEG2000), (RADIOGRAPHS[0], uid.JPEG2000), (RADIOGRAPHS[1], uid.JPEG2000)]
    assert len(contexts_for(files)) == 2
