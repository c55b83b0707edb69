"""Building a request: the path that is called, overrides, the query."""

from __future__ import annotations

import attrs
import pytest

from pandapon_async import (
    ConfigurationError,
    Override,
    Settings,
    VendorProfile,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.declare.endpoint import Evidence
from pandapon_async.transport.requests import RequestBuilder, query_text


def test_an_inferred_path_is_called_only_when_that_is_allowed() -> None:
    endpoint = attrs.evolve(endpoints()["v1.alibaba.refunds.get"], evidence=Evidence.INFERRED)
    with pytest.raises(ConfigurationError, match="allow_inferred"):
        RequestBuilder.of(endpoint, Settings())
    assert RequestBuilder.of(endpoint, Settings(vendor=VendorProfile(allow_inferred=True)))


def test_an_overriding_path_is_checked() -> None:
    endpoint = endpoints()["v1.alibaba.refunds.get"]
    settings = Settings(
        vendor=VendorProfile(overrides={endpoint.pin: Override(path="/a/{nobody_gives_this}")})
    )
    with pytest.raises(ConfigurationError, match="override of"):
        RequestBuilder.of(endpoint, settings)


def test_a_query_that_needs_encoding() -> None:
    query = {"a": True, "b": "x y&c=1", "c": [1, False]}
    assert query_text({"a": 1, "b": "TQ1"}) == "a=1&b=TQ1"
    assert query_text({"a": [], "b": "", "c": 0}) == "b=&c=0"
    assert query_text(query) == "a=true&b=x%20y%26c%3D1&c=1&c=false"
    assert query_text({}) == ""


def test_a_request_shows_no_argument_where_tracebacks_show_variables() -> None:
    builder = RequestBuilder.of(endpoints()["v1.alibaba.refunds.get"], Settings())
    assert "canary" not in repr(builder.prepare({"refundId": "canary"}))
