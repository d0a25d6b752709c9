"""The system calls that untrusted code may not make, as a filter in the kernel's own small language.

Berkeley packet filters on `struct seccomp_data`: man 2 seccomp, and Documentation/userspace-api/seccomp_filter.rst of
the Linux kernel. The numbers of the calls are those of asm/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the table, AUDIT_ARCH
FORBIDDEN = {  # name: (number on x86_64, on aarch64), None where there is no such call
    # the network, and sockets of any kind
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    # other processes: their memory, their files, signals to them
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "process_madvise": (440, 440), "kill": (62, 129),
    "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140), "kcmp": (312, 272), "setpgid": (109, 154), "setsid": (112, 157),
    # new processes and other programs; threads are let through below
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    # other views of the system
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    # what Landlock does not watch: rights, owners, times, attributes and nodes of files
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "mknod": (133, None), "mknodat": (259, 33), "flock": (73, 32),
    # memory that outlives its maker, and the kernel's own machinery
    "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "syslog": (103, 116),
}  # fmt: skip
TO_OTHERS = {  # allowed where the first argument, a process, is 0: oneself
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274),
}  # fmt: skip
WITH_VALUE = (  # forbidden where an argument, counted from 0, has one of these values
    ((157, 167), 0, (1, 4)),  # prctl: whether to die with the parent, and who may look into the memory
    ((72, 25), 1, (8, 10, 15)),  # fcntl: F_SETOWN, F_SETSIG, F_SETOWN_EX, which make the kernel send signals
    ((16, 29), 1, (0x5412, 0x8901, 0x8902)),  # ioctl: TIOCSTI, which types for others; FIOSETOWN, SIOCSPGRP
)
CLONE, CLONE3 = (56, 220), (435, 435)
CLONE_THREAD = 0x10000

_LOAD, _EQUAL, _AT_LEAST, _HAS_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
_UNKNOWN = 0x00050000 | errno.ENOSYS  # said of clone3, whose flags a filter cannot see: the C library then takes clone


def filter_program(machine: str) -> bytes:
    """The filter for a machine as platform.machine() names it. Raises KeyError where its numbers are not known."""
    column, audit = ARCHITECTURES[machine]
    program = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, audit), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if machine == "x86_64":  # the same calls by the numbers of the x32 interface
        program += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)]
    for numbers in FORBIDDEN.values():
        if (number := numbers[column]) is not None:
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    program += [(_EQUAL, 0, 1, CLONE3[column]), (_RETURN, 0, 0, _UNKNOWN)]
    program += _if_call(CLONE[column], 0, [(_HAS_BIT, 1, 0, CLONE_THREAD), (_RETURN, 0, 0, _REFUSE)])
    for numbers in TO_OTHERS.values():
        program += _if_call(numbers[column], 0, [(_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _REFUSE)])
    for numbers, argument, values in WITH_VALUE:
        refusals = [step for value in values for step in ((_EQUAL, 0, 1, value), (_RETURN, 0, 0, _REFUSE))]
        program += _if_call(numbers[column], argument, refusals)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *step) for step in program)


def _if_call(number: int | None, argument: int, steps: list[tuple]) -> list[tuple]:
    """On one call, look at the low half of an argument instead; whatever passes the steps is allowed."""
    inner = [(_LOAD, 0, 0, 16 + 8 * argument), *steps, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(inner), number), *inner]


def available() -> bool:
    """Whether this system takes such filters."""
    if platform.system() != "Linux" or platform.machine() not in ARCHITECTURES:
        return False
    return ctypes.CDLL(None).prctl(21, 0, 0, 0, 0) >= 0  # PR_GET_SECCOMP


def install(program: bytes) -> None:
    """Put the calling thread, and all that it will start, under the filter. Needs no_new_privs. Raises OSError."""
    held = ctypes.create_string_buffer(program, len(program))
    described = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, ctypes.c_char_p(described), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp refuses the filter")
