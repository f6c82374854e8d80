"""All kinds of faults, and how often each is drawn."""

import errno

from campaigns.fault import Kind
from campaigns.fault_disk import (
    full_disk,
    in_the_middle,
    lose,
    read_only,
    refused,
    short_files,
    shrink,
    vanish,
)
from campaigns.fault_process import (
    clock,
    environment,
    few_files,
    no_directory,
    no_processes,
    no_threads,
    stream,
    umask,
)

DISK = errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS
READS = errno.EIO, errno.EACCES, errno.ENOENT, errno.EMFILE, errno.ESTALE
FAULTS = [
    Kind("write refused", 6, refused("write", DISK)),
    Kind("read refused", 4, refused("read", READS)),
    Kind("short files", 3, short_files),
    Kind("full disk", 4, full_disk),
    Kind("vanishes", 3, in_the_middle(vanish)),
    Kind("permission lost", 3, in_the_middle(lose)),
    Kind("data change", 3, in_the_middle(shrink)),
    Kind("read-only", 1, read_only),
    Kind("stream", 3, stream),
    Kind("few files", 2, few_files),
    Kind("no threads", 1, no_threads),
    Kind("no processes", 1, no_processes),
    Kind("clock set back", 1, clock),
    Kind("umask", 1, umask),
    Kind("no directory", 1, no_directory),
    Kind("environment", 1.5, environment),
]
