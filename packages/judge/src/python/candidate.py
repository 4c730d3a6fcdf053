"""Runs in the candidate's box: loads its program, then answers calls. What it says is never believed."""

import builtins
import posix
import sys
from _sitebuiltins import Quitter

from flex_codec import LAST_ERROR, MAX_BYTES, CannotCross, decode, encode


def _take_channel():
    """Moves the channel away from the standard streams: input is empty, output goes to standard error."""
    requests, replies = posix.dup(0), posix.dup(1)
    posix.dup2(posix.open("/dev/null", posix.O_RDONLY), 0)
    posix.dup2(2, 1)
    return requests, replies


_REQUESTS, _REPLIES = _take_channel()
_objects = [None]  # by number; at LAST_ERROR the exception that was raised last
_numbers = {}


def _read(size):
    data = b""
    while len(data) < size:
        part = posix.read(_REQUESTS, size - len(data))
        if not part:
            posix._exit(0)
        data += part
    return data


def _reply(token, kind, content=b""):
    data = token + kind + content
    data = len(data).to_bytes(4, "big") + data
    while data:
        data = data[posix.write(_REPLIES, data) :]


def _refer(value):
    """A number for an object that stays here; the same one for the same object."""
    number = _numbers.setdefault(id(value), len(_objects))
    if number == len(_objects):
        _objects.append(value)
    return number


def _resolve(kind, number):
    return number if kind == b"Y" else _objects[number]


def _describe(error):
    """The name of the exception's class and its text, which its own methods may make or fail to make; bounded."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    return type(error).__name__[:1000], text[:1000]


def _report(error):
    """An exception as a value: its class, the name of that, its text, and its arguments if they cross."""
    _objects[LAST_ERROR] = error
    head = type(error), *_describe(error)
    try:
        return _encode((*head, list(BaseException.args.__get__(error))))
    except CannotCross:
        return _encode((*head, [head[-1]]))


class _Source:
    """Shows the program to those who look for its text, such as `inspect`: it is in no file."""

    def __init__(self, text):
        self._text = text

    def get_source(self, name):
        return self._text


_MOST_OF_ITEMS = 2**18  # bytes of items that are taken at once
_raised_later = {}  # by the iterator's id: what it raised after the first items of a batch


def _next(iterator, count):
    """The next items, at most so many: fewer where they are large, none where the iterator has ended."""
    if id(iterator) in _raised_later:
        raise _raised_later.pop(id(iterator))
    items = []
    size = 0
    while len(items) < count and size < _MOST_OF_ITEMS:
        try:
            items.append(next(iterator))
            size += sys.getsizeof(items[-1])
        except StopIteration:
            break
        except BaseException as error:
            if not items:
                raise
            _raised_later[id(iterator)] = error
            break
    return items


def _await(coroutine):
    import asyncio

    return asyncio.run(coroutine)


def _exit(manager, error):
    return bool(type(manager).__exit__(manager, error and type(error), error, error and error.__traceback__))


def _signature(function):
    import inspect

    empty = inspect.Parameter.empty
    plain = lambda note: note if type(note) in (type, str) else None
    return [
        (
            parameter.name,
            int(parameter.kind),
            parameter.default is not empty,
            None if parameter.default is empty else parameter.default,
            None if parameter.annotation is empty else plain(parameter.annotation),
        )
        for parameter in inspect.signature(function).parameters.values()
    ]


_OPERATIONS = {
    "get": getattr,
    "set": setattr,
    "bool": bool,
    "len": len,
    "iter": lambda value: [*value],
    "item": lambda value, key: value[key],
    "str": str,
    "repr": repr,
    "hash": hash,
    "eq": lambda value, other: bool(value == other),
    "next": _next,
    "await": _await,
    "enter": lambda manager: type(manager).__enter__(manager),
    "exit": _exit,
    "signature": _signature,
}


def _load(source, module):
    source = source.removeprefix("\ufeff")
    module.__loader__ = _Source(source)
    try:
        code = compile(source, "candidate.py", "exec", dont_inherit=True)
    except Exception as error:
        return b"S", "{}: {}".format(*_describe(error)).encode("utf-8", "replace")
    try:
        exec(code, module.__dict__)
    except BaseException as error:
        return b"E", "\n".join(_describe(error)).encode("utf-8", "replace")
    return b"L", b""


class _Unknown(Exception):
    """The candidate has no global of this name."""


def _find(name, module):
    """A global of the candidate, or for `Class.method` the method of a new object."""
    owner, _, method = name.partition(".")
    if owner not in module.__dict__:
        raise _Unknown
    value = module.__dict__[owner]
    return getattr(value(), method) if method else value


def _perform(module, operation, target, *rest):
    """What a request asks for: a global's meaning, a call, an attribute, or to set one."""
    value = _find(target, module) if type(target) is str else target
    if operation == "name":
        return ("module", value.__name__) if type(value) is type(sys) else ("value", value)
    if operation in _OPERATIONS:
        return _OPERATIONS[operation](value, *rest)
    args, kwargs = rest
    return value(*args, **kwargs)


def _encode(value):
    return encode(value, _refer, keeps_iterators=True)


def _answer(request, module):
    """The reply to a request; where the tests want what it prints, after the length of that and that."""
    wants_output, *request = decode(request, _resolve)
    if not wants_output:
        return _reply_to(request, module)
    from contextlib import redirect_stdout
    from io import StringIO

    output = StringIO()
    with redirect_stdout(output):
        reply = _reply_to(request, module)
    printed = output.getvalue().encode("utf-8", "surrogatepass")
    if len(printed) + len(reply) > MAX_BYTES:
        printed, reply = b"", b"C" + f"more than {MAX_BYTES} bytes, printed ones among them".encode()
    return b"W" + len(printed).to_bytes(4, "big") + printed + reply


def _reply_to(request, module):
    """A value, an exception, an unknown name, or that the value cannot cross."""
    try:
        return b"V" + _encode(_perform(module, *request))
    except CannotCross as error:
        return b"C" + str(error).encode()
    except _Unknown:
        return b"U"
    except BaseException as error:
        return b"E" + _report(error)


def _serve():
    for name in ("exit", "quit"):  # as `site` gives them, which is slow to start
        setattr(builtins, name, Quitter(name, "Ctrl-D"))
    module = type(sys)("candidate")
    sys.modules["candidate"] = module
    while True:
        frame = _read(int.from_bytes(_read(4), "big"))
        token, kind, content = frame[:8], frame[8:9], frame[9:]
        if kind == b"P":
            _reply(token, *_load(content.decode("utf-8", "surrogatepass"), module))
        else:
            _reply(token, _answer(content, module))


_serve()
