"""A bundle in which prompts are tried: those that it lacks are put into it for as long as they are needed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rlaif_fast.bundle.editing import remove_prompts
from rlaif_fast.bundle.folder import read_manifest
from rlaif_fast.bundle.home import lock_of
from rlaif_fast.errors import BundleError, PairError
from rlaif_fast.files.locking import locked
from rlaif_fast.files.targets import named
from rlaif_fast.judging.judge import Judge
from rlaif_fast.prompts.built_in import template_of
from rlaif_fast.prompts.template import Template, Wording
from rlaif_fast.prompts.template_file import read_template
from rlaif_fast.runtime import selftest
from rlaif_fast.runtime.engines import DEFAULT


class Trial:
    """A bundle through several prompts; leaving the context takes out what was made in it and is not kept.

    Attributes:
        folder: the bundle's.
        current: name of the prompt that is to be beaten.
        there: names of the prompts for pairs that the bundle came with.
        left_out: what was said of prompts that could not be made.
        kept: names of prompts that stay.
    """

    def __init__(
        self, folder: Path, against: str | None, *, threads: int = 0, spin: bool = True, model: str | None = None,
        trusted: bool = False,
    ) -> None:  # fmt: skip
        """
        Args:
            folder: the bundle's.
            against: name of the prompt that is to be beaten; by default the bundle's first for pairs.
            model: what the bundle was made of; by default what it says.
            trusted: run Python code that comes with the model.

        Raises BundleError where there is no bundle or no such prompt in it, this machine answers otherwise, or another
        process tries prompts in it: what that one has made and will take out again would count as the bundle's.
        """
        self.folder, self._model, self._trusted = folder, model, trusted
        lock = lock_of(folder, "trial")
        try:
            with named(lock.parent, "what is read is kept beside it; RLAIF_FAST_HOME moves both to another folder"):
                lock.parent.mkdir(parents=True, exist_ok=True)
                self._lock = locked(lock, None)
        except PairError:
            raise BundleError(
                f"{folder}: another select is trying prompts in it; wait for it (if there is none, remove {lock}.*)"
            ) from None
        self.current = read_manifest(folder).through(against, (Template,)).prompt.name
        self.there, self.left_out, self.kept, self._made = self.prompts, list[str](), set[str](), set[str]()
        # What another engine would gain is less than what it would have to verify for every prompt.
        self._judge = Judge.load(folder, template=self.current, threads=threads, spin=spin, engine=DEFAULT)

    @property
    def prompts(self) -> list[str]:
        """Names of the prompts for pairs that are there now."""
        return [one.name for one in read_manifest(self.folder).prompts if isinstance(one.template, Template)]

    def judge_of(self, prompt: str) -> Judge:
        """The judge through a prompt; the weights are loaded once for all. Raises BundleError."""
        if prompt == self.current:
            return self._judge
        found = Judge.beside(self._judge, prompt)
        if prompt in self.there:  # the others were verified on this machine a moment ago
            selftest.run_once(found.manifest, found.answer, found.engine)
        return found

    def make(self, templates: Sequence[str], *, chat: bool) -> list[str]:
        """Add what can be added of the templates, built-in names or files; names of the new prompts.

        In a process of its own, so that PyTorch stays out of the judging process.
        """
        if not templates:
            return []
        before = self.prompts
        wanted = {prompt_name(read_template(name).wording, chat) for name in templates}.difference(before)
        self._made.update(wanted)  # now: stopped halfway, what is there by then is taken out too
        command = [sys.executable, "-m", "rlaif_fast", "prompt", "add", str(self.folder), "--on-error", "skip"]
        command += [word for name in templates for word in ("--template", name)]
        command += ["--chat", "yes" if chat else "no"]
        command += ["--model", self._model] if self._model else []
        command += ["--trust-remote-code"] if self._trusted else []
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        lines = [line for line in done.stderr.splitlines() if line.startswith(("left out: ", "error: "))]
        if done.returncode and not lines:  # of a system that is out of memory, for one
            lines = [f"error: making them was ended with status {done.returncode}"]
        theirs = {f"left out: {name}; there is one already": name for name in wanted}
        for line in lines:
            if line in theirs:  # what somebody else has put in meanwhile is tried as well, and stays
                self._made.discard(theirs[line])
                continue
            line = line.replace("error: ", "left out: prompts that the bundle lacks; ", 1)
            self.left_out.append(line.removesuffix("; leave --chat out, or give --chat auto"))  # options of the other
        return [name for name in self.prompts if name in wanted]

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *raised: object) -> None:
        """Take out what was made and not kept. A process that is killed leaves it there: ``prompt remove``."""
        try:
            gone = [name for name in self.prompts if name in self._made and name not in self.kept]
            if gone:
                remove_prompts(self.folder, gone)
        finally:
            self._lock.release()


def prompt_name(wording: Wording, chat: bool) -> str:
    """What the exporter calls the prompt of a template, in the model's chat template or as it stands."""
    return f"{template_of(wording).name}{'-chat' * chat}"
