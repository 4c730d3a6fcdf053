"""Values as bytes: plain data only, each a tag and its content. Both sides of a call run this file."""

import builtins

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 200
MAX_ITEMS = 10**6
MAX_ROW_TYPES = 1000
LAST_ERROR = 0  # the number of the exception that the candidate raised last
MAX_MEMORY = 256 * 2**20  # bytes that a value may take where it is built, as _charge reckons them


class CannotCross(Exception):
    """A value that is not plain data, or too much of it, or bytes that are no value."""


class Reference:
    """Base of what stands for an object of the candidate's process: its kind, as _kind_of, and its number."""

    __slots__ = ("_kind", "_number")


def encode(value, refer, keeps_iterators=False):
    """
    The bytes of a value. refer(object) → int names what is not plain data, or raises CannotCross. Iterators are
    among that where they are kept, and else plain data: their items are taken.
    """
    out = _Output()
    out.keeps_iterators = keeps_iterators
    _encode(value, out, refer, 0)
    return bytes(out)


def decode(data, resolve):
    """
    The value of bytes that anyone may have made. resolve(kind, number) gives what a reference stands for, of the
    kinds that _kind_of gives; resolve(b"x", [number, name, bases]) an exception's class; resolve(b"Y", class) what
    is taken for a builtin one.
    """
    value, end = _decode(data, 0, resolve, 0, [MAX_MEMORY])
    if end != len(data):
        raise CannotCross("bytes after the value")
    return value


class _Output(bytearray):
    """Bytes, what is left of the memory that their value may take, and whether iterators are referred to."""

    memory = MAX_MEMORY
    keeps_iterators = False


# Bytes of an empty container, upper bounds for CPython; those of the standard library's Python classes come last.
_EMPTY = {**dict.fromkeys(b"LU", 64), **dict.fromkeys(b"EZMd", 256)}
_EMPTY_ELSE = 768
_BYTES_OF_ITEM = 64


def _charge(left, tag, count):
    """What is left of the memory after a container of so many items; so one can tell before it is built."""
    left -= _EMPTY.get(tag[0], _EMPTY_ELSE) + _BYTES_OF_ITEM * count
    if left < 0:
        raise CannotCross(f"a value of more than {MAX_MEMORY} bytes of memory")
    return left


def _sized(tag, content):
    return tag + len(content).to_bytes(4, "big") + content


