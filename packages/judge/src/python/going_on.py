"""
Rewrites tests so that they go on after a failure: what a candidate is asked never depends on whether it was right.

Statements that raise are recorded and followed by the next one; operands of `and`, `or` and chained comparisons in
an assertion are all evaluated, and so is what `all` and `any` are given. What Python would not have evaluated is
surplus: nothing that it does counts. What may catch an exception of the tests, the body of a `try` with handlers or
of a `with`, stays as it is, and so do functions, unless a statement that goes on is a call of one.
"""

import ast
import copy
import gc
import itertools
import operator
import sys

RECORDER = "__recorder__"
MOST_SURPLUS = 10_000  # items of `all` and `any` beyond which none is taken once their value is known
DEEPEST = 8  # levels of blocks in a function that are rewritten: Python allows 20, and each becomes two
FRAME_NAMES = {"locals", "eval", "exec", "vars", "dir", "super"}  # mean another thing in a lambda
MOVED = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)  # likewise
# What changes what tests hold is no surplus where they may pass all the same: calls of these names, of any object.
CHANGING = {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "next", "pop", "popitem", "popleft"}
CHANGING |= {"read", "readline", "remove", "reverse", "send", "setattr", "setdefault", "sort", "update", "write"}
OPERATORS = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda item, items: item in items,
    "NotIn": lambda item, items: item not in items,
}


class Recorder:
    """What rewritten tests call, by the name RECORDER. failed() is told of every exception while it is handled."""

    Exception = Exception
    AssertionError = AssertionError

    def __init__(self, failed, surplus, silent):
        """`surplus` and `silent` are context managers: within, failures do not count; the candidate is not asked."""
        self.failed = failed
        self._surplus = surplus
        self._silent = silent
        self._twins = {}

    def _evaluate(self, thunks):
        """Evaluates what Python would not have: for the sake of those who are asked."""
        for thunk in thunks:
            with self._surplus():
                thunk()

    def operands(self, is_and, *thunks):
        """`a and b and …`, or with `or`."""
        rest = iter(thunks)
        try:
            for thunk in rest:
                value = thunk()
                if bool(value) is not is_and:
                    break
            return value
        finally:
            self._evaluate(rest)

    def compare(self, names, first, *thunks):
        """`a < b <= …` by the names of its operators."""
        rest = iter(thunks)
        try:
            left = first()
            for name, thunk in zip(names, rest):
                right = thunk()
                value = OPERATORS[name](left, right)
                if not value:
                    break
                left = right
            return value
        finally:
            self._evaluate(rest)

    def consume(self, function, iterable, source=()):
        """
        `all` or `any` of an iterable whose items are all taken; another function of that name as it is, and `any`
        of what comes from an iterator that tests may go on to use.
        """
        if function is not all and (function is not any or hasattr(source, "__next__")):
            return function(iterable)
        taken = itertools.count()
        items = (item for item, _ in zip(iterable, taken))
        value = function(items)
        self._evaluate([lambda: [None for _ in zip(range(next(taken), MOST_SURPLUS), items)]])
        return value

    def message(self, thunk):
        """An assertion's message, or none where it would have to be asked for."""
        with self._silent():
            return thunk()
        return ""

    def twin(self, function):
        """Keeps a function that goes on, until `pair` is told whose twin it is."""
        self._twins[None] = function

    def pair(self, function):
        going_on = self._twins.pop(None)
        going_on.__defaults__, going_on.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
        self._twins[id(function)] = function, going_on

    def called(self, function):
        """The twin of a function that a statement calls."""
        return self._twins.get(id(function), (None, function))[1]


def rewritten(code):
    """The tests' code, as a module that calls a Recorder. Throws SyntaxError."""
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(20 * usual)
    gc.disable()  # it would look at each of a million nodes many times
    try:
        tree = ast.parse(code, "tests.py")
        tree.body = _block(tree.body)
        return compile(tree, "tests.py", "exec", dont_inherit=True)
    finally:
        gc.enable()
        sys.setrecursionlimit(usual)


def _make(kind, at, *fields):
    """A node at the place of another."""
    made = kind(*fields)
    return ast.copy_location(made, at)


def _name(name, at):
    return _make(ast.Name, at, name, ast.Load())


def _recorder(name, at, *args):
    """A call of the recorder's method."""
    return _make(ast.Call, at, _member(name, at), list(args), [])


def _member(name, at):
    return _make(ast.Attribute, at, _name(RECORDER, at), name, ast.Load())


def _walk(node, closed=()):
    """A node and its parts, not those of `closed` kinds; no constants, of which tests may have a million."""
    parts = [node]
    while parts:
        part = parts.pop()
        yield part
        if isinstance(part, closed):
            continue
        for name in part._fields:
            value = getattr(part, name)
            for item in value if type(value) is list else (value,):
                if type(item) is not ast.Constant and isinstance(item, ast.AST):
                    parts.append(item)


# What follows makes new statements and leaves the tests' own as they are: functions are kept beside their twins.


def _block(body, guard="Exception", level=0):
    if level == DEEPEST:
        return body
    return [_statement(node, guard, level) for node in body]


def _statement(node, guard, level):
    """What stands for a statement; `guard` names what of its exceptions it survives."""
    if isinstance(node, (ast.Global, ast.Nonlocal, ast.Pass, ast.Break, ast.Continue)):
        return node
    if isinstance(node, ast.ImportFrom) and node.module == "__future__":
        return node
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return node
    if isinstance(node, ast.FunctionDef) and not node.decorator_list and not _yields(node):
        return _survived(_twins(node), node, guard)
    node = copy.copy(node)
    if isinstance(node, ast.Assert):
        node.test = _exhaustive(node.test, _can_move)
        if node.msg and not isinstance(node.msg, ast.Constant) and _can_move(node.msg):
            node.msg = _recorder("message", node.msg, _thunk(node.msg))
    elif isinstance(node, (ast.Expr, ast.Assign, ast.Return)) and node.value:
        node.value = _exhaustive(node.value, _is_claim)
    elif isinstance(node, ast.If):
        node.test = _exhaustive(node.test, _is_claim)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name):
        node.value = copy.copy(node.value)
        node.value.func = _recorder("called", node, node.value.func)
    _rewrite_blocks(node, guard, level + 1)
    return _survived([node], node, "Exception" if isinstance(node, ast.Assert) else guard)


