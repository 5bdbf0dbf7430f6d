"""The DICOMweb door (PS3.18): other programs search for, retrieve and store what belongs to their institution."""

from __future__ import annotations

from viewer_api.dicomweb import retrieving, searching, storing

ROUTERS = (searching.router, retrieving.router, storing.router)
