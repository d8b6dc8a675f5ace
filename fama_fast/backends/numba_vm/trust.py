"""Whether a folder is the user's alone, so that code may be loaded from it.

Compiled kernels are pickles: whoever can write one can run anything in the process that reads it. The rule is that of
ssh for its keys: the folder belongs to the user, nobody else may write it, and nobody but the user and the
administrator can put another one in its place.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def stranger(folder: Path) -> str | None:
    """Why others may change what lies in a folder, as half a sentence, or None where only the user can.

    Windows keeps no such bits, and a user's folders there are closed to others by default: None.

    Raises:
        OSError: the folder or one of its parents is not there or cannot be looked at.
    """
    if not hasattr(os, "geteuid"):
        return None
    user = os.geteuid()
    resolved = folder.resolve(strict=True)
    about = resolved.stat()
    if about.st_uid != user:
        return f"{resolved} belongs to another user (number {about.st_uid})"
    if about.st_mode & _OTHERS:
        return f"others may write in {resolved} (mode {stat.S_IMODE(about.st_mode):o})"
    # In a container the administrator's folders may bear another number: that of the root folder.
    trusted = {user, 0, os.stat("/").st_uid}  # noqa: PTH116  (no path of ours)
    for parent in resolved.parents:
        about = parent.stat()
        if about.st_uid not in trusted:
            return f"{parent} belongs to another user (number {about.st_uid})"
        if about.st_mode & _OTHERS and not about.st_mode & stat.S_ISVTX and not _only_the_users_group(about, user):
            return f"others may write in {parent} (mode {stat.S_IMODE(about.st_mode):o})"
    return None


def _only_the_users_group(about: os.stat_result, user: int) -> bool:
    """Whether a folder is open to its group alone, and that group is the user's own, as many systems make one for
    everybody: of the user's name, without other members."""
    if about.st_mode & stat.S_IWOTH:
        return False
    import grp
    import pwd

    try:
        person, group = pwd.getpwuid(user), grp.getgrgid(about.st_gid)
    except KeyError:
        return False
    return group.gr_gid == person.pw_gid and group.gr_name == person.pw_name and set(group.gr_mem) <= {person.pw_name}


def own_file(about: os.stat_result) -> bool:
    """Whether an open file is a regular one of the user's that nobody else may write."""
    if not stat.S_ISREG(about.st_mode):
        return False
    return not hasattr(os, "geteuid") or (about.st_uid == os.geteuid() and not about.st_mode & _OTHERS)
