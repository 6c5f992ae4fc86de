"""``rlaif-fast serve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from rlaif_fast.commands.headings import Command, option
from rlaif_fast.commands.numbers import Range
from rlaif_fast.commands.options import bundle_option, engine_option, give_way, nice_option, threads_option

if TYPE_CHECKING:
    from rlaif_fast.integrations.server.lanes import Lanes
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.rater import Rater

J = TypeVar("J", "Judge", "Rater")


@click.command(cls=Command)
@bundle_option
@option("Judging", "--template", "templates", metavar="NAME", multiple=True, help="Name of a prompt to serve."
        " Repeatable; a request names one. [default: the bundle's first for pairs and first for scores]")  # fmt: skip
@option("Network", "--host", default="127.0.0.1", show_default=True, help="Address to listen on. An address that"
        " other machines can reach needs --token.")  # fmt: skip
@option("Network", "--port", type=click.IntRange(0, 65535), default=8737, show_default=True, help="Port to listen on; 0"
        " for any free one.")  # fmt: skip
@option("Network", "--token", envvar="RLAIF_FAST_TOKEN", show_envvar=True, help="Bearer token that requests must send."
        " Prefer the environment variable: other users can see the command line.")  # fmt: skip
@option("Network", "--timeout", type=Range(min=0, min_open=True), default=300.0, show_default=True,
        metavar="SECONDS", help="Longest time from a request to its answer.")  # fmt: skip
@option("Network", "--queue", type=click.IntRange(min=1), default=4096, show_default=True, help="Most pairs and"
        " responses that may wait; more are answered with status 429.")  # fmt: skip
@option("Network", "--max-body", type=click.IntRange(min=1), default=4, show_default=True, metavar="MB", help="Largest"
        " request; a larger one is answered with status 413.")  # fmt: skip
@threads_option
@engine_option
@nice_option
@option("Speed", "--window", type=click.IntRange(min=1), default=32, show_default=True, help="Most waiting pairs, of"
        " all requests, that are judged together. With fp32, pairs on one instruction in this window share a forward"
        " pass.")  # fmt: skip
@option("Other options", "-v", "--verbose", is_flag=True, help="Show how the runtime was set up.")
def serve(
    bundle: str | None, templates: tuple[str, ...], host: str, port: int, token: str | None, timeout: float,
    queue: int, max_body: int, threads: int, engine: str, nice: int | None, window: int, verbose: bool,
) -> None:  # fmt: skip
    """Serve a bundle over HTTP: judge, score and rank.

    POST /judge, /score and /rank take one row or a list of rows, and return the rows that the commands of these names
    write. POST /get_reward follows OpenRLHF's remote reward models. There are GET /health, /metrics (Prometheus) and
    /openapi.json. On SIGTERM or Ctrl-C the server answers the requests it has accepted, then stops.
    """
    from rlaif_fast.commands.default import bundle_folder_of
    from rlaif_fast.commands.extra import require
    from rlaif_fast.errors import RlaifFastError
    from rlaif_fast.reports.terminal import say

    require("serve", "serve", "starlette", "uvicorn", "prometheus_client")
    from rlaif_fast.integrations.server.access import TOKEN, bound
    from rlaif_fast.integrations.server.app import Limits, Service
    from rlaif_fast.integrations.server.serving import serve as run

    if token is not None and not token.strip():
        raise click.UsageError(f"the token is empty; set {TOKEN} to one, or leave it out")
    with bound(host, port, token) as listening:
        lanes = _lanes(bundle_folder_of(bundle), templates, threads, not give_way(nice), engine)
        first = lanes.sessions[0]
        manifest, names = first.manifest, list(dict.fromkeys([*lanes.judges, *lanes.raters]))
        if verbose:
            say(first.describe())
        about = {
            "model": manifest.model.id, "precision": manifest.precision, "engine": first.engine,
            "templates": " ".join(names),
        }  # fmt: skip
        service = Service(lanes, about, Limits(queue, window, max_body << 20, timeout), token)
        name, number = listening.getsockname()[:2]
        url = f"http://{f'[{name}]' if ':' in name else name}:{number}"
        what = f"{manifest.model.id} ({manifest.precision}; {', '.join(names)})"
        if not run(service, listening, lambda: say(f"serving {what} on {url}")):
            raise RlaifFastError("stopped at once; requests that were accepted have no answer")
    say("stopped; every request that was accepted was answered")


def _lanes(folder: Path, templates: tuple[str, ...], threads: int, spin: bool, engine: str) -> Lanes:
    """The sessions over a bundle through its prompts. Raises RlaifFastError of every kind."""
    from rlaif_fast.bundle.folder import read_manifest
    from rlaif_fast.bundle.home import name_of
    from rlaif_fast.commands.tune import opened
    from rlaif_fast.integrations.server.lanes import Lanes
    from rlaif_fast.judging.judge import Judge
    from rlaif_fast.judging.rater import Rater
    from rlaif_fast.runtime import selftest

    manifest = read_manifest(folder)
    prompts = [
        manifest.through(name, bundle=name_of(folder)).prompt for name in dict.fromkeys(templates)
    ] or manifest.prompts
    sessions: list[Judge | Rater] = []

    def of(kind: type[J]) -> list[J]:
        """The first of all is loaded, and the others stand beside it."""
        found: list[J] = []
        names = [prompt.name for prompt in prompts if isinstance(prompt.template, kind.kinds)]
        for name in names if templates else names[:1]:
            if sessions:
                session = kind.beside(sessions[0], name)
                selftest.run_once(session.manifest, session.answer, session.engine)
            else:
                session = opened(kind, folder, engine, template=name, threads=threads, spin=spin)
            sessions.append(session)
            found.append(session)
        return found

    return Lanes(of(Judge), of(Rater))
