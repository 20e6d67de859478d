"""What the standard variables may hold is checked before anything starts."""

import pytest

from profiler.errors import UsageError
from profiler.exchange.address import certificate_from_env, headers_from_env


def test_a_certificate_that_is_not_there_or_none_is_told_with_its_variable(tmp_path):
    name = "OTEL_EXPORTER_OTLP_CERTIFICATE"
    with pytest.raises(UsageError, match=f"{name} names .*No such file"):
        certificate_from_env({name: str(tmp_path / "none.pem")})
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(UsageError, match="no certificates in it"):
        certificate_from_env({name: str(tmp_path / "empty.pem")})
    assert certificate_from_env({}) is None


@pytest.mark.parametrize("value", ["key=caf\u00e9", "key=caf%C3%A9", "key=a%0D%0Ab: c"])
def test_headers_that_no_request_can_have_are_told(value):
    with pytest.raises(UsageError, match="OTEL_EXPORTER_OTLP_HEADERS"):
        headers_from_env({"OTEL_EXPORTER_OTLP_HEADERS": value})
