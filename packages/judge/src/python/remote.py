"""What stands in the tests for objects of the candidate, and what the tests do to them: it is asked for there."""

from flex_codec import Reference

KINDS = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "VAR_POSITIONAL", "KEYWORD_ONLY", "VAR_KEYWORD")


class Remote(Reference):
    """An object that stays in the candidate's process, where what is done to it here happens."""

    __slots__ = ("_ask", "_refuse")

    def __init__(self, kind, number, ask, refuse):
        """refuse(detail) makes the check fail, and goes on."""
        for name, value in (("_kind", kind), ("_number", number), ("_ask", ask), ("_refuse", refuse)):
            object.__setattr__(self, name, value)

    def __call__(self, *args, **kwargs):
        return self._ask("call", self, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__") and name not in ("__name__", "__doc__"):
            raise AttributeError(name)
        return self._ask("get", self, name)

    def __setattr__(self, name, value):
        self._ask("set", self, name, value)

    # What the object itself would answer is asked of it where the question tells nothing of what tests expect.
    def __bool__(self):
        return self._ask("bool", self) is True

    def __len__(self):
        return self._ask("len", self)

    def __iter__(self):
        return iter(self._ask("iter", self))

    def __getitem__(self, key):
        return self._ask("item", self, key)

    def __str__(self):
        return self._ask("str", self)

    def __repr__(self):
        return self._ask("repr", self)

    def __eq__(self, other):
        """By identity, unless the object compares in a way of its own: that is its word, and the tests'."""
        if isinstance(other, Remote):
            return other._number == self._number or self._ask("eq", self, other) is True
        # The candidate is not even told: it would learn how far a comparison of lists came.
        if other is not None and self._kind == b"=":
            self._refuse("whether an object with an __eq__ of its own equals a value of the tests")
        return False

    def __hash__(self):
        return self._ask("hash", self)

    @property
    def __signature__(self):
        return signature(self._ask("signature", self))

    def __enter__(self):
        return self._ask("enter", self)

    def __exit__(self, kind, error, trace):
        """An exception of the candidate's may be swallowed by it; what the tests raise it is not told of."""
        raised = getattr(error, "reference", None)
        if error is not None and raised is None:
            self._refuse("an exception of the tests to a context manager of the candidate")
        return self._ask("exit", self, raised) is True


class RemoteIterator(Remote):
    """An iterator that stays in the candidate's process; may be endless. Items come in growing batches."""

    __slots__ = ("_items", "_taken")
    SINGLE = 32  # items that are asked for one by one: what comes after the last one wanted may never end
    MOST = 256

    def __init__(self, kind, number, ask, refuse):
        super().__init__(kind, number, ask, refuse)
        for name, value in (("_items", iter(())), ("_taken", 0)):
            object.__setattr__(self, name, value)

    def __iter__(self):
        return self

    def __next__(self):
        for item in self._items:
            return item
        batch = 1 if self._taken < self.SINGLE else min(self._taken, self.MOST)
        items = self._ask("next", self, batch)
        if type(items) is not list or len(items) > batch:
            items = []
        object.__setattr__(self, "_taken", self._taken + len(items))
        object.__setattr__(self, "_items", iter(items))
        for item in self._items:
            return item
        raise StopIteration

    def __bool__(self):
        return True

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__
    __len__ = __getitem__ = None

    def send(self, value):
        return self._ask("call", self._ask("get", self, "send"), (value,), {})

    def close(self):
        return self._ask("call", self._ask("get", self, "close"), (), {})


class EntryPoint:
    """The candidate's function of a name, `f` or `Class.f`; looked for when it is called."""

    def __init__(self, name, ask):
        self.__dict__.update(_name=name, _ask=ask)

    def __call__(self, *args, **kwargs):
        return self._ask("call", self._name, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__") and name not in ("__name__", "__qualname__"):
            raise AttributeError(name)
        return self._ask("get", self._name, name)

    @property
    def __doc__(self):
        return self._ask("get", self._name, "__doc__")

    @property
    def __signature__(self):
        return signature(self._ask("signature", self._name))


def signature(parameters):
    """inspect.Signature of [name, index of KINDS, has a default, default, annotation] a parameter."""
    from inspect import Parameter, Signature

    kinds = [getattr(Parameter, kind) for kind in KINDS]
    made = []
    for name, kind, has_default, default, annotation in parameters:
        given = {"default": default} if has_default else {}
        if annotation is not None:
            given["annotation"] = annotation
        made.append(Parameter(name, kinds[kind], **given))
    return Signature(made)


async def awaited(remote, ask):
    """A coroutine of the candidate, which runs there as a whole when it is waited for."""
    return ask("await", remote)
