"""Looks at a box from inside and prints what is not as it must be, as JSON: a list of sentences."""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys

FILE_BYTES, PROCESSES, NAMESPACES = map(json.loads, sys.argv[1:])
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
    need(fails(mmap.mmap, -1, 4096), "anonymous shared memory can be made")
    with open("/dev/zero", "r+b", 0) as zero:
        need(fails(mmap.mmap, zero.fileno(), 4096), "/dev/zero can be mapped")
    library = ctypes.CDLL(None, use_errno=True)
    new_user_namespace, attach, nobody = 0x10000000, 16, 0
    need(library.unshare(new_user_namespace) != 0, "user namespaces can be made")
    library.ptrace(attach, nobody, None, None)
    need(ctypes.get_errno() == errno.EPERM, "ptrace works")


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


for look in (identity, files, namespaces, system_calls, processes):
    look()
print(json.dumps(wrong))
