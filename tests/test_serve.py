"""``rlaif-fast serve``, the real process: answers, refusals, load, and stops in the middle of it."""

from __future__ import annotations

import base64
import http.client
import json
import math
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlaif_fast import Judge
from rlaif_fast.judging.rater import Rater
from rlaif_fast.prompts.template import SUMMARY
from rlaif_fast.rows.pairs import pair_from_row
from rlaif_fast.rows.samples import Sample
from tests.conftest import Run
from tests.reward_models import Oracle, save_reward
from tests.servers import Reply, Server, serving
from tests.test_bundle_prompts import HELPFUL, SCORE, export
from tests.test_reward import export as export_reward
from tests.verdicts import write_rows

pytest.importorskip("starlette", reason="the extra serve is not installed")

CLIENTS = 64
TEXTS = ("The quick brown fox jumps over the lazy dog.", "Seven wizards brew hot jam. " * 5, "1\n2\n")
ROWS: list[dict[str, Any]] = [
    {"id": f"n{n}", "instruction": f"{TEXTS[n % 3]} {n // 6}", "response_0": f"A fox {n}.", "response_1": "Jam é “x”",
     "note": n}
    for n in range(60)
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two prompts for pairs and one for scores."""
    return export(tiny_folder("llama"), tmp_path_factory.mktemp("serve") / "bundle", SUMMARY, HELPFUL, SCORE)


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Server]:
    with serving(bundle, "--max-body", 1, "--template", "summary", "--template", "helpful", "--template",
                 "score-helpful") as running:  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def alone(bundle: Path) -> list[str]:
    """The answers of a judge that sees each row alone."""
    judge = Judge.load(bundle)
    return [judge.judge(pair_from_row(row, place=1)).to_json() for row in ROWS]


def test_rows_out_are_those_of_the_commands(
    server: Server, bundle: Path, tmp_path: Path, rlaif_fast: Callable[..., Run]
) -> None:
    scores = [{"instruction": row["instruction"], "response": row["response_0"], "x": [1]} for row in ROWS[:5]]
    ranks = [{"prompt": "Q?", "responses": ["a", "b", "a fox"], "id": "r"}]
    for command, rows, more, query in (
        ("judge", ROWS[:30], (), ""),
        ("judge", ROWS[:30], ("--template", "helpful", "--orders", "forward"), "?template=helpful&orders=forward"),
        ("judge", [{"q": "x", "a": "b", "b": "c"}], ("--fields", "instruction=q,response_0=a,response_1=b"),
         "?fields=instruction=q,response_0=a,response_1=b"),
        ("judge", [ROWS[0] | {"instruction": "a " * 2000}], ("--on-long", "truncate"), "?on_long=truncate"),
        ("judge", [ROWS[0] | {"document": "x y"}], ("--carry", "document"), "?carry=document"),
        ("score", scores, (), ""), ("rank", ranks, (), ""),
    ):  # fmt: skip
        done = rlaif_fast(command, write_rows(tmp_path / "rows.jsonl", rows), "-b", bundle, *more)
        assert done.status == 0, done.err
        found = server.client().post(f"/{command}{query}", rows)
        assert (found.status, found.headers["content-type"]) == (200, "application/json")
        assert found.text == "[" + ", ".join(done.out.splitlines()) + "]"


def test_a_rows_own_columns_are_carried(server: Server) -> None:
    """Whatever they are called; those that are called as an option where the request says that they are columns."""
    row = ROWS[0] | {"source": "a", "order": 1, "threads": 2, "template": "t", "orders": [3]}
    client = server.client()
    assert client.post("/judge?carry=template", row).json["error"].startswith("request, row 1: 'orders' is an option")
    found = client.post("/judge?carry=template&carry=orders", [row]).json[0]
    assert {name: found[name] for name in ("source", "order", "threads", "template", "orders")} == {
        "source": "a", "order": 1, "threads": 2, "template": "t", "orders": [3],
    }  # fmt: skip
    assert found["p1_by_order"] == client.post("/judge", ROWS[0]).json["p1_by_order"]
    mapped = {"template": "Why?", "response_0": "a", "response_1": "b"}
    assert (
        client.post("/judge?fields=instruction=template,response_0=response_0,response_1=response_1", mapped).json[
            "instruction"
        ]
        == "Why?"
    )


def test_one_row_is_one_row(server: Server, alone: list[str]) -> None:
    client = server.client()
    assert [client.post("/judge", row).text for row in ROWS[:5]] == alone[:5]
    assert client.post("/judge", []).text == "[]"
    del (row := dict(ROWS[0]))["id"]
    assert [found["id"] for found in client.post("/judge", [row, row]).json] == [1, 2]


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/judge", '{"a":', 400, "request: not JSON (Expecting value at column 6); send a row, or a list of rows"),
        ("/judge", b"\xff", 400, "request: not UTF-8 at byte 0"),
        ("/judge", "[" * 100_000, 400, "request: not JSON (nested too deeply); send a row, or a list of rows"),
        ("/judge", [ROWS[0], 3], 422, "request, row 2: a row is a JSON object, this is a number"),
        ("/judge", [ROWS[0], ROWS[1] | {"response_0": ""}], 422,
         "request, row 2, id 'n1': field 'response_0' is empty, remove the row or fill it"),
        ("/judge", [ROWS[0], ROWS[0]], 422, "request, row 2, id 'n0': an earlier row has the same id; make ids unique"),
        ("/judge", ROWS[0] | {"instruction": "a " * 2000}, 422, "request, row 1, id 'n0': the prompt has 2,099 tokens"),
        ("/judge", {"instruction": "a", "response_0": "b"}, 422,
         "request, row 1: field 'response_1' is missing (the row has 'instruction', 'response_0'); say where it is with"
         " ?fields=response_1=…"),
        ("/judge?order=forward", ROWS[0], 400, "parameter: 'order' is not one of 'template', 'orders', 'on_long',"
         " 'fields', 'carry'; did you mean 'orders'?"),
        ("/judge?orders=forward&orders=both", ROWS[0], 400, "parameter 'orders': given more than once; give one"),
        ("/judge?template=helpfull", ROWS[0], 400,
         "template: 'helpfull' is not one of 'summary', 'helpful'; did you mean 'helpful'?"),
        ("/judge", [ROWS[0], ROWS[1] | {"orders": "forward"}], 422,
         "request, row 2: 'orders' is an option and no part of a row; send it in the query (there is ?template=,"
         " ?orders=, ?on_long=, ?fields=, ?carry=). A column of that name is carried with ?carry=orders"),
        ("/rank", {"instruction": "q", "responses": ["a", "b"], "on-long": "truncate"}, 422,
         "request, row 1: 'on-long' is an option and no part of a row; send it in the query (there is"),
        ("/score", {"instruction": "q", "response": "a", "min_margin": 0.1}, 422,
         "request, row 1: 'min_margin' is an option and no part of a row; the server does not have it (there is"),
        ("/judge", {"rows": ROWS[:2], "orders": "forward"}, 400,
         "request: the rows are in 'rows'; send the row or the list of rows itself, and options (template, orders,"
         " on_long, fields, carry) as parameters of the query"),
        ("/get_reward", {"query": ["ab"], "prompts": ["a"], "template": "summary"}, 400,
         "request: 'template' is not one of 'query', 'prompts', 'labels'; options (template, on_long) are parameters"
         " of the query"),
        ("/get_reward?orders=both", {"query": ["ab"], "prompts": ["a"]}, 400,
         "parameter: 'orders' is not one of 'template', 'on_long'"),
        ("/judge?orders=prior", ROWS[0], 400, "orders: 'prior' is not one of 'both', 'forward'"),
        ("/judge?template=score-helpful", ROWS[0], 400, "template: 'score-helpful' is not one of 'summary', 'helpful'"),
        ("/judge?fields=x", ROWS[0], 422, "fields: "),
        ("/score?orders=forward", ROWS[0], 400, "parameter: 'orders' is not one of 'template', 'on_long', 'fields'"),
        ("/rank", {"instruction": "q", "responses": ["a"]}, 422, "request, row 1, id 1: has 1 response, ranking needs"),
        ("/get_reward", {"query": ["a b"]}, 400, "request: as many prompts as queries are needed, to tell prompt and"),
        ("/get_reward", {"query": ["a b"], "prompts": ["c"]}, 422, "request, query 0: does not begin with its prompt"),
        ("/judge", " " * (1 << 20) + "{}", 413, "request: larger than 1,048,576 bytes; send it in parts"),
        ("/other", {}, 404, "/other: there is no such path; there are /judge, "),
    ],
)  # fmt: skip
def test_an_error_is_one_line(server: Server, path: str, body: Any, status: int, error: str) -> None:
    found = server.client().post(path, body)
    assert (found.status, list(found.json)) == (status, ["error"]), found.text
    assert found.json["error"].startswith(error) and "\n" not in found.json["error"]


def test_a_body_in_chunks_is_limited_too(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    parts = iter([b" " * (1 << 19)] * 3)
    connection.request("POST", "/judge", parts, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    refused = server.client().get("/judge")
    assert (refused.status, refused.json) == (405, {"error": "/judge: GET is not taken here; send POST"})


def test_openrlhf_gets_the_raters_scores(server: Server, bundle: Path) -> None:
    """As openrlhf/utils/agent.py sends it: the query as the policy's tokenizer decodes it, special tokens included."""
    rater = Rater.load(bundle, template="score-helpful")
    wanted = [rater.rate(Sample("Why?\nSo", text)) for text in ("Because.", "No. <b>", "")]
    prompt = "<|im_start|>user\nWhy?\nSo<|im_end|>\n<|im_start|>assistant\n"
    plain = "<|begin_of_text|>Why?\nSo"
    sent = {
        "query": [f"{prompt}Because.<|im_end|>\n", f"{plain}No. <b></s></s>", f"{prompt}<|im_end|>"],
        "prompts": [prompt, "Why?\nSo", prompt], "labels": ["", "", ""],
    }  # fmt: skip
    found = server.client().post("/get_reward", sent)
    assert found.status == 200, found.text
    assert found.json["rewards"] == pytest.approx([rating.score for rating in wanted], abs=1e-4)
    assert found.json["scores"] == found.json["rewards"]
    assert found.json["extra_logs"] == {"mass": pytest.approx([rating.mass for rating in wanted], abs=1e-4)}
    one = {name: values[:1] for name, values in sent.items()}
    assert server.client().post("/get_reward", one).json["rewards"] == [wanted[0].score]


def test_a_reward_model_is_served(tmp_path: Path) -> None:
    """One prompt for all there is: scores, pairs and ranks are of the same rewards."""
    folder = save_reward("qwen3", tmp_path / "model")
    wanted = [Oracle(folder)("Why?", text) for text in ("Because.", "No.")]
    with serving(export_reward(folder, tmp_path / "bundle")) as server:
        client = server.client()
        sent = {"query": ["Why?Because.", "Why?No."], "prompts": ["Why?", "Why?"], "labels": ["", ""]}
        found = client.post("/get_reward", sent).json
        assert found["rewards"] == pytest.approx(wanted, abs=1e-4) and found["extra_logs"] == {}
        rows = [{"instruction": "Why?", "response": text} for text in ("Because.", "No.")]
        assert [row["score"] for row in client.post("/score", rows).json] == pytest.approx(wanted, abs=1e-4)
        pair = {"instruction": "Why?", "response_0": "Because.", "response_1": "No."}
        p1 = 1 / (1 + math.exp(wanted[1] - wanted[0]))
        assert client.post("/judge", pair).json["p1"] == pytest.approx(p1, abs=1e-4)
        refused = client.post("/judge?orders=forward", pair)
        assert refused.status == 400 and "is a reward model" in refused.json["error"]
        ranked = client.post("/rank", {"instruction": "Why?", "responses": ["Because.", "No."]}).json
        assert ranked["wins"][0][1] == pytest.approx(p1, abs=1e-4)


def test_the_document_is_what_is_served(server: Server) -> None:
    from jsonschema import Draft202012Validator

    client = server.client()
    document = client.get("/openapi.json").json
    assert set(document["paths"]) == {
        "/judge", "/score", "/rank", "/get_reward", "/health", "/metrics", "/openapi.json",
    }  # fmt: skip
    sent: dict[str, Any] = {
        "/judge": ROWS[0], "/score": {"instruction": "a", "response": "b"},
        "/rank": {"instruction": "a", "responses": ["b", "c"]}, "/get_reward": {"query": ["ab"], "prompts": ["a"]},
    }  # fmt: skip
    for path in ("/judge", "/score", "/rank"):
        assert "called as an option" in document["paths"][path]["post"]["requestBody"]["description"]
    for path, row in sent.items():
        told = document["paths"][path]["post"]
        for value in (row, [row]) if path != "/get_reward" else (row,):
            schema = told["requestBody"]["content"]["application/json"]["schema"]
            assert Draft202012Validator(schema).is_valid(value)
            found = client.post(path, value)
            Draft202012Validator(told["responses"]["200"]["content"]["application/json"]["schema"]).validate(found.json)
        assert not Draft202012Validator(schema).is_valid({"a": 1})
        assert str(client.post(path, {"a": 1}).status) in told["responses"]


def test_who_may_ask(bundle: Path, server: Server) -> None:
    client = server.client()
    assert client.post("/judge", ROWS[0], {"Host": "example.com"}).status == 403, "a name that leads here by DNS"
    assert client.post("/judge", ROWS[0], {"Origin": "http://example.com"}).status == 403
    assert client.post("/judge", ROWS[0], {"Origin": f"http://127.0.0.1:{server.port}"}).status == 200
    basic = "Basic " + base64.b64encode(b"anyone:g\xc3\xa9heim").decode()
    with serving(bundle, "--host", "0.0.0.0", RLAIF_FAST_TOKEN="géheim") as guarded:
        client = guarded.client()
        for given in ({}, {"Authorization": "Bearer gehei"}, {"Authorization": "Basic !"}, {"Authorization": ""}):
            for path in ("/judge", "/metrics", "/openapi.json", "/none"):
                refused = client.send("POST" if path == "/judge" else "GET", path, None, given)
                assert (refused.status, refused.headers["www-authenticate"][:6]) == (401, "Bearer"), path
        assert client.post("/judge", ROWS[0], {"Authorization": basic, "Host": "example.com"}).status == 200
        assert client.get("/health").json["model"] == "llama"
        assert "géheim" not in " ".join(guarded.said)


def test_where_it_may_listen(bundle: Path, rlaif_fast: Callable[..., Run]) -> None:
    for host in ("0.0.0.0", "::"):
        done = rlaif_fast("serve", "-b", bundle, "--host", host)
        assert (done.status, done.out) == (1, "")
        assert done.err == (
            f"error: --host {host}: other machines reach this address; set a token in RLAIF_FAST_TOKEN\n"
        )
    done = rlaif_fast("serve", "-b", bundle, RLAIF_FAST_TOKEN=" ")
    assert done.status == 2 and done.err.startswith("error: the token is empty")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = rlaif_fast("serve", "-b", bundle, "--port", port)
        assert done.err == f"error: --host 127.0.0.1 --port {port}: Address already in use; give another --port\n"
    done = rlaif_fast("serve", "-b", bundle, "--template", "none")
    assert done.status == 1 and "no prompt 'none' in this bundle" in done.err


def _load(server: Server, seconds: float, ask: Callable[[int, Any], None]) -> None:
    """CLIENTS threads, each with a connection of its own, that ``ask`` until the time is over."""
    over, failed = time.monotonic() + seconds, []

    def run(number: int) -> None:
        client, turn = server.client(), number
        try:
            while time.monotonic() < over:
                ask(turn, client)
                turn += CLIENTS
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]


