"""The files with peers' passwords, tokens and CAs.

The database holds their names alone, so that no secret is in a dump, in the list of changes or in `site.toml`. Each
institution has a folder of its own: its administrators can name no other institution's secrets, nor other files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigurationError
from pipeline.settings import NodeSettings
from pipeline.site_file import read_password


@dataclass(frozen=True, kw_only=True)
class PeerSecrets:
    """The folder that holds a folder for each institution."""

    folder: Path

    @classmethod
    def of(cls, settings: NodeSettings) -> PeerSecrets:
        """Those of the node."""
        return cls(folder=settings.peer_secrets)

    def path(self, institution: str, name: str) -> Path:
        """Where the file of that name lies.

        Args:
            institution: The institution's slug.
            name: As checked by `pipeline.site_values`.

        Raises:
            ConfigurationError: There is no such file, or it cannot be read.
        """
        path = self.folder / institution / name
        try:
            path.open("rb").close()
        except OSError as error:
            raise ConfigurationError(
                f"{path} cannot be read ({error.strerror}): put the file {name!r} there, readable by the node's user"
            ) from error
        return path

    def read(self, institution: str, name: str) -> str:
        """The one line in the file of that name.

        Raises:
            ConfigurationError: It cannot be read, or is no line of text.
        """
        return read_password(self.path(institution, name))