def _integer(value):
    return _sized(b"I", int.to_bytes(value, int.bit_length(value) // 8 + 1, "big", signed=True))


def _items(tag, iterator, out, refer, depth):
    """A tag, the number of items, the items."""
    start = len(out)
    out += tag + b"\0\0\0\0"
    count = 0
    for item in iterator:
        _encode(item, out, refer, depth + 1)
        count += 1
        if count > MAX_ITEMS:
            raise CannotCross(f"more than {MAX_ITEMS} items")
    out[start + 1 : start + 5] = count.to_bytes(4, "big")
    out.memory = _charge(out.memory, tag, count)


def _pairs(mapping):
    for pair in dict.items(mapping):
        yield from pair


def _defaults_and_pairs(mapping):
    yield mapping.default_factory
    yield from _pairs(mapping)


def _names_and_fields(row):
    yield type(row).__name__
    yield type(row)._fields
    yield from tuple.__iter__(row)


def _plain(tag, content):
    """A rule for a value without parts: its bytes by content(value)."""
    return lambda value, out, refer, depth: out.extend(_sized(tag, content(value)))


def _parts(tag, iterate):
    """A rule for a value with parts."""
    return lambda value, out, refer, depth: _items(tag, iterate(value), out, refer, depth)


_float = lambda value: float.hex(value).encode()
_RULES = {
    type(None): lambda value, out, refer, depth: out.extend(b"N"),
    bool: lambda value, out, refer, depth: out.extend(b"T" if value else b"F"),
    type(...): lambda value, out, refer, depth: out.extend(b"."),
    int: lambda value, out, refer, depth: out.extend(_integer(value)),
    float: _plain(b"D", _float),
    complex: _plain(b"J", lambda value: _float(value.real) + b" " + _float(value.imag)),
    str: _plain(b"S", lambda value: str.encode(value, "utf-8", "surrogatepass")),
    bytes: _plain(b"B", bytes),
    bytearray: _plain(b"A", bytes),
    list: _parts(b"L", list.__iter__),
    tuple: _parts(b"U", tuple.__iter__),
    set: _parts(b"E", set.__iter__),
    frozenset: _parts(b"Z", frozenset.__iter__),
    dict: _parts(b"M", _pairs),
    memoryview: _plain(b"B", bytes),
    range: _parts(b"R", lambda value: iter((value.start, value.stop, value.step))),
    type({}.keys()): _parts(b"K", iter),
    type({}.values()): _parts(b"V", iter),
    type({}.items()): _parts(b"P", iter),
}


def _made(module, name, *parts):
    """A rule for a value of the standard library: the module, the class, and what its class is called with."""
    head = _sized(b"S", module.encode()) + _sized(b"S", name.encode())

    def rule(value, out, refer, depth):
        out.extend(b"O" + (2 + len(parts)).to_bytes(4, "big") + head)
        out.memory = _charge(out.memory, b"O", 2 + len(parts))
        for part in parts:
            _encode(part(value), out, refer, depth + 1)

    return rule


def _fields(*names):
    return [lambda value, name=name: getattr(value, name) for name in names]


_DAY, _TIME = ("year", "month", "day"), ("hour", "minute", "second", "microsecond")
_OF_MODULES = {
    "datetime": {
        "datetime": _made("datetime", "datetime", *_fields(*_DAY, *_TIME, "tzinfo")),
        "date": _made("datetime", "date", *_fields(*_DAY)),
        "time": _made("datetime", "time", *_fields(*_TIME, "tzinfo")),
        "timezone": _made("datetime", "timezone", lambda value: value.utcoffset(None)),
        "timedelta": _made("datetime", "timedelta", *_fields("days", "seconds", "microseconds")),
    },
    "decimal": {"Decimal": _made("decimal", "Decimal", str)},
    "fractions": {"Fraction": _made("fractions", "Fraction", *_fields("numerator", "denominator"))},
    "array": {"array": _made("array", "array", *_fields("typecode"), lambda value: value.tolist())},
    "collections": {
        "UserList": _made("collections", "UserList", *_fields("data")),
        "UserDict": _made("collections", "UserDict", *_fields("data")),
        "UserString": _made("collections", "UserString", *_fields("data")),
        "ChainMap": _made("collections", "ChainMap", dict),
    },
    "types": {"MappingProxyType": _made("types", "MappingProxyType", dict)},
}


def _rule_of(kind):
    """
    By the first class a value inherits from, so that a subclass crosses as what it really holds. Subclasses of the
    classes of _OF_MODULES stay where they are, with their methods.
    """
    import sys

    for name, rules in _OF_MODULES.items():
        if kind.__name__ in rules and getattr(sys.modules.get(name), kind.__name__, None) is kind:
            return rules[kind.__name__]
    collections = sys.modules.get("collections")
    named = {}
    if collections:
        named = {
            collections.Counter: _parts(b"c", _pairs),
            collections.OrderedDict: _parts(b"o", _pairs),
            collections.deque: _parts(b"q", collections.deque.__iter__),
            collections.defaultdict: _parts(b"d", _defaults_and_pairs),
        }
        if issubclass(kind, tuple) and type(getattr(kind, "_fields", None)) is tuple:
            return _parts(b"n", _names_and_fields)
    for base in kind.__mro__:
        rule = named.get(base) or _RULES.get(base)
        if rule:
            return rule
    return None


def _kind_of(kind):
    """What tests must know of an object that stays where it is, by its class: how it is told from others."""
    if kind.__name__ == "coroutine" and kind.__module__ == "builtins":
        return b"w"
    if hasattr(kind, "__next__"):
        return b"i"
    return b"o" if kind.__eq__ is object.__eq__ else b"="


def _encode(value, out, refer, depth):
    if depth > MAX_DEPTH:
        raise CannotCross(f"more than {MAX_DEPTH} levels deep")
    kind = type(value)
    rule = _RULES.get(kind) or _rule_of(kind)
    if rule:
        rule(value, out, refer, depth)
    elif issubclass(kind, Reference):
        out.extend(b"X" + Reference._kind.__get__(value) + _integer(Reference._number.__get__(value)))
    elif kind is type and getattr(builtins, value.__name__, None) is value:
        out.extend(_sized(b"Y", value.__name__.encode()))
    elif issubclass(kind, type) and issubclass(value, Exception):
        bases = [base for base in value.__bases__ if issubclass(base, Exception)]
        _items(b"x", iter([refer(value), value.__name__, bases]), out, refer, depth)
    elif hasattr(kind, "__next__") and not out.keeps_iterators:
        _items(b"i", value, out, refer, depth)
    else:
        out.extend(b"X" + _kind_of(kind) + _integer(refer(value)))
    if len(out) > MAX_BYTES:
        raise CannotCross(f"more than {MAX_BYTES} bytes")


def _collected(name):
    def build(*items):
        import collections

        return getattr(collections, name)(*items)

    return build


def _standard(items):
    """An object of one of the classes that rules make, whatever else the bytes may name."""
    module, name, *parts = items
    if type(module) is not str or type(name) is not str or name not in _OF_MODULES.get(module, ()):
        raise ValueError("no class that crosses")
    return getattr(__import__(module), name)(*parts)


_row_types = {}


def _row(items):
    """A namedtuple, of a class of its own for each name and fields."""
    name, fields, *values = items
    if type(name) is not str or type(fields) is not tuple or len(fields) != len(values):
        raise ValueError("no named tuple")
    if (name, fields) not in _row_types:
        import collections

        if len(_row_types) >= MAX_ROW_TYPES or not all(type(field) is str for field in fields):
            raise ValueError(f"a class of named tuples too many: {MAX_ROW_TYPES} are allowed")
        _row_types[name, fields] = collections.namedtuple(name, fields)
    return tuple.__new__(_row_types[name, fields], values)


def _default_dict(items):
    if items[0] is not None and not callable(items[0]):
        raise ValueError("no function of defaults")
    return _collected("defaultdict")(items[0], zip(items[1::2], items[2::2]))


def _dict(items):
    return dict(zip(items[::2], items[1::2]))


_BUILD = {
    b"L": list,
    b"U": tuple,
    b"E": set,
    b"Z": frozenset,
    b"M": _dict,
    b"R": lambda items: range(*items),
    b"K": lambda items: dict.fromkeys(items).keys(),
    b"V": lambda items: dict(enumerate(items)).values(),
    b"P": lambda items: dict(items).items(),
    b"c": lambda items: _collected("Counter")(_dict(items)),
    b"o": lambda items: _collected("OrderedDict")(zip(items[::2], items[1::2])),
    b"q": _collected("deque"),
    b"d": _default_dict,
    b"i": iter,
    b"n": _row,
    b"O": _standard,
}


def _complex(content):
    real, imaginary = content.split(b" ")
    return complex(float.fromhex(real.decode()), float.fromhex(imaginary.decode()))


def _builtin_type(content):
    value = getattr(builtins, content.decode(), None)
    if type(value) is not type:
        raise ValueError("no builtin type")
    return value


_READ = {
    b"Y": _builtin_type,
    b"I": lambda content: int.from_bytes(content, "big", signed=True),
    b"D": lambda content: float.fromhex(content.decode()),
    b"J": _complex,
    b"S": lambda content: content.decode("utf-8", "surrogatepass"),
    b"B": bytes,
    b"A": bytearray,
}
_CONSTANTS = {b"N": None, b"T": True, b"F": False, b".": ...}


def _decode(data, at, resolve, depth, memory):
    """The value that starts at `at`, and where it ends; memory[0] is what is left of it."""
    if depth > MAX_DEPTH:
        raise CannotCross(f"more than {MAX_DEPTH} levels deep")
    tag = data[at : at + 1]
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], at + 1
    if tag == b"X":
        number, end = _decode(data, at + 2, resolve, depth + 1, memory)
        if type(number) is not int:
            raise CannotCross("bytes that are no value: a reference is a number")
        return resolve(data[at + 1 : at + 2], number), end
    size = int.from_bytes(data[at + 1 : at + 5], "big")
    at += 5
    if tag in _READ and at + size <= len(data):
        value = _read(_READ[tag], data[at : at + size])
        return resolve(tag, value) if tag == b"Y" else value, at + size
    if tag != b"x" and tag not in _BUILD or size > 2 * MAX_ITEMS + 1 or at + size > len(data):
        raise CannotCross("bytes that are no value")
    memory[0] = _charge(memory[0], tag, size)
    items = []
    for _ in range(size):
        item, at = _decode(data, at, resolve, depth + 1, memory)
        items.append(item)
    if tag == b"x":
        return resolve(b"x", items), at
    return _read(_BUILD[tag], items), at


def _read(build, content):
    try:
        return build(content)
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        raise CannotCross(f"bytes that are no value: {error}") from None
