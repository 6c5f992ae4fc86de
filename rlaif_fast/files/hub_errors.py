"""What the Hugging Face hub and its libraries raise, as a reason in one line without a token in it."""

from __future__ import annotations

import re
from contextlib import suppress
from socket import gaierror

from rlaif_fast.errors import escaped

_LONGEST = 200  # characters of a library's own words
_SECRETS = (  # what may stand in them, and what stands there instead
    (re.compile(r"hf_\w{4,}", re.ASCII), "hf_***"),
    (re.compile(r"(?<=//)[^/\s@]+@"), ""),
)
GATED = "a gated repository: ask its owner for access on its page, and set HF_TOKEN"


def hub_reason(error: Exception) -> str:
    """Why the hub did not give something, for people.

    Nothing of ``error`` should be kept beside it: a traceback of it could hold the token.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and the hub is not asked"
    if isinstance(error, errors.GatedRepoError):
        return GATED
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has no such repository, or shows it to no one without the right token (HF_TOKEN)"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such branch, tag or commit"
    if getattr(getattr(error, "response", None), "status_code", 0) in (401, 403):
        return "the hub refuses it to this token, or to none; set HF_TOKEN to one that may"
    if isinstance(error, (errors.HfHubHTTPError, ValueError)):
        return own_words(error)
    if isinstance(error, OSError) and error.filename is not None:  # of this machine, not of the hub
        return f"{_clean(str(error.filename))}: {error.strerror}"
    return f"the hub cannot be reached ({_of_connection(error) or own_words(error)})"


def _of_connection(error: BaseException) -> str:
    """The system's own words for a connection that failed, which libraries wrap in several errors; empty without."""
    proxy, chain, seen = "", [error], set[int]()
    while chain:
        this = chain.pop()
        if id(this) in seen:
            continue
        seen.add(id(this))
        if type(this).__name__ == "ProxyError":  # requests', urllib3's and httpx's
            proxy = "the proxy: "
        if isinstance(this, ConnectionError | TimeoutError | gaierror) and isinstance(this.strerror, str):
            return proxy + _clean(this.strerror)
        behind = this.__cause__ or (None if this.__suppress_context__ else this.__context__)
        inside = (behind, getattr(this, "reason", None), *this.args)
        chain += [one for one in inside if isinstance(one, BaseException)]
    return ""


def own_words(error: Exception) -> str:
    """An error's own words, in one line."""
    return _clean(f"{type(error).__name__}: {error}")


def _clean(text: str) -> str:
    """In one line, without secrets, and not too long."""
    from huggingface_hub import get_token

    text = " ".join(text.split())
    with suppress(Exception):
        if token := get_token():
            text = text.replace(token, "***")
    for secret, instead in _SECRETS:
        text = secret.sub(instead, text)
    return escaped(text[:_LONGEST]).rstrip(": ")
