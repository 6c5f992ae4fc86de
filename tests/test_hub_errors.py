"""Why the hub gave nothing, told from the errors that libraries really raise."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from rlaif_fast.files.hub_errors import hub_reason

NOBODY = "http://127.0.0.1:9"  # discard's port: nothing listens there


def _raised(url: str, proxy: str | None = None) -> Exception:
    proxies = {"http": proxy, "https": proxy} if proxy else {"http": "", "https": ""}
    with pytest.raises(requests.RequestException) as caught:
        requests.get(url, timeout=5, proxies=proxies)
    return caught.value


def test_a_connection_that_fails_is_told_in_the_systems_words() -> None:
    assert hub_reason(_raised(NOBODY)) == "the hub cannot be reached (Connection refused)"
    by_proxy = _raised("http://hub.invalid", NOBODY)
    assert hub_reason(by_proxy) == "the hub cannot be reached (the proxy: Connection refused)"


def test_a_fault_of_this_machine_is_not_the_hubs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError) as caught:
        (tmp_path / "file" / "y").mkdir()
    assert hub_reason(caught.value) == f"{tmp_path}/file/y: Not a directory"


def test_an_error_that_was_being_handled_is_not_the_reason() -> None:
    def ask() -> None:
        try:
            Path("/nowhere").read_text()
        except OSError:
            raise requests.ReadTimeout("too slow") from None

    with pytest.raises(requests.ReadTimeout) as caught:
        ask()
    assert hub_reason(caught.value) == "the hub cannot be reached (ReadTimeout: too slow)"


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "a-token-of-mine")
    error = ConnectionRefusedError(111, "refused hf_abcdefgh, a-token-of-mine, http://me:word@host/x " + "long " * 99)
    found = hub_reason(error)
    assert found.startswith("the hub cannot be reached (refused hf_***, ***, http://host/x long")
    assert len(found) < 240
