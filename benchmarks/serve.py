"""A real server under load: ``python -m benchmarks.serve BUNDLE``, on loopback.

Prints what a request costs beside its passes, and what many clients at once get: rows a second against a judge in this
process, wrong pairings (each answer is compared with the judge's own, bit for bit with ``--window 1``), and memory.
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import machine
from rlaif_fast import Judge
from rlaif_fast.rows.pairs import pair_from_row
from rlaif_fast.runtime.cpu import usable_cores

ROUNDING = 1e-4  # log-odds: what a float32 verdict may differ by in company
_TEXTS = ("The quick brown fox jumps over the lazy dog.", "Seven wizards brew hot jam.", "A map is no territory.")


@click.command()
@click.argument("bundle", type=click.Path(exists=True, path_type=Path))
@click.option("--clients", default=64, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--rows", default=120, show_default=True, help="Different pairs, four on an instruction.")
@click.option("--window", default=32, show_default=True, help="Of the server; 1 compares answers bit for bit.")
def main(bundle: Path, clients: int, seconds: float, rows: int, window: int) -> None:
    """Load-test a server over BUNDLE."""
    told = machine(usable_cores())
    click.echo(f"{told['cpu']}, {told['cores']} cores, load before {told['load_before']}; {' '.join(sys.argv[1:])}")
    pairs = [
        {"id": n, "instruction": f"{_TEXTS[n % 3]} {n // 4}", "response_0": f"A fox {n}.", "response_1": f"Jam {n}."}
        for n in range(rows)
    ]  # fmt: skip
    judge = Judge.load(bundle, engine="onnxruntime")
    judge.judge(pair_from_row(pairs[0]))
    began, worked = time.perf_counter(), time.process_time()
    wanted = [judge.judge(pair_from_row(row)).row() for row in pairs]
    alone = (time.perf_counter() - began) / rows
    spent = (time.process_time() - worked) / rows
    click.echo(f"judge alone: {1000 * alone:.2f} ms a pair, {1000 * spent:.2f} ms of CPU")
    with _server(bundle, window) as port:
        _one(port, pairs, spent)
        _many(port, pairs, wanted, clients, seconds, window)


@contextmanager
def _server(bundle: Path, window: int) -> Iterator[int]:
    command = [sys.executable, "-m", "rlaif_fast", "serve", "-b", str(bundle), "--port", "0", "--engine", "onnxruntime"]
    process = subprocess.Popen([*command, "--window", str(window)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        lines = iter(process.stderr.readline, "")
        yield next(int(found[1]) for line in lines if (found := re.search(r"on http://\S+:(\d+)$", line)))
    finally:
        process.terminate()
        said = process.stderr.read().strip()
        click.echo(f"SIGTERM: exit status {process.wait()}; {said}")


def _ask(connection: http.client.HTTPConnection, row: Any) -> tuple[dict[str, Any], float]:
    """(the answer, milliseconds in the queue and in passes as the server measured them)."""
    connection.request("POST", "/judge", json.dumps(row))
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(text.decode())
    return json.loads(text), sum(map(float, re.findall(r"dur=([0-9.]+)", answer.headers["server-timing"])))


def _one(port: int, pairs: list[Any], spent: float) -> None:
    """Args: spent: seconds of CPU for a pair without a server."""
    connection, beside, before = http.client.HTTPConnection("127.0.0.1", port), [], _metric(port, "cpu_seconds_total")
    for row in (pairs * 5)[:300]:
        began = time.perf_counter()
        _, passes = _ask(connection, row)
        beside.append(1000 * (time.perf_counter() - began) - passes)
    cpu = (_metric(port, "cpu_seconds_total") - before) / len(beside) - spent
    cuts = statistics.quantiles(beside, n=100)
    click.echo(f"one client, {len(beside)} requests: {statistics.median(beside):.2f} ms beside the passes (median),"
               f" 99 % under {cuts[98]:.2f} ms; {1000 * cpu:.2f} ms of CPU more than a judge alone")  # fmt: skip


def _many(port: int, pairs: list[Any], wanted: list[Any], clients: int, seconds: float, window: int) -> None:
    counts, wrong, memory = [0] * clients, [0] * clients, [_metric(port, "resident_memory_bytes")]
    until = time.monotonic() + seconds

    def run(number: int) -> None:
        connection, turn = http.client.HTTPConnection("127.0.0.1", port), number
        while time.monotonic() < until:
            place = turn % len(pairs)
            found, _ = _ask(connection, pairs[place])
            counts[number] += 1
            wrong[number] += not _same(found, wanted[place], window == 1)
            turn += clients

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(5.0, seconds / 4))
        memory.append(_metric(port, "resident_memory_bytes"))
    total = sum(counts)
    click.echo(f"{clients} clients, {seconds:g} s: {total} answers, {sum(wrong)} wrong, {total / seconds:.1f} a second"
               f" ({1000 * seconds / total:.2f} ms each), {min(counts)} to {max(counts)} a client")  # fmt: skip
    click.echo(f"memory, MB: {' '.join(f'{size / 1e6:.0f}' for size in memory)}")


def _same(found: dict[str, Any], wanted: dict[str, Any], exact: bool) -> bool:
    if exact:
        return found == wanted
    near = all(abs(a - b) < ROUNDING for a, b in zip(found["p1_by_order"], wanted["p1_by_order"], strict=True))
    return near and all(found[name] == wanted[name] for name in ("id", "instruction", "truncated"))


def _metric(port: int, name: str) -> float:
    """Of the server's process."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return float(re.findall(rf"^process_{name} (\S+)$", text, re.MULTILINE)[0])


if __name__ == "__main__":
    main()
