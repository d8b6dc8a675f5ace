"""The second Ctrl-C ends a command wherever it comes, without a trace of Python's own on the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Where Python drops what a signal's handler raises, and writes a traceback in place of it.
_PLACES = {
    "weakref": """
class Thing: pass
def press(_): os.kill(os.getpid(), signal.SIGINT); sum(range(1000))
thing = Thing(); watched = weakref.ref(thing, press)
del thing
""",
    "finaliser": """
class Thing:
    def __del__(self): os.kill(os.getpid(), signal.SIGINT); sum(range(1000))
thing = Thing()
del thing
""",
    "foreign": """
kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
def press(a, b): os.kill(os.getpid(), signal.SIGINT); sum(range(1000)); return 0
array = (ctypes.c_int * 2)(1, 2)
ctypes.CDLL(None).qsort(array, 2, 4, kind(press))
""",
}

_ASKED = """
import ctypes, os, signal, sys, time, weakref
from fama_fast.cli.signals import first_asks
try:
    with first_asks(lambda name: None, None):
        os.kill(os.getpid(), signal.SIGINT)
        PLACE
        end = time.monotonic() + 10
        while time.monotonic() < end: time.sleep(0.01)
    sys.exit(1)
except KeyboardInterrupt:
    print("interrupted")
"""

_PLAIN = """
import ctypes, os, signal, sys, time, weakref
from fama_fast.cli.signals import never_lost
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
with never_lost():
    try:
        PLACE
        end = time.monotonic() + 10
        while time.monotonic() < end: time.sleep(0.01)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted")
"""


def run(text: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", text],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself Ctrl-C there")
@pytest.mark.parametrize("again", range(3))
@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("program", [_ASKED, _PLAIN], ids=["second", "first"])
def test_an_interrupt_that_python_drops_still_interrupts(program: str, place: str, again: int) -> None:
    depth = "        "
    inside = ("\n" + depth).join(_PLACES[place].strip().splitlines())
    assert run(program.replace("PLACE", inside)) == (0, "interrupted\n", "")


def test_other_faults_in_callbacks_are_still_shown() -> None:
    text = """
from fama_fast.cli.signals import never_lost
class Thing:
    def __del__(self): raise ValueError("a fault of the program")
with never_lost():
    thing = Thing()
    del thing
"""
    code, _, err = run(text)
    assert code == 0
    assert "a fault of the program" in err
