"""Looks at a box from inside and prints what is not as it must be, as JSON: a list of sentences."""

import ctypes
import errno
import json
import os
import pwd
import socket
import sys

FILE_BYTES, PROCESSES, NAMESPACES, PROCESSORS, HIDDEN = map(json.loads, sys.argv[1:])
DEVICES = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "pts", "console")}
# Some of them are set by the shell that starts it.
VARIABLES = {"PATH", "LANG", "LC_CTYPE", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}
wrong = []


def need(condition, sentence):
    if not condition:
        wrong.append(sentence)


def fails(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return True
    return False


def is_closed_or_null(fd):
    try:
        return os.fstat(fd).st_rdev == os.stat("/dev/null").st_rdev
    except OSError:
        return True


def status():
    with open("/proc/self/status") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def identity():
    is_now = status()
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        need(int(is_now[name], 16) == 0, f"it has capabilities ({name})")
    need(is_now["NoNewPrivs"] == "1", "no_new_privs is not set")
    need(is_now["Seccomp"] == "2", "no system call filter is set")


def files():
    with open("/proc/self/mountinfo") as lines:
        for fields in map(str.split, lines):
            where, options = fields[4], fields[5].split(",")
            bounded = where in ("/tmp", "/dev/shm")
            need("ro" in options or bounded or where in DEVICES, f"{where} is writable")
    for path in ("/tmp", "/dev/shm"):
        volume = os.statvfs(path)
        need(volume.f_blocks * volume.f_frsize <= FILE_BYTES, f"{path} is not bounded")
    for path in ("/", "/usr", "/dev", "/etc", "/proc"):
        need(fails(open, f"{path}/flex-probe", "w"), f"{path} is writable")
    for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"):
        need(fails(open, path, "w"), f"{path} can be opened for writing")
    need(os.environ.keys() <= VARIABLES, "the environment is not empty")
    for fd in map(int, os.listdir("/proc/self/fd")):
        need(fd <= 2 or is_closed_or_null(fd), f"it holds an open file of the harness ({fd})")


def namespaces():
    for kind, outside in NAMESPACES.items():
        need(os.readlink(f"/proc/self/ns/{kind}") != outside, f"it shares the machine's {kind} namespace")
    need(os.readlink("/proc/self") == str(os.getpid()), "/proc shows processes of another namespace")


def system_calls():
    for name, family in (("AF_INET", 2), ("AF_INET6", 10), ("AF_NETLINK", 16), ("AF_VSOCK", 40)):
        need(fails(socket.socket, family, socket.SOCK_DGRAM), f"{name} sockets can be made")
    need(not fails(socket.socket, socket.AF_UNIX), "AF_UNIX sockets cannot be made")
    need(fails(os.memfd_create, "probe"), "memfd_create works")
    library = ctypes.CDLL(None, use_errno=True)

    def refuses(call, *arguments):
        ctypes.set_errno(0)
        call(*arguments)
        return ctypes.get_errno() == errno.EPERM

    new_user_namespace, attach, nobody = 0x10000000, 16, 0
    need(library.unshare(new_user_namespace) != 0, "user namespaces can be made")
    need(refuses(library.ptrace, attach, nobody, None, None), "ptrace works")
    need(refuses(library.inotify_init1, 0), "opens of files can be watched")
    need(refuses(library.mincore, None, 0, None), "mincore works")
    need(refuses(library.sched_setaffinity, 0, 0, None), "it can choose its processors")
    for name in ("vmsplice", "splice", "tee"):
        need(refuses(getattr(library, name), -1, None, 0, None, 0, 0), f"{name} works")
    private, anonymous, huge = 2, 0x20, 0x40000
    mapped = refuses(library.mmap, None, 2**21, 0, private | anonymous | huge, -1, 0)
    need(mapped, "huge pages of the machine can be mapped")
    set_filter, futex_hash, set_slots = 22, 78, 1
    need(refuses(library.prctl, set_filter, 2, None), "filters can be set, which nobody counts")
    need(refuses(library.prctl, futex_hash, set_slots, 16, 0), "futex tables can be of any size")
    # No file is open as -1, so that these fail where they are made.
    need(library.posix_fadvise(-1, 0, 0, 0) == 0, "fadvise works")
    need(library.readahead(-1, 0, 0) == 0, "readahead works")
    need(library.flock(-1, 0) == 0, "flock works")
    set_lock, open_file_set_lock, lease, write_hint = 6, 37, 1024, 1035
    for command in (set_lock, open_file_set_lock):
        need(library.fcntl(-1, command, None) == 0, "locks of files can be held")
    for command in (lease, write_hint):
        need(refuses(library.fcntl, -1, command, None), "leases or hints of files can be set")
    without_waiting = 8
    library.preadv2(-1, None, 0, 0, without_waiting)
    need(ctypes.get_errno() == errno.EOPNOTSUPP, "preadv2 takes flags")
    one, other = socket.socketpair()
    before = one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * before)
    need(one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == before, "socket buffers can be resized")
    last_change = os.stat("/dev/null").st_mtime_ns
    fails(os.utime, "/dev/null")
    need(os.stat("/dev/null").st_mtime_ns == last_change, "the times of devices can be changed")


def view():
    for path in HIDDEN:
        seen = os.listdir(path) if os.path.isdir(path) else os.path.exists(path) and not fails(open, path)
        need(not seen, f"{path} is seen")
    need(fails(os.openpty), "terminals can be made")
    need(os.cpu_count() == PROCESSORS, "it sees how many processors the machine has")
    try:
        need(pwd.getpwuid(os.getuid()).pw_dir == "/tmp", "its user has another home than /tmp")
    except KeyError:
        wrong.append("its user has no name")


def processes():
    children = []
    try:
        while len(children) <= PROCESSES:
            child = os.fork()
            if child == 0:
                os.read(0, 1)
                os._exit(0)
            children.append(child)
        wrong.append(f"more than {PROCESSES} processes can be made")
    except OSError:
        pass
    for child in children:
        os.kill(child, 9)
        os.waitpid(child, 0)


for look in (identity, files, namespaces, system_calls, view, processes):
    look()
print(json.dumps(wrong))
