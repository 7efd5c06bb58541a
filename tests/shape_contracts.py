"""While unit tests run, a signature is a promise: every call is held to its ``Array["T D"]``.

The other tests run without.

The same letter must mean the same size within one call. jaxtyping does the comparing and beartype
the calling, once for each set of shapes that a function meets, since they take longer than what
they check; this module only translates our axes into theirs:

    T, D, ...   the same name there: whoever comes first says the size, the others must agree
    ...         any leading axes, free to broadcast
    K, V        the number given as ``head_dim`` or ``vocab_size``, where the call has one
    K/2, T-1    computed from K or T, where an argument further left has said it (in a result: any)
    Hq*K        otherwise a name of its own: what stands behind it is not known, but it must be the
                same size everywhere in the call

Annotations without an ``Array`` are not checked: a tap may be any function.
"""

import functools
import inspect
import re
import sys
import threading
import types
import typing
from typing import Annotated, Any

import numpy as np

from weights_tools.lazy_matrix import StoredMatrix

try:
    from beartype import beartype
    from jaxtyping import Shaped, jaxtyped
except ImportError as error:
    jaxtyped, MISSING = None, error.name

switch = {"on": False}  # turned on for the unit tests: see their conftest.py
GIVEN_AS = {"K": "head_dim", "V": "vocab_size"}


def enforce(modules: list[types.ModuleType]) -> int:
    """Put checked functions in the place of all annotated ones, in every module that has them."""
    owners = [(module.__name__, module) for module in modules]
    owners += [
        (module.__name__, value)
        for module in modules
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__
    ]
    functions = [
        value
        for home, owner in owners
        for name, value in vars(owner).items()
        if inspect.isfunction(value) and value.__module__ == home and not name.startswith("__")
    ]
    checked = {f: check_calls(f) for f in functions if any(map(arrays_in, hints(f).values()))}
    for _, owner in owners:
        for name, value in list(vars(owner).items()):
            if inspect.isfunction(value) and value in checked:
                setattr(owner, name, checked[value])
    return len(checked)


def replace_everywhere(monkeypatch, right, wrong) -> None:
    """Put ``wrong`` in the place of the function ``right`` in every module that has it."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "llama_np":
            for alias, value in list(vars(module).items()):
                if value is right:
                    monkeypatch.setattr(module, alias, wrong)


def hints(function) -> dict[str, Any]:
    return typing.get_type_hints(function, include_extras=True)


def check_calls(function):
    """The same function, refusing arrays that break its signature, and results that do."""
    annotations, returned = contract(function), threading.local()
    of_arguments = {name: hint for name, hint in annotations.items() if name != "return"}
    fits_arguments = signature_alone(function, of_arguments, returned)
    fits_result = signature_alone(function, annotations, returned)
    passed: dict[Any, set] = {}  # outlines of arguments, each with those of results that fitted
    state, outline = switch, outline_of

    def call(*args, **kwargs):
        if not state["on"]:
            return function(*args, **kwargs)
        given = outline((args, tuple(kwargs.items())))
        if given not in passed:
            fits_arguments(*args, **kwargs)
            passed[given] = set()
        result = function(*args, **kwargs)
        if (found := outline(result)) not in passed[given]:
            returned.value = result
            fits_result(*args, **kwargs)
            passed[given].add(found)
        return result

    # doctest takes a function for the module's own only if it has the module's globals
    own = types.FunctionType(call.__code__, function.__globals__, closure=call.__closure__)
    return functools.wraps(function)(own)


def signature_alone(function, annotations: dict[str, Any], returned: threading.local):
    """A function of the same name and parameters that computes nothing and checks what it gets.

    It returns ``returned.value``, so that this is checked beside the arguments.
    """
    parameters = inspect.signature(function).parameters.values()
    bare = [p.replace(annotation=p.empty, default=p.empty) for p in parameters]
    names: dict[str, Any] = {"value": lambda: getattr(returned, "value", None)}
    exec(f"def {function.__name__}{inspect.Signature(bare)}: return value()", names)
    alone = names[function.__name__]
    alone.__defaults__, alone.__kwdefaults__ = function.__defaults__, function.__kwdefaults__
    alone.__module__, alone.__annotations__ = function.__module__, annotations
    return jaxtyped(alone, typechecker=beartype)


def outline_of(value: Any) -> Any:
    """All that a contract looks at: shapes, types, and whole numbers such as a head's width."""
    if isinstance(value, (np.ndarray, StoredMatrix)):
        return type(value), value.shape
    if isinstance(value, tuple):
        return type(value), tuple(map(outline_of, value))
    if isinstance(value, list):
        return type(value), len(value)
    return (type(value), value) if isinstance(value, (int, str)) else type(value)


def contract(function) -> dict[str, Any]:
    """The annotations in jaxtyping's words."""
    parameters = inspect.signature(function).parameters
    known = {axis: f"{{{name}}}" for axis, name in GIVEN_AS.items() if name in parameters}
    translated = {}
    for name, hint in hints(function).items():
        if arrays_in(hint):
            translated[name] = in_jaxtyping(hint, known)
        if typing.get_origin(hint) is Annotated:  # an argument that is always there
            known |= {
                axis: axis for axis in axes_of(hint) if axis.isidentifier() and axis not in known
            }
    return translated


def in_jaxtyping(hint, known: dict[str, str]):
    if typing.get_origin(hint) is Annotated:
        axes = " ".join(axis_in_jaxtyping(axis, known) for axis in axes_of(hint))
        array = Shaped[typing.Union[np.ndarray, StoredMatrix], axes]  # noqa: UP007
        return typing.Union[array, np.generic] if axes == "..." else array  # noqa: UP007
    if not arrays_in(hint):
        return typing.get_origin(hint) or hint  # Sequence[int]: any sequence
    parts = tuple(in_jaxtyping(part, known) for part in typing.get_args(hint))
    return tuple[parts] if typing.get_origin(hint) is tuple else typing.Union[parts]  # noqa: UP007


def axis_in_jaxtyping(axis: str, known: dict[str, str]) -> str:
    if axis == "..." or axis.isidentifier():
        return known.get(axis, axis)
    letters = re.findall("[A-Za-z]+", axis)
    if all(letter in known for letter in letters):
        return re.sub("[A-Za-z]+", lambda m: known[m[0]], axis.replace("/", "//"))
    return re.sub(r"\W", lambda m: {"*": "_times_", "/": "_over_", "-": "_minus_"}[m[0]], axis)


def arrays_in(hint) -> bool:
    """Whether a hint is an ``Array``, or a union or tuple with one in it."""
    if typing.get_origin(hint) is Annotated:
        return isinstance(hint.__metadata__[0], str)
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        return any(map(arrays_in, typing.get_args(hint)))
    return False


def axes_of(hint) -> list[str]:
    return hint.__metadata__[0].split()