def test_under_load_every_answer_is_its_own(bundle: Path, alone: list[str]) -> None:
    """With --window 1 each row has its pass alone, so every answer is the judge's, to the last bit."""
    answers: Counter[int] = Counter()
    with serving(bundle, "--window", 1) as server:

        def ask(turn: int, client: Any) -> None:
            place = turn % len(ROWS)
            found: Reply = client.post("/judge", ROWS[place])
            assert (found.status, found.text) == (200, alone[place])
            answers[place] += 1

        _load(server, 1, ask)
        before = server.metric("process_resident_memory_bytes")
        _load(server, 4, ask)
        grown = server.metric("process_resident_memory_bytes") - before
        until, total = time.monotonic() + 5, sum(answers.values())
        while server.metric("rlaif_fast_rows_total") < total and time.monotonic() < until:
            time.sleep(0.01)  # a turn is counted when its answers are out
        assert server.metric("rlaif_fast_rows_total") == total > 200
        assert grown < 8 << 20
        assert server.metric("rlaif_fast_waiting") == 0


def test_requests_share_the_passes_of_their_instructions(bundle: Path, alone: list[str]) -> None:
    """Up to 32 rows of all requests together, and a list as its rows one by one; verdicts up to rounding."""
    wanted = [json.loads(line) for line in alone]
    with serving(bundle) as server:

        def ask(turn: int, client: Any) -> None:
            places = [turn % len(ROWS)] if turn % 3 else [(turn + k) % len(ROWS) for k in range(5)]
            rows = [ROWS[place] for place in places]
            found = client.post("/judge", rows).json
            for row, place in zip(found, places, strict=True):
                assert row["p1_by_order"] == pytest.approx(wanted[place]["p1_by_order"], abs=1e-4)
                same = ("id", "instruction", "note", "truncated")
                assert [row[name] for name in same] == [wanted[place][name] for name in same]

        _load(server, 3, ask)
        together = server.metric("rlaif_fast_rows_together_sum") / server.metric("rlaif_fast_rows_together_count")
        assert together > 8, "64 clients wait, so passes are run for many at once"


