"""
Runs in a box of its own: for each check a fork executes the tests, whose calls the candidate's box answers.

Frames to the harness: C a call; D the result, as JSON; X the status a fork ended with, after which comes the
next check. Back, to a call: V a value, U an unknown name, C a value that cannot cross, E an exception, A nobody.
"""

import builtins
import json
import os
import random
import sys

from flex_codec import CannotCross, Remote, decode, encode


LONGEST = 1000  # characters of an exception's name and text


class CandidateStopped(BaseException):
    """The candidate ended the program, or is gone: not what tests mean by `except Exception`."""


class CannotGoOn(BaseException):
    """What no test may take for an exception of the candidate: the check has failed, whatever catches this."""

    failure = None  # the first one's, as check gives it

    def __init__(self, failure, detail):
        CannotGoOn.failure = CannotGoOn.failure or [failure, detail]


def broken_protocol(detail):
    return CannotGoOn("protocol", f"sent {detail}")


def cannot_cross(detail):
    return CannotGoOn("exception", f"a value cannot cross to the tests: {detail}")


class CandidateError(Exception):
    """An exception of a class that only the candidate has."""


def read_exactly(size):
    parts = b""
    while len(parts) < size:
        part = os.read(0, size - len(parts))
        if not part:
            os._exit(0)
        parts += part
    return parts


def read_frame():
    return read_exactly(int.from_bytes(read_exactly(4), "big"))


def write_frame(content):
    data = len(content).to_bytes(4, "big") + content
    while data:
        data = data[os.write(CHANNEL, data) :]


def no_references(value):
    raise CannotCross(f"a {type(value).__name__} of the tests is not plain data")


def ask(operation, target, *rest):
    """Sends a request and gives the value of its reply; raises what the candidate raised."""
    try:
        request = encode((operation, target, *rest), no_references)
    except CannotCross as error:
        raise cannot_cross(error) from None
    write_frame(b"C" + request)
    reply = read_frame()
    kind, content = reply[:1], reply[1:]
    if kind == b"V":
        return received(content)
    if kind == b"U":
        raise NameError(f"name {target!r} is not defined")
    if kind == b"C":
        raise cannot_cross(content[:LONGEST].decode("utf-8", "replace"))
    if kind == b"E":
        raise remote_error(received(content))
    if kind == b"A":
        raise CannotGoOn("exited", "ended before the tests did")
    raise broken_protocol("a reply of no known kind")


def received(content):
    try:
        return decode(content, resolve)
    except CannotCross as error:
        raise broken_protocol(error) from None


def resolve(reference):
    return Remote(reference, ask)


def remote_error(value):
    """The candidate's exception: a builtin, or a class made for it that inherits from the same builtins."""
    if type(value) is not tuple or [type(part) for part in value] != [str, str, list, list]:
        raise broken_protocol("an exception without name, text, kinds and arguments")
    name, text, kinds, args = value
    name, text = name[:LONGEST], text[:LONGEST]
    known = [getattr(builtins, kind, None) for kind in kinds if type(kind) is str]
    kind = next((kind for kind in known if isinstance(kind, type) and issubclass(kind, BaseException)), Exception)
    if not issubclass(kind, Exception):
        return CandidateStopped(f"{name}: {text}")
    try:
        error = kind(*args) if kind.__name__ == name else type(name, (kind,), {"__str__": lambda _: text})(*args)
    except (TypeError, ValueError):
        error = CandidateError(f"{name}: {text}")
    error.candidate = f"{name}: {text}"
    return error


class Globals(dict):
    """
    The tests' globals: a name they leave undefined is a builtin, or the candidate's. Where the candidate has a
    name of the standard library's modules, the tests get the module itself, whatever the candidate made of it.
    """

    def __missing__(self, name):
        if hasattr(builtins, name):
            return getattr(builtins, name)
        meaning = ask("name", name)
        if type(meaning) is not tuple or len(meaning) != 2:
            raise broken_protocol("a name without a meaning")
        kind, value = meaning
        if name in sys.stdlib_module_names:
            value = __import__(name)
        elif kind == "module":
            raise cannot_cross(f"the candidate's module {value} as {name}")
        self[name] = value
        return value


def entry_point(name):
    return lambda *args, **kwargs: ask("call", name, args, kwargs)


def compiled_setup(setup):
    """The setup's code. A prompt that ends before the body it opens gets an empty one; what is cut short is left out."""
    lines = setup.split("\n")
    for end in range(len(lines), 0, -1):
        head = "\n".join(lines[:end]).rstrip()
        last = head.split("\n")[-1]
        indent = last[: len(last) - len(last.lstrip())]
        for ending in ("\n", " pass\n", f"\n{indent}pass\n"):
            try:
                return compile(head + ending, "setup.py", "exec", dont_inherit=True)
            except SyntaxError:
                pass
    return compile("", "setup.py", "exec")


def check(setup, code, entry_points):
    """Runs the tests; gives None, or [failure, detail]."""
    random.seed(0)
    scope = Globals(__name__="tests", __builtins__=builtins)
    try:
        exec(compiled_setup(setup), scope)
        for name in entry_points:
            scope[name.rpartition(".")[2]] = entry_point(name)
        exec(compile(code, "tests.py", "exec", dont_inherit=True), scope)
    except CandidateStopped as error:
        return CannotGoOn.failure or ["exited", str(error)]
    except BaseException as error:
        failure = describe(error, code)  # which may ask the candidate
        return CannotGoOn.failure or failure
    return CannotGoOn.failure


def describe(error, code):
    """Tells a failed assertion of the tests from an exception of the candidate or of the tests."""
    candidate = getattr(error, "candidate", None)
    if candidate is not None:
        return ["memory" if isinstance(error, MemoryError) else "exception", candidate]
    if isinstance(error, AssertionError):
        return ["assertion", text_of(error) or failed_line(error, code)]
    return ["exception", f"{type(error).__name__}: {text_of(error)}"]


def text_of(error):
    """The exception's text, unless it holds a number too long to print."""
    try:
        return str(error)[:300]
    except BaseException as no_text:
        return f"{type(no_text).__name__}: {no_text}"[:300]


def failed_line(error, code):
    """The line of the tests that failed."""
    line = ""
    trace = error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "tests.py":
            line = code.split("\n")[trace.tb_lineno - 1].strip()
        trace = trace.tb_next
    return line[:300]


def answer(frame):
    request = json.loads(frame)
    # What tests print is nobody's concern, however much of it a candidate makes them print.
    nowhere = os.open("/dev/null", os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    failure = check(request["setup"], request["code"], request["entryPoints"])
    if failure:
        failure[1] = failure[1][:LONGEST]
    write_frame(b"D" + json.dumps(failure).encode())


CHANNEL = os.dup(1)
os.dup2(2, 1)
while True:
    frame = read_frame()
    child = os.fork()
    if child == 0:
        answer(frame)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    write_frame(b"X" + str(status).encode())
