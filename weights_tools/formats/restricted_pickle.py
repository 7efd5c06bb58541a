"""A pickle that can build tensors and nothing else: it is read as data, and nothing is called.

A pickle is a small program for a machine with a stack, and two of its operations call any function
by name. This machine knows only the operations that ``torch.save`` writes for a dictionary of
tensors, and instead of calling a function it notes what the tensor would be. Python's own
``Unpickler`` would not do, however its ``find_class`` is written: BUILD sets attributes of whatever
is on the stack, and one memo index of four bytes makes it reserve gigabytes.

Sources: https://github.com/python/cpython/blob/main/Lib/pickletools.py, and PyTorch's own
https://github.com/pytorch/pytorch/blob/main/torch/_weights_only_unpickler.py
"""

import pickletools
from typing import Any, NamedTuple

MOST_TENSORS = 100_000  # Llama 3.1 405B has 1,138
STORAGES = {
    "torch.DoubleStorage": "F64",
    "torch.FloatStorage": "F32",
    "torch.HalfStorage": "F16",
    "torch.BFloat16Storage": "BF16",
}
TENSOR, PARAMETER, DICTIONARY = (
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "collections.OrderedDict",
)
ALLOWED = {TENSOR, PARAMETER, DICTIONARY, *STORAGES}

LITERALS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
NO_EFFECT = {"PROTO", "FRAME", "STOP"}
NOTHING_RUN = "refused, and nothing was run"


class Refused(ValueError):
    """What a pickle asks for is not needed for tensors."""


class Global(NamedTuple):
    """The name of a function or class. It is never looked up."""

    name: str


class Storage(NamedTuple):
    """A row of numbers in a file of its own; ``count`` is their number."""

    kind: str
    key: str
    count: int


class Tensor(NamedTuple):
    """A view of a storage; offset and strides in numbers, not bytes. Not yet checked."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


def read_pickle(data: bytes) -> dict[str, Tensor]:
    """The tensors of a dictionary that was pickled by ``torch.save``, by name.

    Raises ``ValueError`` for anything else: one that names the function, where the pickle asks for
    one that builds no tensor, whether or not it would have been called.
    """
    machine = Machine()
    try:
        operations = [(op.name, arg) for op, arg, _ in pickletools.genops(data)]
        for name, arg in operations:
            if name in ("GLOBAL", "INST"):
                allowed(arg.replace(" ", ".", 1))
        for name, arg in operations:
            machine.step(name, arg)
        (found,) = machine.stack
    except Refused:
        raise
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its pickle is damaged ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a dictionary of tensors, got {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{name!r} should be a tensor, got {type(value).__name__}")
    return found


def allowed(name: str) -> Global:
    """The name, if it is one of those that tensors need."""
    if name not in ALLOWED:
        raise Refused(
            f"its pickle asks for {name!r}, which no tensor of a Llama needs; {NOTHING_RUN}"
        )
    return Global(name)


class Machine:
    """The stack, the places marked on it, and the memo of what was built before."""

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.tensors = 0

    def step(self, name: str, arg: Any) -> None:
        """One operation; ``Refused`` if it is not among those that tensors need."""
        if name in LITERALS:
            self.stack.append(arg)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.stack.append(self.take(len(self.stack) - TUPLES[name]))
        elif name in NO_EFFECT:
            pass
        elif operation := getattr(self, f"do_{name.lower()}", None):
            operation(arg)
        else:
            raise Refused(f"its pickle uses {name}, which no tensor needs; {NOTHING_RUN}")

    def take(self, start: int) -> tuple:
        """What lies on the stack from ``start`` on, removed from it."""
        if start < 0:
            raise ValueError("nothing left on the stack")
        taken = tuple(self.stack[start:])
        del self.stack[start:]
        return taken

    def do_mark(self, _):
        self.marks.append(len(self.stack))

    def do_tuple(self, _):
        self.stack.append(self.take(self.marks.pop()))

    def do_empty_dict(self, _):
        self.stack.append({})

    def do_binput(self, index):
        self.memo[index] = self.stack[-1]

    def do_memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def do_binget(self, index):
        self.stack.append(self.memo[index])

    do_long_binput, do_long_binget = do_binput, do_binget

    def do_setitem(self, _):
        self.set_items(*self.take(len(self.stack) - 2))

    def do_setitems(self, _):
        self.set_items(*self.take(self.marks.pop()))

    def set_items(self, *items):
        target = self.stack[-1]
        if not isinstance(target, dict) or not all(isinstance(key, str) for key in items[::2]):
            raise ValueError("expected a dictionary with names")
        target.update(zip(items[::2], items[1::2], strict=True))

    def do_build(self, _):
        """PyTorch hangs its ``_metadata`` on the dictionary of a module here: not needed."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise Refused(f"its pickle sets attributes, which no tensor needs; {NOTHING_RUN}")

    def do_global(self, arg):
        self.stack.append(allowed(arg.replace(" ", ".", 1)))

    def do_stack_global(self, _):
        self.stack.append(allowed(".".join(self.take(len(self.stack) - 2))))

    def do_binpersid(self, _):
        tag, kind, key, _, count = self.stack.pop()
        if (tag, type(kind), type(key), type(count)) != ("storage", Global, str, int):
            raise ValueError("not a storage")
        self.stack.append(Storage(STORAGES[kind.name], key, count))

    def do_reduce(self, _):
        """Here Python would call a function; we note what it would have made."""
        function, arguments = self.take(len(self.stack) - 2)
        name = function.name if type(function) is Global else None
        if name == DICTIONARY and arguments == ():
            self.stack.append({})
        elif name == TENSOR and isinstance(arguments[0], Storage):
            self.tensors += 1
            if self.tensors > MOST_TENSORS:
                raise Refused(f"its pickle builds more than {MOST_TENSORS} tensors; refused")
            self.stack.append(Tensor(*arguments[:4]))
        elif name == PARAMETER and isinstance(arguments[0], Tensor):
            self.stack.append(arguments[0])
        else:
            raise Refused(f"its pickle calls what builds no tensor; {NOTHING_RUN}")
