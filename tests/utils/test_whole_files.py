"""Files that appear as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from diffgmm.utils.files import replacing, replacing_folder, write_text


@pytest.mark.parametrize("make", [replacing, replacing_folder])
@pytest.mark.parametrize("fails", [False, True])
def test_a_name_holds_the_old_contents_until_the_new_ones_are_whole(
    tmp_path: Path, make: Callable[[Path], AbstractContextManager[Path]], fails: bool
) -> None:
    path, folder = tmp_path / "x", make is replacing_folder

    def content(where: Path) -> str:
        return (where / "a" if folder else where).read_text()

    def write(where: Path, text: str) -> None:
        (where / "a" if folder else where).write_text(text)

    if folder:
        path.mkdir()
    write(path, "old")
    with pytest.raises(ArithmeticError) if fails else nullcontext(), make(path) as part:
        write(part, "new")
        assert content(path) == "old" and part.parent == tmp_path
        if fails:
            raise ArithmeticError
    assert content(path) == ("old" if fails else "new")
    assert {file.name for file in tmp_path.iterdir()} == {"x"}


def test_a_text_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "x", "\udcff")
    assert (tmp_path / "x").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
