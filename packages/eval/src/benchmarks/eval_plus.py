"""
The tests of EvalPlus (Liu et al. 2023): on each input a candidate must agree with the canonical solution, which runs here,
beside the tests. Runs in a namespace of its own, so that no name of a candidate's stands for one of these.
"""

import copy
import json
import math
import reprlib

RTOL = 1e-7
ATOL_OF_FLOATS = 1e-6  # where a row gives none

# JSON has no tuples: which lists of a task's arguments are some. A path goes from the arguments down; * is any part.
TUPLES_OF_MBPP = {
    "*": (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
    "*.*": (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    "0.*": (75, 413, 444, 722, 753),
    "0": (250, 307, 405, 446, 617, 720, 763, 808),
    "1": (106, 750),
    "*.* *": (259, 401, 445),
    "0.* 0": (278,),
}
OTHERS_OF_MBPP = {
    115: lambda sets: [[set(items) if type(items) is list and items else {} for items in sets]],
    124: lambda number, point: [float(number), complex(point)],
    252: lambda number: [complex(number)],
    **dict.fromkeys((580, 615, 791), lambda *args: [tuples_throughout(arg) for arg in args]),
}


def restored(task, args):
    """The arguments of a task of MBPP's as they were before JSON."""
    if task in OTHERS_OF_MBPP:
        return OTHERS_OF_MBPP[task](*args)
    for paths, tasks in TUPLES_OF_MBPP.items():
        if task in tasks:
            for path in paths.split():
                args = with_tuples(args, path.split("."))
    return args


def with_tuples(value, path):
    """The value with the lists that the path leads to as tuples."""
    if not path:
        return tuple(value) if type(value) is list else value
    head, *rest = path
    if type(value) is dict:
        return {key: with_tuples(part, rest) for key, part in value.items()}
    if type(value) not in (list, tuple):
        return value
    return [with_tuples(part, rest) if head in ("*", str(i)) else part for i, part in enumerate(value)]


def tuples_throughout(value):
    return tuple(map(tuples_throughout, value)) if type(value) is list else value


def is_floats(value):
    return type(value) is float or type(value) in (list, tuple) and value and all(type(x) is float for x in value)


def shape(value):
    """The lengths of a number, or of lists of numbers as regular as an array; None for anything else."""
    if isinstance(value, (int, float, complex)):
        return ()
    shapes = {shape(part) for part in value} if isinstance(value, (list, tuple)) else {None}
    inner = shapes.pop() if len(shapes) == 1 else None if shapes else ()
    return None if inner is None else (len(value), *inner)


def is_close(value, expected, atol):
    """|value − expected| ≤ atol + 1e-7 · |expected|, at each place of two of one shape."""
    if isinstance(expected, (list, tuple)):
        return all(is_close(*pair, atol) for pair in zip(value, expected))
    return value == expected or abs(value - expected) <= atol + RTOL * abs(expected) < math.inf


def surface_of_pyramid(edge, height):
    return round(edge**2 + 2 * edge * math.hypot(edge / 2, height))


def distance_of_digits(first, second):
    width = max(len(str(first)), len(str(second)))
    pairs = zip(str(first).zfill(width), str(second).zfill(width))
    return sum(abs(int(one) - int(other)) for one, other in pairs)


def polynomial(coefficients, x):
    return sum(factor * math.pow(x, i) for i, factor in enumerate(coefficients))


def equal_as_sets(test, value):
    return set(value) == set(test.expected)


def both_not_none(test, value):
    return value == (test.expected is not None) if isinstance(value, bool) else (value is None) is (test.expected is None)


# Where a task has several right answers: whether a value is one that need not be the canonical solution's.
ANSWERS_OF_MBPP = {
    "are_equivalent": lambda test, value: True,
    "sum_div": lambda test, value: value == test.expected or value == 0,
    "surface_Area": lambda test, value: (
        value == test.expected or abs(value - surface_of_pyramid(*test.args)) <= test.atol
    ),
    "digit_distance_nums": lambda test, value: value == test.expected or value == distance_of_digits(*test.args),
    **dict.fromkeys(
        (
            *("similar_elements", "find_char_long", "common_in_nested_lists", "extract_singly", "larg_nnum"),
            *("intersection_array", "find_dissimilar", "Diff"),
        ),
        equal_as_sets,
    ),
    **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), both_not_none),
}


class Test:
    """One input. Called with the candidate's function, says whether that agrees with the canonical solution."""

    expected = None

    def __init__(self, row, reference, args, place):
        self.name, self.atol, self.is_mbpp = row["entry_point"], row["atol"], row["task_id"].startswith("Mbpp/")
        self.reference, self.args, self.place = reference, args, place

    def __call__(self, candidate):
        self.expected = self.reference(*copy.deepcopy(self.args))
        value = candidate(*copy.deepcopy(self.args))
        try:
            return self.accepts(value)
        except (ArithmeticError, TypeError, ValueError):
            return False  # is nothing that could be compared: a text for a number, a number too large

    def accepts(self, value):
        if not self.is_mbpp and self.name == "find_zero":
            return abs(polynomial(*self.args, value)) <= self.atol
        accept = ANSWERS_OF_MBPP.get(self.name) if self.is_mbpp else None
        if accept(self, value) if accept else value == self.expected:
            return True
        atol = self.atol or (ATOL_OF_FLOATS if is_floats(self.expected) else 0)
        if atol == 0 or type(value) is not type(self.expected) or shape(value) is None:
            return False
        return shape(value) == shape(self.expected) and is_close(value, self.expected, atol)

    def __str__(self):
        return f"{self.place}: {self.name}({', '.join(map(shown, self.args))}) must give {shown(self.expected)}"


def shown(value):
    try:
        return reprlib.repr(value)
    except ValueError:
        return "a number too long to print"


def tests(row_as_json, key):
    """The tests of a row's `base_input` or `plus_input`."""
    row = json.loads(row_as_json)
    scope = {"__name__": "reference"}
    exec(row["prompt"] + row["canonical_solution"], scope)
    set_name, _, number = row["task_id"].partition("/")
    for i, args in enumerate(row[key]):
        args = restored(int(number), args) if set_name == "Mbpp" else args
        yield Test(row, scope[row["entry_point"]], args, f"{key}[{i}]")
