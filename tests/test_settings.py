"""A node's settings are refused where they could not do what they are for."""

from __future__ import annotations

import pytest

from pipeline.errors import ConfigurationError
from pipeline.settings import load_settings


@pytest.mark.parametrize("token", ["", "a token of twenty letters"])
def test_no_token_or_a_long_one_lets_monitoring_in(token: str) -> None:
    assert load_settings(metrics_token=token).metrics_token == token


def test_a_short_token_for_monitoring_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match=r"metrics_token: .*20 or more") as refused:
        load_settings(metrics_token="x" * 19)
    assert "xx" not in str(refused.value)


@pytest.mark.parametrize("origin", ["https://viewer.example.org", "http://10.0.0.5:3000", "http://[::1]:3000"])
def test_a_web_viewers_address_is_taken_as_a_browser_names_it(origin: str) -> None:
    assert load_settings(dicomweb_origins=(origin,)).dicomweb_origins == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://viewer.example.org/", "https://viewer.example.org/ohif", "https://Viewer.example.org", "*", "null"),
        *("viewer.example.org", "https://viewer.example.org:443", "https://me@viewer.example.org", "https://"),
    ],
)
def test_an_address_that_no_browser_would_name_is_refused_with_an_example(origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"like https://viewer\.example\.org"):
        load_settings(dicomweb_origins=(origin,))
