from __future__ import annotations

import pytest

from foundation.command import guarded
from foundation.errors import ConfigError


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            ConfigError("a.b: wrong; see https://host/x?sig=secret1"),
            2,
            "error: a.b: wrong; see https://host/x?sig=***",
        ),
        (ValueError("at https://host/x?sig=secret1"), 1, "ValueError: at https://host/x?sig=***"),
        (BrokenPipeError("a worker's"), 1, "BrokenPipeError: a worker's"),  # our own output is read
    ],
)
def test_an_error_is_an_exit_code_and_shows_no_secret(
    error: Exception, code: int, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def act() -> int:
        raise error

    assert guarded(act) == code
    shown = capfd.readouterr().err
    assert shown.splitlines()[-1] == said and "secret1" not in shown
    assert ("Traceback" in shown) == (code == 1)


def test_a_stop_goes_through_and_a_code_comes_back() -> None:
    assert guarded(lambda: 7) == 7

    def stop() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(stop)
