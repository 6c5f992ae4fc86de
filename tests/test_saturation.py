"""Whether int8 products saturate is asked of the processor, not of its name."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="qemu-user is not installed")
def test_a_processor_without_vnni_saturates() -> None:
    """Emulated; /proc/cpuinfo still shows this machine's flags there."""
    code = "from rlaif_fast.runtime.saturation import saturates; print(saturates())"
    command = ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "True", done.stderr
