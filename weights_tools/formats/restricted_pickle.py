"""A pickle that can build tensors and nothing else: whatever it names, nothing real is called.

A pickle is a small program for a machine with a stack, and two of its operations call any function
by name. Here the standard library's machine runs it, in its Python form: its memo is a dictionary
(in the C form one index of four bytes reserves gigabytes), and its table of operations is cut down
to what ``torch.save`` writes for tensors. Names stand for functions of ours that only note what a
tensor would be.

Sources: https://github.com/python/cpython/blob/main/Lib/pickle.py, and PyTorch's own
https://github.com/pytorch/pytorch/blob/main/torch/_weights_only_unpickler.py
"""

import io
import pickle
import pickletools
import struct
from typing import Any, NamedTuple

from llama_np.config import brief

MOST_TENSORS = 100_000  # Llama 3.1 405B has 1,138
OPERATIONS = (  # all that a dictionary of tensors needs
    "PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINUNICODE "
    "SHORT_BINUNICODE EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT SETITEM SETITEMS "
    "BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL STACK_GLOBAL BINPERSID REDUCE BUILD"
)
NOTHING_RUN = "refused, and nothing was run"


class Refused(ValueError):
    """What a pickle asks for is not needed for tensors."""


class Kind(str):
    """What kind of numbers a storage holds, as in ``TensorOnDisk``."""


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


def tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    return Tensor(expect(Storage, storage), offset, shape, strides)


def parameter(data: Any, *_: Any) -> Tensor:
    return expect(Tensor, data)


STAND_INS = {
    "torch._utils._rebuild_tensor_v2": tensor,
    "torch._utils._rebuild_parameter": parameter,
    "collections.OrderedDict": lambda: {},
    "torch.DoubleStorage": Kind("F64"),
    "torch.FloatStorage": Kind("F32"),
    "torch.HalfStorage": Kind("F16"),
    "torch.BFloat16Storage": Kind("BF16"),
}


def expect(kind: type, value: Any) -> Any:
    """The value, if it is exactly of this type."""
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")
    return value


def stand_in(name: str) -> Any:
    """What stands for a name; ``Refused`` if it is not one of those that tensors need."""
    if name not in STAND_INS:
        raise Refused(
            f"its pickle asks for {brief.repr(name)}, which no tensor of a Llama needs; "
            f"{NOTHING_RUN}"
        )
    return STAND_INS[name]


def read_pickle(data: bytes) -> dict[str, Tensor]:
    """The tensors of a dictionary that was pickled by ``torch.save``, by name.

    Raises ``ValueError`` for anything else: one that names the function, where the pickle asks for
    one that builds no tensor, whether or not it would have been called.
    """
    try:
        operations = [(op.name, arg) for op, arg, _ in pickletools.genops(data)]
        for name, arg in operations:
            if name in ("GLOBAL", "INST"):
                stand_in(arg.replace(" ", ".", 1))
        if sum(name == "REDUCE" for name, _ in operations) > MOST_TENSORS:
            raise Refused(f"its pickle builds more than {MOST_TENSORS} tensors; refused")
        machine = TensorUnpickler(io.BytesIO(data))
        found = machine.load()
        if machine.stack or machine.metastack:
            raise ValueError("something is left on the stack")
    except Refused:
        raise
    except (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError,
            TypeError, ValueError, struct.error) as error:  # fmt: skip
        raise ValueError(f"its pickle is damaged ({type(error).__name__})") from None
    if not isinstance(found, dict):
        raise ValueError(f"expected a dictionary of tensors, got {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"{brief.repr(name)} should be a tensor, got {type(value).__name__}")
    return found


class Operations(dict):
    """What does each operation, by its byte; ``Refused`` for those that are not there."""

    def __missing__(self, code: int):
        name = pickletools.code2op[chr(code)].name
        raise Refused(f"its pickle uses {name}, which no tensor needs; {NOTHING_RUN}")


class TensorUnpickler(pickle._Unpickler):
    """The library's machine with fewer operations, stand-ins for names, and names as keys."""

    def find_class(self, module: str, name: str) -> Any:
        return stand_in(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        tag, kind, key, _, count = pid
        if tag != "storage":
            raise ValueError("not a storage")
        return Storage(expect(Kind, kind), expect(str, key), expect(int, count))

    def load_build(self) -> None:
        """PyTorch hangs its ``_metadata`` on the dictionary of a module here: not needed."""
        self.stack.pop()
        if type(self.stack[-1]) is not dict:
            raise Refused(f"its pickle sets attributes, which no tensor needs; {NOTHING_RUN}")

    def load_setitem(self) -> None:
        expect(str, self.stack[-2])  # the hash of nested tuples can take for ever
        super().load_setitem()

    def load_setitems(self) -> None:
        for key in self.stack[::2]:
            expect(str, key)
        super().load_setitems()


TensorUnpickler.dispatch = Operations(
    (code, getattr(TensorUnpickler, load.__name__))
    for code, load in pickle._Unpickler.dispatch.items()
    if pickletools.code2op[chr(code)].name in OPERATIONS.split()
)