def _rewrite_blocks(node, guard, level):
    """Rewrites the blocks of a statement that no exception's handler is around."""
    if isinstance(node, (ast.If, ast.For)):
        node.body, node.orelse = _block(node.body, guard, level), _block(node.orelse, guard, level)
    elif isinstance(node, ast.While):
        # A step that failed may be the one that would have ended the loop.
        node.body, node.orelse = _block(node.body, "AssertionError", level), _block(node.orelse, guard, level)
    elif isinstance(node, ast.Try):
        node.orelse, node.finalbody = _block(node.orelse, guard, level), _block(node.finalbody, guard, level)
        if not node.handlers:
            node.body = _block(node.body, guard, level)
        node.handlers = [_with_block(handler, guard, level) for handler in node.handlers]
    elif isinstance(node, ast.Match):
        node.cases = [_with_block(case, guard, level) for case in node.cases]


def _with_block(node, guard, level):
    node = copy.copy(node)
    node.body = _block(node.body, guard, level)
    return node


def _twins(kept):
    """The function, and one that goes on for statements that call it: of the same name, scope and defaults."""
    twin = copy.copy(kept)
    twin.args = copy.deepcopy(kept.args)
    for argument in ast.walk(twin.args):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    twin.returns = None
    nothing = _make(ast.Constant, kept, None)
    twin.args.defaults = [nothing for _ in kept.args.defaults]
    twin.args.kw_defaults = [default and nothing for default in kept.args.kw_defaults]
    twin.body = _block(kept.body)
    calls = [_make(ast.Expr, kept, _recorder(name, kept, _name(kept.name, kept))) for name in ("twin", "pair")]
    return [twin, calls[0], kept, calls[1]]


def _survived(body, at, guard):
    """The statements, and what is done with their exceptions. After a `return` that raised comes nothing."""
    after = [_make(ast.Expr, at, _recorder("failed", at))]
    if isinstance(at, ast.Return):
        after.append(_make(ast.Return, at, None))
    handler = _make(ast.ExceptHandler, at, _member(guard, at), None, after)
    return _make(ast.Try, at, body, [handler], [], [])


SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def _yields(function):
    """Whether a function is a generator: not by what is defined in it."""
    parts = (part for statement in function.body for part in _walk(statement, SCOPES))
    return any(isinstance(part, (ast.Yield, ast.YieldFrom)) for part in parts)


def _can_move(node):
    """Whether an expression means the same in a lambda."""
    return not any(
        isinstance(part, MOVED) or isinstance(part, ast.Name) and part.id in FRAME_NAMES for part in _walk(node)
    )


def _is_claim(node):
    """Whether it compares, and does nothing else: what would not be evaluated may be."""
    if isinstance(node, ast.BoolOp):
        return all(map(_is_claim, node.values))
    if isinstance(node, ast.UnaryOp):
        return _is_claim(node.operand)
    return (isinstance(node, ast.Compare) or _is_all(node)) and _can_move(node) and not _changes(node)


def _changes(node):
    """Whether a call of its may change what the tests hold, by its name."""
    functions = (part.func for part in _walk(node) if isinstance(part, ast.Call))
    return any(getattr(function, "attr", getattr(function, "id", None)) in CHANGING for function in functions)


def _is_all(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("all", "any")


def _thunk(node):
    nothing = ast.arguments(posonlyargs=[], args=[], kwonlyargs=[], kw_defaults=[], defaults=[])
    return _make(ast.Lambda, node, nothing, node)


def _exhaustive(node, may):
    """The expression as _Exhaustive makes it; itself where that is the same."""
    if any(
        isinstance(part, ast.BoolOp) or isinstance(part, ast.Compare) and len(part.ops) > 1 or _is_all(part)
        for part in _walk(node)
    ):
        return _Exhaustive(may).visit(copy.deepcopy(node))
    return node


class _Exhaustive(ast.NodeTransformer):
    """Has all operands evaluated whatever their values are, where `may` says so, and all items of `all` and `any`."""

    def __init__(self, may):
        self._may = may

    def visit_Lambda(self, node):
        return node

    def visit_Call(self, node):
        self.generic_visit(node)
        if not _is_all(node) or node.keywords or len(node.args) != 1 or isinstance(node.args[0], ast.Starred):
            return node
        [items] = node.args
        source = items.generators[0].iter if isinstance(items, ast.GeneratorExp) else items
        return _recorder("consume", node, node.func, items, *[source] * isinstance(source, ast.Name))

    def visit_BoolOp(self, node):
        may = self._may(node) and not (isinstance(node.op, ast.Or) and _changes(node))
        self.generic_visit(node)
        if not may:
            return node
        is_and = _make(ast.Constant, node, isinstance(node.op, ast.And))
        return _recorder("operands", node, is_and, *map(_thunk, node.values))

    def visit_Compare(self, node):
        may = len(node.ops) > 1 and self._may(node)
        self.generic_visit(node)
        if not may:
            return node
        names = [_make(ast.Constant, node, type(op).__name__) for op in node.ops]
        operands = map(_thunk, [node.left, *node.comparators])
        return _recorder("compare", node, _make(ast.Tuple, node, names, ast.Load()), *operands)
