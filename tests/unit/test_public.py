"""What is public is what `docs/api.md` says, and what is deprecated warns once, works, and goes when it said."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest

import fama_fast as ff
from fama_fast.deprecation import deprecated
from tests.support.paths import ROOT

ROWS = re.findall(r"^\| `(fama_fast[\w.]*)` \| (.*) \|$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE)
FORMER = {
    "fama_fast.embedding": ("fama_fast.integrations", "alpha_expr"),
    "fama_fast.mining.loop": ("fama_fast.mining.run.mine", "mine"),
    "fama_fast.mining.protocol": ("fama_fast.proposals.protocol", "Proposer"),
}


def test_the_page_lists_modules() -> None:
    assert len(ROWS) > 20
    assert len({module for module, _ in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("name", "cell"), ROWS)
def test_public_modules_have_what_the_page_says(name: str, cell: str) -> None:
    module = importlib.import_module(name)
    listed = re.findall(r"`(\w+)`", cell)
    assert listed
    if listed == ["__all__"]:
        listed = list(module.__all__)
    for public in listed:
        assert getattr(module, public) is not None, public
    assert module.__doc__


def test_dir_shows_public_names_alone() -> None:
    assert dir(ff) == sorted(ff.__all__)


@pytest.fixture(params=FORMER)
def former(request: pytest.FixtureRequest) -> Iterator[str]:
    sys.modules.pop(request.param, None)  # as in a new process
    yield request.param
    sys.modules.pop(request.param, None)


def test_a_former_name_warns_once_and_is_the_new_one(former: str) -> None:
    new, name = FORMER[former]
    module = importlib.import_module(former)
    with pytest.warns(DeprecationWarning, match=rf"{former}\.{name} is deprecated .*: use {new}\.{name}") as caught:
        assert getattr(module, name) is getattr(importlib.import_module(new), name)
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError):
        _ = module.nothing_of_this_name
    with pytest.raises(AttributeError):
        _ = module.__path__


def test_the_warning_stands_at_the_import_of_the_user() -> None:
    program = "from fama_fast.embedding import AlphaTransformer\nprint(AlphaTransformer.__module__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "fama_fast.integrations.transformer"
    assert done.stderr.count("DeprecationWarning") == 1
    assert done.stderr.startswith("<string>:1: DeprecationWarning: fama_fast.embedding.AlphaTransformer is deprecated")


def test_a_function_can_be_deprecated() -> None:
    def old() -> int:
        deprecated("old", "new", gone_in="9.0")
        return 1

    with pytest.warns(DeprecationWarning, match=r"^old is deprecated and goes in fama_fast 9\.0: use new$") as caught:
        assert old() == 1
    assert caught[0].filename == __file__


def test_what_is_deprecated_is_gone_when_it_said() -> None:
    """Fails when the version comes in which a name goes: remove it then, and its line in docs/api.md."""

    def number(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    for path in (ROOT / "fama_fast").rglob("*.py"):
        for version in re.findall(r'gone_in="([\d.]+)"', path.read_text(encoding="utf-8")):
            assert number(ff.__version__) < number(version), path
