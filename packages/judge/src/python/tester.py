"""
Runs in a box of its own: for each check a fork executes the tests, whose calls the candidate's box answers.

Frames to the harness: C a call; F the check's first failure, as JSON, once; D the tests have run; X the status a fork
ended with, after which comes the next check. Back, to a call: V a value, U an unknown name, C a value that cannot
cross, E an exception, W what was printed and one of these, A nobody.
"""

import builtins
import contextlib
import json
import os
import random
import sys

from flex_codec import LAST_ERROR, CannotCross, decode, encode
from going_on import RECORDER, Recorder, rewritten
from remote import EntryPoint, Remote, RemoteIterator, awaited

LONGEST = 1000  # characters of an exception's name and text
MEMORY_STATUS = 77  # with which a fork ends that has no memory left, not even to say so
CATCH_ASSERTIONS = (BaseException, Exception, AssertionError)


class CandidateStopped(BaseException):
    """The candidate ended the program: not what tests mean by `except Exception`."""


class CannotGoOn(BaseException):
    """What no test may take for an exception of the candidate: the check has failed, whatever catches this."""


class Refused(CannotGoOn):
    """A value that cannot cross."""


class Silenced(BaseException):
    """The candidate was to be asked what only those ask whose tests have failed."""


class State:
    """Of the check that runs in this fork."""

    failed = False
    surplus = 0  # contexts entered in which failures do not count
    silent = 0  # and in which the candidate is not asked


def fail(failure, detail):
    """Reports the check's first failure."""
    if State.failed or State.surplus:
        return
    State.failed = True
    write_frame(b"F" + json.dumps([failure, detail[:LONGEST]]).encode())


def broken_protocol(detail):
    State.surplus = 0
    fail("protocol", f"sent {detail}")
    return CannotGoOn()


def refuse(detail):
    fail("exception", f"a value cannot cross to the tests: {detail}")
    return Refused()


@contextlib.contextmanager
def surplus():
    State.surplus += 1
    try:
        yield
    except (Exception, CandidateStopped, Refused):
        pass
    finally:
        State.surplus = max(0, State.surplus - 1)


@contextlib.contextmanager
def silent():
    State.silent += 1
    try:
        yield
    except Silenced:
        pass
    finally:
        State.silent -= 1


def read_exactly(size):
    data = bytearray(size)
    view = memoryview(data)
    filled = 0
    while filled < size:
        count = os.readv(0, [view[filled:]])
        if count == 0:
            os._exit(0)
        filled += count
    return bytes(data)


def read_frame():
    return read_exactly(int.from_bytes(read_exactly(4), "big"))


def read_reply():
    """A reply, all of it: the rest of one would be taken for the next, or for a check, by the one after this."""
    try:
        return read_frame()
    except MemoryError:
        os._exit(MEMORY_STATUS)
    except BaseException as error:
        State.surplus = 0
        fail("exception", f"{type(error).__name__} while the candidate was asked")
        os._exit(1)


def write_frame(content):
    data = len(content).to_bytes(4, "big") + content
    while data:
        data = data[os.write(CHANNEL, data) :]


def no_references(value):
    raise CannotCross(f"a {type(value).__name__} of the tests is not plain data")


def ask(operation, target, *rest):
    """Sends a request and gives the value of its reply; raises what the candidate raised."""
    if State.silent:
        raise Silenced
    wants_output = sys.stdout is not STDOUT
    try:
        request = encode((wants_output, operation, target, *rest), no_references)
    except CannotCross as error:
        raise refuse(error) from None
    write_frame(b"C" + request)
    reply = read_reply()
    if wants_output and reply[:1] == b"W":
        end = 5 + int.from_bytes(reply[1:5], "big")
        sys.stdout.write(reply[5:end].decode("utf-8", "replace"))
        reply = reply[end:]
    kind, content = reply[:1], reply[1:]
    if kind == b"V":
        return received(content, resolve)
    if kind == b"U":
        raise NameError(f"name {target!r} is not defined")
    if kind == b"C":
        raise refuse(content[:LONGEST].decode("utf-8", "replace"))
    if kind == b"E":
        raise remote_error(received(content, resolve_raised))
    if kind == b"A":
        fail("exited", "ended before the tests did")
        raise CannotGoOn
    raise broken_protocol("a reply of no known kind")


