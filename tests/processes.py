"""What Linux tells of processes and connections: /proc."""

from __future__ import annotations

from pathlib import Path

PROC = Path("/proc")
ESTABLISHED = "01"
"""TCP_ESTABLISHED of the kernel's tcp_states.h."""


def children_of(pid: int) -> tuple[int, ...]:
    """The living children of a process; none where it has ended itself."""
    found: list[int] = []
    for listed in PROC.glob(f"{pid}/task/*/children"):
        try:
            found += map(int, listed.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return tuple(found)


def command_of(pid: int) -> list[str]:
    """The words a process was started with; none for one that has ended."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def connections(*, at: int | None = None, to: int | None = None) -> int:
    """How many IPv4 connections are established at a local port, or to a remote one."""
    count = 0
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == ESTABLISHED and at in (None, _port(local)) and to in (None, _port(remote)):
            count += 1
    return count


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