def test_what_a_request_costs_beside_its_passes(server: Server) -> None:
    client, beside = server.client(), []
    for row in ROWS[:20] * 5:
        began = time.perf_counter()
        found = client.post("/judge", row)
        beside.append(1000 * (time.perf_counter() - began) - found.passes)
    assert sorted(beside)[9] < 3, "milliseconds, of the tenth of 100: others on the machine disturb the rest"


def test_a_full_queue_says_so(bundle: Path, alone: list[str]) -> None:
    statuses: Counter[int] = Counter()
    with serving(bundle, "--queue", 8) as server:

        def ask(turn: int, client: Any) -> None:
            found = client.post("/judge", ROWS[turn % len(ROWS)])
            statuses[found.status] += 1
            if found.status == 200:
                assert json.loads(found.text)["id"] == ROWS[turn % len(ROWS)]["id"]
            else:
                assert found.status == 429 and int(found.headers["retry-after"]) >= 1
                assert found.json["error"].endswith(" are waiting and 8 may; try again later")

        _load(server, 1.5, ask)
        assert statuses[200] > 20 and statuses[429] > 20
        found = server.client().post("/judge", ROWS[:9])
        assert found.status == 413
        assert found.json["error"] == "request: 9 to judge, this server takes 8 at once; send it in parts"
        ranked = {"instruction": "q", "responses": [f"a {n}" for n in range(5)]}
        assert server.client().post("/rank", ranked).json["error"].startswith("request: 10 to judge")


