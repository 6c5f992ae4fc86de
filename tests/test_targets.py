"""Where bytes go: links, permissions, what file systems lack, and what is never overwritten."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rlaif_fast.errors import PairError
from rlaif_fast.files.targets import put, sync_file, sync_folder, target_of, write_text
from tests.conftest import Run
from tests.stopping import interrupted

Cli = Callable[..., Run]
ROWS = [{"id": f"r{n}", "instruction": f"Say {n}.", "response_0": "Yes.", "response_1": f"No {n}."} for n in range(4)]

# The real command, on a file system that lacks something.
_LACKING = """
import errno, fcntl, os, sys
from rlaif_fast.cli import main

what, code = sys.argv[1], getattr(errno, sys.argv[2])
real = os.fsync

def refused(descriptor, *_):
    if what == "folder" and not os.path.isdir(f"/proc/self/fd/{descriptor}"):
        return real(descriptor)
    raise OSError(code, os.strerror(code))

if what == "lock":
    fcntl.flock = refused
else:
    os.fsync = refused
main(sys.argv[3:])
"""


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _lacking(what: str, code: str, *arguments: object) -> Run:
    command = [sys.executable, "-c", _LACKING, what, code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    return Run(done.returncode, done.stdout, done.stderr)


# Links


@pytest.mark.parametrize("there", [True, False], ids=["full", "dangling"])
def test_a_link_is_written_through(there: bool, pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "big").mkdir()
    target, link = tmp_path / "big" / "v.jsonl", tmp_path / "out.jsonl"
    if there:
        target.touch()
    link.symlink_to("big/v.jsonl")
    done = rlaif_fast("judge", pairs, "-b", llama, "-o", link)
    assert done.status == 0, done.err
    assert link.is_symlink() and os.readlink(link) == "big/v.jsonl"
    assert len(target.read_text().splitlines()) == len(ROWS)
    assert sorted(path.name for path in (tmp_path / "big").iterdir()) == ["v.jsonl"]
    (tmp_path / "e.json").symlink_to("big/e.json")
    done = rlaif_fast("diff", link, target, "--json", tmp_path / "e.json")
    assert done.status == 0 and (tmp_path / "e.json").is_symlink() and (tmp_path / "big" / "e.json").is_file()


def test_a_run_is_taken_up_through_any_of_its_names(pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "big").mkdir()
    for name in ("one.jsonl", "two.jsonl"):
        (tmp_path / name).symlink_to("big/v.jsonl")
    command = ("judge", pairs, "-b", llama, "--window", 1, "-o")
    interrupted([*command, tmp_path / "one.jsonl"], "write", 2)
    assert not (tmp_path / "big" / "v.jsonl").exists()
    done = rlaif_fast(*command, tmp_path / "two.jsonl")
    assert done.status == 0 and "resuming after 2 rows" in done.err
    assert len((tmp_path / "big" / "v.jsonl").read_text().splitlines()) == len(ROWS)


def test_links_that_lead_nowhere_are_said(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PairError, match=r"loop: Too many levels of symbolic links, give another name"):
        target_of(tmp_path / "loop")
    (tmp_path / "far").symlink_to("no/where.jsonl")
    with pytest.raises(PairError, match=r"far: the folder .*/no does not exist"):
        target_of(tmp_path / "far")
    (tmp_path / "folder").symlink_to(".")
    with pytest.raises(PairError, match=r"not a file that can be replaced, give another name$"):
        target_of(tmp_path / "folder")
    with pytest.raises(PairError, match="File name too long"):
        target_of(tmp_path / ("n" * 300))
    with pytest.raises(PairError, match="null"):
        target_of(tmp_path / "a\0b")


def test_what_is_no_file_is_refused_with_the_way_out(pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null", "/dev/stdout", "/proc/self/fd/1"):
        done = rlaif_fast("judge", pairs, "-b", llama, "-o", path)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert f"{path}: not a file that can be replaced, give another name, or leave the option out and" in done.err


def test_permissions_and_owner_stay(tmp_path: Path) -> None:
    target, fresh = tmp_path / "t", tmp_path / "fresh"
    for mode in (0o600, 0o664, 0o640):
        target.write_text("old")
        target.chmod(mode)
        fresh.write_text("new")
        put(fresh, target)
        assert (target.read_text(), stat.S_IMODE(target.stat().st_mode)) == ("new", mode) and not fresh.exists()
    write_text(target, "again")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_name_that_cannot_be_given_away_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single file mounted into a container."""
    target, fresh = tmp_path / "t", tmp_path / "fresh"
    target.write_text("much older")
    fresh.write_text("new")

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    put(fresh, target)
    assert target.read_text() == "new" and not fresh.exists()