def received(content, resolver):
    try:
        return decode(content, resolver)
    except CannotCross as error:
        raise broken_protocol(error) from None


def resolve(kind, content):
    """What stands in the tests for an object of the candidate, or for the class of an exception."""
    if kind == b"x":
        return error_class(*content)
    if kind == b"Y":
        if content in CATCH_ASSERTIONS:
            raise refuse(f"the class {content.__name__}, by which tests would catch what they raise themselves")
        return content
    if kind == b"i":
        return RemoteIterator(kind, content, ask, refuse)
    remote = Remote(kind, content, ask, refuse)
    return awaited(remote, ask) if kind == b"w" else remote


def resolve_raised(kind, content):
    return content if kind == b"Y" else resolve(kind, content)


error_classes = {}  # by the number of the candidate's class


def error_class(number, name, bases):
    """The class that stands for an exception's class of the candidate: of the same name and bases."""
    if [type(part) for part in (number, name, bases)] != [int, str, list]:
        raise CannotCross("bytes that are no value: a class of an exception")
    if number not in error_classes:
        try:
            error_classes[number] = type(name[:LONGEST], (*bases,), {"__str__": text_of_candidate})
        except (TypeError, ValueError):
            raise CannotCross("bytes that are no value: a class of an exception") from None
    return error_classes[number]


def text_of_candidate(error):
    return getattr(error, "text", None) or Exception.__str__(error)


def remote_error(value):
    """The candidate's exception, of a builtin class or of one that stands for its own."""
    if type(value) is not tuple or [type(part) for part in value[1:]] != [str, str, list]:
        raise broken_protocol("an exception without class, name, text and arguments")
    kind, name, text, args = value
    described = f"{name[:LONGEST]}: {text[:LONGEST]}"
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return CandidateStopped(described)
    try:
        error = kind(*args)
    except (TypeError, ValueError):
        error = kind.__new__(kind)
    error.candidate, error.text = described, text[:LONGEST]
    error.reference = Remote(b"o", LAST_ERROR, ask, refuse)
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
            raise refuse(f"the candidate's module {value} as {name}")
        self[name] = value
        return value


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
    """Runs the tests, all of them; the first failure is reported at once."""
    random.seed(0)
    scope = Globals(__name__="__main__", __builtins__=builtins)
    recorder = Recorder(lambda: report(sys.exc_info()[1], code), surplus, silent)
    try:
        exec(compiled_setup(setup), scope)
        for name in entry_points:
            scope[name.rpartition(".")[2]] = EntryPoint(name, ask)
        scope[RECORDER] = recorder
        exec(rewritten(code), scope)
    except CandidateStopped as error:
        fail("exited", str(error))
    except CannotGoOn:
        pass  # has been reported
    except BaseException as error:
        report(error, code)


def report(error, code):
    """Reports an exception of the tests, if it is the check's first failure."""
    if isinstance(error, MemoryError) and not hasattr(error, "candidate"):
        os._exit(MEMORY_STATUS)
    if not State.failed:
        with silent():
            failure = describe(error, code)
        fail(*failure)


def describe(error, code):
    """Tells a failed assertion of the tests from an exception of the candidate or of the tests."""
    candidate = getattr(error, "candidate", None)
    if candidate is not None:
        return "memory" if isinstance(error, MemoryError) else "exception", candidate
    if isinstance(error, AssertionError):
        return "assertion", text_of(error) or failed_line(error, code)
    return "exception", f"{type(error).__name__}: {text_of(error)}"


def text_of(error):
    """The exception's text, unless it holds a number too long to print, or must be asked for."""
    try:
        return str(error)[:300]
    except Silenced:
        return ""
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
    check(request["setup"], request["code"], request["entryPoints"])
    write_frame(b"D")


STDOUT = sys.stdout
CHANNEL = os.dup(1)
os.dup2(2, 1)
while True:
    frame = read_frame()
    child = os.fork()
    if child == 0:
        try:
            answer(frame)
        except MemoryError:
            os._exit(MEMORY_STATUS)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    write_frame(b"X%d" % os.waitstatus_to_exitcode(status))
