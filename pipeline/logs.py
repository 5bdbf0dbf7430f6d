"""One log for everything: JSON, one event per line, on stderr. No patient data: UIDs at the most.

Libraries that log through the standard library (uvicorn, pgqueuer) come out in the same form. What could quote a
dataset is left out: the DICOM libraries' own messages and warnings, local variables and messages of tracebacks.
"""

from __future__ import annotations

import logging
import sys
import warnings
from typing import Final

import structlog
from structlog.typing import EventDict, ExcInfo, Processor

QUIET_LIBRARIES: Final = {
    "pynetdicom": logging.CRITICAL,  # its messages can quote datasets; associations are logged by our own handlers
    "pydicom": logging.CRITICAL,  # its warnings quote values
    "alembic": logging.WARNING,
    "pgqueuer": logging.WARNING,
    "uvicorn.access": logging.WARNING,
}


def configure_logs(role: str) -> None:
    """Set up logging for a process.

    Args:
        role: What the process does (`listener`, `worker`, ...); named in each line.
    """

    def name_role(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {"role": role, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_role,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter(shared))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    warnings.simplefilter("ignore")  # pydicom's quote values
    for name, level in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(level)


def _json_formatter(shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_where_it_happened),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )


def _where_it_happened(exc_info: ExcInfo) -> list[dict[str, object]]:
    """A traceback as types and lines; the messages of foreign exceptions may quote what they choked on."""
    transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [{"type": part["exc_type"], "frames": part["frames"]} for part in transform(exc_info)]