def _many(count: int) -> list[dict[str, Any]]:
    return [{"instruction": f"{TEXTS[1]} {n}", "response_0": f"A fox {n}.", "response_1": "Jam."} for n in range(count)]


def test_time_out_and_clients_that_leave(bundle: Path) -> None:
    with serving(bundle, "--timeout", 0.3) as server:
        found = server.client().post("/judge", _many(4000))
        assert (found.status, found.headers["retry-after"]) == (503, "1")
        assert found.json["error"].startswith("request: not done within 0.3 s")
        assert server.metric('rlaif_fast_left_total{why="timeout"}') == 1
    with serving(bundle) as server:
        client = server.client()
        threading.Timer(0.5, lambda: client._connection.sock.shutdown(socket.SHUT_RDWR)).start()
        with pytest.raises((http.client.HTTPException, OSError)):
            client.post("/judge", _many(4000))
        for _ in range(300):  # others may have the machine
            time.sleep(0.1)
            if server.metric('rlaif_fast_left_total{why="disconnected"}') == 1:
                break
        else:
            pytest.fail("the server did not see that the client had left")
        assert server.metric("rlaif_fast_waiting") == 0, "nobody waits for the rest"
        assert server.metric("rlaif_fast_rows_total") < 4000
        assert server.client().post("/judge", ROWS[0]).status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_what_was_accepted(bundle: Path, number: signal.Signals) -> None:
    with serving(bundle) as server:
        found: list[Reply] = []
        threads = [
            threading.Thread(target=lambda: found.append(server.client().post("/judge", _many(200)))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while server.client().get("/health").json["waiting"] < 600:
            pass
        server.process.send_signal(number)
        for thread in threads:
            thread.join()
        status, said = server.ended()
        assert [len(reply.json) for reply in found] == [200] * 4
        assert (status, said[-1]) == (0, "stopped; every request that was accepted was answered")
        with pytest.raises(ConnectionRefusedError):
            server.client().get("/health")


def test_killed_and_started_again(bundle: Path, alone: list[str]) -> None:
    """Clients that ask again get each answer once; the port is free at once."""
    with serving(bundle, "--window", 1) as first:
        answers: dict[str, str] = {}
        killed = threading.Event()

        def ask(row: dict[str, Any]) -> None:
            while row["id"] not in answers:
                try:
                    answers[row["id"]] = first.client().post("/judge", row).text
                except (http.client.HTTPException, OSError):
                    killed.wait()
                if len(answers) == 10:
                    first.process.kill()

        threads = [threading.Thread(target=ask, args=(row,)) for row in ROWS]
        for thread in threads:
            thread.start()
        first.process.wait()
        with serving(bundle, "--window", 1, "--port", first.port):
            killed.set()
            for thread in threads:
                thread.join()
    assert [answers[row["id"]] for row in ROWS] == alone
