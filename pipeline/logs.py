"""One log for everything: JSON, one event per line, on stderr. No patient data: UIDs at the most.

Libraries that log through the standard library (pynetdicom, uvicorn, pgqueuer) come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog
from structlog.typing import Processor

QUIET_LIBRARIES: Final = {
    "pynetdicom": logging.CRITICAL,  # its messages can quote datasets; associations are logged by our own handlers
    "pydicom": logging.CRITICAL,  # its warnings quote values
    "pgqueuer": logging.WARNING,
    "uvicorn.access": logging.WARNING,
}


def configure_logs(role: str) -> None:
    """Set up logging for a process.

    Args:
        role: What the process does (`listener`, `worker`, ...); named in each line.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json_formatter(shared))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name, level in QUIET_LIBRARIES.items():
        logging.getLogger(name).setLevel(level)


def _json_formatter(shared: list[Processor]) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
    )