# What is read is not written


def test_an_output_that_is_the_input_is_refused(pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    before = pairs.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(pairs.name)
    os.link(pairs, tmp_path / "hard.jsonl")
    for output in (pairs, tmp_path / "link.jsonl", tmp_path / "hard.jsonl", tmp_path / "." / pairs.name):
        for command in ("judge", "rank", "score"):
            done = rlaif_fast(command, pairs, "-b", llama, "-o", output)
            assert done.status == 1 and f"{output}: the input itself, give another name" in done.err
    (tmp_path / "link.json").symlink_to(pairs.name)
    done = rlaif_fast("eval", pairs, "-b", llama, "--json", tmp_path / "link.json")
    assert done.status == 1 and "the input itself" in done.err and pairs.read_bytes() == before


@pytest.mark.parametrize("ending", [".partial", ".errors.jsonl", ".journal"])
def test_what_a_run_keeps_beside_its_output_is_not_its_input(
    ending: str, pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli
) -> None:
    kept = pairs.rename(tmp_path / f"out.jsonl{ending}")
    before = kept.read_bytes()
    done = rlaif_fast("judge", kept, "-b", llama, "-o", tmp_path / "out.jsonl", "--on-error", "skip")
    assert done.status == 1 and f"out.jsonl{ending}, which it needs, is the input" in done.err
    assert kept.read_bytes() == before and os.listdir(tmp_path) == [kept.name]


def test_an_output_among_the_files_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.jsonl").touch()
    with pytest.raises(PairError, match="lies in the folder that is read"):
        target_of(tmp_path / "d" / "a.jsonl", [str(tmp_path / "d")])
    assert target_of(tmp_path / "b.jsonl", [str(tmp_path / "d"), "-", str(tmp_path / "none")])


# What file systems lack


@pytest.mark.parametrize("code", ["EINVAL", "ENOTSUP", "ENOSYS"])
@pytest.mark.parametrize("what", ["folder", "file"])
def test_without_fsync_a_run_goes_on_and_says_so(
    what: str, code: str, pairs: Path, llama: Path, tmp_path: Path
) -> None:
    done = _lacking(what, code, "judge", pairs, "-b", llama, "-o", tmp_path / "v.csv")
    assert done.status == 0, done.err
    assert done.err.count("cannot be asked to write through") == 1 and "Traceback" not in done.err
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 1 + len(ROWS)


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL"])
def test_without_locks_another_one_stands_in(code: str, pairs: Path, llama: Path, tmp_path: Path) -> None:
    output = tmp_path / "v.jsonl"
    done = _lacking("lock", code, "judge", pairs, "-b", llama, "-o", output)
    assert done.status == 0 and "this file system has no locks" in done.err, done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", "v.jsonl"]
    from filelock import SoftFileLock

    name = "v.jsonl.lock" if code == "ENOSYS" else "v.jsonl.locked"  # filelock's own stand-in
    with SoftFileLock(tmp_path / name):
        again = _lacking("lock", code, "judge", pairs, "-b", llama, "-o", output, "--restart")
    assert again.status == 1 and "another process is writing it" in again.err and "Traceback" not in again.err


def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with open(tmp_path / "f", "wb") as stream, pytest.raises(OSError, match="Input/output"):
        sync_file(stream.fileno())
    with pytest.raises(OSError, match="Input/output"):
        sync_folder(tmp_path)


def test_no_space_names_the_output_and_what_is_kept(pairs: Path, llama: Path, tmp_path: Path) -> None:
    done = _lacking("file", "ENOSPC", "judge", pairs, "-b", llama, "-o", tmp_path / "v.jsonl")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert done.err.startswith(
        f"error: {tmp_path}/v.jsonl: No space left on device; what was judged is kept: make room"
    )


# Reports


def test_a_report_is_whole_or_not_there(tmp_path: Path) -> None:
    write_text(tmp_path / "r", "ä\udcff\n")
    assert (tmp_path / "r").read_bytes() == "ä\\udcff\n".encode()
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to("sub/r")
    write_text(tmp_path / "link", "x")
    assert (tmp_path / "sub" / "r").read_text() == "x" and (tmp_path / "link").is_symlink()
    write_text(Path("/dev/null"), "x")


def test_two_reports_are_two_files(pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    (tmp_path / "b").symlink_to("a")
    done = rlaif_fast("eval", pairs, "-b", llama, "--json", tmp_path / "a", "--html", tmp_path / "b")
    assert done.status == 1 and "two reports cannot be one file" in done.err


def test_any_state_of_an_output(pairs: Path, llama: Path, tmp_path: Path, rlaif_fast: Cli) -> None:
    """Drawn at random: the rows stand where the name leads, or one line says why not and nothing has changed."""
    draw = random.Random(14)
    for number in range(6):
        folder = tmp_path / str(number)
        (folder / "other").mkdir(parents=True)
        output = folder / draw.choice(["out.jsonl", "ö\udcff.jsonl", "a b.json.gz", "[bold]:dog:.csv", "-o.tsv"])
        for _ in range(draw.randrange(3)):
            if output.is_symlink() or output.exists():
                break
            draw.choice([
                output.touch, lambda to=output: to.symlink_to(f"other/{to.name}"), lambda to=output: to.symlink_to(to),
                output.mkdir, lambda to=output: os.mkfifo(to), lambda to=output: os.link(pairs, to),
                lambda to=output: to.with_name(to.name + ".lock").touch(),
            ])()  # fmt: skip
        links = output.is_symlink()
        done = rlaif_fast("judge", pairs, "-b", llama, "-o", output)
        assert "Traceback" not in done.err and pairs.read_text().count("\n") == len(ROWS)
        assert output.is_symlink() == links
        if done.status:
            assert done.status == 1 and done.err.count("\n") == 1
        else:
            assert os.path.getsize(output) > 0 and not list(folder.rglob("*.partial"))


def test_an_export_is_written_through_a_link(
    tiny_folder: Callable[[str], Path], tmp_path: Path, rlaif_fast: Cli
) -> None:
    """Also one that leads nowhere yet, and with --force one that leads to a bundle; a loop is refused first."""
    link = tmp_path / "link"
    link.symlink_to("disk/bundle")
    (tmp_path / "disk").mkdir()
    command = ("export", tiny_folder("llama"), "--precision", "fp32", "-o", link)
    for force in ((), ("--force",)):
        done = rlaif_fast(*command, *force)
        assert done.status == 0, done.err
        assert link.is_symlink() and (tmp_path / "disk/bundle/manifest.json").is_file()
        assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["bundle"]
    (tmp_path / "loop").symlink_to("loop")
    done = rlaif_fast(*command[:-1], tmp_path / "loop")
    assert done.status == 1 and "give another folder with -o" in done.err and "Traceback" not in done.err


def test_a_closed_standard_input_is_named(llama: Path) -> None:
    command = f'exec "{sys.executable}" -m rlaif_fast judge - -b "{llama}" <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: stdin: is closed, give a file of pairs\n")
