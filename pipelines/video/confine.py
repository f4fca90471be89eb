"""Confinement of a process that decodes: no file, no network, no program, no other process.

By a seccomp filter (Linux, seccomp(2)), for all threads at once: what a decoder needs of the system
is allowed, by name, and all else fails. So it works on descriptors that it holds already, which is
why everything must have been loaded before, and uploads come as open descriptors.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterator

# System calls by their numbers on x86_64 and aarch64 (there may be none): linux/unistd.h.
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "select": (23, None),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "shutdown": (48, 210),
    "getsockname": (51, 204),
    "getsockopt": (55, 209),
    "exit": (60, 93),
    "uname": (63, 160),
    "fcntl": (72, 25),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "gettid": (186, 178),
    "time": (201, None),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "set_tid_address": (218, 96),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "epoll_wait": (232, None),
    "epoll_ctl": (233, 21),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "epoll_pwait": (281, 22),
    "preadv": (295, 69),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}
# Those that programs try and that are told why: EACCES. All others do not exist for it: ENOSYS, on
# which the C library falls back to older ones (clone3 to clone).
_DENIED = {
    "open": (2, None),
    "stat": (4, None),
    "lstat": (6, None),
    "access": (21, None),
    "socket": (41, 198),
    "connect": (42, 203),
    "accept": (43, 202),
    "bind": (49, 200),
    "listen": (50, 201),
    "socketpair": (53, 199),
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "kill": (62, 129),
    "getdents64": (217, 61),
    "mkdir": (83, None),
    "unlink": (87, None),
    "readlink": (89, None),
    "ptrace": (101, 117),
    "openat": (257, 56),
    "unlinkat": (263, 35),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "accept4": (288, 242),
    "execveat": (322, 281),
    "openat2": (437, 437),
    "faccessat2": (439, 439),
}
# Allowed for some arguments: threads but no processes, what a descriptor is, its own threads alone.
_CLONE, _NEWFSTATAT, _PRLIMIT, _TGKILL = (56, 220), (262, 79), (302, 261), (234, 131)
_CLONE_THREAD, _AT_EMPTY_PATH = 0x00010000, 0x1000

_MACHINES = {
    "x86_64": (0, 0xC000003E, 317),
    "aarch64": (1, 0xC00000B7, 277),
}  # column, arch, seccomp
_X32 = 0x40000000  # numbers of x86_64's other ABI begin here

_PR_SET_NO_NEW_PRIVS, _SET_MODE_FILTER, _TSYNC = 38, 1, 1
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
# Classic BPF: load a word of seccomp_data; jump if equal, if greater or equal, if any bit; return.
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16


def confine() -> str:
    """Confines this process, all its threads and what they start -> why that cannot be, or "".

    There is no way back. Memory limits are not part of it.
    """
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES or sys.byteorder != "little":
        return f"{sys.platform} on {machine} is none of the systems that this is made for"
    column, arch, seccomp = _MACHINES[machine]
    program = b"".join(_program(column, arch, os.getpid()))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return f"no_new_privs is refused ({os.strerror(ctypes.get_errno())})"
    code = ctypes.create_string_buffer(program, len(program))
    filter_ = _Program(len(program) // 8, ctypes.addressof(code))
    failed = libc.syscall(seccomp, _SET_MODE_FILTER, _TSYNC, ctypes.byref(filter_))
    if failed:
        why = os.strerror(ctypes.get_errno()) if failed < 0 else f"thread {failed} has another one"
        return f"the system takes no seccomp filter ({why})"
    return ""


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _program(column: int, arch: int, pid: int) -> Iterator[bytes]:
    """The instructions, struct sock_filter each."""

    def do(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, value)

    def argument(number: int) -> bytes:
        return do(_LOAD, _ARGUMENTS_AT + 8 * number)  # its lower word

    denied = do(_RETURN, _ERRNO | errno.EACCES)
    yield do(_LOAD, _ARCH_AT)
    yield do(_JEQ, arch, yes=1)
    yield do(_RETURN, _KILL)
    yield do(_LOAD, _NUMBER_AT)
    if column == 0:
        yield do(_JGE, _X32, no=1)
        yield do(_RETURN, _ERRNO | errno.ENOSYS)
    for calls, answer in ((_ALLOWED, do(_RETURN, _ALLOW)), (_DENIED, denied)):
        for numbers in calls.values():
            if (number := numbers[column]) is not None:
                yield do(_JEQ, number, no=1)
                yield answer
    for numbers, at, jump, value in (
        (_CLONE, 0, _JSET, _CLONE_THREAD),
        (_NEWFSTATAT, 3, _JSET, _AT_EMPTY_PATH),  # of a descriptor
        (_TGKILL, 0, _JEQ, pid),  # abort()
    ):
        yield do(_JEQ, numbers[column], no=4)
        yield argument(at)
        yield do(jump, value, no=1)
        yield do(_RETURN, _ALLOW)
        yield denied
    # Limits may be read, not set: root could raise them. The new ones are a pointer, of two words.
    yield do(_JEQ, _PRLIMIT[column], no=6)
    yield argument(2)
    yield do(_JEQ, 0, no=3)
    yield do(_LOAD, _ARGUMENTS_AT + 8 * 2 + 4)
    yield do(_JEQ, 0, no=1)
    yield do(_RETURN, _ALLOW)
    yield denied
    yield do(_RETURN, _ERRNO | errno.ENOSYS)
