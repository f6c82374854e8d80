"""A Python that seems to be on Windows or on a Mac, as far as funcnn's own modules can see.

Python imports this when it starts, where the folder is on its path: so it is in every process that
a command starts as well. `FUNCNN_TEST_SYSTEM` says which system. What other packages see stays, for
they have ways of their own there.

- Modules and names that the system lacks are gone, and so are /proc and /sys.
- On Windows a file that is open can be neither replaced nor removed, a folder cannot be opened, a
  name must be one that Windows knows, and lines that go through pandas end as they do there.
- BLAS is one that threadpoolctl does not know, as Apple's Accelerate.
- Text without a named encoding is an error.
"""

import builtins
import os
import re
import sys
import types
import warnings

LACKING_MODULES = {
    "windows": {"curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "termios", "tty"},
    "mac": set(),
}
LACKING_NAMES = {
    "windows": {
        "os": """O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK WNOHANG chown confstr fchmod fchown
            fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority
            getsid getuid initgroups killpg lchown mkfifo mknod nice openpty pathconf posix_fadvise
            posix_fallocate posix_spawn pread preadv pwrite register_at_fork sched_getaffinity
            sched_setaffinity sendfile setpriority setsid statvfs sync sysconf uname wait3 wait4
            waitid""",
        "signal": """SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGTSTP SIGUSR1 SIGUSR2 alarm
            pause pthread_kill pthread_sigmask setitimer sigwait""",
        "socket": "AF_UNIX",
        "time": "clock_gettime tzset",
    },
    "mac": {
        "os": """O_DIRECT O_TMPFILE copy_file_range memfd_create posix_fadvise posix_fallocate
            sched_getaffinity sched_setaffinity""",
    },
}
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])( *\..*)?", re.IGNORECASE)

_system = os.environ.get("FUNCNN_TEST_SYSTEM", "")
_import = builtins.__import__


class _Poorer(types.ModuleType):
    """A module without the names that the system lacks."""

    def __init__(self, module, lacking):
        super().__init__(module.__name__)
        self.__dict__.update(_module=module, _lacking=lacking)

    def __getattr__(self, name):
        if name in self._lacking:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} here")
        return getattr(self._module, name)

    def __setattr__(self, name, value):
        setattr(self._module, name, value)


def _import_here(name, names=None, *rest, **keywords):
    if _is_of_funcnn(names or {}):
        if name.split(".")[0] in LACKING_MODULES[_system]:
            raise ModuleNotFoundError(f"No module named {name!r} here", name=name)
        if name in _poorer:
            return _poorer[name]
        if name in _OTHERWISE[_system]:
            _OTHERWISE[_system].pop(name)()
    return _import(name, names, *rest, **keywords)


def _is_of_funcnn(names):
    return (names.get("__package__") or "").split(".")[0] == "funcnn"  # also of one that is run


def _asks():
    """Whether funcnn asks, and none of the packages that it uses."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _THROUGH:
        frame = frame.f_back
    return frame is not None and _is_of_funcnn(frame.f_globals)


_THROUGH = {"codecs", "contextlib", "gzip", "io", "os", "pathlib", "zipfile", __name__}


def _look(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if not isinstance(path, (str, bytes)):
            return
        path = os.fsdecode(path)
        if re.match("/(proc|sys)/", path) and _asks():
            raise FileNotFoundError(2, "No such file or directory", path)
        if _system == "windows" and _asks():
            if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
                _expect_name(path)
            elif os.path.isdir(path):
                raise PermissionError(13, "Permission denied", path)
    elif _system == "windows" and event in ("os.rename", "os.remove", "os.mkdir") and _asks():
        path = os.fsdecode(arguments[0])
        if event == "os.mkdir":
            _expect_name(path)
            return
        _expect_closed(path)
        if event == "os.rename":
            target = os.fsdecode(arguments[1])
            _expect_name(target)
            _expect_closed(target)


def _expect_name(path):
    given = os.path.relpath(path, _start) if os.path.isabs(path) else path
    for part in given.split("/"):
        if part in ("", ".", ".."):
            continue
        if re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$', part) or RESERVED.fullmatch(part):
            raise OSError(22, "Invalid argument", path)


def _expect_closed(path):
    """As Windows, which says who has a file open by not letting go of it."""
    path = os.path.realpath(path)
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            held = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if held == path or held.startswith(f"{path}/"):
            raise PermissionError(13, "The process cannot access the file", path)


def _forget_blas():
    import threadpoolctl

    controllers = threadpoolctl._ALL_CONTROLLERS
    controllers[:] = [each for each in controllers if each.user_api != "blas"]


def _end_lines_as_there():
    from pandas.io.formats import csvs

    csvs.os = _Poorer(os, set())
    csvs.os.__dict__["linesep"] = "\r\n"


def _tell_peaks_as_there():
    import psutil

    told = psutil.Process.memory_info
    psutil.Process.memory_info = lambda process: types.SimpleNamespace(peak_wset=told(process).rss)


_OTHERWISE = {
    "windows": {"pandas": _end_lines_as_there, "psutil": _tell_peaks_as_there},
    "mac": {"threadpoolctl": _forget_blas},
}
"""What is done to a package that knows the system, before funcnn imports it."""


if _system:
    _start = os.getcwd()
    _poorer = {
        name: _Poorer(_import(name), set(names.split()))
        for name, names in LACKING_NAMES[_system].items()
    }
    builtins.__import__ = _import_here
    sys.addaudithook(_look)
    warnings.filterwarnings("error", category=EncodingWarning, module="funcnn")
